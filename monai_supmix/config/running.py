"""The check that a configuration makes of itself, whether started by the command line, by MONAI, or from Python.

MONAI takes any option, so that a misspelt one changes nothing and nobody notices. The first thing in a bundle's
``initialize`` therefore is `check_overrides`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser, ConfigWorkflow, ReferenceResolver

from monai_supmix.config.components import check_config
from monai_supmix.config.error_lines import show_error_line_last
from monai_supmix.config.find import is_bundle
from monai_supmix.config.given_data import take_given_data
from monai_supmix.config.living import living
from monai_supmix.config.overrides import check_tracking, split_flags
from monai_supmix.config.settings import is_dynamic
from monai_supmix.errors import InputError, nearest

logger = logging.getLogger(__name__)

# What MONAI's tracking puts into a configuration, or reads from it.
_OF_MONAI = {"_meta_", "tracking_uri", "experiment_name", "run_name", "save_execute_config", "is_not_rank0"}


def check_overrides(meta: Mapping[str, Any] | None = None) -> None:
    """Check the configuration that is about to run, and let its ``bundle_root`` be the bundle that it lies in.

    Lists of cases in the place of its data become its datalist, see `take_given_data`. ``tta`` is switched off, and a
    warning says so, where the inferer has no views to average.

    Args:
        meta: the configuration's own ``@_meta_``, by which its workflow is found; nothing is checked without.

    Raises:
        InputError: a key that nothing in the configuration uses, and whatever
            :func:`monai_supmix.config.components.check_config` refuses; under ``python -m monai.bundle`` also an
            option that it would leave out.

    Example:
        >>> check_overrides()  # nothing runs that belongs to a configuration: nothing to check
    """
    if _is_monai_bundle():
        show_error_line_last()
        _check_dropped(sys.argv[2:])
    workflow = running_workflow(meta)
    if workflow is None:
        return
    take_given_data(workflow)
    config: dict[str, Any] = workflow.parser[""]
    check_names(config, workflow.config_root_path, (workflow.init_id, workflow.run_id, workflow.final_id))
    check_config(config)
    bundle = workflow.config_root_path.parent
    if config.get("bundle_root") == "." and not is_bundle(Path()) and is_bundle(bundle):
        _put(workflow, "bundle_root", str(bundle))
    if config.get("tta") is True and "inferer" in config and "tta" not in _needed(config, "inferer"):
        logger.warning("tta is off: the inferer has no views to average, as where classes have sides")
        _put(workflow, "tta", False)  # so that no record tells of it


def _put(workflow: ConfigWorkflow, key: str, value: Any) -> None:
    """Change an entry that nothing has used yet."""
    workflow.parser[""][key] = value
    workflow.parser.ref_resolver.items[key].update_config(value)


def _needed(config: Mapping[str, Any], key: str) -> set[str]:
    """The entries that an entry refers to, and those that they refer to."""
    needed: set[str] = set()
    todo = [key]
    while todo:
        names = {reference.split("::")[0] for reference in _references(config.get(todo.pop()))} - needed
        needed |= names
        todo += names
    return needed


def running_workflow(meta: Mapping[str, Any] | None) -> ConfigWorkflow | None:
    """The workflow whose ``@_meta_`` this is: MONAI gives an expression no other way to what it is a part of.

    Args:
        meta: the very dictionary that a configuration's ``@_meta_`` stands for.
    """
    if meta is None:
        return None
    made = (found for found in living(ConfigWorkflow) if "parser" in vars(found))
    return next((found for found in made if found.parser.ref_resolver.resolved_content.get("_meta_") is meta), None)


def check_names(config: Mapping[str, Any], folder: Path, own: Sequence[str] = ()) -> None:
    """Raise `InputError` for a key that neither the bundle's files know nor anything in the configuration refers to.

    Args:
        config: the merged configuration.
        folder: the bundle's ``configs``. A file in it counts if all its keys are in the configuration.
        own: further names that are known.
    """
    known = {*_OF_MONAI, *own, *(reference.split("::")[0] for reference in _references(config))}
    for file in (*folder.glob("*.json"), *folder.glob("methods/*.json"), *folder.glob("presets/*.json")):
        keys = {key for key in ConfigParser.load_config_file(str(file)) if not key.startswith("+") and "#" not in key}
        if keys <= config.keys():
            known |= keys
    for key, value in config.items():
        if key not in known and not key.startswith("_"):
            raise InputError(key, "is not used by this configuration", nearest(key, known, "leave it out"))
        if isinstance(value, str) and "#" in value and not is_dynamic(value):
            problem = f"is {value!r}, in which monai.bundle changes the #"
            raise InputError(key, problem, "use monai-supmix run, or rename it")


def _references(config: Any) -> Iterator[str]:
    """Ids that any entry refers to."""
    if isinstance(config, str):
        yield from ReferenceResolver.match_refs_pattern(config)
    elif isinstance(config, (dict, list)):
        for entry in config.values() if isinstance(config, dict) else config:
            yield from _references(entry)


def _is_monai_bundle() -> bool:
    """Whether this process was started as ``python -m monai.bundle``."""
    specification = getattr(sys.modules["__main__"], "__spec__", None)
    return specification is not None and specification.name == "monai.bundle.__main__"


def _check_dropped(arguments: Sequence[str]) -> None:
    """MONAI leaves out options that are None, without a word."""
    pairs, _ = split_flags(arguments)
    check_tracking(pairs.get("tracking"))
    for key, text in pairs.items():
        if text == "None":
            problem = "is None, which monai.bundle leaves out without a word"
            raise InputError(f"--{key}", problem, "use monai-supmix run, or a further configuration file with null")
