"""A bundle with its weights as an archive in the layout of MONAI's model zoo."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser, verify_net_in_out

from monai_supmix.errors import InputError
from monai_supmix.export.quiet import quiet
from monai_supmix.files import sha256
from monai_supmix.listing import read_json
from monai_supmix.weights import install_weights, load_into, load_weights, read_weights
from monai_supmix.weights.several import ENSEMBLE

LAYOUT = ("LICENSE", "configs", "docs", "models")
"""What an archive holds of a bundle's folder; whatever else lies there, such as lists of cases, is left out."""

_EPOCH = (1980, 1, 1, 0, 0, 0)  # equal content gives equal bytes


def write_archive(
    path: Path,
    bundle: Path,
    weights: Path,
    models: Sequence[Path] = (),
    configs: Mapping[str, Mapping[str, Any]] | None = None,
    with_preset: bool = False,
) -> None:
    """Write ``NAME/{LICENSE,configs,docs,models}`` of a bundle as a zip, after MONAI has verified it.

    Args:
        path: the zip; its folder must exist, and is used to lay out the bundle.
        bundle: folder of the bundle.
        weights: file of the weights that take the place of the bundle's own; the card says so where they are others.
        models: further files for ``models/``, such as a ``model.ts``.
        configs: what takes the place of files in ``configs/``, by their names; files that say the same stay.
        with_preset: a preset is in them, which the card tells those who get the archive.

    Raises:
        InputError: the weights are not those of the bundle's network, or its metadata do not describe it.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from monai_supmix.weights import current_versions, save_weights
        >>> bundle = Path(tempfile.mkdtemp()) / "eyes"
        >>> (bundle / "configs").mkdir(parents=True)
        >>> image = {"num_channels": 1, "spatial_shape": [8, 8], "dtype": "float32"}
        >>> pred = {**image, "num_channels": 2, "channel_def": {"0": "background", "1": "vessel"}}
        >>> metadata = {"network_data_format": {"inputs": {"image": image}, "outputs": {"pred": pred}}}
        >>> network = {"_target_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 2, "kernel_size": 1}
        >>> for name, content in {"metadata": metadata, "inference": {"network_def": network}}.items():
        ...     _ = (bundle / "configs" / f"{name}.json").write_text(json.dumps(content))
        >>> record = {"network": {}, "class_names": ["background", "vessel"], "intensity": {}, "working": {},
        ...           "trained_on": {}, "versions": current_versions()}
        >>> weights, _ = save_weights(bundle.parent / "model.pt", torch.nn.Conv2d(1, 2, 1), record)
        >>> path = Path(tempfile.mkdtemp()) / "eyes.zip"
        >>> write_archive(path, bundle, weights)
        >>> zipfile.ZipFile(path).namelist()[1:3]
        ['eyes/configs/metadata.json', 'eyes/models/model.pt']
    """
    laid_out = path.with_name(bundle.name)
    for source in (file for name in LAYOUT[:-1] for file in _files(bundle / name)):
        if not source.resolve().is_relative_to(bundle.resolve()):
            raise InputError(source, "is a link that leads out of the bundle", "put the file itself there")
        target = laid_out / source.relative_to(bundle)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    for name, content in (configs or {}).items():
        file = laid_out / "configs" / name
        if read_json(file) != content:
            file.write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")
    if has_other_weights(bundle, weights):
        _tell_of_other_weights(laid_out / "docs" / "README.md", sha256(weights), with_preset)
    install_weights(weights, laid_out)
    for model in models:
        shutil.copyfile(model, laid_out / "models" / model.name)
    _verify(laid_out, bundle, weights)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in _files(laid_out):
            info = zipfile.ZipInfo(file.relative_to(path.parent).as_posix(), _EPOCH)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(info, file.read_bytes())


def has_other_weights(bundle: Path, weights: Path) -> bool:
    """Whether a bundle comes with weights of its own, which its documents are about, and these are others."""
    if (bundle / "models" / ENSEMBLE).is_dir():
        return True  # an archive has the weights of one network
    own = bundle / "models" / "model.pt"
    return own.is_file() and _content(own) != _content(weights)


def _content(weights: Path) -> str:
    """What tells weights from others, whatever type of file they are in."""
    try:
        record = read_weights(weights).record or {}
    except InputError:  # damaged ones, which are left behind
        record = {}
    return str(record.get("content_sha256") or sha256(weights))


def _tell_of_other_weights(card: Path, digest: str, with_preset: bool) -> None:
    """Put a note below the title of a model card."""
    if not card.is_file():
        return
    title, _, rest = card.read_text(encoding="utf-8").partition("\n")
    note = f"> **The weights in this archive are not those that this page was written for** (SHA-256 {digest}).\n"
    note += "> What it says of the default network, its training, its figures and tables does not hold for them.\n"
    if with_preset:
        note += "> `train.json` has the preset that they were exported with; beside `--method`, give it once more.\n"
    card.write_text(f"{title}\n\n{note}{rest}", encoding="utf-8")


def _files(place: Path) -> list[Path]:
    """A file, or all files of a folder without hidden ones, in order."""
    if place.is_file():
        return [place]
    listed = ((file, file.relative_to(place).parts) for file in place.rglob("*") if file.is_file())
    return sorted(file for file, parts in listed if not any(part[0] == "." or part == "__pycache__" for part in parts))


def _verify(laid_out: Path, bundle: Path, weights: Path) -> None:
    """What MONAI's tools will ask: does the network fit its weights, and give what the metadata say?"""
    configs = laid_out / "configs"
    network = ConfigParser(read_json(configs / "inference.json")).get_parsed_content("network_def")
    load_into(network, load_weights(weights)[0], weights)
    try:
        with quiet():
            verify_net_in_out(
                net_id="network_def",
                meta_file=str(configs / "metadata.json"),
                config_file=str(configs / "inference.json"),
                device="cpu",
            )
    except (ValueError, KeyError) as error:
        problem = f"do not describe the network ({error})"
        raise InputError(bundle / "configs" / "metadata.json", problem, "fix its network_data_format") from error
