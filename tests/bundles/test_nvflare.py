"""NVFLARE's simulator trains a bundle at two sites, by scripts/federated."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from monai_supmix.networks import CompactUNet
from monai_supmix.phantoms import write_chest_ct_phantom
from tests.bundles.workflows import TINY, run

BUNDLE = "covid19_ct_supmix"
ROOT = Path(__file__).parents[2]
WORKING = {"size": [64, 64]}
QUICK = {**TINY, "crop_size": [64, 64], "working": WORKING, "num_workers": 0, "num_labeled": 1, "num_monitored": 0}


@pytest.mark.slow
def test_two_sites_train_one_network_in_three_rounds(tmp_path):
    pytest.importorskip("nvflare", reason="NVFLARE is not installed: pip install 'monai-supmix[federated]'")
    sites = [tmp_path / "site A", tmp_path / "site B"]
    for seed, site in enumerate(sites):
        write_chest_ct_phantom(
            site, num_labeled=2, num_unlabeled=2, num_test=1, size=(64, 64, 6), slice_spacing=20.0, seed=seed
        )
    torch.manual_seed(0)
    start = CompactUNet(in_channels=1, num_classes=4, features=TINY["network_def#features"], patch_size=2).state_dict()
    torch.save(start, tmp_path / "start.pt")
    settings = [f"{key}={value}" for key, value in QUICK.items()]
    subprocess.run(
        [
            sys.executable, ROOT / "scripts" / "federated" / "job.py", BUNDLE, "--data", *sites, "--rounds", "3",
            "--num_val_patients", "1", "--ckpt_path", tmp_path / "start.pt", "--output_dir", tmp_path / "out",
            "--set", *settings,
        ],
        check=True, timeout=900, env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    home = tmp_path / "out" / BUNDLE
    said = [
        re.findall(r"round (\d): mean_iou .*: (.*)", (home / name / "log.txt").read_text(encoding="utf-8"))
        for name in ("site-1", "site-2")
    ]
    for rounds in said:
        assert [number for number, _ in rounds] == ["0", "1", "2"]
        assert all(0 <= float(figure) <= 1 for _, figure in rounds)
    assert said[0] != said[1], "each site has data of its own"

    weights = home / "server" / "simulate_job" / "app_server" / "FL_global_model.pt"
    trained = torch.load(weights, weights_only=True)["model"]
    assert trained.keys() == start.keys()
    assert all(not torch.equal(trained[name], tensor) for name, tensor in start.items() if tensor.ndim == 4), (
        "weights move"
    )
    steps = {int(tensor) for name, tensor in trained.items() if name.endswith("num_batches_tracked")}
    assert max(steps) >= 3, "both have trained in every round"
    case = next(sites[0].glob("imagesTs/*.nii.gz"))
    flow = run(
        BUNDLE, "inference", dataset_dir=str(case), output_dir=str(tmp_path / "masks"), ckpt_path=str(weights),
        device="cpu", working=WORKING, **{"network_def#features": TINY["network_def#features"]},
    )  # fmt: skip
    network = flow.parser.get_parsed_content("trained").network
    assert all(torch.equal(tensor, trained[name]) for name, tensor in network.state_dict().items())
    assert np.any([path.name.endswith("_seg.nii.gz") for path in (tmp_path / "masks").iterdir()])
