"""Evaluation of trained weights on the test images of a datalist, and what it leaves in its folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.handlers import ProgressBar

from monai_supmix.bundle.closing import closing_lines
from monai_supmix.bundle.tracking import finish_mlflow
from monai_supmix.bundle.trained import Trained
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.datalists.partly import partly_labelled
from monai_supmix.datalists.seen import seen_note
from monai_supmix.engines.case_evaluator import CaseEvaluator
from monai_supmix.errors import InputError
from monai_supmix.files import make_directory, write_json
from monai_supmix.handlers.follow import figure_curves
from monai_supmix.handlers.mlflow_run import MLflowRun
from monai_supmix.imageio.planes import Axis
from monai_supmix.inferers.collecting import make_way
from monai_supmix.listing import counted
from monai_supmix.metrics import CaseMeasures, summarize, write_cases_csv
from monai_supmix.processes import rank
from monai_supmix.report import (
    HISTORY_NAME,
    CaseGallery,
    command_line,
    read_history,
    write_evaluation_report,
)
from monai_supmix.weights.foreign import configured_note
from monai_supmix.weights.record import current_versions

logger = logging.getLogger(__name__)


class EvaluationRun:
    """Evaluates and writes its results into the output folder.

    These are ``metrics.json``, ``cases.csv``, ``report.html`` (with the training's part, where its
    ``history.json`` lies beside the weights) and ``overlays/<case>.png`` of the two best and the two worst
    cases. Among several processes, which share the cases, the first one writes.

    Args:
        evaluator: evaluates the cases, those of :func:`monai_supmix.bundle.shard`; its key metric is a
            :class:`monai_supmix.metrics.DatasetOverlap`.
        trained: the weights under evaluation.
        datalist: the list whose test side is evaluated; its notes go into the file.
        output_dir: folder for the results.
        settings: plain values to record, such as test-time flips.
        handlers: handlers of the evaluator; where MONAI's ``MLFlowHandler`` is among them its run gets the figures
            and the report.

    Raises:
        InputError: there is no test image, or the weights were trained for other classes.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> from torch import nn
        >>> from monai_supmix.inferers import SliceVolumeInferer
        >>> from monai_supmix.metrics import DatasetOverlap
        >>> folder, names = Path(tempfile.mkdtemp()), ["background", "vessel"]
        >>> item = {"image": f"{folder}/eye.png", "label": f"{folder}/mask.png", "case": "eye", "group": "eye"}
        >>> Image.new("RGB", (12, 8)).save(item["image"])
        >>> Image.new("L", (12, 8), 1).save(item["label"])
        >>> record = {"class_names": names, "intensity": {"picture": {"rule": "percentile_scale"}}}
        >>> trained = Trained(nn.Conv2d(3, 2, 1), record, Path("model.pt"), sha256="0" * 64)
        >>> evaluator = CaseEvaluator(
        ...     "cpu", [item], trained.network, SliceVolumeInferer(), trained.intensity_rules(), num_classes=2,
        ...     key_val_metric={"mean_iou": DatasetOverlap(names)},
        ... )
        >>> datalist = Datalist([], [], [], [item], names)
        >>> EvaluationRun(evaluator, trained, datalist, folder / "out", settings={}).run()["num_images"]
        1
        >>> sorted(path.name for path in (folder / "out").iterdir())
        ['cases.csv', 'metrics.json', 'overlays', 'report.html']
    """

    def __init__(
        self,
        evaluator: CaseEvaluator,
        trained: Trained,
        datalist: Datalist,
        output_dir: str | os.PathLike[str],
        settings: Mapping[str, Any],
        handlers: Sequence[Any] = (),
    ) -> None:
        if not datalist.test:
            raise InputError(
                "dataset_dir",
                "holds no labelled test images",
                "add some, or give a datalist with a test side",
            )
        trained.require_classes(datalist.class_names)
        if (Path(output_dir) / "comparison.json").exists():
            problem = "holds a comparison, whose cases.csv would be replaced"
            raise InputError(output_dir, problem, "give another output_dir")
        self.evaluator, self.trained, self.datalist = evaluator, trained, datalist
        self.output_dir, self.settings = Path(output_dir), dict(settings)
        if "from_configuration" in trained.record:
            self.settings["from_configuration"] = trained.record["from_configuration"]
        axis: Axis = getattr(evaluator.case_inferer, "axis", "axial")
        self.gallery = CaseGallery(datalist.class_names, evaluator.intensity, axis=axis)
        self.gallery.attach(evaluator)
        hidden = True if rank() > 0 else None  # None: where the output is a terminal
        ProgressBar(desc="cases", disable=hidden).attach(evaluator)
        self.mlflow = MLflowRun(handlers)
        used = {"checkpoint": trained.files, "checkpoint_sha256": trained.sha256}
        self.mlflow.attach(evaluator, {**used, **self.settings, "versions": current_versions()})

    def run(self) -> dict[str, Any]:
        """Evaluate all cases.

        Returns:
            the content of ``metrics.json``.
        """
        # Reads every test image once more, so one process does it, which also writes the notes.
        learnt = self.trained.record.get("labelled_images", ()) if rank() == 0 else ()
        seen_notes = seen_note(self.datalist.test, learnt)
        for note in seen_notes:
            logger.warning("%s: %s", self.trained.path, note)
        make_directory(self.output_dir)
        self.evaluator.run()
        self.gallery.unite()
        cases = self.evaluator.state.metric_details[self.evaluator.state.key_metric_name]
        summary = summarize(
            cases,
            self.datalist.class_names,
            num_groups=len({item["group"] for item in self.datalist.test}),
            checkpoint=self.trained.files,
            checkpoint_sha256=self.trained.sha256,
            settings=self.settings,
            inference=self.evaluator.case_inferer.settings,
            notes=[
                *seen_notes,
                *self.datalist.notes,
                *partly_labelled_note(self.datalist),
                *configured_note(self.trained.record),
            ],
            versions=current_versions(),
        )
        if rank() == 0:
            self._write(summary, cases)
        return summary

    def _write(self, summary: Mapping[str, Any], cases: Mapping[str, CaseMeasures]) -> None:
        files = [self.output_dir / name for name in ("metrics.json", "cases.csv", "report.html")]
        write_json(summary, files[0])
        make_way(self.output_dir)
        write_cases_csv(files[1], cases, self.datalist.class_names)
        write_evaluation_report(files[2], summary, cases, self.gallery, command_line(), self._training())
        files += self.gallery.save_overviews(self.output_dir / "overlays")
        self.mlflow.log(figure_curves("test", self.evaluator.state.metrics), step=0)
        tracked = finish_mlflow(self.mlflow, files[:3])
        for line in (*describe(summary), *closing_lines(self.output_dir, files), *tracked):
            logger.info(line)

    def _training(self) -> dict[str, Any] | None:
        """The record of the training that left these weights, if it is there."""
        path = self.trained.path.parent / HISTORY_NAME
        try:
            return read_history(path) if path.exists() and not self.trained.others else None
        except InputError as error:
            logger.warning("the report has no part on the training: %s", error)
            return None


def describe(summary: Mapping[str, Any]) -> list[str]:
    r"""The figures of a summary as a small table, the mean of the foreground last.

    Example:
        >>> classes = {"background": {"iou": 0.9, "dice": 0.95}, "effusion": {"iou": 0.5, "dice": 0.66}, "mass": None}
        >>> summary = {"classes": classes, "mean_foreground_iou": 0.5, "mean_foreground_dice": 0.66, "num_images": 1}
        >>> print(*describe(summary), sep="\n")
        1 image                    IoU    Dice
        background              0.9000  0.9500
        effusion                0.5000  0.6600
        mass                    absent
        mean of the foreground  0.5000  0.6600
        >>> describe({**summary, "mean_case_dice": 0.66, "mean_case_dice_sd": 0.0})[-1]  # one case has no spread
        'foreground Dice of single cases: 0.6600'
        >>> describe({**summary, "num_images": 2, "mean_case_dice": 0.66, "mean_case_dice_sd": 0.1})[-1]
        'foreground Dice of single cases: 0.6600 +- 0.1000'
    """
    mean = {"iou": summary["mean_foreground_iou"], "dice": summary["mean_foreground_dice"]}
    rows = {counted(summary["num_images"], "image"): "     IoU    Dice"}
    for name, figures in [*summary["classes"].items(), ("mean of the foreground", mean)]:
        present = figures is not None and figures["iou"] is not None
        rows[name] = f"{figures['iou']:8.4f}{figures['dice']:8.4f}" if present else "  absent"
    width = max(map(len, rows))
    lines = [name.ljust(width) + cells for name, cells in rows.items()]
    if summary.get("mean_case_dice") is not None:
        spread = f" +- {summary['mean_case_dice_sd']:.4f}" if summary["num_images"] > 1 else ""
        lines.append(f"foreground Dice of single cases: {summary['mean_case_dice']:.4f}{spread}")
    return lines


def partly_labelled_note(datalist: Datalist) -> list[str]:
    """A note on test cases in which not all classes were labelled, if there are any.

    Example:
        >>> items = [{"image": "a.png", "label": "a_mask.png", "case": "a", "group": "a", "labelled_classes": [1]}]
        >>> partly_labelled_note(Datalist([], [], [], items, ["background", "disc", "cup"]))
        ['test: 1 of 1 partly labelled: 1 lacks cup; missing classes and background are not judged or drawn']
    """
    lacking = partly_labelled(datalist.test, datalist.class_names)
    return [f"test: {lacking}; missing classes and background are not judged or drawn"] if lacking else []
