"""The values that a bundle's masks have: those of its label files, which weights from elsewhere may not share."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors

from monai_supmix.errors import InputError
from monai_supmix.imageio.cases import label_values
from monai_supmix.listing import read_json
from monai_supmix.weights.reading import read_weights
from monai_supmix.weights.several import ENSEMBLE, weight_files

DATALIST = "datalist.json"
"""The cases of a bundle for somebody's own data; a bundle that was handed on has none."""


def bundle_label_values(bundle_root: str | os.PathLike[str], num_classes: int) -> list[int] | None:
    """The value that each class of a bundle has in masks, by its datalist or else by its own weights.

    Args:
        bundle_root: folder of the bundle.
        num_classes: how many classes it has; unless said otherwise their values are 0, 1, 2, ... .

    Returns:
        the values in the order of the classes; ``None`` where the bundle has neither a datalist nor weights.

    Raises:
        InputError: the datalist cannot be read.

    Example:
        >>> import tempfile
        >>> bundle = Path(tempfile.mkdtemp())
        >>> bundle_label_values(bundle, num_classes=2) is None
        True
        >>> _ = (bundle / "datalist.json").write_text('{"labeled": [{"values": "0 5"}]}')
        >>> bundle_label_values(bundle, num_classes=2)
        [0, 5]
    """
    root = Path(bundle_root)
    if (root / DATALIST).is_file():
        items = read_json(root / DATALIST).get("labeled") or []
        text = next((item["values"] for item in items if isinstance(item, Mapping) and "values" in item), None)
        return list(range(num_classes)) if text is None else label_values(str(text))
    record = _own_record(root / "models")
    return None if record is None else _values(record, num_classes)


def other_label_values(record: Mapping[str, Any], bundle_root: str | os.PathLike[str]) -> str | None:
    """Say how the label values of weights differ from those of a bundle, if they do.

    Args:
        record: of the weights; as many classes as the bundle has.
        bundle_root: folder of the bundle.

    Raises:
        InputError: the bundle's datalist cannot be read.

    Example:
        >>> import tempfile
        >>> bundle = Path(tempfile.mkdtemp())
        >>> _ = (bundle / "datalist.json").write_text('{"labeled": [{"values": "0 5"}]}')
        >>> other_label_values({"class_names": ["background", "liver"]}, bundle)
        'writes the classes as 0, 1, those of the bundle have the label values 0, 5'
    """
    count = len(record["class_names"])
    theirs, ours = _values(record, count), bundle_label_values(bundle_root, count)
    if ours is None or theirs == ours:
        return None
    in_words = [", ".join(map(str, values)) for values in (theirs, ours)]
    return f"writes the classes as {in_words[0]}, those of the bundle have the label values {in_words[1]}"


def _values(record: Mapping[str, Any], count: int) -> list[int]:
    return list(record.get("label_values") or range(count))


def _own_record(models: Path) -> Mapping[str, Any] | None:
    """That of the weights in a bundle, if they can be read: of a single network from the twin, which is quickest."""
    with contextlib.suppress(InputError, OSError, ValueError, safetensors.SafetensorError):
        if (models / ENSEMBLE).is_dir():
            return read_weights(weight_files(models / ENSEMBLE)[0]).record
        if (models / "model.safetensors").is_file():
            with safetensors.safe_open(models / "model.safetensors", "pt") as file:
                record = json.loads((file.metadata() or {}).get("record", "null"))
                return record if isinstance(record, Mapping) else None
        if (models / "model.pt").is_file():
            return read_weights(models / "model.pt").record
    return None
