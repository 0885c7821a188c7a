"""The command that writes a bundle for a user's own data."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from monai_supmix.cli.training_time import TrainingTime, training_times
from monai_supmix.errors import InputError
from monai_supmix.files import sha256
from monai_supmix.own_data.template import DATALIST_NAME
from tests.own_data.folders import write_pair


@pytest.fixture
def pairs(tmp_path):
    """Four labelled grey pictures of two classes, and one without a label."""
    rng = np.random.default_rng(0)
    for name in "abcd":
        write_pair(tmp_path / "data", name, rng.integers(0, 255, (40, 40)), np.eye(40))
    write_pair(tmp_path / "data", "e", rng.integers(0, 255, (40, 40)))
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def _no_steps(request, monkeypatch):
    """Steps are measured in one test only."""
    if "measured" not in request.node.name:
        monkeypatch.setattr("monai_supmix.cli.new.training_times", lambda bundle: [])


def test_the_time_of_a_training_is_measured_with_each_preset(front, pairs):
    ended = front("new", pairs, "--output_dir", "mine")
    assert ended.status == 0, ended.err
    assert ended.out.index("timing a few steps") < ended.out.index("a training takes, on this machine as busy as")
    assert re.search(r"  --method supervised: about .* \(a step took [^,]* s\)", ended.out)
    assert re.search(
        r"  semi-supervised, the default: about .* \(a step took .* s, after the burn-in .* s\)", ended.out
    )
    assert "--preset paper: not measured, it is for a GPU" in ended.out or torch.cuda.is_available()
    assert re.search(r"  --preset pretrained: (about|not measured)", ended.out)
    assert sorted(path.name for path in Path().iterdir()) == ["mine"], "steps leave nothing"


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_grey_pictures_saved_in_colour_are_measured(front, pairs, mode):
    for path in sorted((pairs / "images").iterdir())[:-1]:
        Image.open(path).convert(mode).save(path)
    ended = front("new", pairs, "--output_dir", "mine")
    assert ended.status == 0, ended.err
    assert "--method supervised: about" in ended.out


def test_a_bundle_that_does_not_begin_to_train_is_not_left(front, pairs, monkeypatch):
    def refused(bundle):
        raise InputError("labels/a.json", "lists what is no class", "correct it")

    monkeypatch.setattr("monai_supmix.cli.new.training_times", refused)
    ended = front("new", pairs, "--output_dir", "mine")
    assert ended.status == 2 and "labels/a.json: lists what is no class: correct it" in ended.err
    assert not Path("mine").exists() and ended.out.rstrip().endswith("mine, with which no training begins")


def test_a_bundle_is_complete_before_its_trainings_are_timed_and_ctrl_c_leaves_only_that_out(front, pairs, monkeypatch):
    def interrupted(bundle):
        assert json.loads((bundle / "configs" / "train.json").read_text(encoding="utf-8"))
        raise KeyboardInterrupt

    monkeypatch.setattr("monai_supmix.cli.new.training_times", interrupted)
    ended = front("new", pairs, "--output_dir", "mine")
    assert ended.status == 0 and ended.err == ""
    parts = ["written: ", "timing a few steps", "left out: how long a training takes", "next:", "run mine train"]
    places = [ended.out.index(part) for part in parts]
    assert places == sorted(places)
    assert front("check", "mine").status == 0


def component_without_memory():
    try:
        raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes.")
    except RuntimeError as error:
        raise RuntimeError("Failed to instantiate component 'torch.nn.Linear'") from error


def network_without_memory():
    raise torch.OutOfMemoryError("out of memory")


@pytest.mark.parametrize("fail", [component_without_memory, network_without_memory])
def test_a_preset_that_is_too_large_for_this_machine_costs_no_bundle(front, pairs, monkeypatch, fail):
    def measured(configured):
        if any(file.parent.name == "presets" for file in configured.files):
            fail()
        return TrainingTime(1.0, 0, 10, 0.0, 0.1)

    monkeypatch.setattr("monai_supmix.cli.training_time.measure", measured)
    monkeypatch.setattr("monai_supmix.cli.new.training_times", training_times)
    ended = front("new", pairs, "--output_dir", "mine")
    assert ended.status == 0 and "--preset pretrained: not measured (out of memory)" in " ".join(ended.out.split())
    assert Path("mine/configs/train.json").exists()


def test_a_supervised_training_that_is_refused_when_measured_is_an_error(pairs, front):
    assert front("new", pairs, "--output_dir", "mine").status == 0
    for image in (pairs / "images").iterdir():
        image.write_bytes(b"damaged since")
    with pytest.raises(InputError, match=r"\.png"):
        training_times("mine")


def test_few_labels_and_many_images_without_one_are_for_a_comparison(front, pairs):
    for number in range(20):
        write_pair(pairs.parent / "data", f"unlabelled {number}", np.full((40, 40), number))
    ended = front("new", pairs, "--output_dir", "mine", "--test_list", "none")
    assert ended.status == 0, ended.err
    assert "4 labelled patients and 21 unlabelled images" in " ".join(ended.out.split())
    command = "compare mine --methods supervised self_training --seeds 0 1 2 --folds 4 --output_dir comparison"
    assert command in ended.out


def test_it_tells_what_it_proposes_and_the_front_takes_the_bundle(front, pairs):
    ended = front("new", pairs, "--output-dir", "mine", "--class-names", "none, thin line", "--name", "lines")
    assert ended.status == 0, ended.err
    for text in ("0 none, 1 thin_line", "because: as asked for", "labelled 3", "working grid", "crop", "written: "):
        assert text in ended.out, text
    assert "run mine train --method supervised --output_dir output" in ended.out
    assert "predict mine IMAGES" in ended.out and "monai-supmix compare" not in ended.out
    checked = front("check", "mine")
    assert checked.status == 0, checked.err
    assert "all 5 cases are fit for use" in checked.out, "the labelled ones are in the pool as well, and count once"
    assert front("audit", "mine").status == 0
    assert "lines" in json.loads(Path("mine/configs/metadata.json").read_text(encoding="utf-8"))["task"]
    quick = ["--max_iterations", 1, "--network_def#features", "[4, 4, 4, 4, 4, 4]", "--device", "cpu"]
    assert front("run", "mine", "train", "--method", "supervised", "--output_dir", "out", *quick).status == 0
    tiny = quick[2:]
    assert front("run", "mine", "evaluate", "--output_dir", "out", *tiny).status == 0
    masks = front("predict", "mine", pairs / "images" / "e.png", "--output_dir", "masks", *tiny)
    assert masks.status == 0, masks.err
    assert set(np.unique(Image.open("masks/e_seg.png"))) <= {0, 1}
    assert sorted(path.name for path in Path("masks").iterdir()) == ["e_seg.json", "e_seg.png"]


def test_masks_do_not_say_which_weights_are_used(front, pairs, tmp_path):
    """Those of the last training are, wherever masks go; another run's are named by an option of their own."""
    front("new", pairs, "--output_dir", "mine")
    tiny = ["--network_def#features", "[4, 4, 4, 4, 4, 4]", "--device", "cpu"]
    for run, seed in (("first", 1), ("second", 2)):
        quick = ["--max_iterations", 1, "--seed", seed, *tiny]
        assert front("run", "mine", "train", "--method", "supervised", "--output_dir", run, *quick).status == 0
    used = {}
    for masks, more in {"masks": (), "first": (), "named": ("--run_dir", "first")}.items():
        ended = front("predict", "mine", pairs / "images" / "e.png", "--output_dir", masks, *more, *tiny)
        assert ended.status == 0, ended.err
        used[masks] = json.loads((Path(masks) / "e_seg.json").read_text(encoding="utf-8"))["weights_sha256"]
        assert ("the weights in first are not used: --run_dir first" in ended.out + ended.err) == (masks == "first")
    assert used["masks"] == used["first"] == sha256("second/model.pt")
    assert used["named"] == sha256("first/model.pt")
    for exported, more in {"second": (), "first": ("--run_dir", "first")}.items():
        ended = front("export", "mine", "--output_dir", f"{exported}_ts", "--format", "torchscript", *more, *tiny[:2])
        assert ended.status == 0, ended.err
        record = json.loads(Path(f"{exported}_ts/model.ts.json").read_text(encoding="utf-8"))
        assert record["weights"]["sha256"] == sha256(f"{exported}/model.pt")
    ended = front("predict", "mine", pairs / "images" / "e.png", "--output_dir", "none", "--run_dir", tmp_path, *tiny)
    assert ended.status == 2 and "holds no model.pt, as --run_dir should: give the folder of a training" in ended.err
    ended = front("run", "mine", "evaluate", "--output_dir", "none", *tiny)
    assert ended.status == 2 and not Path("none").exists(), "an evaluation is of the weights in its folder"
    assert "error: none/model.pt: does not exist" in ended.err and "give --output_dir the folder of" in ended.err
    ended = front("run", "mine", "inference", "--dataset_dir", pairs / "images", "--output_dir", "none", *tiny)
    assert ended.status == 2 and "(--run_dir where --output_dir is for masks)" in ended.err


def test_a_bundle_without_a_test_trains_on_all_labels(front, pairs):
    ended = front("new", pairs, "--output_dir", "mine", "--test_list", "none")
    assert ended.status == 0, ended.err
    assert "labelled 4" in ended.out and "evaluate" not in ended.out
    assert "run B evaluate" not in Path("mine/docs/README.md").read_text(encoding="utf-8")
    assert front("check", "mine").status == 0
    refused = front("run", "mine", "evaluate", "--output_dir", "out")
    assert refused.status == 2


def test_masks_have_the_values_of_the_label_files(front, pairs):
    for name, value in (("a", 5), ("b", 5), ("c", 300)):
        label = (value * np.eye(40)).astype(np.uint16)
        Image.fromarray(label).save(pairs / "labels" / f"{name}.png")
    assert front("new", pairs, "--output_dir", "mine", "--labels", "0=none,300=cyst,1=line,5=cut").status == 0
    tiny = ["--network_def#features", "[4, 4, 4, 4, 4, 4]", "--device", "cpu"]
    train = ("run", "mine", "train", "--method", "supervised", "--output_dir", "out", "--max_iterations", 1, *tiny)
    assert front(*train).status == 0
    assert front("run", "mine", "evaluate", "--output_dir", "out", *tiny).status == 0
    maps = ("--probabilities", "true")
    assert front("predict", "mine", pairs / "images" / "e.png", "--output_dir", "masks", *maps, *tiny).status == 0
    mask = np.asarray(Image.open("masks/e_seg.png"))
    cyst = np.asarray(Image.open("masks/e_seg_prob_cyst.png"))
    assert mask.dtype.itemsize >= 2 and set(np.unique(mask)) <= {0, 1, 5, 300}
    assert (mask[cyst > 128] == 300).all()


def bare(data):
    for path in (data / "labels").iterdir():
        path.unlink()


def orphan(data):
    (data / "labels" / "a.png").rename(data / "labels" / "z.png")


def orphan_like_another_patient(data):
    (data / "labels" / "a.png").rename(data / "labels" / "pat99.png")
    (data / "images" / "a.png").rename(data / "images" / "pat07.png")


def one_label(data):
    for name in "bcd":
        (data / "labels" / f"{name}.png").unlink()


def other_size(data):
    Image.fromarray(np.eye(41, dtype=np.uint8)).save(data / "labels" / "b.png")


def far_value(data):
    Image.fromarray(255 * np.eye(40, dtype=np.uint8)).save(data / "labels" / "b.png")
    Image.fromarray(2 * np.eye(40, dtype=np.uint8)).save(data / "labels" / "c.png")


def grey_values(data):
    for name, value in zip("abcd", (128, 255, 128, 255), strict=True):
        Image.fromarray((value * np.eye(40)).astype(np.uint8)).save(data / "labels" / f"{name}.png")


def unknown_value(data):
    (data / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "line": 1}}), encoding="utf-8")
    Image.fromarray(2 * np.eye(40, dtype=np.uint8)).save(data / "labels" / "b.png")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (bare, "labels: holds no label file: label some"),
        (orphan, "1 label file has no image of the same name: z: names must match but for the ending: add the image z"),
        (orphan_like_another_patient, "pat99: names must match but for the ending: add the image pat99, or"),
        (
            one_label,
            "has no test set, and 1 case with labels to draw one from",
        ),
        (other_size, "b.png: has the shape 41 x 41, its image"),
        (far_value, "b.png: is the only label file with the value 255, the others hold 0, 1 and 2: save it again with"),
        (grey_values, "the background first: --labels 0=background,128=NAME,255=NAME"),
        (unknown_value, "b.png: holds label values that are not classes: 2: use 0 to 1"),
    ],
)
def test_mistakes_in_the_data(refused, pairs, damage, says):
    damage(pairs)
    refused("new", pairs, "--output_dir", "mine", says=says)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "the following arguments are required: --output_dir"),
        (["--output_dir", "."], ".: exists: choose another --output_dir"),
        (["--output_dir", "mine", "--class_names", "one"], "give two or more different names"),
        (["--output_dir", "mine", "--class_names", "line,background"], "name the background first"),
        (["--output_dir", "mine", "--labels", "1=line,0=background"], "name the background first"),
        (["--output_dir", "mine", "--intensity", "hu"], "and the images are pictures"),
        (["--output_dir", "mine", "--intensity", "mr"], "--intensity: is 'mr'"),
        (["--output_dir", "mine", "--group_pattern", "("], "is not a regular expression"),
        (
            ["--output_dir", "mine", "--test_list", "none.txt"],
            "test_list: none.txt is neither a text file nor the name",
        ),
        (["--output_dir", "mine", "--max_epochs", "3"], "--max_epochs: is not an option here: leave it out"),
        (
            ["--output_dir", "mine", "--class_nams", "3"],
            "--class_nams: is not an option here: did you mean --class_names?",
        ),
    ],
)
def test_mistakes_on_the_command_line(refused, pairs, options, says):
    refused("new", pairs, *options, says=says)


def test_a_folder_that_is_not_there(refused, tmp_path):
    refused("new", tmp_path / "none", "--output_dir", "mine", says="none: does not exist: give the folder of the data")


def test_folders_may_have_names_that_mean_something_to_monai(front, pairs, tmp_path):
    data = pairs.rename(tmp_path / "my#data $1 @seed %x")
    assert front("new", data, "--output_dir", "run#2").status == 0
    assert front("check", "run#2").status == 0


def test_a_bundle_can_move_and_its_data_too(front, pairs, tmp_path):
    assert front("new", pairs, "--output_dir", "mine").status == 0
    moved = pairs.rename(tmp_path / "moved")
    refused = front("check", "mine")
    assert refused.status == 2 and "give --dataset_dir" in refused.err
    assert DATALIST_NAME in [path.name for path in (tmp_path / "here" / "mine").iterdir()]
    (tmp_path / "here" / "mine").rename(tmp_path / "yours")
    assert front("check", tmp_path / "yours", "--dataset_dir", moved).status == 0
