"""A bundle's configuration as the command line uses it: merged, overridden, checked, and run in this process."""

from __future__ import annotations

import glob
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_supmix.config.find import config_files, find_bundle
from monai_supmix.config.importing import uncollected
from monai_supmix.config.overrides import PROGRAMS, check_tracking, for_monai, read_overrides
from monai_supmix.errors import InputError
from monai_supmix.files import reading_error
from monai_supmix.listing import read_json

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Configured:
    """Configuration files of a bundle with what overrides them.

    Args:
        bundle: folder of the bundle.
        files: the configuration files in the order in which they are merged.
        overrides: checked values by key.
        tracking: MONAI's experiment tracking, ``"mlflow"`` or a file of settings for it.
    """

    bundle: Path
    files: list[Path]
    overrides: dict[str, Any]
    tracking: str | None = None

    def run(self) -> None:
        """Run the workflow as ``python -m monai.bundle run`` does."""
        workflow = self.workflow()
        workflow.initialize()
        workflow.run()
        workflow.finalize()

    def merged(self) -> dict[str, Any]:
        """The configuration of the files, without the overrides."""
        return merge(self.files)

    def workflow(self, with_logging: bool = True) -> Any:
        """The workflow of MONAI, of which nothing is made yet.

        Args:
            with_logging: set the process's logging up as the bundle has it; a program of one's own has its own.
        """
        from monai.bundle import ConfigWorkflow  # noqa: PLC0415  # slow: mistakes so far are reported without it

        configs = self.bundle / "configs"
        logging_file = configs / "logging.conf"
        logged = with_logging and logging_file.is_file()
        monais = logging.getLogger("monai.bundle.workflows")
        monais.addFilter(_is_ours)  # both files are named below
        try:
            workflow = ConfigWorkflow(
                config_file=[str(file) for file in self.files],
                meta_file=str(configs / "metadata.json"),
                logging_file=str(logging_file) if logged else False,
                workflow_type=None,
                tracking=self.tracking,
                **for_monai(self.overrides),
            )
        finally:
            monais.removeFilter(_is_ours)
        for handler in logging.getLogger().handlers if with_logging else ():
            handler.addFilter(_is_news)
        return workflow

    def parser(self) -> Any:
        """The configuration as MONAI's parser, from which single parts can be made."""
        from monai.bundle import ConfigParser  # noqa: PLC0415

        parser = ConfigParser()
        parser.read_config([str(file) for file in self.files])
        parser.read_meta(str(self.bundle / "configs" / "metadata.json"))
        parser.update(for_monai(self.overrides))
        return parser

    def uses_unlabeled(self) -> bool:
        """Whether the training that this configures looks at unlabelled images, as far as the bundles' entries tell."""
        parser = self.parser()
        looking = ("num_strong_views", "feature_dropout", "discriminator")
        return parser.get("uses_unlabeled") is True or any(parser.get(key) for key in looking)


def name_inputs(configured: Configured, inputs: Sequence[str], output_dir: str) -> None:
    """Set the inputs and the output folder of a prediction; a mistyped path is reported before any weights are read.

    Args:
        configured: the inference, changed in place.
        inputs: files, folders, patterns or datalists.
        output_dir: folder for the masks.

    Raises:
        InputError: one of the inputs is not there, unless broken cases are to be skipped.
    """
    overrides = configured.overrides
    overrides.update(dataset_dir=list(inputs) if len(inputs) > 1 else inputs[0], output_dir=output_dir)
    if overrides.get("on_error", configured.merged().get("on_error")) == "skip":
        return
    for entry in inputs:
        try:
            if not glob.has_magic(entry):
                Path(entry).stat()
        except OSError as error:
            raise reading_error(entry, error) from error


def own_weights(configured: Configured) -> None:
    """Take a prediction's weights from the bundle or its last training, unless a run is named: masks go elsewhere.

    Args:
        configured: the inference with all overrides, changed in place.

    Raises:
        InputError: the run named has no weights; those of the bundle would be used in their place.
    """
    from monai_supmix.weights.places import last_run  # noqa: PLC0415  # slow, as `Configured.workflow`

    overrides = configured.overrides
    if "run_dir" in overrides or "run_dir" not in configured.merged():  # a custom bundle may lack it
        require_run(overrides)
        return
    overrides["run_dir"] = None
    folder = Path(overrides["output_dir"])
    if (
        "ckpt_path" not in overrides
        and (folder / "model.pt").is_file()
        and last_run(configured.bundle) != folder.resolve()
    ):
        logger.warning("the weights in %s are not used: --run_dir %s would use them", folder, folder)


def require_run(overrides: Mapping[str, Any]) -> None:
    """Raise `InputError` where ``run_dir`` names a folder without weights: others would be used in their place."""
    named = overrides.get("run_dir")
    if named and "ckpt_path" not in overrides and not (Path(named) / "model.pt").is_file():
        remedy = "give the folder of a training, or name files and folders of weights by --ckpt_path"
        raise InputError(named, "holds no model.pt, as --run_dir should", remedy)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether to print a message: an engine's note about an exception is none, the exception follows."""
    return not (record.name.startswith("ignite.engine") and record.levelno == logging.ERROR)


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a message of MONAI is about this call: presets and methods lie below the other files, as they should."""
    return not record.getMessage().startswith(
        ("Not all config files are in", "Logging file is set to", "No workflow type")
    )


def configure(
    bundle: str,
    configs: Sequence[str],
    pairs: Mapping[str, str | None],
    method: str | None = None,
    preset: str | None = None,
    tracking: str | None = None,
) -> Configured:
    """Find the files, read the overrides, and check all of it.

    Args:
        bundle: folder or name of a bundle.
        configs: names or paths of configuration files.
        pairs: overrides as written on the command line.
        method: name or path of a method.
        preset: name or path of a preset.
        tracking: see `Configured`.

    Raises:
        InputError: an unknown bundle, file, method, preset or key, or a value of the wrong kind.
    """
    check_tracking(tracking)
    folder = find_bundle(bundle)
    files = config_files(folder, configs, method, preset)
    if method is not None and files[1].suffix == ".json" and "method" not in read_json(files[1]):
        raise InputError(files[1], "does not say what its method is called", 'add "method": "NAME" to it')
    _refuse_idle(files, {"method": method, "preset": preset})
    merged = merge(files)
    overrides = read_overrides(merged, pairs, files)
    if "bundle_root" in merged:
        overrides.setdefault("bundle_root", str(folder))
    configured = Configured(folder, files, overrides, tracking)
    with uncollected():
        from monai_supmix.config.components import check_config  # noqa: PLC0415  # slow, as `Configured.workflow`

    config = configured.parser().config
    check_config(config, [*pairs])
    for key in unused(config, entries_of(files[0]), pairs):
        logger.warning("--%s has no effect: %s leaves out what uses it", key, " or ".join(f.name for f in files[1:]))
    return configured


def unused(config: Mapping[str, Any], main: Mapping[str, Any], keys: Iterable[str]) -> list[str]:
    """Settings that the main configuration refers to somewhere, and a merged one, with a method or preset, nowhere.

    Args:
        config: the merged configuration.
        main: the main configuration alone.
        keys: the settings to look for.

    Example:
        >>> main = {"class_weights": None, "mixing": {"class_weights": "@class_weights"}, "seed": 0}
        >>> unused({**main, "mixing": None}, main, ["class_weights", "seed"])
        ['class_weights']
    """

    def refer(entries: Mapping[str, Any], key: str) -> bool:
        others = {name: entry for name, entry in entries.items() if name not in (key, "_meta_")}
        return re.search(rf"@{re.escape(key)}\b", str(others)) is not None

    return [key for key in keys if key in config and refer(main, key) and not refer(config, key)]


def _refuse_idle(files: Sequence[Path], named: Mapping[str, str | None]) -> None:
    """Raise `InputError` for a method or preset that sets nothing of the main configuration: it is for a training."""
    if files[0].stem == "train":
        return
    known = entries_of(files[0])
    for kind, name in named.items():
        chosen = [file for file in files[1:] if name is not None and file.stem == Path(name).stem]
        if chosen and not any(acts_on(file, known) for file in chosen):
            raise InputError(f"--{kind}", f"is {name}, which sets nothing that {files[0].name} has", "leave it out")


def acts_on(file: Path, config: Mapping[str, Any]) -> bool:
    """Whether a method or preset sets an entry of a configuration; its own programs do not count.

    Args:
        file: the method or preset.
        config: the configuration.
    """
    return any(top_of(key) in config and top_of(key) not in PROGRAMS for key in entries_of(file))


def top_of(key: str) -> str:
    """The entry that a key is about.

    Example:
        >>> top_of("+train#handlers"), top_of("working::size")
        ('train', 'working')
    """
    return key.replace("::", "#").split("#")[0].lstrip("+")


def entries_of(file: Path) -> dict[str, Any]:
    """The entries of one configuration file, nested keys as they are written."""
    if file.suffix == ".json":
        return read_json(file)
    from monai.bundle import ConfigParser  # noqa: PLC0415  # slow, as `Configured.workflow`

    try:
        entries = ConfigParser.load_config_file(str(file))
    except ValueError as error:
        raise InputError(file, f"cannot be read ({error})", "fix the file") from error
    if not isinstance(entries, dict) or not all(isinstance(key, str) for key in entries):
        raise InputError(file, "is no mapping of settings", "fix the file")
    return entries


def merge(files: Sequence[Path]) -> dict[str, Any]:
    """Merge configuration files; a key of a later file replaces the whole entry of an earlier one.

    Nested keys (``"a#b"``) and merging keys (``"+a"``), which MONAI knows too, are left to MONAI.
    """
    if all(file.suffix == ".json" for file in files):
        parts = [read_json(file) for file in files]
        if not any(key.startswith("+") or "#" in key or "::" in key for part in parts for key in part):
            return {key: value for part in parts for key, value in part.items()}
        _require_entries(files, parts)
    from monai.bundle import ConfigParser  # noqa: PLC0415

    try:
        return ConfigParser.load_config_files([str(file) for file in files])
    except (ValueError, KeyError) as error:
        raise InputError(files[-1], f"cannot be read or merged ({error})", "fix the file") from error


def _require_entries(files: Sequence[Path], parts: Sequence[Mapping[str, Any]]) -> None:
    """See that nested keys change entries which earlier files have: a preset may be for training only."""
    known: set[str] = set()
    for file, part in zip(files, parts, strict=True):
        known |= {key for key in part if "#" not in key and "::" not in key}
        for key in part:
            entry = top_of(key)
            if entry not in known and f"+{entry}" not in known:
                others = ", ".join(earlier.name for earlier in files if earlier != file)
                remedy = "leave it out here, or give the configuration that it is for"
                raise InputError(file, f"changes {key!r}, and there is no {entry!r} in {others}", remedy)
