"""The preset for rare classes: what it changes, and that a class is learnt with it that otherwise is not."""

import json

import pytest
import torch

from monai_supmix.phantoms import write_chest_ct_phantom
from tests.bundles.workflows import NAMES, run, workflow

BUNDLE = "covid19_ct_supmix"
SMALL = {"size": (64, 64, 8), "slice_spacing": 16.0}


@pytest.fixture(scope="module")
def rare(tmp_path_factory):
    """Ten labelled volumes, of which one shows an effusion: 0.1 % of the labelled voxels."""
    folder = tmp_path_factory.mktemp("rare")
    return write_chest_ct_phantom(folder, num_labeled=10, rare_fraction=0.01, rare_cases=1, **SMALL)


@pytest.mark.parametrize("bundle", NAMES)
def test_the_preset_changes_which_labelled_planes_are_drawn_and_pasted(bundle, phantoms, tmp_path):
    make = {"device": "cpu", "dataset_dir": str(phantoms[bundle]), "output_dir": str(tmp_path), "num_labeled": 2}
    part = workflow(bundle, "train", preset="rare_classes", **make).parser.get_parsed_content
    groups = part("train#dataloader").labeled.dataset.items
    assert [group["case"] for group in groups] == ["all", *(f"class {c}" for c in range(1, part("num_classes")))]
    assert part("unlabeled_dataset") is part("train#dataloader").unlabeled.dataset.items
    labels = torch.cat([item["label"].flatten() for item in part("train#dataset")])
    shares = part("mixing")._weights * torch.bincount(labels)[1:].numpy()
    assert shares == pytest.approx(shares[0])


@pytest.mark.slow
def test_a_class_of_a_thousandth_of_the_voxels_is_learnt_with_the_preset_alone(rare, tmp_path):
    iou = {}
    for preset in (None, "rare_classes"):
        folder = str(tmp_path / str(preset))
        run(
            BUNDLE, "train", "supmix", preset, dataset_dir=str(rare), output_dir=folder, num_labeled=10,
            max_iterations=600, burn_in=0.0, working={"size": [64, 64]}, crop_size=[64, 64], save_interval=1000,
            device="cpu", amp=False, num_workers=0, tensorboard=False,
        )  # fmt: skip
        run(BUNDLE, "evaluate", dataset_dir=str(rare), output_dir=folder, device="cpu", amp=False)
        classes = json.loads((tmp_path / str(preset) / "metrics.json").read_text(encoding="utf-8"))["classes"]
        iou[preset] = {name: measures["iou"] for name, measures in classes.items()}
    assert iou[None]["pleural_effusion"] < 0.02  # 0.00 and 0.38 where this was written
    assert iou["rare_classes"]["pleural_effusion"] > 0.1
    for name in ("ground_glass", "consolidation"):  # at no one else's cost
        assert iou["rare_classes"][name] > iou[None][name] - 0.05
