"""Pretrained encoders from packages: the right tensors in the right places, and plain words where they are missing."""

import importlib.util

import pytest
import torch

from monai_supmix.errors import InputError
from monai_supmix.networks import PACKAGED, EncoderDecoder, PackagedWeights, parameter_groups

LITE0 = PACKAGED["lite0"]
needs_package = pytest.mark.skipif(
    importlib.util.find_spec(LITE0.package) is None, reason=f"{LITE0.package} is not installed (extra pretrained)"
)


def build(in_channels=1, encoder_weights="lite0", encoder_name=LITE0.encoder_name):
    return EncoderDecoder(
        "Unet", encoder_name, in_channels=in_channels, num_classes=4, encoder_weights=encoder_weights,
        decoder_channels=(128, 64, 32, 16, 16),
    )  # fmt: skip


@needs_package
def test_named_tensors_are_those_of_the_file():
    stored = torch.load(LITE0.file(), weights_only=True)
    state = build(in_channels=3).encoder.state_dict()
    for ours, theirs in {
        "model.conv_stem.weight": "_conv_stem.weight",
        "model.bn1.running_var": "_bn0.running_var",
        "model.blocks.0.0.conv_dw.weight": "_blocks.0._depthwise_conv.weight",
        "model.blocks.6.0.conv_pwl.weight": "_blocks.15._project_conv.weight",
        "model.blocks.6.0.bn3.bias": "_blocks.15._bn2.bias",
    }.items():
        assert torch.equal(state[ours], stored[theirs]), ours


@needs_package
def test_a_grey_image_gets_the_response_of_its_colours_and_one_step_trains():
    grey, colour = build(1).eval(), build(3).eval()
    image = torch.rand(2, 1, 64, 64)
    normed = (image - 0.5) / 0.5
    with torch.no_grad():
        features = [net.encoder(x) for net, x in ((grey, normed), (colour, normed.expand(-1, 3, -1, -1)))]
    for a, b in zip(features[0][1:], features[1][1:], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
    assert (grey.input_mean.flatten().tolist(), grey.input_std.flatten().tolist()) == ([0.5], [0.5])
    optimizer = torch.optim.AdamW(parameter_groups(grey, 1e-3, head_lr_multiplier=4.0))
    before = grey.encoder.model.conv_stem.weight.clone()
    torch.nn.functional.cross_entropy(grey.train()(image, num_dropped=1), torch.zeros(3, 64, 64).long()).backward()
    optimizer.step()
    assert not torch.equal(before, grey.encoder.model.conv_stem.weight)
    assert [group["lr"] for group in optimizer.param_groups] == [1e-3, 4e-3]


@pytest.fixture
def own_package(tmp_path, monkeypatch):
    """An encoder's own tensors under other names, in a package of somebody's own."""
    torch.manual_seed(1)
    source = build(3, encoder_weights=None).encoder.state_dict()
    kept = [value for name, value in source.items() if not name.endswith("num_batches_tracked")]
    (tmp_path / "somebodys_weights").mkdir()
    (tmp_path / "somebodys_weights" / "__init__.py").write_text(
        "raise RuntimeError('is not to be imported')", encoding="utf-8"
    )
    stored = {f"w{k}": value for k, value in enumerate([*kept, torch.zeros(7)])}
    torch.save(stored, tmp_path / "somebodys_weights" / "weights.pth")
    monkeypatch.syspath_prepend(tmp_path)
    return source


def test_anybody_can_add_weights(own_package, monkeypatch, tmp_path):
    mine = PackagedWeights(LITE0.encoder_name, "somebodys_weights", "*.pth", mean=(0.1, 0.2, 0.6), std=(0.2, 0.2, 0.2))
    monkeypatch.setitem(PACKAGED, "mine", mine)
    network = build(3, "mine")
    assert all(torch.equal(value, own_package[name]) for name, value in network.encoder.state_dict().items())
    torch.testing.assert_close(network.input_mean.flatten(), torch.tensor([0.1, 0.2, 0.6]))
    assert build(1, "mine").input_mean.item() == pytest.approx(0.3)
    with pytest.raises(InputError, match="holds weights for tu-tf_efficientnet_lite0, not for resnet18"):
        build(3, "mine", encoder_name="resnet18")
    torch.save({"w": torch.zeros(3)}, tmp_path / "somebodys_weights" / "weights.pth")
    with pytest.raises(InputError, match="240 of 240 tensors of tu-tf_efficientnet_lite0 have no counterpart"):
        build(3, "mine")


def test_a_missing_package_is_one_line(monkeypatch):
    monkeypatch.setitem(PACKAGED, "mine", PackagedWeights(LITE0.encoder_name, "nobodys_weights"))
    with pytest.raises(InputError) as caught:
        build(1, "mine")
    assert str(caught.value) == (
        "encoder_weights: weights for tu-tf_efficientnet_lite0 come in the package nobodys_weights, which is not "
        "installed: pip install 'monai-supmix[pretrained]'"
    )
