"""The record that lies beside trained weights: what inference needs to treat an image as training did.

* ``network``: the configuration of the network (its ``_target_`` and arguments);
* ``class_names``: the classes in the order of the output channels, background first;
* ``intensity``: rules that map raw values to the network's range, under ``hu`` (CT), ``picture``, or both;
* ``working``: the scale at which the network works: ``size``, ``scale``, ``spacing`` or ``center``, or nothing;
* ``cleaning``: optional, rules that keep one component of some classes, see :func:`monai_supmix.transforms.clean`;
* ``window``: optional, ``[d, h, w]`` of the windows that a 3D network sees, those of its validation;
* ``trained_on``: facts about the training data, such as the range of their spacing;
* ``logit_offsets``: optional, what was added to each class's logit after the training, see
  :class:`monai_supmix.engines.AdjustLogits`;
* ``labelled_images``: optional, digests of the images whose labels were trained on, see `monai_supmix.datalists.seen`;
* ``versions``: of this package and of those below it;
* ``content_sha256``: of the tensors and the rest of the record, added on saving, verified on loading;
* ``label_values``: only where label files have other values than 0, 1, 2, ...: that of each class;
* ``from_configuration``: only for weights of other programs, see `monai_supmix.weights.foreign`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import monai
import torch

from monai_supmix.version import __version__


def _mapping_of(*known: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, Mapping) and (not known or set(value) <= set(known))


def _names(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and all(isinstance(name, str) and name for name in value)
        and len(set(value)) == len(value) >= 2
    )


def are_cleaning_rules(value: Any, num_classes: int) -> bool:
    """Whether a value is a list of rules of :func:`monai_supmix.transforms.clean` about foreground classes.

    Example:
        >>> are_cleaning_rules([{"classes": [1], "touching": 2}], 3), are_cleaning_rules([{"classes": [7]}], 3)
        (True, False)
    """

    def is_class(number: object) -> bool:
        return isinstance(number, int) and 0 < number < num_classes

    def is_rule(rule: Any) -> bool:
        if not isinstance(rule, Mapping) or not {"classes"} <= set(rule) <= {"classes", "touching"}:
            return False
        classes, touching = rule["classes"], rule.get("touching")
        has_classes = isinstance(classes, (list, tuple)) and bool(classes) and all(map(is_class, classes))
        return has_classes and (touching is None or is_class(touching))

    return isinstance(value, (list, tuple)) and all(map(is_rule, value))


_SCHEMA: dict[str, tuple[Callable[[Any], bool], str]] = {
    "network": (_mapping_of(), "a mapping"),
    "class_names": (_names, "two or more different names"),
    "intensity": (_mapping_of("hu", "picture"), "a mapping with 'hu', 'picture' or both"),
    "working": (
        _mapping_of("size", "scale", "spacing", "center"),
        "a mapping with 'size', 'scale', 'spacing', 'center' or nothing",
    ),
    "trained_on": (_mapping_of(), "a mapping"),
    "versions": (
        lambda value: isinstance(value, Mapping) and "monai_supmix" in value,
        "a mapping with 'monai_supmix'",
    ),
}


def record_problem(record: object) -> str | None:
    """Check a record's shape.

    Args:
        record: what claims to be a record.

    Returns:
        the first thing that is wrong with it, or None.

    Example:
        >>> record_problem({"network": {}, "class_names": ["background"]})
        "'class_names' must be two or more different names"
    """
    if not isinstance(record, Mapping):
        return "it must be a mapping"
    wrong = (f"'{key}' must be {what}" for key, (fits, what) in _SCHEMA.items() if not fits(record.get(key)))
    first = next(wrong, None)
    labelled = record.get("labelled_images", [])
    if first is None and not (isinstance(labelled, (list, tuple)) and all(isinstance(item, str) for item in labelled)):
        return "'labelled_images' must be a list of digests"
    window = record.get("window", [1, 1, 1])
    if first is None and not (
        isinstance(window, (list, tuple))
        and len(window) == 3
        and all(type(side) is int and side > 0 for side in window)
    ):
        return "'window' must be three whole numbers of at least 1"
    offsets = record.get("logit_offsets", [0.0] * len(record.get("class_names") or ()))
    if first is None and not (
        isinstance(offsets, (list, tuple))
        and len(offsets) == len(record["class_names"])
        and all(isinstance(offset, (int, float)) and math.isfinite(offset) for offset in offsets)
    ):
        return "'logit_offsets' must be a finite number for each class"
    if first is None and not are_cleaning_rules(record.get("cleaning", ()), len(record["class_names"])):
        return "'cleaning' must be rules with 'classes', and perhaps 'touching', that are foreground classes"
    return first


def current_versions() -> dict[str, str]:
    """Versions for a record.

    Returns:
        version of this package, MONAI and PyTorch by name.

    Example:
        >>> sorted(current_versions())
        ['monai', 'monai_supmix', 'torch']
    """
    return {"monai_supmix": __version__, "monai": monai.__version__, "torch": str(torch.__version__)}


def content_sha256(tensors: Mapping[str, torch.Tensor], record: Mapping[str, Any]) -> str:
    """Hash tensors and a record.

    Args:
        tensors: contiguous, on the CPU.
        record: as JSON has it; its own ``content_sha256`` is left out.
    """
    rest = {key: value for key, value in record.items() if key != "content_sha256"}
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
