"""Names that users type: known ones pass, others are answered with the nearest known one."""

from __future__ import annotations

from collections.abc import Iterable

from monai_supmix.errors import InputError, nearest


def require_known(subject: str, name: str, known: Iterable[str]) -> None:
    """Check a name against the known ones.

    Args:
        subject: the argument or key that holds the name.
        name: what the user gave.
        known: the valid names.

    Raises:
        InputError: when the name is unknown; the remedy is the nearest known name, or all when none is near.

    Example:
        >>> require_known("encoder_name", "resnet_18", ["resnet18", "vgg11"])
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: encoder_name: 'resnet_18' is unknown: did you mean 'resnet18'?
    """
    names = list(known)
    if name in names:
        return
    raise InputError(subject, f"{name!r} is unknown", nearest(name, names, "choose one of {}", "{!r}"))
