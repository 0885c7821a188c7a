"""Every setting of a training as it resolves: what Sec. 4.1 of the paper lists, and what it leaves open."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from pydoc import locate
from typing import Any

import torch

from monai_supmix.engines.loss_terms import combine
from reproduction.experiment import Cell, Experiment

Settings = dict[str, Any]
_OF_NO_INTEREST = ("params", "_disabled_")
_OF_THE_RUN = ("optimizer", "total_iters", "last_epoch")  # a schedule ends with the training, however long that is


def training_settings(experiment: Experiment, cell: Cell) -> Settings:
    """Resolve the settings of a cell's training; neither data nor weights are read.

    Args:
        experiment: what all cells share.
        cell: the cell.

    Returns:
        plain values by name, ``None`` for what a method does without.

    Raises:
        InputError: the configuration is wrong.
    """
    parser = experiment.training(cell, "data", "output").parser()

    def part(name: str, *left_out: str) -> Any:
        raw = parser.get(name)
        return _resolved(parser, _without(raw, *left_out) if left_out else raw)

    def schedule(name: str) -> Any:
        return _without(part(name, *_OF_THE_RUN), *_OF_THE_RUN, *_OF_NO_INTEREST)

    def made(name: str) -> Any:
        return parser.get_parsed_content(name)

    network = part("network_def")
    views, dropout, discriminator = made("num_strong_views"), made("feature_dropout"), part("discriminator")
    uses_unlabeled = bool(views or dropout)
    return {
        "network": network,
        "pixels the network sees": made("working") or "native",
        "intensity": made("intensity_settings"),
        "crop": made("crop_size"),
        "batch, labelled + unlabelled": [made("labeled_batch_size"), made("unlabeled_batch_size")],
        "epochs": None if made("max_iterations") else made("max_epochs"),
        "iterations": made("max_iterations"),
        "share on labelled images only": made("burn_in") if uses_unlabeled else None,
        "optimizer": part("optimizer", "params"),
        "learning rate schedule": schedule("lr_scheduler"),
        "weak augmentation": [
            _without(step, "keys", "mode", "allow_missing_keys") for step in part("weak_augmentation")["transforms"]
        ],
        "strong augmentation": part("strong_views#augmentation")["transforms"] if views else None,
        "mixing": part("mixing") if views else None,
        "strong views": views,
        "feature dropout": network.get("dropout_prob") if dropout else None,
        "confidence threshold": part("consistency_loss")["threshold"] if uses_unlabeled else None,
        "supervised loss": part("supervised_loss"),
        "loss weights": loss_weights(views, dropout),
        "further loss terms": part("train#trainer#extra_terms"),
        "SUFD weight": made("sufd_weight") if discriminator else None,
        "discriminator": discriminator,
        "discriminator's optimizer": part("discriminator_optimizer", *_OF_NO_INTEREST) if discriminator else None,
        "discriminator's schedule": schedule("discriminator_lr_scheduler") if discriminator else None,
        "number format": made("amp"),
    }


def loss_weights(num_views: int, feature_dropout: bool) -> dict[str, float]:
    """The weights of the terms of the loss, as the trainer combines them.

    Args:
        num_views: number of strong views.
        feature_dropout: whether the weak view is also decoded with dropped features.

    Example:
        >>> loss_weights(2, True)
        {'L_x': 0.5, 'L_s1': 0.125, 'L_s2': 0.125, 'L_fp': 0.25}
    """
    names = {"loss_supervised": "L_x"} | {f"loss_strong_{k}": f"L_s{k}" for k in range(1, num_views + 1)}
    names |= {"loss_feature_dropout": "L_fp"} if feature_dropout else {}
    terms = {name: torch.zeros((), requires_grad=True) for name in names}
    combine(terms).backward()
    return {symbol: float(terms[name].grad) for name, symbol in names.items()}  # type: ignore[arg-type]


def _resolved(parser: Any, value: Any) -> Any:
    """A part of a configuration with its references resolved and the defaults of its components filled in."""
    if isinstance(value, str) and value.startswith("@"):
        name = value[1:].replace("#", "::")
        target = parser.get(name)
        is_expression = isinstance(target, str) and target.startswith("$")
        return parser.get_parsed_content(name) if is_expression else _resolved(parser, target)
    if isinstance(value, Mapping):
        return _with_defaults({key: _resolved(parser, entry) for key, entry in value.items()})
    if isinstance(value, list):
        return [_resolved(parser, entry) for entry in value]
    return value


def _with_defaults(component: Settings) -> Settings:
    """Add the defaults of a component's constructor, apart from those that stand for nothing."""
    if "_target_" not in component:
        return component
    target = locate(component["_target_"])
    parameters = inspect.signature(target).parameters.values()  # type: ignore[arg-type]
    defaults = {one.name: one.default for one in parameters if one.default is not one.empty and one.default}
    return component | {name: value for name, value in defaults.items() if name not in component}


def _without(component: Settings, *names: str) -> Settings:
    return {name: value for name, value in component.items() if name not in names}


def show_settings(by_method: Mapping[str, Settings]) -> Iterator[str]:
    """Lines that show the settings: once where all methods have the same, else for each.

    Args:
        by_method: settings by the method's name.

    Example:
        >>> for line in show_settings({"supervised": {"crop": [64, 64], "mixing": None}, "supmix": {
        ...     "crop": [64, 64], "mixing": {"_target_": "monai_supmix.transforms.SupMix", "prob": 0.5}}}):
        ...     print(line)
        crop                         [64, 64]
        mixing
            supervised: none
            supmix: SupMix(prob=0.5)
    """
    for name in next(iter(by_method.values())):
        methods: dict[str, list[str]] = {}
        for method, settings in by_method.items():
            methods.setdefault(show(settings[name]), []).append(method)
        if len(methods) == 1:
            yield f"{name:28} {next(iter(methods))}"
        else:
            yield name
            yield from (f"    {', '.join(those)}: {text}" for text, those in methods.items())


def show(value: Any) -> str:
    """A setting in one line.

    Example:
        >>> show([{"_target_": "torch.optim.SGD", "lr": 0.004}, None, (0.5, 2.0)])
        '[SGD(lr=0.004), none, [0.5, 2.0]]'
    """
    if value is None:
        return "none"
    if isinstance(value, Mapping) and "_target_" in value:
        arguments = ", ".join(f"{key}={show(entry)}" for key, entry in value.items() if key != "_target_")
        return f"{value['_target_'].rpartition('.')[2]}({arguments})"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {show(entry)}" for key, entry in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(show, value))}]"
    return str(value)
