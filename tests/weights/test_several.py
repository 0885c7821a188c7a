"""Weights of several networks: which files are meant, and which belong together."""

import shutil

import pytest

from monai_supmix.errors import InputError
from monai_supmix.files import sha256
from monai_supmix.weights import common_record, default_weights, install_weights, save_weights, weight_files
from tests.weights.test_files import bundle, make_network, make_record  # noqa: F401  # a fixture


@pytest.fixture
def folds(tmp_path):
    for number in range(1, 11):
        folder = tmp_path / "out" / "10_folds" / f"fold_{number}"
        folder.mkdir(parents=True)
        save_weights(folder / "model.pt", make_network(seed=number), make_record())
    return tmp_path / "out" / "10_folds"


def test_a_folder_stands_for_the_weights_in_it(folds, tmp_path):
    all_folds = [folds / f"fold_{number}" / "model.pt" for number in range(1, 11)]
    assert weight_files(folds) == all_folds, "10 comes behind 9"
    assert weight_files([folds / "fold_2", str(all_folds[0])]) == [all_folds[1], all_folds[0]]
    plain = tmp_path / "plain"
    plain.mkdir()
    for name in ("b.pt", "b.safetensors", "a.safetensors"):
        (plain / name).touch()
    assert [file.name for file in weight_files(plain)] == ["a.safetensors", "b.pt"], "twins are one network"


def test_half_of_the_folds_are_no_ensemble(folds):
    (folds / "fold_3" / "model.pt").unlink()
    with pytest.raises(InputError, match="10_folds: has the weights of 9 of 10 folds: train the others first"):
        weight_files(folds)
    shutil.rmtree(folds / "fold_3")
    with pytest.raises(InputError, match="9 of 10 folds"):
        weight_files(folds)
    shutil.copytree(folds / "fold_1", folds / "fold_1_old")  # no fold, and no tenth one
    with pytest.raises(InputError, match="9 of 10 folds"):
        weight_files(folds)


def test_hidden_files_and_links_are_no_further_networks(folds, tmp_path):
    runs = tmp_path / "runs"
    for name in ("a", "b", ".ipynb_checkpoints"):
        shutil.copytree(folds / "fold_1", runs / name)
    assert [file.parent.name for file in weight_files(runs)] == ["a", "b"]
    (tmp_path / "link.pt").symlink_to(runs / "a" / "model.pt")
    with pytest.raises(InputError, match="is named twice"):
        weight_files([runs / "a", tmp_path / "link.pt"])


def test_what_is_no_weights_is_said(tmp_path):
    for named, told in (
        (tmp_path / "none", "no weights file has this path"),
        (tmp_path, "holds no weights"),
        ([], "names no weights"),
    ):
        with pytest.raises(InputError, match=told):
            weight_files(named)
    with pytest.raises(InputError, match="ckpt_path: names no weights"):
        default_weights(None, "my_bundle", [])
    (tmp_path / "a.pt").touch()
    with pytest.raises(InputError, match=r"a\.pt: is named twice"):
        weight_files([tmp_path / "a.pt", tmp_path])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"class_names": ["background", "effusion", "consolidation", "ground_glass"]}, "has other classes than"),
        ({"intensity": {"hu": {"window": [-1000.0, 400.0]}}}, "has other intensity rules than"),
        ({"working": {"spacing": [0.7, 0.8]}}, "has another working grid than"),
        ({"cleaning": [{"classes": [1]}]}, "has other cleaning rules than"),
        ({"label_values": {"background": 0}}, "has other label values than"),
        ({"window": [8, 8, 8]}, "has another window than"),
    ],
)
def test_networks_that_mean_different_things_do_not_predict_together(changes, told, tmp_path):
    a, b = tmp_path / "a.pt", tmp_path / "b.pt"
    with pytest.raises(InputError) as raised:
        common_record({a: make_record(window=[4, 8, 8]), b: make_record(window=[4, 8, 8]) | changes})
    assert f"{b}: {told} {a}: name networks that were trained alike" == str(raised.value)


def test_together_they_know_what_any_of_them_has_seen():
    seen = [{"spacing": [1.0, 1.5], "size": [64, 64]}, {"spacing": [0.5, 1.2], "size": [60, 80]}, {"spacing": None}]
    # rules may be lists or tuples, and none at all or an empty list
    changes = [{"cleaning": []}, {"working": {"spacing": (0.7, 0.7)}}, {}]
    records = {name: make_record(trained_on=s, **c) for name, s, c in zip("abc", seen, changes, strict=True)}
    assert common_record(records)["trained_on"] == {"size": [60, 80], "spacing": [0.5, 1.5]}
    learnt = {name: make_record(labelled_images=images) for name, images in (("a", ["1", "3"]), ("b", ["2", "3"]))}
    assert common_record(learnt | {"c": make_record()})["labelled_images"] == ["1", "2", "3"]


def test_a_window_that_one_of_them_does_not_know_is_that_of_the_others():
    for records in (({}, {"window": [4, 8, 8]}), ({"window": [4, 8, 8]}, {})):
        assert common_record(dict(zip("ab", (make_record(**one) for one in records), strict=True)))["window"] == [
            4,
            8,
            8,
        ]
    assert "window" not in common_record({"a": make_record()})


def test_the_same_weights_count_once(folds, tmp_path, bundle):  # noqa: F811
    twin = shutil.copy(folds / "fold_1" / "model.safetensors", tmp_path / "twin.safetensors")
    with pytest.raises(InputError, match=r"holds the same weights as .*fold_1/model\.pt: name each network once"):
        install_weights([folds / "fold_1", twin], bundle)


def test_the_calibration_of_weights_goes_with_them(folds, bundle):  # noqa: F811
    (folds / "fold_1" / "quality.json").write_text("{}", encoding="utf-8")
    assert install_weights(folds / "fold_1", bundle)[2:] == (bundle / "models" / "quality.json",)
    assert (bundle / "models" / "quality.json").read_text(encoding="utf-8") == "{}"
    assert len(install_weights(folds / "fold_2", bundle)) == 2
    assert not (bundle / "models" / "quality.json").exists()


def test_an_installed_ensemble_is_found_and_replaces_what_was_there(folds, tmp_path, bundle):  # noqa: F811
    install_weights(folds / "fold_1", bundle)
    installed = install_weights([folds / "fold_2", folds / "fold_3"], bundle)
    assert [file.relative_to(bundle).as_posix() for file in installed] == [
        "models/ensemble/model_1.pt",
        "models/ensemble/model_2.pt",
    ]
    assert sorted(path.name for path in (bundle / "models").iterdir()) == ["ensemble"]
    assert default_weights(tmp_path, bundle) == list(installed)
    assert [sha256(file) for file in installed] == [sha256(folds / f"fold_{k}" / "model.pt") for k in (2, 3)]

    save_weights(tmp_path / "other.pt", make_network(classes=2), make_record(class_names=["background", "vessel"]))
    with pytest.raises(InputError, match="background, vessel"):
        install_weights([folds / "fold_4", tmp_path / "other.pt"], bundle)
    assert default_weights(None, bundle) == list(installed), "a mistake leaves what was there"
    assert len(install_weights(folds, bundle)) == len(default_weights(None, bundle)) == 10
    install_weights(folds / "fold_1", bundle)
    assert sorted(path.name for path in (bundle / "models").iterdir()) == ["model.pt", "model.safetensors"]
    assert default_weights(None, bundle) == [bundle / "models" / "model.pt"]
