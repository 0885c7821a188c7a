"""What two runs have to agree in to be one and the same: their merged configuration, by id.

The configuration is taken as MONAI's parser got it (files merged, overrides in place, references as they are
written), so nothing that somebody adds to a configuration can be forgotten here. What cannot change the weights is
named in `CANNOT_MATTER`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from monai_supmix.config.living import living

CANNOT_MATTER = frozenset(
    {
        # where things are; what the files hold is compared by `monai_supmix.datalists.fingerprint`
        *("bundle_root", "dataset_dir", "datalist_file", "labeled_list", "test_list", "pseudo_labels", "output_dir"),
        # what is shown and tracked, and how often
        *("log_interval", "val_interval", "num_monitored", "tensorboard"),
        *("tracking_uri", "experiment_name", "run_name", "save_execute_config", "is_not_rank0"),
        # the machine
        *("device", "num_workers", "multi_gpu"),
        # this start of the run; its length is compared as the number of iterations that it comes to
        *("resume", "save_interval", "on_error", "max_epochs", "max_iterations"),
        # about the bundle
        "_meta_",
    }
)
"""Top-level ids that may differ between a run and its continuation."""


def configuration_of(made: object) -> dict[str, Any] | None:
    """The configuration from which MONAI made an object.

    MONAI hands a component its arguments and nothing else, and does the same whether ``python -m monai.bundle run``,
    this package's command line or Python code has built the workflow. The parser that made the object keeps it,
    though: it is looked up among the living parsers.

    Args:
        made: what a ``_target_`` made, whole.

    Returns:
        the configuration of the parser that holds it, or ``None`` where no parser does.

    Example:
        >>> from monai.bundle import ConfigParser
        >>> parser = ConfigParser({"seed": 3, "mixing": {"_target_": "monai_supmix.transforms.CutMix"}})
        >>> configuration_of(parser.get_parsed_content("mixing"))["seed"]
        3
        >>> configuration_of(object()) is None
        True
    """
    from monai.bundle import ConfigParser  # noqa: PLC0415  # slow

    parsers = list(living(ConfigParser))
    holds = (parser for parser in parsers if any(c is made for c in parser.ref_resolver.resolved_content.values()))
    return next((parser.get() for parser in holds), None)


def comparable(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as plain values, without what cannot matter.

    Args:
        configuration: by id; references and expressions are texts. What MONAI adds to track a run in MLflow is left
            out as well. Numbers of NumPy and tensors count by their values, other Python objects by the name of
            their class.

    Returns:
        nested dictionaries, lists, strings, numbers, booleans and ``None``.

    Example:
        >>> comparable({"seed": 0, "output_dir": "out", "crop_size": (64, 64), "optimizer": {"lr": "@lr"}})
        {'seed': 0, 'crop_size': [64, 64], 'optimizer': {'lr': '@lr'}}
    """
    return {key: _plain(value) for key, value in configuration.items() if key not in CANNOT_MATTER}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.generic, np.ndarray, torch.Tensor)):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value if not _tracks(entry)]
    return str(value) if isinstance(value, Path) else type(value).__qualname__


def _tracks(entry: Any) -> bool:
    return isinstance(entry, Mapping) and str(entry.get("_target_")).rpartition(".")[2] == "MLFlowHandler"
