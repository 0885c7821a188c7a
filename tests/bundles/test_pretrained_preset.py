"""`presets/pretrained.json`: packaged ImageNet weights when a training begins, none asked for afterwards."""

import importlib.util

import pytest
import torch
from monai.bundle import ConfigParser

from monai_supmix.networks import PACKAGED
from tests.bundles.workflows import SHIPPED, config_files, workflow

LITE0 = PACKAGED["lite0"]
needs_package = pytest.mark.skipif(
    importlib.util.find_spec(LITE0.package) is None, reason=f"{LITE0.package} is not installed (extra pretrained)"
)


def network_of(bundle, kind, **changes):
    config = ConfigParser()
    config.read_config(config_files(bundle, kind, preset="pretrained"))
    config.update({"device": "cpu", **changes})
    return config.get_parsed_content("network_def"), config


@needs_package
@pytest.mark.parametrize("bundle", SHIPPED)
def test_a_training_begins_with_imagenets_weights_and_a_faster_decoder(bundle):
    network, config = network_of(bundle, "train")
    stored = torch.load(LITE0.file(), weights_only=True)
    assert torch.equal(network.encoder.model.blocks[0][0].conv_dw.weight, stored["_blocks.0._depthwise_conv.weight"])
    encoder, rest = config.get_parsed_content("optimizer").param_groups
    assert rest["lr"] == 4 * encoder["lr"]
    assert network_of(bundle, "train", pretrained=None)[0].input_std.flatten()[0] == 1  # the switch turns it off


@pytest.mark.parametrize("kind", ["evaluate", "inference"])
@pytest.mark.parametrize("bundle", SHIPPED)
def test_what_follows_needs_no_package(bundle, kind, monkeypatch):
    monkeypatch.setattr("monai_supmix.networks.pretrained.importlib.util.find_spec", lambda name: None)
    assert network_of(bundle, kind)[0].encoder.model.conv_stem.weight.isfinite().all()


@needs_package
def test_the_preset_trains_every_kind_of_step(phantoms, tmp_path):
    bundle = "covid19_ct_supmix"
    flow = workflow(
        bundle, "train", preset="pretrained", dataset_dir=str(phantoms[bundle]), output_dir=str(tmp_path),
        num_labeled=2, max_iterations=1, burn_in=0.0, crop_size=[64, 64], working={"size": [64, 64]},
        discriminator_widths=[4, 4], device="cpu", amp=False,
    )  # fmt: skip
    flow.initialize()
    flow.run()
    assert (tmp_path / "model.pt").exists()
