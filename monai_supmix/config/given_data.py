"""Data that another program puts into a training's configuration, as MONAI Label does."""

from __future__ import annotations

from typing import Any

from monai.bundle import ConfigParser, ConfigWorkflow

from monai_supmix.errors import InputError

_TARGET = "monai_supmix.data.given_datalist"


def take_given_data(workflow: ConfigWorkflow) -> None:
    """Let lists in the place of ``train#dataset#data`` and ``validate#dataset#data`` be the datalist.

    Otherwise only a part of a training would see them: the pool, the folds, the records and the checks follow from the
    datalist, from which these entries follow by default.

    Args:
        workflow: about to run; its configuration is changed in place.

    Raises:
        InputError: a list of validation cases alone.
    """
    config: dict[str, Any] = workflow.parser[""]
    sides = {side: config[side] for side in ("train", "validate") if isinstance(config.get(side), dict)}
    given = {side: part["dataset"]["data"] for side, part in sides.items() if _is_list(part)}
    if not given or "found" not in config:
        return
    if "train" not in given:
        raise InputError("validate#dataset#data", "is a list without one for training", "give train#dataset#data, too")
    config["found"] = {
        "_target_": _TARGET,
        "labeled": given["train"],
        "validation": given.get("validate", []),
        "class_names": "@class_names",
    }
    own = ConfigParser.load_config_file(str(workflow.config_root_path / "train.json"))
    for side, part in sides.items():
        part["dataset"]["data"] = own[side]["dataset"]["data"]
    workflow.parser.parse(reset=True)


def _is_list(part: dict[str, Any]) -> bool:
    dataset = part.get("dataset")
    return isinstance(dataset, dict) and isinstance(dataset.get("data"), list)
