"""Prediction with a bundle from Python: what the command ``predict`` does."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monai_supmix.inferers import PredictionSummary


def predict(
    bundle: str | os.PathLike[str],
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output_dir: str | os.PathLike[str],
    preset: str | None = None,
    **options: Any,
) -> PredictionSummary:
    """Predict images with a bundle's weights, or those of a training run, and write their masks.

    The weights are those of the option ``ckpt_path`` (a file or folder, or several, whose mean predicts) or ``run_dir``
    (folder of a training run), else the bundle's own, else those that the last training with the bundle left. What it
    logs goes where the program lets it go: the logging of the process stays as it is.

    Args:
        bundle: folder of a bundle, or the name of one that comes with the package.
        inputs: files, folders, DICOM folders, patterns or datalists.
        output_dir: folder for the masks: ``<stem>_seg.nii.gz`` (pictures: ``.png``) on each input's grid, and a JSON
            record beside each.
        preset: one of the bundle's presets.
        options: entries of the bundle's ``inference.json``, for example ``tta=True`` or ``device="cpu"``.

    Returns:
        which masks were written, which were there, and notes.

    Raises:
        InputError: an unknown bundle or option, weights that do not fit, or inputs that cannot be predicted; nothing
            is written then.
        SystemExit: with status 1, when cases were skipped (``on_error="skip"``).

    Example:
        >>> predict("covid19_ct_supmix", "scan.nii.gz", "masks", ttaa=True)
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: --ttaa: is not a key of inference.json: did you mean tta?
    """
    from monai_supmix.cli.workflow import configure, name_inputs, own_weights  # noqa: PLC0415  # reading a configuration takes MONAI
    from monai_supmix.config.error_lines import mistakes_as_themselves  # noqa: PLC0415
    from monai_supmix.config.overrides import check_keys  # noqa: PLC0415

    configured = configure(str(bundle), ["inference"], {}, preset=preset)
    check_keys(configured.merged(), options, configured.files)
    named = [inputs] if isinstance(inputs, (str, os.PathLike)) else list(inputs)
    paths = [str(Path(entry)) for entry in named]
    configured.overrides.update(options)
    name_inputs(configured, paths, str(output_dir))
    own_weights(configured)
    with mistakes_as_themselves():
        workflow = configured.workflow(with_logging=False)
        workflow.initialize()
        workflow.run()
        workflow.finalize()
    return workflow.parser.get_parsed_content("evaluator").summary
