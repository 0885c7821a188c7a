"""Several weights in the bundles: their mean predicts, results name all of them, and who takes one says so."""

import json
import shutil

import numpy as np
import pytest
import torch

from monai_supmix.__main__ import main
from monai_supmix.bundle import error_line, load_trained, start_from
from monai_supmix.errors import InputError
from monai_supmix.files import sha256
from monai_supmix.imageio.reading import read_image
from monai_supmix.networks import CompactUNet
from monai_supmix.weights import load_weights, save_weights
from tests.bundles.workflows import BUNDLES, run

BUNDLE = "covid19_ct_supmix"
WHERE = {"device": "cpu", "amp": False}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The shipped weights, and others near them."""
    state, record = load_weights(BUNDLES / BUNDLE / "models" / "model.pt")
    files = []
    for seed in range(3):
        torch.manual_seed(seed)
        other = {
            name: t + 0.1 * seed * t.std() * torch.randn_like(t) if t.ndim == 4 else t for name, t in state.items()
        }
        files.append(tmp_path_factory.mktemp(f"seed_{seed}") / "model.pt")
        save_weights(files[-1], other, record)
    return files


@pytest.fixture(scope="module")
def case(phantoms):
    return sorted((phantoms[BUNDLE] / "imagesTs").glob("*.nii.gz"))[0]


def predict(case, out, ckpt_path, **override):
    """Probabilities of the foreground classes, and the record."""
    run(BUNDLE, "inference", dataset_dir=str(case), output_dir=str(out), ckpt_path=ckpt_path, probabilities=True,
        **WHERE, **override)  # fmt: skip
    maps = [read_image(path).array for path in sorted(out.glob("*_seg_prob_*.nii.gz"))]
    return np.stack(maps).astype(int), json.loads(next(out.glob("*_seg.json")).read_text(encoding="utf-8"))


def test_the_mean_of_the_networks_predicts_in_any_order(weights, case, tmp_path):
    single = [predict(case, tmp_path / str(k), str(file))[0] for k, file in enumerate(weights)]
    together, record = predict(case, tmp_path / "all", [str(file) for file in weights])
    assert np.abs(together - np.mean(single, axis=0)).max() <= 1, "in units of 1/255"
    assert np.abs(single[0] - single[2]).max() > 20
    assert record["weights_sha256"] == sorted(sha256(file) for file in weights)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "all").glob("*.nii.gz")}
    predict(case, tmp_path / "all", [str(file) for file in reversed(weights)])
    assert before == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "all").glob("*.nii.gz")}
    for others in ([str(file) for file in weights[:2]], str(weights[0])):
        with pytest.raises(RuntimeError) as raised:
            predict(case, tmp_path / "all", others)
        assert "exists, made differently (weights_sha256)" in str(error_line(raised.value))


def test_an_evaluation_names_all_of_them(weights, phantoms, tmp_path):
    files = [str(file) for file in weights[:2]]
    run(BUNDLE, "evaluate", dataset_dir=str(phantoms[BUNDLE]), output_dir=str(tmp_path), ckpt_path=files, **WHERE)
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert sorted(metrics["checkpoint"]) == sorted(files)
    assert metrics["checkpoint_sha256"] == [sha256(file) for file in metrics["checkpoint"]]
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(f"seed_{seed}" in report and sha256(weights[seed]) in report for seed in (0, 1))


def test_who_takes_one_network_says_so(weights, tmp_path, capsys):
    several = "[" + ",".join(map(str, weights)) + "]"
    told = main(["export", BUNDLE, "--ckpt_path", several, "--output_dir", str(tmp_path / "out")])
    assert told == 2 and "is one of 3 networks that predict together" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="ckpt_path: names several weights: give one file"):
        start_from([str(file) for file in weights], CompactUNet(in_channels=1, num_classes=4))
    assert main(["predict", BUNDLE, "*.nii.gz", "--output_dir", str(tmp_path / "out"), "--ckpt_path", "[1,2]"]) == 2
    assert "1: no weights file has this path" in capsys.readouterr().err


def test_a_copy_of_weights_of_another_program_is_no_second_network(tmp_path):
    network = CompactUNet(2, 1, 4, (4, 4, 4, 4, 4, 4))
    paths = [tmp_path / name for name in ("a.pt", "copy_of_a.pt")]
    torch.save(network.state_dict(), paths[0])
    shutil.copy(*paths)
    with pytest.raises(InputError, match="holds the same weights as"):
        load_trained(network, None, BUNDLES / BUNDLE, paths, num_classes=4)
