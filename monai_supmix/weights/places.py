"""Where weights lie: those that evaluation and inference use by default, and those of a bundle."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from monai_supmix.errors import InputError
from monai_supmix.files import atomic_write, make_directory, reading_error, write_json, writing_error
from monai_supmix.listing import read_json
from monai_supmix.weights.label_values import other_label_values
from monai_supmix.weights.reading import load_weights
from monai_supmix.weights.several import ENSEMBLE, common_record, weight_files
from monai_supmix.weights.writing import write_both

QUALITY = "quality.json"
"""The calibration beside weights, see `monai_supmix.bundle.quality`."""
_LAST_RUN = "last_run.json"  # in the bundle's folder, but in no archive of it
_PART: ContextVar[bool] = ContextVar("part", default=False)
_OTHER_BUNDLE = "use it with the bundle that it was trained for"


def default_weights(
    run_dir: str | os.PathLike[str] | None,
    bundle_root: str | os.PathLike[str],
    ckpt_path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
) -> list[Path]:
    """Find the weights that evaluation and inference use.

    Args:
        run_dir: folder of a training run, perhaps.
        bundle_root: folder of the bundle.
        ckpt_path: weights that the user asks for, see `weight_files`; None or an empty string for the default.

    Returns:
        the files of ``ckpt_path`` if given, else the first of these that exists: ``run_dir/model.pt``, those in
        ``bundle_root/models/ensemble``, ``bundle_root/models/model.pt``, and, only if no ``run_dir`` is given, those
        that the last training with this bundle left (see `record_run`). More than one file is an ensemble.

    Raises:
        InputError: when there is no such file.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "model.pt").touch()
        >>> default_weights(folder, bundle_root="my_bundle") == [folder / "model.pt"]
        True
        >>> default_weights("no_run", bundle_root="my_bundle")
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: no_run/model.pt: does not exist, and neither does my_bundle/models/model.pt: ...
    """
    if ckpt_path is not None and ckpt_path != "":
        return weight_files(ckpt_path)
    models = Path(bundle_root) / "models"
    last = last_run(bundle_root)
    folders = [models, last] if run_dir is None else [Path(run_dir), models]
    candidates = [folder / "model.pt" for folder in folders if folder is not None]
    for candidate in candidates:
        if candidate.parent == models and (models / ENSEMBLE).is_dir():
            return weight_files(models / ENSEMBLE)
        if candidate.is_file():
            return [candidate]
    others = "".join(f", and neither does {candidate}" for candidate in dict.fromkeys(candidates[1:]))
    if run_dir is None:
        remedy = "train first, or give ckpt_path the path of a model.pt"
        raise InputError(candidates[0], f"does not exist{others}", remedy)
    if last is not None:
        others += f" (the last training wrote to {last})"
    folder = "the folder of a training (run_dir where output_dir is for masks)"
    remedy = f"give output_dir {folder}, or ckpt_path the path of a model.pt"
    raise InputError(candidates[0], f"does not exist{others}", remedy, code="no-weights")


def record_run(bundle_root: str | os.PathLike[str], run_dir: str | os.PathLike[str]) -> Path | None:
    """Note in a bundle without weights of its own where a training has left some, for `default_weights`.

    Args:
        bundle_root: folder of the bundle; nothing is noted where it is no bundle, or cannot be written, or in a
            `part_of_more`.
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
    if (
        _PART.get()
        or any((root / "models" / name).exists() for name in ("model.pt", ENSEMBLE))
        or not (root / "configs" / "metadata.json").is_file()
    ):
        return None
    path = root / _LAST_RUN
    try:
        write_json({"run_dir": str(Path(run_dir).resolve())}, path, indent=None)
    except InputError:  # a bundle that is only read
        return None
    return path


@contextmanager
def part_of_more() -> Iterator[None]:
    """Trainings in it are parts of something larger, so `record_run` does not note them: no one's last training.

    Example:
        >>> with part_of_more():
        ...     record_run("my_bundle", "folds/fold_1")
    """
    token = _PART.set(True)
    try:
        yield
    finally:
        _PART.reset(token)


def last_run(bundle_root: str | os.PathLike[str]) -> Path | None:
    """The folder of the last training with a bundle, as `record_run` has noted it."""
    path = Path(bundle_root) / _LAST_RUN
    noted = read_json(path).get("run_dir") if path.is_file() else None
    return Path(noted) if isinstance(noted, str) else None


def install_weights(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], bundle_root: str | os.PathLike[str]
) -> tuple[Path, ...]:
    """Copy the weights of one or several finished trainings into a bundle, as its own.

    Args:
        source: files or folders of weights, see `weight_files`.
        bundle_root: folder of the bundle, with ``configs/metadata.json``.

    Returns:
        the bundle's ``models/model.pt`` and ``models/model.safetensors``, with ``models/quality.json`` where there is
        one beside the weights; of several networks copies of their files, ``models/ensemble/model_1.pt`` and so
        on. Those that the bundle had are removed.

    Raises:
        InputError: when the weights are missing or damaged, their classes or label values are not the bundle's, they
            do not belong together, or the system refuses to write.

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
    files, models = weight_files(source), Path(bundle_root) / "models"
    records = {}
    for file in files:
        tensors, records[file] = load_weights(file)
        require_classes(file, records[file], bundle_root)
    common_record(records)
    make_directory(models)
    if len(files) > 1:
        return _install_several(files, models)
    written = write_both(models / "model.pt", tensors, records[files[0]])
    quality = _copy_quality(files[0].with_name(QUALITY), models / QUALITY)
    _remove(models / ENSEMBLE)  # last: as long as it is there it counts
    return (*written, *quality)


def _copy_quality(source: Path, target: Path) -> tuple[Path, ...]:
    """Copy the calibration; it names the weights that it is of, so that a wrong one has no effect."""
    if not source.is_file():
        target.unlink(missing_ok=True)
        return ()
    with atomic_write(target) as file:
        file.write(source.read_bytes())
    return (target,)


def _install_several(files: Sequence[Path], models: Path) -> tuple[Path, ...]:
    """Copy files whole or not at all: the folder appears when it is complete."""
    target = models / ENSEMBLE
    names = [f"model_{number}{file.suffix}" for number, file in enumerate(files, 1)]
    draft = models / f".{ENSEMBLE}.{secrets.token_hex(6)}.tmp"
    try:
        draft.mkdir()
        for file, name in zip(files, names, strict=True):
            shutil.copyfile(file, draft / name)
        _remove(target)
        draft.rename(target)
        for single in ("model.pt", "model.safetensors", QUALITY):
            (models / single).unlink(missing_ok=True)
    except OSError as error:
        raise writing_error(target, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return tuple(target / name for name in names)


def _remove(folder: Path) -> None:
    """Remove a folder, which is gone at once: half of an ensemble would be another one."""
    if folder.is_dir():
        old = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}.old")
        folder.rename(old)
        shutil.rmtree(old)


def require_classes(
    path: str | os.PathLike[str], record: Mapping[str, Any], bundle_root: str | os.PathLike[str]
) -> None:
    """Raise `InputError` unless weights are for the classes of a bundle and write their labels as it does.

    Args:
        path: the file of the weights, for the message.
        record: their record.
        bundle_root: folder of the bundle, whose ``configs/metadata.json`` names its classes; for their values see
            `monai_supmix.weights.label_values`.

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
            _OTHER_BUNDLE,
        )
    if problem := other_label_values(record, bundle_root):
        raise InputError(path, problem, _OTHER_BUNDLE)


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
