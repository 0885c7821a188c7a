"""Whether what a merged configuration says can be meant: arguments that components have, a device that is there."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Collection, Iterator, Mapping
from pydoc import locate
from typing import Any

import torch
from monai.bundle import ComponentLocator, ConfigComponent, ReferenceResolver

from monai_supmix.config.overrides import JSON_WORDS
from monai_supmix.config.settings import SETTINGS, is_dynamic, value_problem
from monai_supmix.errors import InputError, nearest


def check_config(config: Mapping[str, Any], options: Collection[str] = ()) -> None:
    """Raise `InputError` for the first thing in a merged configuration that would fail later, or count for nothing.

    Args:
        config: the merged configuration, of which nothing is made yet.
        options: keys that were given on the command line, so that messages name them as the user wrote them.

    Raises:
        InputError: a setting that cannot be, a device that is not there, an argument that a component does not have,
            or an option that a datalist file as ``dataset_dir``, or another file, leaves without effect.
    """
    written = {ReferenceResolver.normalize_id(key): f"--{key}" for key in options}
    for id_, value in entries({key: entry for key, entry in config.items() if key != "_meta_"}):
        name = written.get(id_, id_.replace("::", "#"))
        if id_ in SETTINGS and (expected := value_problem(id_, value, value)):
            raise InputError(name, f"is {value!r}", _spelled(value) or f"give {expected}")
        if id_ == "device" and isinstance(value, str) and not is_dynamic(value):
            require_device(value, name)
        if isinstance(value, Mapping) and "_target_" in value:
            for argument, remedy in unknown_arguments(value).items():
                id_of = f"{id_}::{argument}"
                where = written.get(id_of, id_of.replace("::", "#"))
                raise InputError(where, f"{_short(value['_target_'])} has no such argument", remedy)
    _check_datalist_options(config, written)
    if config.get("logit_adjustment") and "AdjustLogits" not in str(config.get("recalibration")):
        problem = "has no effect, for recalibration has no AdjustLogits: another file has replaced it"
        raise InputError("logit_adjustment", problem, "set it to 0, or put AdjustLogits into recalibration")


def entries(config: Any, id_: str = "") -> Iterator[tuple[str, Any]]:
    """All entries of a configuration with their ids, those within entries as well.

    Example:
        >>> list(entries({"sizes": [8], "net": {"_target_": "UNet"}}))
        [('sizes', [8]), ('sizes::0', 8), ('net', {'_target_': 'UNet'}), ('net::_target_', 'UNet')]
    """
    for _, sub_id, value in ReferenceResolver.iter_subconfigs(id_, config) if isinstance(config, (dict, list)) else ():
        yield sub_id, value
        yield from entries(value, sub_id)


def _spelled(value: Any) -> str | None:
    """How a word of JSON is written for Python, should that be what is wrong."""
    return f"write {JSON_WORDS[value]}" if isinstance(value, str) and value in JSON_WORDS else None


def find_target(target: Any) -> Any:
    """The class or function that a component names, in full or by the name that MONAI has for it; ``None`` if unknown.

    Example:
        >>> find_target("torch.nn.Linear"), find_target("$@network.forward")
        (<class 'torch.nn.modules.linear.Linear'>, None)
    """
    if not isinstance(target, str) or is_dynamic(target):
        return None
    return locate(target_name(target))


_LOCATOR = ComponentLocator()


def target_name(target: str) -> str:
    """The dotted name behind a ``_target_``, which may be a short one of MONAI.

    Example:
        >>> target_name("DecathlonDataset"), target_name("mine.Dataset")
        ('monai.apps.datasets.DecathlonDataset', 'mine.Dataset')
    """
    if "." in target:
        return target
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two components of one name MONAI takes the first
        return str(ConfigComponent({"_target_": target}, locator=_LOCATOR).resolve_module_name())


def unknown_arguments(component: Mapping[str, Any]) -> dict[str, str]:
    """Arguments of a component that its class or function does not take, each with what to do about it.

    Example:
        >>> unknown_arguments({"_target_": "torch.optim.Adam", "lrr": 0.1, "betas": [0.9, 0.99]})
        {'lrr': 'did you mean lr?'}
    """
    parameters = _parameters(find_target(component["_target_"]))
    if not parameters:
        return {}
    given = [key for key in component if key not in ConfigComponent.non_arg_keys and key not in parameters]
    return {key: nearest(key, parameters, "use one of {}") for key in given}


def _parameters(target: Any) -> list[str]:
    """Names of all arguments that a class or function takes; none where that cannot be told.

    Classes of this package hand their ``**kwargs`` on to the next class's ``__init__``; what others do is not known.
    """
    names: dict[str, None] = {}
    bases = [base for base in inspect.getmro(target) if "__init__" in vars(base)] if inspect.isclass(target) else []
    for maker in (target, *bases[1:]):
        try:
            parameters = inspect.signature(maker).parameters if callable(maker) else {}
        except (TypeError, ValueError):  # written in C
            return []
        names |= dict.fromkeys(name for name, each in parameters.items() if each.kind is not each.VAR_KEYWORD)
        if not any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
            return list(names)
        if not str(getattr(maker, "__module__", "")).startswith("monai_supmix."):
            return []
    return []


def _short(target: str) -> str:
    return target.rpartition(".")[2]


def require_device(device: str, subject: str = "device") -> None:
    """Raise `InputError` for a device that this machine does not have.

    Args:
        device: such as ``"cpu"``, ``"cuda:1"``, ``"mps"``.
        subject: what the error is about.
    """
    kind, _, number = device.partition(":")
    count = torch.get_device_module(kind).device_count()
    if int(number or 0) >= count:
        problem = f"is {device!r}, and this machine has {count or 'none'}{' of them' if count else ''}"
        raise InputError(subject, problem, "leave it out: the best device is chosen automatically")


def _check_datalist_options(config: Mapping[str, Any], written: Mapping[str, str]) -> None:
    """Refuse options that the data set's datalist function does not hand on when a datalist file says it itself."""
    from monai_supmix.datalists.build import fixed_datalist  # noqa: PLC0415

    file = str(config.get("dataset_dir", ""))
    component = config.get("found", config.get("datalist"))
    if not file.endswith(".json") or not isinstance(component, Mapping):
        return
    function = find_target(component.get("_target_"))
    if not str(getattr(function, "__module__", "")).startswith("monai_supmix."):
        return  # what a foreign function does with a file is not known
    kept = {"dataset_dir", "datalist_file", *inspect.signature(fixed_datalist).parameters}
    for argument in inspect.signature(function).parameters.keys() - kept:
        key = str(component.get(argument, "")).removeprefix("@")
        if key in written:
            problem = f"has no effect on {file}, a datalist that says it itself"
            raise InputError(written[key], problem, "leave it out, or give the data set's folder")
