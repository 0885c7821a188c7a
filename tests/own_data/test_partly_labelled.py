"""A bundle of one's own for masks in which classes are missing or pixels are to be ignored."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from monai_supmix.datalists.datalist import Datalist
from monai_supmix.datalists.nnunet import nnunet_datalist
from monai_supmix.errors import InputError
from monai_supmix.own_data import propose
from monai_supmix.own_data.layout import find_cases
from monai_supmix.own_data.template import fill_template


def write_nnunet(folder, ignore):
    """Grey pictures with a disc and a cup; the first lacks the cup, all have a border to ignore."""
    y, x = np.mgrid[:64, :64]
    for number in range(6):
        distance = np.hypot(y - 30 - number, x - 32)
        mask = np.where(distance < 8, 2, np.where(distance < 18, 1, 0)).astype(np.uint8)
        image = (mask * 80 + y + number).astype(np.uint8)
        mask = np.where((mask == 2) & (number == 0), 0, mask)
        mask[:, :4] = 3 if ignore else 0
        for place, name, values in (("imagesTr", f"eye{number}_0000", image), ("labelsTr", f"eye{number}", mask)):
            (folder / place).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values.astype(np.uint8)).save(folder / place / f"{name}.png")
    (folder / "labelsTr/eye0.json").write_text('{"labelled_classes": ["disc"]}', encoding="utf-8")
    labels = {"background": 0, "disc": 1, "cup": 2, **({"ignore": 3} if ignore else {})}
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}), encoding="utf-8")


def test_new_keeps_what_masks_leave_open(tmp_path):
    for ignore in (True, False):
        write_nnunet(tmp_path / str(ignore), ignore)
        proposal = propose(tmp_path / str(ignore), "eyes")
        assert any("partly labelled: 1 lacks cup" in line for line in proposal.lines)
        assert fill_template(proposal)["train.json"]["ignore_index"] == (255 if ignore else None)
        sides = (*proposal.datalist.labeled, *proposal.datalist.test)
        assert [item["case"] for item in sides if item.get("labelled_classes") == [1]] == ["eye0"]
        assert all(item.get("ignored") == (3 if ignore else None) for item in sides)


def test_the_test_is_drawn_from_fully_labelled_patients(tmp_path):
    """Whichever of six eyes is partly labelled, in either layout."""
    write_nnunet(tmp_path / "tr", ignore=False)
    (tmp_path / "tr/labelsTr/eye0.json").unlink()
    for name, (images, labels) in {"tr": ("imagesTr", "labelsTr"), "pairs": ("images", "labels")}.items():
        if name == "pairs":
            shutil.copytree(tmp_path / "tr/labelsTr", tmp_path / name / labels)
            shutil.copytree(tmp_path / "tr/imagesTr", tmp_path / name / images)
            for path in (tmp_path / name / images).iterdir():
                path.rename(path.with_name(path.name.replace("_0000", "")))
        for number in range(6):
            sidecar = tmp_path / name / labels / f"eye{number}.json"
            sidecar.write_text('{"labelled_classes": ["disc"]}', encoding="utf-8")
            drawn = find_cases(tmp_path / name, ["background", "disc", "cup"]).datalist
            assert [item["case"] for item in drawn.test] != [f"eye{number}"]
            sidecar.unlink()


@pytest.mark.parametrize("listed", ["[2]", '["disc", 4]'])
def test_numbers_of_classes_are_refused_where_values_have_gaps(tmp_path, listed):
    """A 2 may be meant as the value of the disc or as the second class, the cup."""
    write_nnunet(tmp_path, ignore=False)
    for path in (tmp_path / "labelsTr").glob("*.png"):
        Image.fromarray(2 * np.asarray(Image.open(path))).save(path)
    labels = {"background": 0, "disc": 2, "cup": 4}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}), encoding="utf-8")
    proposal = propose(tmp_path, "eyes")
    proposal.datalist.to_json(tmp_path / "datalist.json")
    (tmp_path / "labelsTr/eye0.json").write_text(f'{{"labelled_classes": {listed}}}', encoding="utf-8")
    number = json.loads(listed)[-1]
    told = f"eye0.json: lists the number {number}, and the values of the classes .*: list names of classes"
    for read in (
        lambda: propose(tmp_path, "eyes"),
        lambda: Datalist.from_json(tmp_path / "datalist.json"),
        lambda: nnunet_datalist(tmp_path, num_labeled=2),
    ):
        with pytest.raises(InputError, match=told):
            read()


@pytest.mark.parametrize("scale", [1, 2])
def test_a_labelled_class_without_a_name_yet_is_told_how_to_get_one(tmp_path, scale):
    """Only `label_2` is known where nothing names the classes; numbers are no way out where values have gaps."""
    write_nnunet(tmp_path, ignore=False)
    (tmp_path / "dataset.json").unlink()
    (tmp_path / "labelsTr").rename(tmp_path / "labels")
    (tmp_path / "imagesTr").rename(tmp_path / "images")
    for path in (tmp_path / "images").iterdir():
        path.rename(path.with_name(path.name.replace("_0000", "")))
    for path in (tmp_path / "labels").glob("*.png"):
        Image.fromarray(scale * np.asarray(Image.open(path))).save(path)
    labels = f"0=background,{scale}=disc,{2 * scale}=cup"
    with pytest.raises(InputError, match="lists the labelled class 'disc'") as caught:
        find_cases(tmp_path)
    assert f"labels 0=background,{scale}=NAME" in caught.value.remedy
    assert ("or numbers" in caught.value.remedy) == (scale == 1)
    assert [item["case"] for item in find_cases(tmp_path, labels=labels).datalist.labeled if "labelled_classes" in item]
    (tmp_path / "labels/eye0.json").write_text('{"labelled_classes": [99]}', encoding="utf-8")
    with pytest.raises(InputError, match="use label_1" if scale == 1 else "list names of classes instead of numbers"):
        find_cases(tmp_path)
