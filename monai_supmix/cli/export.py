"""Handing a trained model on: TorchScript, ONNX, or the bundle as an archive, checked before anything is written."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_supmix.cli.workflow import Configured, merge, require_run, top_of
from monai_supmix.config.overrides import for_monai
from monai_supmix.errors import InputError
from monai_supmix.files import atomic_write, make_directory, write_json
from monai_supmix.listing import read_json

if TYPE_CHECKING:
    from monai_supmix.bundle import Trained
    from monai_supmix.export import Subject

FORMATS = ("torchscript", "onnx", "zip")
_FIXED = {"device": "cpu", "amp": False, "runtime": "torch"}
_ENCODER_WEIGHTS = "network_def::encoder_weights"


def export(configured: Configured, formats: Sequence[str], output_dir: str, case: str | None = None) -> list[Path]:
    """Write ``model.ts``, ``model.onnx``, ``<bundle>_v<version>.zip``: all that was asked for, or nothing.

    Beside each model lies ``<file>.json`` with the record of the weights, their SHA-256, and how near the export is.
    An archive also holds the models that were asked for with it. It works by itself: its configurations of inference
    and evaluation have preset and overrides merged in.

    Args:
        configured: the bundle's inference configuration.
        formats: of `FORMATS`.
        output_dir: made if missing. Its ``model.pt`` is exported if there is one, else the bundle's, else what the
            last training with the bundle left; the overrides ``run_dir`` and ``ckpt_path`` name others.
        case: an image on which exports are compared with the weights; ``None`` makes one up.

    Returns:
        the files.

    Raises:
        InputError: whatever is wrong with weights, case or configuration, a missing package, or an export that does
            not give what its weights give.
    """
    from monai_supmix.export import export_model, require_onnx, write_archive  # noqa: PLC0415
    from monai_supmix.export.archive import LAYOUT, has_other_weights  # noqa: PLC0415

    if "onnx" in formats:
        require_onnx()
    subject = _subject(configured, output_dir, case)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        models = [export_model(form, subject, folder) for form in FORMATS[:2] if form in formats]
        for model in models:
            print(f"{model.path.name}: {model.parity}; takes other sizes of {', '.join(model.free) or 'nothing'}")
        made = [model.path for model in models]
        if "zip" in formats:
            archive = folder / f"{configured.bundle.name}_v{subject.metadata['version']}.zip"
            with_preset = len(configured.files) > 1
            write_archive(archive, configured.bundle, subject.weights, made, _configs(configured, subject), with_preset)
            if has_other_weights(configured.bundle, subject.weights):
                print(f"docs/README.md of {archive.name} says at its top that it was written for other weights")
            others = sorted(entry.name for entry in configured.bundle.iterdir() if entry.name not in LAYOUT)
            if others:
                print(f"not in {archive.name}: {', '.join(others)}")
            made.append(archive)
        output = make_directory(output_dir)
        for model in models:
            record = output / f"{model.path.name}.json"
            # The model last: wherever this is interrupted, none stands beside the record of another.
            (output / model.path.name).unlink(missing_ok=True)
            write_json(model.record, record)
        return [_copy(file, output / file.name) for file in made]


def _copy(source: Path, target: Path) -> Path:
    with source.open("rb") as there, atomic_write(target) as here:
        shutil.copyfileobj(there, here)
    return target


def _subject(configured: Configured, output_dir: str, case: str | None) -> Subject:
    """Make the parts of the configuration that an export needs, in float32 on the CPU."""
    from monai_supmix.export import Subject, network_inputs  # noqa: PLC0415
    from monai_supmix.export.subject import phantom_case  # noqa: PLC0415
    from monai_supmix.imageio.reading import read_image  # noqa: PLC0415  # slow: these import torch
    from monai_supmix.weights import require_classes  # noqa: PLC0415

    for key in _FIXED:
        if key in configured.overrides:
            problem = "has no meaning here, for exports are made by PyTorch in float32 on the CPU"
            raise InputError(f"--{key}", problem, "leave it out")
    where: dict[str, str | None] = {"output_dir": output_dir}
    if "run_dir" in configured.overrides:
        require_run(configured.overrides)
    elif "run_dir" in configured.merged() and not (Path(output_dir) / "model.pt").is_file():
        where["run_dir"] = None
    parser = replace(configured, overrides={**where, **configured.overrides, **_FIXED}).parser()
    if parser.get(_ENCODER_WEIGHTS):
        parser.update({_ENCODER_WEIGHTS: None})  # the trained weights already hold them
    metadata, channels, dims = _metadata(configured.bundle / "configs" / "metadata.json")
    trained: Trained = parser.get_parsed_content("trained")
    trained.require_one()
    record = trained.record
    require_classes(trained.path, record, configured.bundle)
    print(f"weights: {trained.path} (SHA-256 {trained.sha256})")
    image = read_image(case) if case else phantom_case(record, channels, dims)
    inferer = parser.get_parsed_content("inferer")
    inputs = network_inputs(image, trained.network, record, inferer, parser.get("intensity"))
    print(f"case: {image.path}, {len(inputs)} x {tuple(inputs[0].shape[1:])} as the network sees it")
    _describe_sizes(metadata["network_data_format"], inputs[0].ndim - 2, getattr(trained.network, "divisor", 1))
    metadata["weights"] = {"file": trained.path.name, "sha256": trained.sha256, "record": record}
    config = _portable(configured)
    return Subject(trained.network, trained.path, record, config, metadata, image.path.name, inputs)


def _metadata(path: Path) -> tuple[dict[str, Any], int, int]:
    """The metadata, and how many channels and spatial dimensions the network takes."""
    metadata = read_json(path)
    try:
        image = metadata["network_data_format"]["inputs"]["image"]
        metadata["version"]
        return metadata, image["num_channels"], len(image["spatial_shape"])
    except (KeyError, TypeError) as error:
        raise InputError(path, f"lacks {error}", "complete it as MONAI's bundle specification asks") from error


def _describe_sizes(network_data: dict[str, Any], dims: int, divisor: int) -> None:
    """Let the metadata speak of volumes where a preset puts a 3D network in place of the bundle's, or the reverse.

    In steps of twice the divisor: instance normalization takes no side that shrinks to a single element.
    """
    for described in (network_data["inputs"]["image"], network_data["outputs"]["pred"]):
        if len(described["spatial_shape"]) != dims:
            described["spatial_shape"] = [f"{2 * divisor}*n"] * dims


def _portable(configured: Configured) -> dict[str, Any]:
    """The merged configuration with those overrides that describe the model and not this machine.

    Of a preset it has what prediction and evaluation use, and nothing that is for training.
    """
    from monai.bundle import ConfigParser  # noqa: PLC0415  # slow

    merged = merge(configured.files)
    parser = ConfigParser(merged)
    known = merged.keys() - {"bundle_root", "dataset_dir", "output_dir", "run_dir", "ckpt_path"}
    overrides = {key: for_monai(value) for key, value in configured.overrides.items() if top_of(key) in known}
    parser.update(overrides)
    if parser.get(_ENCODER_WEIGHTS):
        parser.update({_ENCODER_WEIGHTS: None})
    return _used(parser.get(), merge(configured.files[:1]).keys())


def _used(config: dict[str, Any], own: Collection[str]) -> dict[str, Any]:
    """The entries named in ``own``, and those that these refer to (``@entry``, also inside expressions)."""
    used, reached = set[str](), config.keys() & own
    while reached - used:
        used |= reached
        text = json.dumps([config[key] for key in used], ensure_ascii=False)
        reached = {key for key in re.findall(r"[@%][#:]*(\w+)", text) if key in config}
    return {key: value for key, value in config.items() if key in used}


def _configs(configured: Configured, subject: Subject) -> dict[str, Any]:
    """What an archive has for its network in place of the bundle's configurations, by the files' names."""
    metadata = {key: value for key, value in subject.metadata.items() if key != "weights"}
    configs = {"metadata.json": metadata, "inference.json": subject.config}
    evaluation = configured.bundle / "configs" / "evaluate.json"
    if evaluation.is_file():
        configs[evaluation.name] = _portable(replace(configured, files=[evaluation, *configured.files[1:]]))
    training = configured.bundle / "configs" / "train.json"
    if training.is_file():
        with contextlib.suppress(InputError):  # a preset of prediction alone changes entries that a training lacks
            configs[training.name] = _training(replace(configured, files=[training, *configured.files[1:]]))
    return configs


def _training(configured: Configured) -> dict[str, Any]:
    """The configuration of a training of this network: with the preset, and the overrides of the network."""
    from monai.bundle import ConfigParser  # noqa: PLC0415  # slow

    parser = ConfigParser(configured.merged())
    parser.update({k: for_monai(value) for k, value in configured.overrides.items() if top_of(k) == "network_def"})
    training: dict[str, Any] = parser.get()
    return training
