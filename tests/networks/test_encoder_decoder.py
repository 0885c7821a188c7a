"""Models of segmentation_models_pytorch behind the protocol, without a single download."""

import json

import pytest
import segmentation_models_pytorch as smp
import torch
from safetensors.torch import save_file
from torch import nn

from monai_supmix.errors import InputError
from monai_supmix.networks import EncoderDecoder
from tests.devices import DEVICES
from tests.networks.dropping import check_protocol

# The levels that the library's source shows each decoder to read, with a five-level ResNet.
READ = {
    "Unet": [1, 2, 3, 4, 5],
    "UnetPlusPlus": [1, 2, 3, 4, 5],
    "MAnet": [1, 2, 3, 4, 5],
    "Linknet": [1, 2, 3, 4, 5],
    "FPN": [2, 3, 4, 5],
    "PSPNet": [3],
    "DeepLabV3": [5],
    "DeepLabV3Plus": [2, 5],
    "PAN": [2, 3, 4, 5],
    "UPerNet": [2, 3, 4, 5],
    "Segformer": [1, 2, 3, 4, 5],
}
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def build(architecture="DeepLabV3Plus", encoder_name="resnet18", **settings):
    torch.manual_seed(0)
    return EncoderDecoder(architecture, encoder_name, **settings)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("architecture", ["DeepLabV3Plus", "Unet", "FPN"])
def test_protocol(device, architecture):
    network = build(architecture, in_channels=1, num_classes=3).to(device)
    check_protocol(network, torch.rand(2, 1, 64, 96, device=device), num_classes=3)


@pytest.mark.parametrize(
    ("encoder_name", "levels"), [("mit_b0", [2, 5]), ("tu-convnext_atto", [2, 5]), ("vgg11", [1, 5])]
)
def test_protocol_with_encoders_of_other_make(encoder_name, levels):
    network = build("Unet", encoder_name)
    assert network.dropout_levels == levels  # the first two have an empty level 1
    check_protocol(network, torch.rand(2, 3, 64, 64), num_classes=2)


@pytest.mark.parametrize("architecture", READ)
def test_the_outermost_levels_that_the_decoder_reads_are_dropped(architecture):
    network = build(architecture)
    assert network.dropout_levels == sorted({READ[architecture][0], READ[architecture][-1]})
    with pytest.raises(InputError, match=f"choose among {', '.join(map(str, READ[architecture]))}$"):
        build(architecture, dropout_levels=[0])
    assert network.eval()(torch.rand(1, 3, 128, 128), num_dropped=1).shape == (2, 2, 128, 128)


def test_the_levels_are_found_also_where_gradients_are_off():
    with torch.no_grad():
        assert build().dropout_levels == [2, 5]


def test_the_library_is_covered():
    assert set(READ) == {model.__name__ for model in smp.MODEL_ARCHITECTURES_MAPPING.values()} - {"DPT"}


@pytest.mark.parametrize(("levels", "expected"), [(None, [2, 5]), ((-1,), [5]), ((2,), [2]), ([5, 2], [2, 5])])
def test_whole_channels_of_the_chosen_levels_are_dropped(levels, expected):
    network, decoded = build(dropout_levels=levels).train(), []
    assert network.dropout_levels == expected
    network.decoder.register_forward_pre_hook(lambda _module, inputs: decoded.append(inputs[0]))
    network(torch.rand(2, 3, 64, 64), num_dropped=1)
    for level in READ["DeepLabV3Plus"]:
        plain, dropped = decoded[0][level][1], decoded[0][level][2]
        if level not in expected:
            assert torch.equal(dropped, plain)
            continue
        zero = (dropped == 0).all(dim=(1, 2))
        assert 0 < zero.sum() < len(zero)
        assert torch.allclose(dropped, 2 * plain * ~zero[:, None, None])
    assert len(decoded[0][1]) == 2  # a level nobody reads is not copied


def test_batch_norm_of_the_decoder_sees_both_that_of_the_encoder_only_the_plain():
    network, seen = build().train(), {}
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(
                lambda _module, inputs, _output, name=name: seen.update({name: len(inputs[0])})
            )
    network(torch.rand(4, 3, 32, 32), num_dropped=3)
    assert {count for name, count in seen.items() if name.startswith("decoder")} == {7}
    assert {count for name, count in seen.items() if name.startswith("encoder")} == {4}


def test_the_papers_network():
    network = build(encoder_name="resnet101", encoder_output_stride=16)
    assert network.dropout_levels == [2, 5]  # UniMatch's c1 and c4
    assert network.divisor == 16
    with torch.no_grad():
        sides = [feature.shape[-1] for feature in network.eval().encoder(torch.rand(1, 3, 64, 64))]
    assert (64 // sides[2], 64 // sides[5]) == (4, 16)
    aspp = [module.dilation[0] for module in network.decoder.aspp.modules() if isinstance(module, nn.Conv2d)]
    assert [rate for rate in aspp if rate > 1] == [6, 12, 18]
    assert {module.dilation for module in network.encoder.layer4.modules() if isinstance(module, nn.Conv2d)} == {(2, 2)}
    assert sum(len(layer) for layer in (getattr(network.encoder, f"layer{i}") for i in (1, 2, 3, 4))) == 33


def test_building_draws_no_more_than_the_library_and_leaves_the_statistics_alone():
    torch.manual_seed(0)
    reference = smp.Unet("resnet18", encoder_weights=None, classes=2)
    drawn = torch.rand(1)
    network = build("Unet")
    assert torch.equal(torch.rand(1), drawn)
    ours = {name: value for name, value in network.state_dict().items() if not name.startswith("input_")}
    theirs = reference.state_dict()
    assert ours.keys() == theirs.keys()  # so that weights trained with the library load
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert network.training


def test_normalisation_happens_inside_and_travels_with_the_weights():
    x = torch.rand(2, 3, 64, 64)
    mean, std = (torch.tensor(IMAGENET[name]).view(3, 1, 1) for name in ("mean", "std"))
    plain = build("Unet").eval()
    normalised = build("Unet", input_mean=IMAGENET["mean"], input_std=IMAGENET["std"]).eval()
    assert torch.allclose(normalised(x), plain((x - mean) / std), atol=1e-5)
    plain.load_state_dict(normalised.state_dict())
    assert torch.equal(plain(x), normalised(x))


def test_channels_last_reaches_the_encoder():
    network, seen = build(input_mean=[0.5] * 3, input_std=[0.2] * 3).eval(), []
    network.encoder.conv1.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    network(torch.rand(2, 3, 64, 64).contiguous(memory_format=torch.channels_last))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A stand-in for the model hub that knows one random ResNet-18."""
    weights = build("Unet").encoder.state_dict()
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({**IMAGENET, "input_range": [0, 1]}), encoding="utf-8")
    monkeypatch.setattr(smp.encoders, "hf_hub_download", lambda *_, filename, **__: str(tmp_path / filename))
    return weights


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pretrained_weights_bring_their_normalisation(hub, channels):
    torch.manual_seed(5)
    network = EncoderDecoder("Unet", "resnet18", channels, encoder_weights="imagenet")
    assert torch.equal(network.encoder.layer4[1].conv2.weight, hub["layer4.1.conv2.weight"])
    for name in ("mean", "std"):
        values = IMAGENET[name]
        expected = {1: [sum(values) / 3], 3: values, 4: [*values, values[0]]}[channels]
        assert getattr(network, f"input_{name}").flatten().tolist() == pytest.approx(expected)
    rebuilt = EncoderDecoder("Unet", "resnet18", channels)
    rebuilt.load_state_dict(network.state_dict())
    x = torch.rand(1, channels, 64, 64)
    assert torch.equal(rebuilt.eval()(x), network.eval()(x))


@pytest.mark.usefixtures("hub")
def test_given_statistics_win_over_those_of_the_weights():
    network = build("Unet", encoder_weights="imagenet", input_mean=(0.1, 0.2, 0.3))
    assert network.input_mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert network.input_std.flatten().tolist() == pytest.approx(IMAGENET["std"])


@pytest.mark.parametrize("error", [FileNotFoundError("not in the cache"), ConnectionError("offline\nlong story")])
def test_weights_that_cannot_be_had_say_what_to_do(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(smp.encoders, "hf_hub_download", fail)
    with pytest.raises(InputError, match=r"^encoder_weights: 'imagenet' .* resnet18 \((not|off)[^\n]*null$"):
        build("Unet", encoder_weights="imagenet")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"architecture": "DeepLabv3+"}, "architecture: 'DeepLabv3.' is unknown: did you mean 'DeepLabV3"),
        ({"architecture": "DPT"}, "architecture: DPT"),
        ({"encoder_name": "resnet_101"}, "encoder_name: 'resnet_101' is unknown: did you mean 'resnet101'"),
        ({"encoder_name": "tu-resnet_18"}, "encoder_name: .* did you mean 'tu-resnet18'"),
        ({"encoder_weights": "imagnet"}, "encoder_weights: 'imagnet' .*'imagenet', 'ssl', 'swsl'"),
        ({"decoder_atrous_rate": (6, 12, 18)}, "DeepLabV3Plus: .* did you mean 'decoder_atrous_rates'"),
        ({"encoder_name": "tu-resnet18", "colour": 1}, "tu-resnet18: .*colour"),
        ({"classes": 2}, "classes: .*num_classes"),
        ({"activation": "softmax"}, "activation: .*bare logits"),
        ({"upsampling": 2}, r"architecture: .*\(128, 128\).*\(256, 256\)"),
        ({"dropout_levels": (2, 3)}, "dropout_levels: .*choose among 2, 5"),
        ({"dropout_levels": ()}, "dropout_levels: "),
        ({"encoder_name": "tu-mobilevit_xxs", "img_size": (100, 100)}, "tu-mobilevit_xxs|encoder_name"),
    ],
)
def test_mistakes_of_a_config_are_answered(settings, message):
    with pytest.raises(InputError, match=message):
        build(**settings)


def test_wrong_arguments_are_named():
    network = build()
    with pytest.raises(ValueError, match=r"\[1, 3, 64, 72\].*multiple of 16"):
        network(torch.rand(1, 3, 64, 72))
    with pytest.raises(ValueError, match=r"\[1, 1, 64, 64\].*3 channels"):
        network(torch.rand(1, 1, 64, 64))
    for n in (-1, 3):
        with pytest.raises(ValueError, match=rf"num_dropped is {n}.*2 images"):
            network(torch.rand(2, 3, 64, 64), num_dropped=n)
    for settings in ({"dropout_prob": 1.5}, {"input_mean": [0.5]}, {"input_std": [1.0, 0.0, 1.0]}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            build(**settings)


def test_a_unet_takes_any_size():
    network = build("Unet")
    assert network.divisor == 1
    assert network(torch.rand(2, 3, 50, 71), num_dropped=1).shape == (3, 2, 50, 71)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("architecture", ["DeepLabV3Plus", "Unet"])
def test_scripts_and_traces(architecture):
    network, x = build(architecture).eval(), torch.rand(2, 3, 64, 64)
    scripted, traced = torch.jit.script(network), torch.jit.trace(network, x)
    other = torch.rand(1, 3, 96, 64)
    with torch.no_grad():
        for y in (x, other):
            assert torch.allclose(scripted(y), network(y), atol=1e-5)
        assert torch.allclose(traced(x), network(x), atol=1e-5)
        assert torch.allclose(scripted(x, num_dropped=1), network(x, num_dropped=1), atol=1e-5)
