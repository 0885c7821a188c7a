"""Inference of a bundle: masks for whatever images a user names."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from monai.engines import Evaluator
from torch.nn.utils import convert_conv2d_weight_memory_format

from monai_supmix.bundle.closing import closing_lines
from monai_supmix.bundle.trained import Trained
from monai_supmix.inferers import Inferer, OpenVINONetwork, PredictionSummary, predict_cases
from monai_supmix.inferers.collecting import SUMMARY, collect_if_last
from monai_supmix.inferers.progress import alike_lines
from monai_supmix.listing import counted, shorten, stem_of
from monai_supmix.metrics.calibration import LOOK_BELOW
from monai_supmix.networks import folded
from monai_supmix.processes import from_first, rank

logger = logging.getLogger(__name__)

_FEW = 3
_LISTED = 10  # masks, and failures, that are named one by one


class PredictionRun(Evaluator):
    """Predicts all inputs and writes their masks, see :func:`monai_supmix.inferers.predict_cases`.

    An engine of one iteration, so that MONAI's handlers and tools find what they expect of a bundle.

    Args:
        inputs: files, folders, patterns or datalists.
        output_dir: folder for masks and their records.
        trained: the weights.
        inferer: predicts one image.
        intensity: what the inputs' values are, ``"hu"`` or ``"picture"``; by type of file if ``None``.
        overwrite: replace existing masks.
        on_error: ``"raise"`` checks the inputs, unless there are hundreds, before the first mask is written; ``"skip"``
            goes on and ends with exit status 1.
        probabilities: also write a map for each foreground class.
        view: how pictures lie, see :func:`monai_supmix.inferers.inputs.set_view`.
        dicom_seg: whether masks of DICOM series are also written as DICOM segmentations.
        rtstruct: whether they are also written as DICOM structure sets.
        dicom_codes: what their segments show, by name of the class.
        settings: plain values to record beside each mask.
        val_handlers: handlers of the engine.
        verify: recognise the images of existing masks by their hash, not by size and time.
        shard: ``"i/n"`` predicts the i-th of n parts of the cases.
        readers: how many images are read ahead; with more than 1, masks are also written meanwhile.

    Several processes share the cases, see :mod:`monai_supmix.inferers.cohort`. Of more than one case, whoever ends last
    writes ``summary.json`` and ``cases.csv``, see :func:`monai_supmix.inferers.collect`.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> from monai_supmix.inferers import SliceVolumeInferer
        >>> folder, rules = Path(tempfile.mkdtemp()), {"picture": {"rule": "percentile_scale"}}
        >>> Image.new("RGB", (12, 8)).save(folder / "eye.png")
        >>> record = {"intensity": rules, "class_names": ["background", "vessel"], "trained_on": {}}
        >>> trained = Trained(torch.nn.Conv2d(3, 2, 1), record, Path("model.pt"), sha256="0" * 64)
        >>> run = PredictionRun(str(folder / "eye.png"), folder / "masks", trained, SliceVolumeInferer())
        >>> run.run()
        >>> [path.name for path in run.summary.written]
        ['eye_seg.png']
    """

    def __init__(
        self,
        inputs: str | Sequence[str],
        output_dir: str | os.PathLike[str],
        trained: Trained,
        inferer: Inferer,
        intensity: str | None = None,
        overwrite: bool = False,
        on_error: Literal["raise", "skip"] = "raise",
        probabilities: bool = False,
        view: str = "upright",
        dicom_seg: bool | Literal["auto"] = False,
        rtstruct: bool | Literal["auto"] = False,
        dicom_codes: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        val_handlers: Sequence | None = None,
        verify: bool = False,
        shard: str | None = None,
        readers: int = 1,
    ) -> None:
        device = next(trained.network.parameters()).device
        super().__init__(device, [inputs], epoch_length=1, decollate=False, val_handlers=val_handlers)
        # No batch normalisation, and the weights' layout that convolutions are fastest with: together less than two
        # thirds of the time on a processor. Labels of single pixels may differ from those of evaluation, which keeps to
        # the arithmetic that its figures were made with. Another runtime does such things by itself.
        network = trained.network if isinstance(trained.network, OpenVINONetwork) else folded(trained.network)
        self.network = convert_conv2d_weight_memory_format(network, torch.channels_last)
        self.trained, self.case_inferer = trained, inferer
        self.arguments: dict[str, Any] = {
            "output_dir": str(output_dir),
            "intensity": intensity,
            "overwrite": overwrite,
            "on_error": on_error,
            "probabilities": probabilities,
            "view": view,
            "dicom_seg": dicom_seg,
            "rtstruct": rtstruct,
            "dicom_codes": dicom_codes,
            "settings": settings,
            "verify": verify,
            "shard": shard,
            "readers": readers,
            "keep_record": True,
        }
        self.summary = PredictionSummary()

    def _iteration(self, engine: Any, batchdata: Any) -> Any:
        self.summary = predict_cases(
            batchdata,
            network=self.network,
            record=self.trained.record,
            inferer=self.case_inferer,
            weights_sha256=self.trained.sha256,
            quality=self.trained.quality,
            **self.arguments,
        )
        return self.summary

    def run(self, global_epoch: int = 1) -> None:  # type: ignore[override]
        """Predict.

        Raises:
            InputError: something is wrong with the inputs, see ``on_error``.
            SystemExit: with status 1, when cases were skipped.
        """
        super().run(global_epoch)
        output_dir = Path(self.arguments["output_dir"])
        collected = from_first(lambda: collect_if_last(output_dir))  # the others wait: one that left would end them all
        if rank() == 0:
            for line in told(self.summary, output_dir, collected):
                logger.info(line)
            for line in _told_failures(self.summary.failed):
                logger.error(line)
        if self.summary.failed:
            raise SystemExit(1)


def told(summary: PredictionSummary, output_dir: Path, collected: Mapping[str, Any] | None) -> list[str]:
    """What was written, in a few lines, however much it is.

    Args:
        summary: of this launch.
        output_dir: the folder with the masks.
        collected: what `monai_supmix.inferers.collect` gave, if it has been called.

    Example:
        >>> told(PredictionSummary(skipped=[Path("a_seg.png")], notes=["b.txt left out"]), Path("."), None)
        ['note: b.txt left out', '0 masks written, 1 was there already.']
    """
    lines = [f"note: {note}" for note in summary.notes]
    lines += alike_lines(summary.warnings)
    there = f"{len(summary.skipped)} {'was' if len(summary.skipped) == 1 else 'were'} there already"
    lines.append(f"{counted(len(summary.written), 'mask')} written, {there}.")
    files = [file for mask in summary.written[:_LISTED] for file in with_companions(mask)]
    files += summary.dicom[:_LISTED]
    if collected:
        counts = ", ".join(f"{collected[status]} {status}" for status in ("done", "failed", "open"))
        lines.append(f"of {collected['cases']} cases in all: {counts}")
        if collected["flagged"] is not None:
            flagged = counted(collected["flagged"], "case")
            lines.append(f"predicted Dice below {LOOK_BELOW} in some class, look at these masks: {flagged}")
        first = [
            f"{row['case']} ({row['least_sure']} {row['confidence']:.2f})" for row in collected["look_first"][:_FEW]
        ]
        lines += [f"least confident, to be looked at first: {', '.join(first)}"] if len(first) > 1 else []
        files += [output_dir / name for name in (SUMMARY, collected["table"])]
    lines += closing_lines(output_dir, files) if files else []
    more = len(summary.written) - _LISTED
    return [*lines, f"  and {counted(more, 'further mask')} with records"] if more > 0 else lines


def _told_failures(failed: Sequence[tuple[str, str]]) -> list[str]:
    lines = [f"skipped {name}: {problem}" for name, problem in failed[:_LISTED]]
    more = dict(failed[_LISTED:])
    return [*lines, *([f"skipped {counted(len(more), 'further case')}: {shorten(list(more))}"] if more else [])]


def with_companions(mask: Path) -> list[Path]:
    """A mask's file, its record and its probability maps, as far as they are there.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("a_seg.nii.gz", "a_seg.json", "a_seg_prob_vessel.nii.gz", "a_seg2.nii.gz"):
        ...     (folder / name).touch()
        >>> [path.name for path in with_companions(folder / "a_seg.nii.gz")]
        ['a_seg.nii.gz', 'a_seg.json', 'a_seg_prob_vessel.nii.gz']
    """
    stem = stem_of(mask.name)
    maps = sorted(mask.parent.glob(f"{glob.escape(stem)}_prob_*"))
    return [mask, *(path for path in (mask.with_name(f"{stem}.json"),) if path.exists()), *maps]
