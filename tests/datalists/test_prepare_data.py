"""The command that turns a folder into a checked datalist."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_supmix.datalists.chase import chase_datalist
from monai_supmix.datalists.covid import covid_datalist
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.datalists.nnunet import nnunet_datalist
from monai_supmix.datalists.survey import Surveyor, survey_datalist
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.cases import Case
from monai_supmix.phantoms import write_chest_ct_phantom, write_fundus_phantom
from tests import forked

SCRIPT = Path(__file__).parents[2] / "scripts" / "prepare_data.py"


@pytest.fixture(scope="module")
def command():
    spec = importlib.util.spec_from_file_location("prepare_data", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture
def chest(tmp_path):
    sizes = {"num_labeled": 3, "num_unlabeled": 1, "num_test": 1, "size": (32, 32, 6), "slice_spacing": 20.0}
    return write_chest_ct_phantom(tmp_path / "chest", **sizes)


@pytest.fixture
def fundus(tmp_path):
    return write_fundus_phantom(tmp_path / "fundus", size=(64, 64))


def test_chest_folder_to_json(command, chest, tmp_path, capsys):
    out = tmp_path / "lists" / "datalist.json"
    assert command(["auto", "--data", str(chest), "--out", str(out), "--num-labeled", "2"]) == 0
    text = capsys.readouterr().out
    for line in ("labelled 2 (2 patients)", "unlabelled 2", "size: 32 x 32 x 6", "spacing in mm: 10 x 10 x 20"):
        assert line in text
    datalist = Datalist.from_json(out)
    assert len(datalist.labeled) == 2
    assert len(datalist.test) == 1


def test_auto_tells_fundus_from_chest(command, fundus, tmp_path, capsys):
    out = tmp_path / "datalist.json"
    options = ["--num-labeled", "5", "--num-val-patients", "2", "--observer", "second", "--split", "paper"]
    assert command(["auto", "--data", str(fundus), "--out", str(out), *options]) == 0
    datalist = Datalist.from_json(out)
    assert len(datalist.validation) == 4
    assert datalist.labeled[0]["label"].endswith("2ndHO.png")
    assert "child 12" in capsys.readouterr().out


def test_as_a_program_with_a_wrong_folder(tmp_path):
    log = tmp_path / "log.txt"
    process = forked.start_python([SCRIPT, "covid", "--data", tmp_path / "no", "--out", "x.json"], log, folder=tmp_path)
    process.join()
    assert process.exitcode == 2
    printed = log.read_text(encoding="utf-8")
    assert printed.splitlines()[-1].startswith(f"error: {tmp_path / 'no'}: does not exist: ")
    assert "Traceback" not in printed
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize(
    "arguments", [[], ["chase"], ["mri", "--data", "a", "--out", "b"], ["chase", "--num-labeled", "x"]]
)
def test_a_wrong_command_line_ends_in_an_error_line(command, arguments, capsys):
    assert command(arguments) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: command line: ")


def test_unreadable_files_are_all_listed_and_nothing_is_written(command, chest, tmp_path, capsys):
    for name in ("imagesTr/chest_001_0000.nii.gz", "imagesTr/chest_004_0000.nii.gz"):
        (chest / name).write_bytes(b"nothing")
    out = tmp_path / "datalist.json"
    assert command(["covid", "--data", str(chest), "--out", str(out)]) == 2
    printed = capsys.readouterr()
    assert printed.out.count("problem: ") == 2
    assert "2 files in all" in printed.err.splitlines()[-1]
    assert not out.exists()


def test_an_output_that_cannot_be_written(command, chest, tmp_path, capsys):
    assert command(["covid", "--data", str(chest), "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {tmp_path}: ")


def test_survey_counts_pixels_and_finds_copies(fundus):
    (fundus / "Image_13L.jpg").write_bytes((fundus / "Image_02R.jpg").read_bytes())
    datalist = chase_datalist(fundus, num_labeled=3, unlabeled_pool="all")
    survey = survey_datalist(datalist)
    assert "images: 28 pictures" in survey.lines
    assert any("Image_02R" in w and "Image_13L" in w and "same contents" in w for w in survey.warnings)
    masks = [np.asarray(Image.open(item["label"])) for item in datalist.test]
    share = 100 * np.mean(masks)
    assert any(line.startswith("pixels of the test: ") and f"vessel {share:.3g} %" in line for line in survey.lines)


def test_survey_names_masks_that_show_nothing(fundus):
    assert not any(line.startswith("no foreground") for line in survey_datalist(chase_datalist(fundus)).lines)
    datalist = chase_datalist(fundus, num_labeled=3)
    for item in (datalist.labeled[1], *datalist.test[:4], datalist.unlabeled[0]):
        path = fundus / f"{item['case']}_1stHO.png"
        Image.fromarray(np.zeros_like(np.asarray(Image.open(path)))).save(path)
    told = [line for line in survey_datalist(datalist).lines if line.startswith("no foreground")]
    tested = [item["case"] for item in datalist.test]
    assert told == [
        f"no foreground in 1 of 3 masks of labelled images: {datalist.labeled[1]['case']}",
        f"no foreground in 4 of 8 masks of the test: {', '.join(tested[:3])}, ... (4 in all)",
    ]


def test_survey_warns_of_classes_nobody_shows(chest):
    record = json.loads((chest / "dataset.json").read_text(encoding="utf-8"))
    record["labels"]["fracture"] = 4
    (chest / "dataset.json").write_text(json.dumps(record), encoding="utf-8")
    survey = survey_datalist(covid_datalist(chest))
    told = "no labelled image shows fracture: it cannot be learnt; label some, or leave out the class"
    assert survey.warnings[0] == told
    told = "no test image shows fracture: it cannot be measured; choose other test cases (test_list)"
    assert told in survey.warnings


@pytest.mark.parametrize(
    ("shown", "told"), [((1,), "it, it may stay unlearnt"), ((1, 2), "them, they may stay unlearnt")]
)
def test_one_small_class_and_several_are_told_in_good_english(shown, told):
    label = np.zeros((50, 50), np.uint8)
    label[0, : len(shown)] = shown
    item = {"image": "a.png", "label": "a_seg.png", "case": "a", "group": "a"}
    surveyor = Surveyor(3)
    surveyor.add("labeled", item, Case(CaseImage.from_array(np.zeros((1, 50, 50), np.uint8)), label))
    names = ["background", "femur_left", "femur_right"]
    assert any(told in warning for warning in surveyor.report(Datalist([item], [], [], [], names)).warnings)


@pytest.mark.parametrize(("share", "warned"), [(0.001, True), (0.01, False)])
def test_survey_warns_of_a_rare_class_among_several(tmp_path, share, warned):
    write_chest_ct_phantom(tmp_path, num_labeled=1, num_unlabeled=1, num_test=1, size=(64, 64, 6), rare_fraction=share)
    warnings = survey_datalist(nnunet_datalist(tmp_path)).warnings
    assert any("pleural_effusion (0.1" in warning and "may stay unlearnt" in warning for warning in warnings) == warned
