"""Printing what the configuration of a bundle can run."""

from __future__ import annotations

from pathlib import Path

from monai_supmix.config.importing import uncollected
from monai_supmix.errors import InputError


def audit(bundle: Path, every: bool = False) -> int:
    """Print what a bundle names and would run, fetch or write: flagged entries first, then foreign ones.

    Args:
        bundle: folder of the bundle.
        every: print the known ones as well, last.

    Returns:
        exit status: 0 where all entries are known from the shipped bundles, 1 where some are foreign. A foreign one may
        do anything, so a program that asks this one must not take it for safe.

    Raises:
        InputError: something is flagged.
    """
    with uncollected():
        from monai_supmix.config.audit import audit_bundle  # noqa: PLC0415  # imports MONAI

    findings = sorted(audit_bundle(bundle), key=lambda finding: (not finding.problem, finding.known))
    for finding in findings if every else [finding for finding in findings if finding.problem or not finding.known]:
        place = f"{finding.file}#{finding.id}" if finding.id else finding.file
        kind = "FLAGGED" if finding.problem else "known" if finding.known else "foreign"
        print(f"{kind:8}{place}: {finding.text}".rstrip(": "))
        if finding.problem:
            print(f"{'':8}{finding.problem}")
    flagged = [finding for finding in findings if finding.problem]
    foreign = sum(not (finding.problem or finding.known) for finding in findings)
    known = f"{len(findings) - foreign - len(flagged)} known" + ("" if every else " (--all lists them)")
    print(f"{len(findings)} entries: {known}, {foreign} foreign to the shipped bundles, {len(flagged)} flagged")
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
    return int(foreign > 0)
