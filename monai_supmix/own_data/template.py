"""The configuration of a bundle: a shipped bundle's, with what the data asks for in the place of a few entries.

Everything else stays as it ships, so that what is improved there is in every bundle written from then on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai_supmix.config.overrides import for_monai
from monai_supmix.imageio.partly import IGNORED
from monai_supmix.listing import read_json
from monai_supmix.own_data.classes import Classes
from monai_supmix.own_data.editing import put, without
from monai_supmix.own_data.mirroring import without_mirroring
from monai_supmix.own_data.proposal import Proposal
from monai_supmix.own_data.room import roomy

DATALIST_NAME = "datalist.json"
_LISTED = "monai_supmix.data.listed_datalist"
_LIST = f"$@bundle_root + '/{DATALIST_NAME}'"
ADDED = (_LISTED, _LIST)
"""Components and expressions that no shipped bundle has, and every bundle written from one."""
# What `monai_supmix.data.listed_datalist` takes; other settings of the template's own datalist are dropped.
_DRAW = ("dataset_dir", "num_labeled", "labeled_seed", "labeled_list", "num_val_patients", "unlabeled_pool")


def fill_template(proposal: Proposal) -> dict[str, dict[str, Any]]:
    """Make all configuration files of a bundle.

    Args:
        proposal: the settings.

    Returns:
        contents by path, relative to the bundle's ``configs``.
    """
    folder = proposal.template / "configs"
    files = {path.relative_to(folder).as_posix(): read_json(path) for path in sorted(folder.rglob("*.json"))}
    files["train.json"] = _train(files["train.json"], proposal)
    files["evaluate.json"] = _evaluate(files["evaluate.json"], proposal)
    files["inference.json"] = _inference(files["inference.json"], proposal)
    files["metadata.json"] = _metadata(files["metadata.json"], proposal)
    classes = len(proposal.datalist.class_names)
    for config in files.values():
        if isinstance(network := config.get("network_def"), dict):
            config["network_def"] = roomy(network, classes)
    if not proposal.mirror:
        files = {name: without_mirroring(config) for name, config in files.items()}
    for name in [name for name, config in files.items() if config.get("spatial_dims") == 3]:  # presets for 3D networks
        if proposal.grid_3d is None:
            del files[name]
        else:
            put(files[name], "working", proposal.grid_3d.working)
            put(files[name], "crop_size", proposal.grid_3d.crop_size(files[name]["crop_size"]))
    return files


def _train(config: dict[str, Any], proposal: Proposal) -> dict[str, Any]:
    config = _own_source(config, "found", proposal)
    put(config, "class_names", proposal.datalist.class_names)
    put(config, "experiment_name", for_monai(proposal.name))
    put(config, "num_labeled", None)
    put(config, "unlabeled_pool", proposal.unlabeled_pool)
    put(config, "max_epochs", proposal.max_epochs)
    if any("ignored" in item for item in proposal.datalist.labeled):
        put(config, "ignore_index", IGNORED)
    put(config, "crop_size", proposal.crop_size)
    put(config, "working", proposal.working)
    put(config, "intensity_settings", proposal.intensity_settings)
    if proposal.axis != "axial":
        put(config, "loading#axis", proposal.axis, new=True)
        put(config, "validation_inferer#axis", proposal.axis, new=True)
    return _say_input(config, proposal)


def _evaluate(config: dict[str, Any], proposal: Proposal) -> dict[str, Any]:
    config = _own_source(config, "datalist", proposal)
    put(config, "class_names", proposal.datalist.class_names)
    put(config, "experiment_name", for_monai(proposal.name))
    if proposal.axis != "axial":
        put(config, "inferer#axis", proposal.axis, new=True)
    return _say_input(config, proposal)


def _inference(config: dict[str, Any], proposal: Proposal) -> dict[str, Any]:
    put(config, "dataset_dir", for_monai(str(proposal.root)))
    put(config, "num_classes", len(proposal.datalist.class_names))
    if "view" in config:  # pictures are trained on as they lie
        put(config, "view", "upright")
    if "dicom_codes" in config:  # the name of a class does not say which coded term it is
        put(config, "dicom_codes", {})
    if proposal.axis != "axial":
        put(config, "inferer#axis", proposal.axis, new=True)
    return _say_input(config, proposal)


def _own_source(config: dict[str, Any], key: str, proposal: Proposal) -> dict[str, Any]:
    """Take the datalist from the bundle's own file, and drop the settings that only the template's source has."""
    source = config[key]
    own = {value[1:] for name, value in source.items() if name not in _DRAW and str(value).startswith("@")}
    config = without(config, own)
    put(config, "dataset_dir", for_monai(str(proposal.root)))
    put(
        config,
        key,
        {
            "_target_": _LISTED,
            "datalist_file": "@datalist_file",
            **{name: value for name, value in source.items() if name in _DRAW},
        },
    )
    entries = list(config.items())
    place = 1 + list(config).index("dataset_dir")
    entries.insert(place, ("datalist_file", _LIST))
    return dict(entries)


def _say_input(config: dict[str, Any], proposal: Proposal) -> dict[str, Any]:
    """Set channels and, where the template knows it, what the input is."""
    put(config, "network_def#in_channels", proposal.channels)
    if proposal.intensity is not None:
        put(config, "intensity", proposal.intensity)
    return config


def _metadata(metadata: dict[str, Any], proposal: Proposal) -> dict[str, Any]:
    names = proposal.datalist.class_names
    numbered = ", ".join(f"{value} {name}" for value, name in enumerate(names))
    kind = ("colour" if proposal.channels == 3 else "grey") + (" pictures" if proposal.pictures else " volumes")
    rule = next(choice.value for choice in proposal.choices if choice.subject == "intensity")
    put(metadata, "name", proposal.name)
    put(metadata, "task", f"Semi-supervised segmentation of {', '.join(names[1:])} ({proposal.name})")
    put(
        metadata,
        "description",
        f"{proposal.name}: {', '.join(names[1:])} in {kind}, learnt from labelled and unlabelled images with SupMix "
        "and SUFD; settings proposed by monai-supmix new",
    )
    put(metadata, "authors", "to be named by whoever passes this bundle on")
    put(metadata, "copyright", "configuration: Copyright (c) MONAI-SupMix contributors")
    put(metadata, "data_source", "to be named by whoever passes this bundle on")
    put(metadata, "data_type", "picture" if proposal.pictures else "nibabel")
    put(metadata, "image_classes", f"{kind}, intensity mapped to [0, 1]: {rule}")
    put(metadata, "label_classes", Classes(names, "", proposal.datalist.label_values()).table())
    put(metadata, "pred_classes", f"logits of {numbered}")
    put(metadata, "references", _common_references(metadata["references"], proposal.template))
    image = "network_data_format#inputs#image"
    is_ct = "hu" in proposal.intensity_settings
    put(metadata, f"{image}#format", "hounsfield" if is_ct else "RGB" if proposal.channels == 3 else "magnitude")
    put(metadata, f"{image}#modality", "CT" if is_ct else proposal.channel or "unknown")
    put(metadata, f"{image}#num_channels", proposal.channels)
    put(metadata, "network_data_format#outputs#pred#num_channels", len(names))
    channel_def = {str(value): name for value, name in enumerate(names)}
    put(metadata, "network_data_format#outputs#pred#channel_def", channel_def)
    return metadata


def _common_references(references: list[str], template: Path) -> list[str]:
    """The references to the method: those that every shipped bundle gives; others are about its data."""
    lists = [read_json(path)["references"] for path in template.parent.glob("*/configs/metadata.json")]
    return [reference for reference in references if all(reference in listed for listed in lists)]
