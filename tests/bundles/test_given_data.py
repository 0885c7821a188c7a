"""Lists of cases in the place of train#dataset#data: what MONAI Label puts there is what is trained on."""

import json
import shutil
from pathlib import Path

import monai.bundle
import pytest

from monai_supmix.datalists.given import given_datalist
from monai_supmix.errors import InputError
from tests.bundles.workflows import BUNDLES, TINY, workflow

BUNDLE = "covid19_ct_supmix"
QUICK = {**TINY, "crop_size": [64, 64], "working": {"size": [64, 64]}, "tensorboard": False, "num_workers": 0}


@pytest.fixture
def studies(phantoms, tmp_path):
    """A datastore of MONAI Label: images in a folder, the labels of two of them below it."""
    folder = tmp_path / "studies"
    (folder / "labels" / "final").mkdir(parents=True)
    for image in sorted((phantoms[BUNDLE] / "imagesTr").glob("*.nii.gz")):
        name = image.name.replace("_0000", "")
        shutil.copy(image, folder / name)
        label = phantoms[BUNDLE] / "labelsTr" / name
        if label.exists():
            shutil.copy(label, folder / "labels" / "final" / name)
    return folder


def labelled(studies):
    labels = sorted((studies / "labels" / "final").glob("*.nii.gz"))
    return [{"image": str(studies / label.name), "label": str(label)} for label in labels]


def test_they_are_the_datalist_and_the_images_beside_them_the_pool(studies):
    train, held_out = labelled(studies)
    flow = workflow(
        BUNDLE, "train", dataset_dir="nowhere", **QUICK,
        **{"train#dataset#data": [train], "validate#dataset#data": [held_out], "train#trainer#max_epochs": 3},
    )  # fmt: skip
    flow.initialize()
    datalist = flow.parser.get_parsed_content("datalist")
    assert [item["image"] for item in datalist.labeled] == [train["image"]]
    assert [item["label"] for item in datalist.validation] == [held_out["label"]]
    others = {str(path) for path in studies.glob("*.nii.gz")} - {train["image"], held_out["image"]}
    assert {item["image"] for item in datalist.unlabeled} == others and len(others) == 2
    assert not any("label" in item for item in datalist.unlabeled)
    assert len(flow.parser.get_parsed_content("train#dataset")) == 1
    assert flow.train_dataset_data[0]["image"] == train["image"] and flow.val_dataset_data == datalist.validation
    assert flow.parser.get_parsed_content("total_iterations") == 3 * len(
        flow.parser.get_parsed_content("train#dataloader")
    )


def test_monai_bundle_run_trains_on_them(studies, tmp_path):
    monai.bundle.run(
        config_file=str(BUNDLES / BUNDLE / "configs" / "train.json"), logging_file=False,
        meta_file=str(BUNDLES / BUNDLE / "configs" / "metadata.json"), bundle_root=str(BUNDLES / BUNDLE),
        output_dir=str(tmp_path / "out"), burn_in=0.5, **QUICK,
        **{"train#dataset#data": labelled(studies), "validate#dataset#data": [], "train#trainer#max_epochs": 1},
    )  # fmt: skip
    history = json.loads((tmp_path / "out" / "history.json").read_text(encoding="utf-8"))
    assert (tmp_path / "out" / "model.pt").exists()
    assert str(studies) in json.dumps(history)


def test_a_validation_alone_and_items_without_a_label_are_refused(studies):
    flow = workflow(
        BUNDLE, "train", dataset_dir="nowhere", device="cpu", **{"validate#dataset#data": labelled(studies)}
    )
    with pytest.raises(Exception, match="ConfigExpression") as caught:
        flow.initialize()
    assert "is a list without one for training" in str(caught.value.__cause__)
    with pytest.raises(InputError, match="without image or label"):
        given_datalist([{"image": "a.nii.gz"}], ["background", "lesion"])
    first, second = labelled(studies)
    with pytest.raises(InputError, match="same case or the same file"):
        given_datalist([first, second], ["background", "lesion"], [second])


def test_labels_in_the_folder_of_the_images_are_no_unlabelled_images(tmp_path):
    for name in ("a.png", "a_label.png", "b.png", "b_label.png", "c.png"):
        (tmp_path / name).touch()
    train, held_out = ({"image": str(tmp_path / f"{n}.png"), "label": str(tmp_path / f"{n}_label.png")} for n in "ab")
    found = given_datalist([train], ["background", "lesion"], [held_out])
    assert [item["case"] for item in found.unlabeled] == ["c"]


def test_labelled_classes_by_name_become_numbers(tmp_path):
    """As training and the check for classes without labels take them."""
    item = {"image": str(tmp_path / "a.png"), "label": str(tmp_path / "m.png"), "labelled_classes": ["cup"]}
    (tmp_path / "a.png").touch()
    names = ["background", "disc", "cup"]
    (found,) = given_datalist([item], names).labeled
    assert found["labelled_classes"] == [2]
    with pytest.raises(InputError, match=r"train#dataset#data: a lists the labelled class 'cap', which is no class"):
        given_datalist([{**item, "labelled_classes": ["cap"]}], names)


def test_a_label_of_the_images_own_name_makes_no_label_of_others(tmp_path):
    for name in ("a.png", "a.nii", "b.png", "c.png"):
        (tmp_path / name).touch()
    item = {"image": str(tmp_path / "a.png"), "label": str(tmp_path / "a.nii")}
    assert [one["case"] for one in given_datalist([item], ["background", "lesion"]).unlabeled] == ["b", "c"]


@pytest.mark.parametrize("name", ["{}_seg.nii.gz", "mask-{}.nii.gz", "my {} label.nii.gz"])
def test_nor_are_labels_of_images_that_nobody_named(tmp_path, name):
    for case in ("a", "b", "a_seg_b"):
        (tmp_path / f"{case}.nii.gz").touch()
    for case in ("a", "b"):
        (tmp_path / name.format(case)).touch()
    item = {"image": str(tmp_path / "a.nii.gz"), "label": str(tmp_path / name.format("a"))}
    datalist = given_datalist([item], ["background", "lesion"])
    assert [item["case"] for item in datalist.unlabeled] == ["a_seg_b", "b"]
    assert datalist.notes[1] == "1 file named like labels of other images left out"


@pytest.mark.slow
def test_monai_labels_train_task_trains_on_its_datastore(studies, tmp_path, monkeypatch):
    pytest.importorskip("monailabel", reason="monailabel is not installed (an environment of its own, see README)")
    from monailabel.datastore.local import LocalDatastore  # noqa: PLC0415
    from monailabel.tasks.train.bundle import BundleTrainTask  # noqa: PLC0415

    class Train(BundleTrainTask):
        def _update_overrides(self, overrides):
            quick = {
                key: value for key, value in QUICK.items() if key != "network_def#features"
            }  # the shipped weights'
            return overrides.update(quick, output_dir=str(tmp_path / "out"), max_iterations=2)

    monkeypatch.chdir(tmp_path)
    datastore = LocalDatastore(str(studies), extensions=["*.nii.gz"], auto_reload=False)
    task = Train(str(BUNDLES / BUNDLE), {})
    assert task.is_valid()
    task({"model": BUNDLE, "device": "cpu", "max_epochs": 1, "val_split": 0.5, "tracking": "None"}, datastore)
    assert Path(tmp_path / "out" / "model.pt").exists()
