"""Where weights lie: those that evaluation and inference use by default, and those of a bundle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_supmix.errors import InputError
from monai_supmix.files import atomic_write, make_directory, reading_error
from monai_supmix.listing import read_json
from monai_supmix.weights.reading import load_weights
from monai_supmix.weights.writing import write_both

_LAST_RUN = "last_run.json"  # in the bundle's folder, but in no archive of it


def default_weights(
    run_dir: str | os.PathLike[str] | None,
    bundle_root: str | os.PathLike[str],
    ckpt_path: str | os.PathLike[str] | None = None,
) -> Path:
    """Find the weights that evaluation and inference use.

    Args:
        run_dir: folder of a training run, perhaps.
        bundle_root: folder of the bundle.
        ckpt_path: weights that the user asks for; None or empty for the default.

    Returns:
        ``ckpt_path`` if given, else the first of these that exists: ``run_dir/model.pt``,
        ``bundle_root/models/model.pt``, and those that the last training with this bundle left (see `record_run`).

    Raises:
        InputError: when there is no such file.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "model.pt").touch()
        >>> default_weights(folder, bundle_root="my_bundle") == folder / "model.pt"
        True
        >>> default_weights("no_run", bundle_root="my_bundle")
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: no_run/model.pt: does not exist, and neither does my_bundle/models/model.pt: ...
    """
    if ckpt_path:
        if not Path(ckpt_path).is_file():
            raise InputError(ckpt_path, "no weights file has this path", "give ckpt_path the path of a model.pt")
        return Path(ckpt_path)
    folders = [*([] if run_dir is None else [Path(run_dir)]), Path(bundle_root) / "models", last_run(bundle_root)]
    candidates = [folder / "model.pt" for folder in folders if folder is not None]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    others = "".join(f", and neither does {candidate}" for candidate in dict.fromkeys(candidates[1:]))
    remedy = "train first, or give ckpt_path the path of a model.pt"
    raise InputError(candidates[0], f"does not exist{others}", remedy)


def record_run(bundle_root: str | os.PathLike[str], run_dir: str | os.PathLike[str]) -> Path | None:
    """Note in a bundle without weights of its own where a training has left some, for `default_weights`.

    Args:
        bundle_root: folder of the bundle; nothing is noted where it is no bundle, or cannot be written.
        run_dir: folder of the training run.

    Returns:
        the file of the note, if it was written.

    Example:
        >>> import tempfile
        >>> bundle, run = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
        >>> (bundle / "configs").mkdir()
        >>> (bundle / "configs" / "metadata.json").touch()
        >>> record_run(bundle, run).name, last_run(bundle) == run.resolve()
        ('last_run.json', True)
    """
    root = Path(bundle_root)
    if (root / "models" / "model.pt").exists() or not (root / "configs" / "metadata.json").is_file():
        return None
    path = root / _LAST_RUN
    try:
        with atomic_write(path, text=True) as file:
            file.write(json.dumps({"run_dir": str(Path(run_dir).resolve())}, ensure_ascii=False) + "\n")
    except InputError:  # a bundle that is only read
        return None
    return path


def last_run(bundle_root: str | os.PathLike[str]) -> Path | None:
    """The folder of the last training with a bundle, as `record_run` has noted it."""
    path = Path(bundle_root) / _LAST_RUN
    noted = read_json(path).get("run_dir") if path.is_file() else None
    return Path(noted) if isinstance(noted, str) else None


def install_weights(source: str | os.PathLike[str], bundle_root: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Copy a finished training's weights into a bundle, whose own they then are.

    Args:
        source: folder of the training run, with ``model.pt``, or a file of weights.
        bundle_root: folder of the bundle, with ``configs/metadata.json``.

    Returns:
        the bundle's ``models/model.pt`` and ``models/model.safetensors``.

    Raises:
        InputError: when the weights are missing or damaged, their classes are not the bundle's, or the system
            refuses to write.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from monai_supmix.weights import current_versions, save_weights
        >>> bundle = Path(tempfile.mkdtemp())
        >>> (bundle / "configs").mkdir()
        >>> pred = {"channel_def": {"0": "background", "1": "vessel"}}
        >>> metadata = {"network_data_format": {"outputs": {"pred": pred}}}
        >>> _ = (bundle / "configs" / "metadata.json").write_text(json.dumps(metadata))
        >>> record = {"network": {}, "class_names": ["background", "vessel"], "intensity": {}, "working": {},
        ...           "trained_on": {}, "versions": current_versions()}
        >>> run, _ = save_weights(Path(tempfile.mkdtemp()) / "model.pt", torch.nn.Conv2d(1, 2, 1), record)
        >>> [path.relative_to(bundle).as_posix() for path in install_weights(run.parent, bundle)]
        ['models/model.pt', 'models/model.safetensors']
    """
    source = Path(source) if Path(source).is_file() else Path(source) / "model.pt"
    tensors, record = load_weights(source)
    require_classes(source, record, bundle_root)
    return write_both(make_directory(Path(bundle_root) / "models") / "model.pt", tensors, record)


def require_classes(
    path: str | os.PathLike[str], record: Mapping[str, Any], bundle_root: str | os.PathLike[str]
) -> None:
    """Raise `InputError` unless weights are for the classes of a bundle.

    Args:
        path: the file of the weights, for the message.
        record: their record.
        bundle_root: folder of the bundle, whose ``configs/metadata.json`` names its classes.

    Example:
        >>> import tempfile
        >>> bundle = Path(tempfile.mkdtemp())
        >>> (bundle / "configs").mkdir()
        >>> pred = {"channel_def": {"0": "background", "1": "vessel"}}
        >>> metadata = {"network_data_format": {"outputs": {"pred": pred}}}
        >>> _ = (bundle / "configs" / "metadata.json").write_text(json.dumps(metadata))
        >>> require_classes("model.pt", {"class_names": ["background", "vessel"]}, bundle)
        >>> require_classes("model.pt", {"class_names": ["background", "lesion"]}, bundle)
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: model.pt: was trained for the classes background, lesion, the bundle ...
    """
    classes = bundle_classes(Path(bundle_root) / "configs" / "metadata.json")
    if list(record["class_names"]) != classes:
        raise InputError(
            path,
            f"was trained for the classes {', '.join(record['class_names'])}, "
            f"the bundle {bundle_root} is for {', '.join(classes)}",
            "use it with the bundle that it was trained for",
        )


def bundle_classes(metadata_file: Path) -> list[str]:
    """Read the names of a bundle's classes, in the order of the output channels.

    Args:
        metadata_file: the bundle's ``configs/metadata.json``.

    Raises:
        InputError: the file cannot be read, or does not name them.
    """
    try:
        metadata = json.loads(metadata_file.read_text(encoding="utf-8"))
        channels = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
        return [channels[key] for key in sorted(channels, key=int)]
    except OSError as error:
        raise reading_error(metadata_file, error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            metadata_file,
            "does not name the classes",
            "give network_data_format.outputs.pred.channel_def one entry for each class",
        ) from error
