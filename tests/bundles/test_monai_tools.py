"""What MONAI's own tools find in the shipped bundles and their archives, called as its model zoo calls them."""

import shutil

import pytest
import torch
from monai.bundle import ConfigWorkflow, ckpt_export, load, verify_net_in_out

from monai_supmix.export import write_archive
from monai_supmix.weights import load_weights
from tests.bundles.workflows import BUNDLES, NAMES, SHIPPED, run, workflow


def parts(bundle, home=BUNDLES):
    """The arguments that MONAI's tools share."""
    configs = home / bundle / "configs"
    return {
        "net_id": "network_def",
        "meta_file": str(configs / "metadata.json"),
        "config_file": str(configs / "inference.json"),
    }


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("bundle", SHIPPED)
def test_the_network_takes_and_gives_what_the_metadata_say(bundle, n):
    verify_net_in_out(**parts(bundle), device="cpu", n=n)
    with pytest.raises(ValueError, match="channel number"):
        verify_net_in_out(**parts(bundle), device="cpu", num_classes=7)


@pytest.fixture
def offline(monkeypatch):
    """MONAI's download fails the test."""
    monkeypatch.setattr("monai.bundle.scripts.download", lambda **_: pytest.fail("a download"))


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(("kind", "source"), [("train", "monaihosting"), ("inference", None), ("inference", "github")])
@pytest.mark.parametrize("bundle", SHIPPED)
def test_monai_loads_a_bundle_with_its_weights(bundle, kind, source, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # MONAI gives no bundle_root
    # Without the bundle's own loading, which would hide that MONAI's copies nothing.
    monkeypatch.setattr("monai_supmix.bundle.trained.load_into", lambda *_: None)
    told = {} if source is None else {"source": source}
    network = load(bundle, bundle_dir=str(BUNDLES), workflow_type=kind, device="cpu", **told)
    state = load_weights(BUNDLES / bundle / "models" / "model.pt")[0]
    assert state.keys() == network.state_dict().keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("kind", ["train", "evaluate", "inference"])
@pytest.mark.parametrize("bundle", SHIPPED)
def test_initialize_reads_neither_data_nor_weights(bundle, kind, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    flow = workflow(bundle, kind, dataset_dir="nowhere", ckpt_path="no_weights.pt", device="cpu")
    flow.initialize()
    assert not {"found", "datalist", "network", "trained"} & flow.parser.ref_resolver.resolved_content.keys()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bundle", NAMES)
def test_an_archive_unpacked_elsewhere_is_the_bundle(bundle, phantoms, tmp_path, monkeypatch):
    (tmp_path / "zip").mkdir()
    archive = tmp_path / "zip" / f"{bundle}_v0.1.0.zip"
    write_archive(archive, BUNDLES / bundle, BUNDLES / bundle / "models" / "model.pt")
    home = tmp_path / "elsewhere"
    shutil.unpack_archive(archive, home)
    shutil.rmtree(tmp_path / "zip")
    monkeypatch.chdir(home / bundle)
    verify_net_in_out(**parts(bundle, home), device="cpu")
    ckpt_export(config_file="configs/inference.json")  # everything else as MONAI expects to find it
    assert torch.jit.load("models/model.ts")
    case = sorted([*phantoms[bundle].glob("*.jpg"), *phantoms[bundle].glob("imagesTs/*.nii.gz")])[0]
    there = ConfigWorkflow(
        config_file="configs/inference.json",
        meta_file="configs/metadata.json",
        logging_file=False,
        workflow_type="infer",
        dataset_dir=str(case),
        output_dir=str(tmp_path / "there"),
        device="cpu",
    )
    there.initialize()
    there.run()
    run(bundle, "inference", dataset_dir=str(case), output_dir=str(tmp_path / "here"), device="cpu")
    masks = [next((tmp_path / place).glob("*_seg.[np][in]*")) for place in ("there", "here")]
    assert masks[0].read_bytes() == masks[1].read_bytes()
