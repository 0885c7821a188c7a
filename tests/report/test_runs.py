"""A training and an evaluation leave their reports, and say where everything is."""

import contextlib
import io
import json
import logging

import nibabel as nib
import numpy as np
import pytest
from ignite.engine import Events

from monai_supmix.bundle import EvaluationRun, IntensityRules, TrainingRun, load_trained
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.engines.case_evaluator import CaseEvaluator
from monai_supmix.errors import InputError
from monai_supmix.inferers import SliceVolumeInferer
from monai_supmix.metrics import DatasetOverlap
from monai_supmix.networks import CompactUNet
from tests.engines.toys import trainer
from tests.report.pages import check_self_contained

NAMES = ["background", "lesion", "other"]
RULES = {"picture": {"rule": "percentile_scale"}, "hu": {"rule": "hu_window"}}


@pytest.fixture(autouse=True)
def _info(caplog):
    caplog.set_level(logging.INFO)


def network():
    return CompactUNet(2, 3, len(NAMES), features=(4, 4, 8, 8, 8, 4))


def train(folder, iterations=4, **kwargs):
    toy = trainer("supmix_sufd", max_epochs=9, max_iterations=iterations)
    record = {"class_names": NAMES, "intensity": RULES, "working": {}}
    TrainingRun(toy, folder, "mine", record, iterations, log_interval=2, configuration={"seed": 5}, **kwargs).run()


def evaluate(folder, pictures, weights=None):
    items = [
        {"image": str(image), "label": str(label), "case": f"case {n}", "group": str(n)}
        for n, (image, label) in enumerate(pictures)
    ]
    trained = load_trained(network(), folder, folder, weights)
    evaluator = CaseEvaluator(
        "cpu",
        items,
        trained.network,
        SliceVolumeInferer(amp=False),
        IntensityRules(RULES),
        len(NAMES),
        key_val_metric={"mean_iou": DatasetOverlap(NAMES)},
    )
    datalist = Datalist(items, [], [], items, NAMES, ["made up"])
    return EvaluationRun(evaluator, trained, datalist, folder, {"tta": False}).run()


@pytest.fixture
def pictures(tmp_path):
    from PIL import Image  # noqa: PLC0415

    random = np.random.default_rng(0)
    files = []
    for number in range(5):
        image, label = tmp_path / f"Anna_{number}.png", tmp_path / f"label_{number}.png"
        Image.fromarray(random.integers(0, 255, (40, 36, 3), np.uint8)).save(image)
        Image.fromarray(random.integers(0, 3, (40, 36)).astype(np.uint8)).save(label)
        files.append((image, label))
    return files


def lines(caplog, name):
    return [record.getMessage() for record in caplog.records if record.name == f"monai_supmix.bundle.{name}"]


def test_a_training_leaves_its_history_and_a_report(tmp_path, caplog):
    folder = tmp_path / "out"
    train(folder)
    record = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    assert [row["iteration"] for row in record["rows"]] == [2, 4]
    assert (record["method"], record["seed"], record["total_iterations"]) == ("mine", 5, 4)
    page = check_self_contained((folder / "report.html").read_text("utf-8"))
    assert "lesion" in page.text
    assert len(page.all("polyline")) >= 9
    closing = lines(caplog, "training")
    place = closing.index(f"written to {folder.resolve()}:")
    told = {line.split()[0] for line in closing[place + 1 :]}
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert told == files - {".lock"}


def test_a_history_counts_the_seconds_of_all_starts_of_a_run(tmp_path, monkeypatch):
    """With a clock on which an iteration takes a second and all else takes no time."""
    clock = [0.0]
    monkeypatch.setattr("monai_supmix.bundle.place.time.perf_counter", lambda: clock[0])

    def start(iterations, stop_after=None):
        toy = trainer("supervised", max_epochs=9, max_iterations=iterations)

        def tick(engine):
            clock[0] += 1.0
            if engine.state.iteration == stop_after:
                raise RuntimeError("killed")

        toy.add_event_handler(Events.ITERATION_STARTED, tick)
        record = {"class_names": NAMES, "intensity": RULES, "working": {}}
        run = TrainingRun(
            toy, tmp_path, "mine", record, iterations, save_interval=2, resume="auto", configuration={"seed": 5}
        )
        clock[0] += 50.0
        run.run()

    with pytest.raises(RuntimeError, match="killed"):
        start(6, stop_after=4)  # the third iteration is lost, and the fourth
    start(6)
    assert json.loads((tmp_path / "history.json").read_text(encoding="utf-8"))["seconds"] == 6.0


def test_an_evaluation_adds_itself_to_the_training(tmp_path, pictures, caplog):
    folder = tmp_path / "out"
    train(folder)
    before = {path.name for path in folder.iterdir()}
    summary = evaluate(folder, pictures)
    page = check_self_contained((folder / "report.html").read_text("utf-8"))
    assert "What was trained" in page.text
    assert f"{summary['mean_foreground_iou']:.4f} mean IoU of the foreground" in page.text
    assert "made up" in page.text
    assert "Anna" not in page.text
    assert str(tmp_path) not in (folder / "report.html").read_text("utf-8")
    assert {path.name for path in folder.iterdir()} - before == {"metrics.json", "cases.csv", "overlays"}
    assert len(list((folder / "overlays").iterdir())) == 4
    told = {line.strip().rsplit(" (", 1)[0] for line in lines(caplog, "evaluation") if line.startswith("  ")}
    overlays = {f"overlays/{path.name}" for path in (folder / "overlays").iterdir()}
    assert told == {"metrics.json", "cases.csv", "report.html"} | overlays

    train(folder, resume="auto")  # finished: nothing to do, and the evaluation's report stays
    assert "mean IoU" in (folder / "report.html").read_text("utf-8")
    train(folder, iterations=4, resume="force")
    assert "mean IoU" in (folder / "report.html").read_text("utf-8")


@pytest.mark.parametrize("is_terminal", [True, False])
def test_an_evaluation_counts_its_cases_where_somebody_looks(tmp_path, pictures, is_terminal):
    class Screen(io.StringIO):
        def isatty(self):
            return is_terminal

    train(tmp_path)
    with contextlib.redirect_stderr(Screen()) as screen:
        evaluate(tmp_path, pictures)
    assert ("cases" in screen.getvalue()) == is_terminal


def test_weights_from_elsewhere_bring_their_own_training_or_none(tmp_path, pictures):
    train(tmp_path / "a")
    evaluate(tmp_path / "b", pictures, tmp_path / "a" / "model.pt")
    assert "What was trained" in (tmp_path / "b" / "report.html").read_text("utf-8")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "model.pt").write_bytes((tmp_path / "a" / "model.pt").read_bytes())
    evaluate(tmp_path / "a", pictures, tmp_path / "c" / "model.pt")
    assert "What was trained" not in (tmp_path / "a" / "report.html").read_text("utf-8")


def test_a_damaged_history_costs_its_part_of_the_report_alone(tmp_path, pictures, caplog):
    train(tmp_path)
    (tmp_path / "history.json").write_text("{", encoding="utf-8")
    evaluate(tmp_path, pictures)
    assert "What was trained" not in (tmp_path / "report.html").read_text("utf-8")
    assert any("history.json: is not JSON" in line for line in lines(caplog, "evaluation"))


@pytest.mark.parametrize(("axis", "shape"), [("axial", (20, 18, 5)), ("sagittal", (5, 18, 20))])
def test_volumes_can_be_leafed_through_along_the_inferers_axis(axis, shape, tmp_path):
    train(tmp_path)
    random = np.random.default_rng(0)
    files = [tmp_path / "image.nii.gz", tmp_path / "label.nii.gz"]
    values = (random.integers(-1000, 200, shape).astype(np.int16), random.integers(0, 3, shape))
    for path, array in zip(files, values, strict=True):
        nib.save(nib.Nifti1Image(array.astype(np.int16), np.diag([1.0, 1.0, 3.0, 1.0])), path)
    grey = CompactUNet(2, 1, len(NAMES), features=(4, 4, 8, 8, 8, 4))
    trained = load_trained(network(), tmp_path, tmp_path)
    items = [{"image": str(files[0]), "label": str(files[1]), "case": "ct", "group": "a"}]
    evaluator = CaseEvaluator(
        "cpu",
        items,
        grey,
        SliceVolumeInferer(axis, amp=False),
        IntensityRules(RULES),
        len(NAMES),
        key_val_metric={"mean_iou": DatasetOverlap(NAMES)},
    )
    EvaluationRun(evaluator, trained, Datalist(items, [], [], items, NAMES), tmp_path, {}).run()
    page = check_self_contained((tmp_path / "report.html").read_text("utf-8"))
    assert [slice_["data-place"] for slice_ in page.all("div", **{"class": "slice tiles small"})] == [
        f"{n} of 5" for n in range(1, 6)
    ]


def test_the_cases_of_a_comparison_are_not_replaced(tmp_path, pictures):
    train(tmp_path)
    (tmp_path / "comparison.json").write_text("{}", encoding="utf-8")
    with pytest.raises(
        InputError, match=r"holds a comparison, whose cases\.csv would be replaced: give another output"
    ):
        evaluate(tmp_path, pictures)
    assert not (tmp_path / "metrics.json").exists()
