"""What weights of other programs need and do not hold: classes, intensity rules and working grid of the bundle."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_supmix.errors import InputError
from monai_supmix.listing import read_json
from monai_supmix.weights.label_values import bundle_label_values
from monai_supmix.weights.places import bundle_classes
from monai_supmix.weights.record import current_versions, record_problem


def configured_record(
    path: str | os.PathLike[str],
    bundle_root: str | os.PathLike[str],
    working: Mapping[str, Any] | None = None,
    intensity_settings: Mapping[str, Any] | None = None,
    num_classes: int | None = None,
) -> dict[str, Any]:
    """Make the record of weights that come without one from the configuration of a bundle.

    Args:
        path: file of the weights, for messages.
        bundle_root: folder of the bundle; ``configs/metadata.json`` names the classes, and ``configs/train.json`` has
            what the next two leave out.
        working: the working grid, as configured for the run.
        intensity_settings: the intensity rules, as configured for the run.
        num_classes: of the network, which the bundle's classes must agree with.

    Returns:
        a record as :mod:`monai_supmix.weights.record` describes it. ``from_configuration`` holds each entry that was
        filled in as ``value`` and ``from``: the file or the setting it is from.

    Raises:
        InputError: when the configuration does not say either, or holds something other than a rule.

    Example:
        >>> import json
        >>> import tempfile
        >>> bundle = Path(tempfile.mkdtemp())
        >>> (bundle / "configs").mkdir()
        >>> pred = {"channel_def": {"0": "background", "1": "vessel"}}
        >>> metadata = {"network_data_format": {"outputs": {"pred": pred}}}
        >>> _ = (bundle / "configs" / "metadata.json").write_text(json.dumps(metadata))
        >>> record = configured_record("plain.pt", bundle, working={}, intensity_settings={"picture": {}})
        >>> record["class_names"], record["from_configuration"]["class_names"]["from"]
        (['background', 'vessel'], 'metadata.json')
    """
    training = Path(bundle_root) / "configs" / "train.json"
    filled: dict[str, dict[str, Any]] = {}
    for entry, key, given in (("intensity", "intensity_settings", intensity_settings), ("working", "working", working)):
        value, origin = (given, key) if given is not None else (_setting(training, key), training.name)
        if not isinstance(value, Mapping):
            problem = f"has no record, and {training} has no plain '{key}'"
            raise InputError(path, problem, f"give the setting {key}")
        filled[entry] = {"value": dict(value), "from": origin}
    metadata = Path(bundle_root) / "configs" / "metadata.json"
    classes = bundle_classes(metadata)
    if num_classes not in (None, len(classes)):
        problem = f"has no record, and the {len(classes)} classes of {metadata} are not the network's {num_classes}"
        raise InputError(path, problem, "use it with a bundle for its classes")
    filled["class_names"] = {"value": classes, "from": metadata.name}
    if (values := bundle_label_values(bundle_root, len(classes))) not in (None, list(range(len(classes)))):
        filled["label_values"] = {"value": values, "from": "the bundle"}
    record = {
        "network": {},
        **{entry: part["value"] for entry, part in filled.items()},
        "trained_on": {},
        "versions": current_versions(),
        "from_configuration": filled,
    }
    wrong = record_problem(record)
    if wrong:
        problem = f"has no record, and the configuration makes none that can be used ({wrong})"
        raise InputError(path, problem, "fix intensity_settings or working")
    return record


def _setting(file: Path, key: str) -> Any:
    return read_json(file).get(key) if file.is_file() else None


def configured_note(record: Mapping[str, Any]) -> list[str]:
    """Say what of a record is the configuration's, for logs, metrics and masks.

    Args:
        record: the record of the weights.

    Returns:
        one sentence, or none for a record that came with its weights.

    Example:
        >>> configured_note({"from_configuration": {"working": {"value": {}, "from": "train.json"}}})
        ['the weights have no record; used are: working of train.json']
        >>> configured_note({"class_names": ["background", "vessel"]})
        []
    """
    filled = record.get("from_configuration")
    if not filled:
        return []
    origins = ", ".join(f"{entry} of {part['from']}" for entry, part in filled.items())
    return [f"the weights have no record; used are: {origins}"]
