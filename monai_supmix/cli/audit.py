"""Printing what the configuration of a bundle can run."""

from __future__ import annotations

from pathlib import Path

from monai_supmix.errors import InputError


def audit(bundle: Path) -> int:
    """Print every expression and component of a bundle, and what is wrong with them.

    Args:
        bundle: folder of the bundle.

    Returns:
        exit status 0.

    Raises:
        InputError: something lies outside what a bundle needs.
    """
    from monai_supmix.config.audit import audit_bundle  # noqa: PLC0415  # imports MONAI

    findings = audit_bundle(bundle)
    for finding in findings:
        place = f"{finding.file}#{finding.id}" if finding.id else finding.file
        print(f"{'FLAGGED' if finding.problem else 'ok':8}{place}: {finding.text}".rstrip(": "))
        if finding.problem:
            print(f"{'':8}{finding.problem}")
    flagged = [finding for finding in findings if finding.problem]
    print(f"{len(findings)} expressions and components, {len(flagged)} flagged")
    if flagged:
        first = flagged[0]
        problem = f"{first.text or 'the file'} {first.problem}" + (
            f" (the first of {len(flagged)})" if len(flagged) > 1 else ""
        )
        raise InputError(
            f"{bundle / first.file}#{first.id}".rstrip("#"),
            problem,
            "do not run this bundle unless you trust it",
        )
    return 0
