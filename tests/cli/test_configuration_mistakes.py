"""What can be wrong on the command line and with weights: told in one line, before anything is written."""

import errno
import json
import sys

import pytest
import torch

from monai_supmix.__main__ import main
from monai_supmix.files import writing_error
from monai_supmix.handlers.preemption import Preempted
from tests.cli.conftest import make_weights

MISTAKES = [
    ("run chase_supmx train", "chase_supmx: is not a bundle: did you mean chase_supmix?"),
    ("run nothing train", "nothing: is not a bundle: give the folder of a bundle, or one of chase_supmix"),
    ("run no/where train", "no/where: does not exist: give the folder of a bundle, or one of chase_supmix"),
    ("run . train", "is a folder without configs/metadata.json"),
    ("run chase_supmix trian", "trian: is not a configuration: did you mean train?"),
    ("run chase_supmix metadata", "metadata: is not a configuration"),
    ("run chase_supmix train --method unimach", "unimach: is not a method: did you mean unimatch?"),
    (
        "run chase_supmix train --method best",
        "classmix, cutout, fixmatch, mixup, random_erasing, self_training, sufd, supervised, supmix, ",
    ),
    ("run chase_supmix train --preset papr", "papr: is not a preset: did you mean paper?"),
    (
        "run chase_supmix train --ouput_dir x",
        "--ouput_dir: is not a key of train.json: did you mean output_dir?",
    ),
    (
        "run chase_supmix train --output-dri x",
        "--output_dri: is not a key of train.json: did you mean output_dir?",
    ),
    (
        "run chase_supmix evaluate --run_dir x",
        "--run_dir: is not a key of evaluate.json: give --ckpt_path the weights of that training, or --output_dir its",
    ),
    ("predict chase_supmix a.png --ouput_dir x", "--ouput_dir: is not an option here: did you mean --output_dir?"),
    ("suggest chase_supmix --counts 3 --output_dir x", "--counts: is not an option here: did you mean --count?"),
    ("compare chase_supmix --method supmix --output_dir x", "the following arguments are required: --methods"),
    ("run chase_supmix train --qqq", "--qqq: is not a key of train.json: look up the keys in that file"),
    ("run chase_supmix train --optimzer#lr 0.1", "did you mean optimizer#lr?"),
    ("run chase_supmix train --optimizer#lr#x 0.1", "is not a key of train.json"),
    ("run chase_supmix train --optimizer#lrr 0.1", "--optimizer#lrr: AdamW has no such argument: did you mean lr?"),
    (
        "run chase_supmix inference --inferer#flipz [1]",
        "--inferer#flipz: SliceVolumeInferer has no such argument: did you",
    ),
    (
        "predict chase_supmix a.png --output_dir out --device mps:9",
        "--device: is 'mps:9', and this machine has none: le",
    ),
    ("run chase_supmix train --device xpu:9", "--device: is 'xpu:9', and this machine has none: leave it out"),
    ("run chase_supmix train --intensity_settings#pictur 1", "did you mean intensity_settings#picture?"),
    ("run chase_supmix train --train#dateset 1", "did you mean train#dataset?"),
    (
        "run chase_supmix train --method unimatch --sed 1",
        "is not a key of train.json, unimatch.json: did you mean seed?",
    ),
    (
        "run chase_supmix evaluate --preset rare_classes",
        "--preset: is rare_classes, which sets nothing that evaluate.json has: leave it out",
    ),
    ("run chase_supmix evaluate --max_epochs 3", "--max_epochs: is not a key of evaluate.json"),
    ("train chase_supmix", "command line: 'train' is no command: write run BUNDLE train"),
    (
        "run chase_supmix evaluate --test_list F",
        "--test_list: is not a key of evaluate.json: write a datalist",
    ),
    ("run chase_supmix train --seed 1 --seed 2", "--seed: is given twice: give it once"),
    ("run chase_supmix train --preset paper --preset pretrained", "--preset: is given twice: give it once"),
    ("run chase_supmix train --method supmix --method=supervised", "--method: is given twice: give it once"),
    (
        "run chase_supmix train --num_labeled two",
        "--num_labeled: is 'two': give a whole number of at least 1 or null",
    ),
    (
        "run chase_supmix train --num_labeled 0",
        "--num_labeled: is 0: give a whole number of at least 1 or null",
    ),
    ("run chase_supmix train --max_epochs -3", "--max_epochs: is -3: give a whole number of at least 1"),
    ("run chase_supmix train --max_epochs 2.5", "--max_epochs: is 2.5: give a whole number of at least 1"),
    ("run chase_supmix train --max_epochs null", "--max_epochs: is None: give a whole number of at least 1"),
    ("run chase_supmix train --sufd_weight -1", "--sufd_weight: is -1: give a number of at least 0"),
    ("run chase_supmix train --seed abc", "--seed: is 'abc': give a whole number of at least 0"),
    ("run chase_supmix train --seed true", "--seed: is True: give a whole number of at least 0"),
    ("run chase_supmix train --seed", "--seed: is True: give a whole number of at least 0"),
    ("run chase_supmix train --resume yes", "--resume: is 'yes': give false or 'auto' or 'force'"),
    (
        "run chase_supmix train --amp fp32",
        "--amp: is 'fp32': give 'auto' or true or false or 'bf16' or 'fp16'",
    ),
    (
        "run chase_supmix train --dataset_dir split.json --observer second",
        "--observer: has no effect on split.json, a datalist that says it itself: leave it out",
    ),
    (
        "run covid19_ct_supmix evaluate --form nnunet --dataset_dir a.json",
        "--form: has no effect on a.json, a datalist",
    ),
    ("run chase_supmix train --device gpu", "--device: is 'gpu': give cpu, cuda, cuda:0, mps or xpu"),
    ("run chase_supmix train --output_dir", "--output_dir: is True: give a path"),
    ("run chase_supmix train --crop_size 256", "--crop_size: is 256: give a list such as ["),
    ("run chase_supmix train --mixing SupMix", "--mixing: is 'SupMix': give a dictionary, or null"),
    ("run chase_supmix train --sufd_weight high", "--sufd_weight: is 'high': give a number of at least 0"),
    ("run chase_supmix train --optimizer#lr high", "--optimizer#lr: is 'high': give a number such as"),
    ("run chase_supmix inference --on_error ignore", "--on_error: is 'ignore': give 'raise' or 'skip'"),
    ("run chase_supmix inference --readers 0", "--readers: is 0: give a whole number of at least 1"),
    (
        "run chase_supmix train --method self_training --self_training#networks [1,2]",
        "--self_training#networks: is [1, 2]: give a number of networks, or a list with the entries of each, such as "
        "[{}, {'labeled_mixing#prob': 0.0}]",
    ),
    ("run chase_supmix inference --shard 0/4", "--shard: is '0/4': give i/n with i from 1 to n, such as 2/8, or null"),
    ("predict chase_supmix *.png --output_dir out --shard 4/3", "--shard: is '4/3': give i/n with i from 1 to n, such"),
    ("run chase_supmix inference --overwrite maybe", "--overwrite: is 'maybe': give true or false"),
    (
        "run chase_supmix train --dataset_dir nowhere --output_dir out",
        "nowhere: does not exist: give --dataset_dir",
    ),
    (
        "run chase_supmix train --dataset_dir nowhere --output_dir out --tracking mlflow",
        "nowhere: does not exist: give --dataset_dir",
    ),
    ("run chase_supmix train --tracking tensorboard", "--tracking: is 'tensorboard', which is not a file: give mlflow"),
    ("run chase_supmix train --tracking", "command line: argument --tracking: expected one argument: see"),
    ("check chase_supmix --tracking mlflow", "--tracking: is not a key of train.json: did you mean tracking_uri?"),
    ("run chase_supmix train --tensorboard maybe", "--tensorboard: is 'maybe': give true or false"),
    ("check chase_supmix --dataset_dir nowhere", "nowhere: does not exist: give --dataset_dir"),
    ("check --bundle chase_supmix --dataset_dir nowhere", "nowhere: does not exist: give --dataset_dir"),
    (
        "run chase_supmix evaluate --dataset_dir nowhere --output_dir out",
        "nowhere: does not exist: give --dataset_dir",
    ),
    ("predict chase_supmix *.png --output_dir out --ckpt_path no.pt", "no.pt: no weights file has this path"),
    ("predict chase_supmix no.png --output_dir out --ckpt_path no.pt", "no.png: does not exist: check the path"),
    ("predict chase_supmix *.png no.png --output_dir out --ckpt_path no.pt", "no.png: does not exist: check the path"),
    ("predict chase_supmix nowhere.png", "command line: the following arguments are required: --output_dir"),
    ("install out chase_supmix", "out: no weights file has this path: give the path of a model.pt"),
    ("install out", "command line: the following arguments are required: bundle"),
    ("audit chase_supmix --seed 1", "--seed: is not an option here: leave it out"),
    ("check", "command line: names no bundle: give its folder or name"),
    (
        "",
        "command line: names no command: use run, compare, check, predict, suggest, collect, new, export, install or",
    ),
    ("trian chase_supmix", "command line: argument"),
    ("run chase_supmix train -o out", "--o: is not a key of train.json"),
]


@pytest.mark.parametrize(("line", "says"), MISTAKES)
def test_mistakes_on_the_command_line(line, says, refused):
    refused(*line.split(), says=says)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_device_that_is_not_there(refused):
    refused(
        "run",
        "chase_supmix",
        "train",
        "--device",
        "cuda:0",
        says="--device: is 'cuda:0', and this machine has no",
    )


def test_a_configuration_file_that_is_no_json(refused, tmp_path):
    (tmp_path / "mine.json").write_text("{", encoding="utf-8")
    refused("run", "chase_supmix", "train", tmp_path / "mine.json", says="mine.json: is not JSON")


def test_weights_of_another_network_or_another_number_of_classes(chest, refused, tmp_path):
    predict = (
        "predict",
        "covid19_ct_supmix",
        chest / "imagesTr",
        "--output_dir",
        tmp_path / "masks",
        "--ckpt_path",
    )
    other = make_weights(tmp_path / "other.pt", network=torch.nn.Conv2d(1, 4, 3))
    refused(*predict, other, says=f"{other}: holds the weights of another network")
    classes = make_weights(tmp_path / "classes.pt", num_classes=3)
    refused(*predict, classes, says=f"{classes}: was trained with 3 classes, this network has 4")
    colour = make_weights(tmp_path / "colour.pt", in_channels=3)
    refused(*predict, colour, says=f"{colour}: was trained on images of 3 channels, this network takes 1")


def test_weights_that_are_damaged_or_no_weights(chest, refused, weights, tmp_path):
    predict = (
        "predict",
        "covid19_ct_supmix",
        chest / "imagesTr",
        "--output_dir",
        tmp_path / "masks",
        "--ckpt_path",
    )
    damaged = tmp_path / "damaged.pt"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    refused(*predict, damaged, says=f"{damaged}: is damaged")
    (tmp_path / "text.pt").write_text("no weights", encoding="utf-8")
    refused(*predict, tmp_path / "text.pt", says="text.pt: is ")


def test_an_output_folder_that_is_a_file(chest, refused, weights, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    predict = ("predict", "covid19_ct_supmix", chest / "imagesTr", "--output_dir", tmp_path / "file")
    refused(*predict, "--ckpt_path", weights, says="is a file, not a folder")


def test_several_problems_are_all_in_the_table(chest, refused):
    names = ["chest_004_0000.nii.gz", "chest_005_0000.nii.gz", "chest_006_0000.nii.gz"]
    for name in names:
        for path in chest.rglob(name):
            path.write_bytes(b"")
    ended = refused(
        "check", "covid19_ct_supmix", "--num_labeled", 2, "--dataset_dir", chest, says="first of 3 problems"
    )
    assert "what to do" in ended.out
    assert all(ended.out.count(name) == 1 for name in names)


def test_a_sound_data_set_is_summed_up(fundus, front):
    ended = front("check", "chase_supmix", "train", "--dataset_dir", fundus)
    assert ended.status == 0 and ended.err == ""
    assert "labelled 2 (2 patients)" in ended.out
    assert ended.out.endswith("all 28 cases are fit for use\n")


def test_overrides_presets_and_names_reach_the_data(fundus, front):
    ended = front("check", "chase_supmix", "train", "--preset", "paper", "--dataset_dir", fundus, "--num-labeled=5")
    assert "labelled 5 (5 patients)" in ended.out
    ended = front("check", "--bundle", "chase_supmix", "--dataset_dir", fundus, "--labeled_list", "[Image_03L]")
    assert "labelled 1 (1 patient): Image_03L" in ended.out


def test_weights_are_installed_into_a_bundle(front, tmp_path):
    bundle = tmp_path / "bundle"
    (bundle / "configs").mkdir(parents=True)
    classes = {"0": "background", "1": "ground_glass", "2": "consolidation", "3": "pleural_effusion"}
    metadata = {"network_data_format": {"outputs": {"pred": {"channel_def": classes}}}}
    (bundle / "configs" / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    (tmp_path / "run").mkdir()
    make_weights(tmp_path / "run" / "model.pt")
    ended = front("install", tmp_path / "run", bundle)
    assert ended.status == 0 and "models/model.safetensors" in ended.out
    assert (bundle / "models" / "model.pt").read_bytes() == (tmp_path / "run" / "model.pt").read_bytes()


@pytest.mark.parametrize(
    ("raised", "status"),
    [(KeyboardInterrupt(), 130), (Preempted(), 75), (SystemExit(1), 1), (SystemExit(), 0)],
)
def test_signals_and_skipped_cases_have_their_own_status(raised, status, monkeypatch, capsys):
    def leave(_self):
        raise raised

    monkeypatch.setattr("monai_supmix.cli.workflow.Configured.run", leave)
    assert main(["run", "chase_supmix", "train"]) == status
    assert ("interrupted: no checkpoint is written" in capsys.readouterr().err) == (status == 130)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_is_told_what_takes_so_long(terminal, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setattr("monai_supmix.cli.workflow.Configured.run", lambda _self: None)
    assert main(["run", "chase_supmix", "train"]) == 0
    assert capsys.readouterr().err == "loading PyTorch and MONAI ...\n" * terminal


@pytest.mark.parametrize(
    ("command", "place"),
    [(("install", "out", "chase_supmix"), "weights.install_weights"), (("collect", "."), "inferers.collect")],
)
def test_commands_without_output_dir_do_not_advise_another_one(command, place, monkeypatch, refused):
    def fail(*_arguments):
        raise writing_error("models", OSError(errno.EROFS, "Read-only file system"))

    monkeypatch.setattr(f"monai_supmix.{place}", fail)
    ended = refused(*command, says="the folder is read-only")
    assert ended.err.endswith(": make it writable\n")


def test_a_bug_is_not_called_a_mistake_of_the_user(monkeypatch):
    def fail(_self):
        raise ZeroDivisionError

    monkeypatch.setattr("monai_supmix.cli.workflow.Configured.run", fail)
    with pytest.raises(ZeroDivisionError):
        main(["run", "chase_supmix", "train"])


@pytest.mark.parametrize("command", ["", "run", "check", "predict", "install", "audit"])
def test_help_is_given(command, front):
    ended = front(*command.split(), "--help")
    assert ended.status == 0 and "usage: python -m monai_supmix" in ended.out


def test_a_method_without_a_name_would_be_called_by_that_of_another(refused, tmp_path):
    (tmp_path / "mine.json").write_text('{"mixing": null}', encoding="utf-8")
    says = 'mine.json: does not say what its method is called: add "method": "NAME" to it'
    refused("run", "chase_supmix", "train", "--method", tmp_path / "mine.json", says=says)
