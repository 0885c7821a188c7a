"""The ids of inference.json that other programs use (MONAI Label, MONAI Deploy) give the masks that predict writes."""

from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ckpt_export
from monai.data import MetaTensor, decollate_batch, load_net_with_metadata
from monai.transforms import Compose, LoadImage, LoadImaged
from PIL import Image

from monai_supmix.phantoms import write_chest_ct_phantom, write_fundus_phantom
from tests.bundles.workflows import BUNDLES, SHIPPED, run
from tests.datalists.acdc_files import write_publishers
from tests.masks import lowest_dice

ENOUGH = 0.999  # predict gives the weights another layout, which rounds differently


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """An image for each bundle, large enough for its network to find something or for its edges to count."""
    folder = tmp_path_factory.mktemp("cases")
    write_fundus_phantom(folder / "eyes", size=(240, 250))
    write_chest_ct_phantom(folder / "ct", num_labeled=1, num_unlabeled=1, num_test=1, size=(128, 112, 8))
    write_publishers(folder / "hearts", (1,), size=(96, 80, 4))
    return {
        "chase_supmix": sorted((folder / "eyes").glob("*.jpg"))[0],
        "covid19_ct_supmix": next((folder / "ct").glob("imagesTs/*.nii.gz")),
        "acdc_supmix": next((folder / "hearts").rglob("patient001_frame01.nii.gz")),
    }


def predicted(bundle, case, output):
    """The mask that predict writes, in MONAI's order of axes."""
    run(bundle, "inference", dataset_dir=str(case), output_dir=str(output), device="cpu")
    path = next(output.glob("*_seg.[np][in]*"))
    mask = np.asarray(Image.open(path)).T if path.suffix == ".png" else np.asarray(nib.load(path).dataobj)
    assert bundle == "acdc_supmix" or len(np.unique(mask)) > 1, (
        "a mask of nothing shows little"
    )  # a phantom is no heart
    return mask


def parsed(bundle, **override):
    parser = ConfigParser()
    parser.read_config(str(BUNDLES / bundle / "configs" / "inference.json"))
    parser.read_meta(str(BUNDLES / bundle / "configs" / "metadata.json"))
    parser.update({"bundle_root": str(BUNDLES / bundle), "device": "cpu", **override})
    return parser


@pytest.mark.parametrize("bundle", SHIPPED)
def test_the_standard_parts_give_predicts_mask(bundle, cases, tmp_path):
    expected = predicted(bundle, cases[bundle], tmp_path)
    parser = parsed(bundle, dataset_dir=str(cases[bundle]), output_dir=str(tmp_path / "none"))
    parts = {name: parser.get_parsed_content(name) for name in ("trained", "dataloader", "inferer", "postprocessing")}
    network = parser.get_parsed_content("network_def")
    (batch,) = parts["dataloader"]
    batch["pred"] = parts["inferer"](inputs=batch["image"], network=network)
    (item,) = decollate_batch(batch)
    labels = parts["postprocessing"](item)["pred"]
    assert lowest_dice(labels.numpy(), expected) >= ENOUGH


def test_a_deployed_torchscript_gives_predicts_mask(cases, tmp_path, monkeypatch):
    """As the inference operator of MONAI Deploy calls it: without LoadImaged, values and affine from elsewhere."""
    bundle, case = "covid19_ct_supmix", cases["covid19_ct_supmix"]
    expected = predicted(bundle, case, tmp_path)
    parser = parsed(bundle, output_dir=str(tmp_path / "none"))
    ckpt_export(
        "network_def", str(tmp_path / "model.ts"), ckpt_file=str(BUNDLES / bundle / "models" / "model.pt"),
        meta_file=str(BUNDLES / bundle / "configs" / "metadata.json"),
        config_file=str(BUNDLES / bundle / "configs" / "inference.json"), bundle_root=str(BUNDLES / bundle),
    )  # fmt: skip
    network = load_net_with_metadata(str(tmp_path / "model.ts"))[0]
    inferer = parser.get_parsed_content("inferer")
    before, after = (parser.get_parsed_content(name) for name in ("preprocessing", "postprocessing"))
    before = Compose([step for step in before.transforms if not isinstance(step, LoadImaged)])
    array, meta = LoadImage(image_only=False)(case)
    value = MetaTensor.ensure_torch_and_prune_meta(
        array.array, {"affine": meta["affine"], "original_channel_dim": "no_channel"}
    )
    inputs = before({"image": value})
    with torch.no_grad():
        outputs = inferer(inputs=inputs["image"][None], network=SimpleNamespace(predictor=network))  # Deploy's Model
    labels = after({"pred": next(iter(outputs)), **inputs})["pred"]
    assert labels.shape == (1, *expected.shape)  # the operator takes the channel away
    assert lowest_dice(labels[0].numpy(), expected) >= ENOUGH


@pytest.mark.slow
@pytest.mark.parametrize("bundle", SHIPPED)
def test_monai_labels_infer_task_gives_predicts_mask(bundle, cases, tmp_path, monkeypatch):
    pytest.importorskip("monailabel", reason="monailabel is not installed (an environment of its own, see README)")
    from monailabel.tasks.infer.bundle import BundleInferTask  # noqa: PLC0415

    expected = predicted(bundle, cases[bundle], tmp_path)
    monkeypatch.chdir(tmp_path / "..")
    task = BundleInferTask(str(BUNDLES / bundle), {})
    assert task.is_valid()
    request = {"image": str(cases[bundle]), "device": "cpu", "model": bundle}
    if bundle == "chase_supmix":
        request["result_extension"] = ".png"  # by default that of the image, and JPEG alters labels
    label, _ = task(request)
    written = np.asarray(Image.open(label)).T if label.endswith(".png") else np.asarray(nib.load(label).dataobj)
    assert lowest_dice(written, expected) >= ENOUGH
    if not label.endswith(".png"):
        assert np.allclose(nib.load(label).affine, nib.load(cases[bundle]).affine, atol=1e-4)
