"""Cells and what they are trained with."""

import pytest
from reproduction.experiment import Method, make_cells

from monai_supmix.errors import InputError
from tests.scripts.cells import cell, experiment


def test_methods_name_their_length():
    assert Method.parse("supervised@1500") == Method("supervised", 1500)
    for text in ("supervised@", "supervised@-1", "supervised@many", "supervised@0"):
        with pytest.raises(InputError, match="names no number of iterations"):
            Method.parse(text)


@pytest.mark.parametrize("text", ["/abs/mine.json", "mine.json", "methods/mine", "mine.yaml@1500"])
def test_a_path_is_no_method_that_a_record_could_keep(text):
    with pytest.raises(InputError, match=r"is a path.*configs/methods"):
        Method.parse(text)


def test_cells_have_names_of_their_own_that_any_file_system_takes():
    methods = [Method("supmix"), Method("supmix", 1500), Method("supmix_sufd")]
    names = [one.name for one in make_cells(methods, [2, 5], [0, 1, 10])]
    assert len(set(names)) == len(names) == 18
    assert all(name.replace("_", "").replace("-", "").isalnum() for name in names)


def test_a_cell_twice_is_one_cell():
    assert len(make_cells([Method("supmix"), Method("supmix")], [2], [0, 0])) == 1


def test_every_cell_sees_its_own_settings():
    one = experiment(vary_draw=True).training(cell("supervised@7", 5, seed=3), "D", "O")
    assert {key: one.overrides[key] for key in ("max_iterations", "num_labeled", "labeled_seed", "seed")} == {
        "max_iterations": 7, "num_labeled": 5, "labeled_seed": 3, "seed": 3,
    }  # fmt: skip
    assert one.overrides["network_def#features"] == [4] * 6
    assert experiment().training(cell(seed=3), "D", "O").overrides["labeled_seed"] == 0
    masks = experiment(overrides={"pseudo_labels": "rounds/{seed}/masks"})  # each seed has its own
    assert masks.training(cell(seed=3), "D", "O").overrides["pseudo_labels"] == "rounds/3/masks"
    published = experiment(overrides={"labeled_seed": "null"})  # the data set's own list of labelled cases
    assert published.training(cell(seed=3), "D", "O").overrides["labeled_seed"] is None


def test_evaluation_takes_presets_that_change_it():
    for preset, taken in (("paper", True), ("rare_classes", False), (None, False)):
        files = experiment(preset=preset).evaluation("D", "O").files
        assert [file.stem for file in files] == ["evaluate", *([preset] if taken else [])]
        assert len(experiment(preset=preset).training(cell(), "D", "O").files) == 2 + (preset is not None)


def test_evaluation_takes_weights_and_grid_from_the_training():
    one = experiment(overrides={"ckpt_path": "start.pt", "working#scale": "0.5"})
    assert one.training(cell(), "D", "O").overrides.items() >= {"ckpt_path": "start.pt", "working#scale": 0.5}.items()
    assert not {"ckpt_path", "working#scale"} & one.evaluation("D", "O").overrides.keys()


def test_evaluation_takes_the_overrides_that_it_knows():
    evaluation = experiment(tta=False).evaluation("D", "O")
    assert evaluation.overrides["tta"] is False
    assert "network_def#features" in evaluation.overrides
    assert "crop_size" not in evaluation.overrides
