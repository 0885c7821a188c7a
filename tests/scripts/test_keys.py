"""What makes a finished cell count no longer, and what does not."""

import ast
import sys

import pytest
from reproduction import keys
from reproduction.experiment import METHODS

from tests.bundles.workflows import run
from tests.scripts.cells import cell, experiment, key


def changed(monkeypatch, module, edit):
    """Let a module's source be another from here on."""
    source = keys._path(module).read_text(encoding="utf-8")
    edited = edit(source)
    assert edited != source
    for function in (keys._tree, keys._imports, keys._source_hash):
        function.cache_clear()
    tree = keys._tree.__wrapped__
    monkeypatch.setattr(keys, "_tree", lambda name: ast.parse(edited) if name == module else tree(name))


@pytest.fixture(autouse=True)
def _fresh_caches():
    yield
    for function in ("_tree", "_imports", "_source_hash"):
        getattr(getattr(keys, function), "cache_clear", lambda: None)()


def test_cells_differ_in_their_keys():
    cells = [cell(method, count, seed) for method in METHODS for count in (2, 5) for seed in (0, 1)]
    assert len({key(one).hash for one in cells}) == len(cells)
    assert key(cell()).hash == key(cell()).hash


def test_paths_devices_and_logging_do_not_count():
    more = {"device": "cpu", "num_workers": "2", "save_interval": "7", "log_interval": "3"}
    assert key(cell(), overrides={**experiment().overrides, **more}).hash == key(cell()).hash
    one = keys.cell_key(experiment().training(cell(), "/a", "/b"), experiment().evaluation("/a", "/b"))
    assert one.hash == key(cell()).hash


@pytest.mark.parametrize(
    "override",
    [
        {"optimizer#lr": "0.01"}, {"sufd_weight": "0.5"}, {"observer": "second"}, {"consistency_loss#threshold": "0.9"},
        {"weak_augmentation#transforms#1#flip_prob": "0.1"}, {"working#scale": "0.25"}, {"labeled_batch_size": "2"},
    ],
)  # fmt: skip
def test_settings_count_and_are_named(override):
    now, then = key(cell(), overrides={**experiment().overrides, **override}), key(cell())
    assert now.hash != then.hash
    assert any(next(iter(override)).split("#")[0] in told for told in then.differences(now))


def test_how_many_labelled_images_an_evaluation_would_draw_does_not_count():
    assert "num_labeled" not in key(cell()).evaluate["datalist"]
    assert "dataset_dir" in key(cell()).evaluate["datalist"]


def test_flips_count():
    assert key(cell()).differences(key(cell(), tta=False)) == ["evaluate tta was true, is false"]


def test_what_a_method_never_reads_does_not_count(tmp_path, phantoms):
    unread = {
        "sufd_weight": "0.5", "consistency_loss#threshold": "0.5", "discriminator_widths": "[8]",
        "strong_augmentation#transforms": "[]",
    }  # fmt: skip
    assert key(cell("supervised"), overrides={**experiment().overrides, **unread}).hash == key(cell("supervised")).hash
    # and indeed, the weights are the same
    weights = []
    for name, more in (("with", {}), ("without", unread)):
        one = experiment(overrides={**experiment().overrides, **more})
        one.training(cell("supervised"), str(phantoms["chase_supmix"]), str(tmp_path / name)).run()
        weights.append((tmp_path / name / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]


@pytest.mark.parametrize("module", ["losses.consistency", "data.streams", "transforms.similarity_crop", "randomness"])
def test_code_of_the_training_path_counts_and_is_named(module, monkeypatch):
    then = key(cell())
    changed(monkeypatch, module, lambda source: source + "\nlater = 1\n")
    assert then.differences(key(cell())) == [f"{module}.py has changed"]


def test_comments_docstrings_and_formatting_do_not_count(monkeypatch):
    then = key(cell())
    changed(monkeypatch, "losses.consistency", lambda source: f'"""Other."""\n# why\n{source.replace("def ", "def  ")}')
    assert key(cell()).hash == then.hash


def test_a_change_touches_only_the_methods_that_use_it(monkeypatch):
    then = {method: key(cell(method)).hash for method in METHODS}
    changed(monkeypatch, "transforms.supmix", lambda source: source + "\nlater = 1\n")
    assert {method for method in METHODS if key(cell(method)).hash != then[method]} == {"supmix", "supmix_sufd"}


@pytest.mark.parametrize("bundle", ["chase_supmix", "covid19_ct_supmix"])
def test_no_module_that_runs_is_forgotten(bundle, phantoms, tmp_path):
    """Whatever code of this package a training and an evaluation enter is hashed, or known to be harmless."""
    entered = set()

    def note(frame, event, _argument):
        if event == "call" and frame.f_globals.get("__name__", "").startswith("monai_supmix."):
            entered.add(frame.f_globals["__name__"].removeprefix("monai_supmix."))

    common = {"dataset_dir": str(phantoms[bundle]), "output_dir": str(tmp_path), "amp": False, "device": "cpu"}
    common["network_def#features"] = [4] * 6
    sys.setprofile(note)
    try:
        run(bundle, "train", **common, num_labeled=2, max_iterations=1, crop_size=[64, 64], discriminator_widths=[4])
        run(bundle, "evaluate", **common, tta=True)
    finally:
        sys.setprofile(None)
    hashed = key(cell(), bundle=bundle).sources
    assert "engines.semi_supervised" in entered & hashed.keys()
    assert {name for name in entered if not keys._has_no_influence(name)} <= hashed.keys()
