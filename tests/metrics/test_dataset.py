import ignite.distributed as idist
import numpy as np
import pytest
import torch
from ignite.engine import Engine
from ignite.exceptions import NotComputableError
from monai.engines import Evaluator

from monai_supmix.metrics import DatasetOverlap, SurfaceDistance, dice, iou, measure_case, overlap_counts

NAMES = ["background", "ground_glass", "consolidation", "pleural_effusion"]


def make_items(count, seed=0, shape=(8, 9), classes=3, **extra):
    generator = np.random.default_rng(seed)
    return [
        {
            "prediction": generator.integers(0, classes, shape),
            "truth": generator.integers(0, classes, shape),
            "case": f"case{i}",
            **extra,
        }
        for i in range(count)
    ]


def test_case_without_spacing_has_counts_alone():
    [item] = make_items(1)
    case = measure_case(item["prediction"], item["truth"], 4)
    assert np.array_equal(case.counts, overlap_counts(item["prediction"], item["truth"], 4))
    assert case.distances is None
    assert case.volumes_ml is None


@pytest.mark.parametrize("shape", [(8, 9), (4, 5, 6)])
@pytest.mark.parametrize("as_tensor", [True, False])
def test_case_with_spacing_has_distances_and_volumes_have_ml(shape, as_tensor):
    [item] = make_items(1, shape=shape)
    labels = [torch.from_numpy(item[k]) if as_tensor else item[k] for k in ("prediction", "truth")]
    case = measure_case(*labels, 4, spacing=[2.0] * len(shape))
    assert [distance and distance.outcome for distance in case.distances] == [
        None,
        "measured",
        "measured",
        "absent",
    ]
    assert (case.volumes_ml is not None) == (len(shape) == 3)


def test_counts_are_summed_before_the_ratio():
    small = {"prediction": np.array([[1, 1]]), "truth": np.array([[1, 0]]), "case": "small"}
    large = {"prediction": np.ones((10, 10), int), "truth": np.ones((10, 10), int), "case": "large"}
    metric = DatasetOverlap(["background", "vessel"])
    metric.update([small])
    metric.update([large])
    assert metric.compute() == pytest.approx((0 / 1 + 101 / 102) / 2)  # per image: (0 + (1/2 + 1)/2) / 2
    metric.reset()
    with pytest.raises(NotComputableError, match="no case"):
        metric.compute()


def test_on_a_plain_engine():
    items = make_items(5)
    engine = Engine(lambda engine, batch: batch)
    DatasetOverlap(NAMES).attach(engine, "mean_iou")
    metrics = engine.run([items[:2], items[2:]]).metrics
    counts = sum(overlap_counts(i["prediction"], i["truth"], 4) for i in items)
    assert metrics["mean_iou"] == pytest.approx(np.nanmean(iou(counts)))
    assert metrics["mean_dice"] == pytest.approx(np.nanmean(dice(counts)))
    assert metrics["iou_consolidation"] == pytest.approx(iou(counts)[2])
    assert metrics["dice_consolidation"] == pytest.approx(dice(counts)[2])
    assert "iou_pleural_effusion" not in metrics  # absent: no NaN for a logger to trip over


def test_key_metric_of_a_monai_engine():
    class Given(Evaluator):
        def _iteration(self, engine, batchdata):
            return batchdata

    items = make_items(3, spacing=(1.0, 1.0))
    engine = Given(
        "cpu",
        [[item] for item in items],
        key_val_metric={"mean_iou": DatasetOverlap(NAMES)},
    )
    engine.run()
    assert engine.state.best_metric == engine.state.metrics["mean_iou"] > 0
    details = engine.state.metric_details["mean_iou"]
    assert list(details) == ["case0", "case1", "case2"]
    assert details["case0"].distances[3] == SurfaceDistance("absent")
    engine.run()  # every run starts afresh
    assert engine.state.best_metric == engine.state.metrics["mean_iou"]


def test_two_cases_of_one_name_are_an_error_and_the_same_case_again_is_not():
    first, second = make_items(2)
    metric = DatasetOverlap(NAMES)
    metric.update([first, first])
    assert len(metric.cases) == 1
    nearly = first["prediction"].copy()
    nearly[0, 0] = (nearly[0, 0] + 1) % 3
    for other in (first | {"prediction": nearly}, second | {"case": "case0"}):
        with pytest.raises(ValueError, match="two different cases have the name 'case0'"):
            metric.update([other])


def test_a_case_that_two_processes_predicted_a_pixel_apart_counts_once(monkeypatch):
    first, second = make_items(2)
    nearly = first["prediction"].copy()
    nearly[0, 0] = (nearly[0, 0] + 1) % 3  # another GPU rounds otherwise
    ranks = [DatasetOverlap(NAMES) for _ in range(3)]
    for metric, item in zip(ranks, (first, first | {"prediction": nearly}, second | {"case": "case0"}), strict=True):
        metric.update([item])
    gathered = [dict(metric.cases) for metric in ranks]
    monkeypatch.setattr("ignite.distributed.get_world_size", lambda: 2)
    monkeypatch.setattr("ignite.distributed.all_gather", lambda _cases: gathered[:2])
    counts = ranks[0].counts
    ranks[0].compute()
    assert np.array_equal(ranks[0].counts, counts)
    monkeypatch.setattr("ignite.distributed.all_gather", lambda _cases: gathered[::2])
    with pytest.raises(ValueError, match="two different cases have the name 'case0'"):
        ranks[0].compute()


def evaluate_on_one_of_two(rank, items, queue):
    torch.set_num_threads(1)  # a forked child has none of the threads that its parent counts on
    metric = DatasetOverlap(NAMES)
    # as DistributedSampler does: every second case, the first again to fill up
    metric.update([items[i] for i in ([0, 2] if rank == 0 else [1, 0])])
    queue.put((metric.compute(), list(metric.cases), metric.counts))


def test_processes_bring_their_cases_together():
    items = make_items(3)
    queue = torch.multiprocessing.get_context("fork").SimpleQueue()
    idist.spawn("gloo", evaluate_on_one_of_two, (items, queue), nproc_per_node=2, start_method="fork")
    whole = DatasetOverlap(NAMES)
    whole.update(items)
    expected = whole.compute()
    for _ in range(2):
        value, cases, counts = queue.get()
        assert value == expected
        assert cases == ["case0", "case1", "case2"]
        assert np.array_equal(counts, whole.counts)


@pytest.mark.parametrize("shape", [(8, 9), (4, 5, 6)])
def test_of_classes_that_were_not_labelled_in_a_case_nothing_is_measured(shape):
    whole, partly = make_items(2, shape=shape, spacing=[1.0] * len(shape))
    partly |= {
        "truth": partly["truth"] * (partly["truth"] != 2),
        "labelled_classes": np.array([False, True, False, False]),
    }
    engine = Engine(lambda engine, batch: batch)
    metric = DatasetOverlap(NAMES)
    metric.attach(engine, "mean_iou")
    engine.run([[whole, partly]])
    counts = [overlap_counts(item["prediction"], item["truth"], 4) for item in (whole, partly)]
    assert np.array_equal(metric.counts[1], counts[0][1] + counts[1][1])
    assert np.array_equal(metric.counts[[0, 2]], counts[0][[0, 2]])
    case = metric.cases["case1"]
    assert [distance is not None for distance in case.distances] == [False, True, False, False]
    assert case.volumes_ml is None or [volume is not None for volume in case.volumes_ml] == [False, True, False, False]
    assert np.isnan(dice(case.counts))[[0, 2, 3]].all()


def test_a_case_may_have_pixels_to_ignore_of_its_own():
    whole, partly = make_items(2)
    partly["truth"][:4] = 255
    engine = Engine(lambda engine, batch: batch)
    metric = DatasetOverlap(NAMES)
    metric.attach(engine, "mean_iou")
    engine.run([[whole, {**partly, "ignore_index": 255}]])
    kept = overlap_counts(partly["prediction"][4:], partly["truth"][4:], 4)
    assert np.array_equal(metric.cases["case1"].counts, kept)
