import pytest
import timm
import torch
from torch import nn

from monai_supmix.errors import InputError
from monai_supmix.networks import CompactUNet, EncoderDecoder, HookedNetwork
from monai_supmix.weights import load_into, load_matching
from monai_supmix.weights.matching import PREFIXES


def make_network(classes=4, channels=1, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(channels, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, classes, 1))


def same(network, other):
    return all(torch.equal(t, other.state_dict()[n]) for n, t in network.state_dict().items())


def prefixed(state, prefix):
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize("prefix", ["", *(f"{name}." for name in PREFIXES), "module.model.", "model.module.encoder."])
@pytest.mark.parametrize("load", [load_into, load_matching])
def test_wrappers_in_front_of_names_do_not_matter(load, prefix):
    network = make_network(seed=1)
    report = load(network, prefixed(make_network().state_dict(), prefix), "w.pt")
    assert same(network, make_network())
    if load is load_matching:
        assert report.startswith("9 of 9 tensors loaded (100 % of the values")
        assert (f"names with '{prefix}' taken off" in report) == bool(prefix)


def test_the_wrapper_may_be_the_networks_own():
    inner, network = make_network(), HookedNetwork(make_network(seed=1))
    load_into(network, prefixed(inner.state_dict(), "module."), "w.pt")
    assert same(network.network, inner)
    again = nn.DataParallel(HookedNetwork(make_network(seed=2)))
    load_into(again, network.state_dict(), "w.pt")
    assert same(again.module, network)


def test_an_unknown_prefix_is_another_network():
    with pytest.raises(InputError, match=r"another network.*unknown here \(such as 'student\.0\.bias'"):
        load_into(make_network(), prefixed(make_network().state_dict(), "student."), "w.pt")


@pytest.mark.parametrize(
    ("make", "layer"),
    [
        (make_network, "2.bias (3 for 2), 2.weight (3x3x1x1 for 2x3x1x1)"),
        (lambda classes, seed=0: CompactUNet(2, 1, classes, features=(4,) * 6, patch_size=2), "12 for 8"),
    ],
)
def test_an_output_layer_of_other_classes_is_left_new_and_said_so(make, layer):
    network, theirs = make(2, seed=1), make(3).state_dict()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    report = load_matching(network, theirs, "w.pt")
    assert "2 of another shape, left new" in report
    assert layer in report
    assert report.endswith("the output layer is new, for 2 classes instead of 3")
    assert "\n" not in report
    after = network.state_dict()
    other = {name for name in after if after[name].shape != theirs[name].shape}
    assert len(other) == 2
    assert all(torch.equal(after[name], (before if name in other else theirs)[name]) for name in after)


def test_what_is_missing_and_unexpected_is_told():
    theirs = make_network().state_dict()
    theirs["3.weight"] = theirs.pop("2.weight")
    report = load_matching(make_network(seed=1), theirs, "w.pt")
    assert "1 missing, left new: 2.weight; 1 unexpected, left out: 3.weight" in report
    assert "output layer" not in report


@pytest.mark.parametrize(
    "theirs",
    [
        nn.Linear(2, 2).state_dict(),
        # as wide, and so with norms that fit, but not one kernel
        nn.Sequential(nn.Conv2d(1, 3, 5), nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)).state_dict(),
    ],
)
def test_weights_of_which_nothing_fits_are_refused(theirs):
    network = make_network()
    with pytest.raises(InputError, match=r"w\.pt: has nothing for this network: no kernel fits; tensors: 2 "):
        load_matching(network, theirs, "w.pt")
    assert same(network, make_network())


@pytest.mark.parametrize(("encoder", "put"), [("resnet18", "encoder."), ("tu-resnet18", "encoder.model.")])
def test_an_encoder_of_timm_is_the_encoder_of_a_network(encoder, put):
    network, theirs = EncoderDecoder("Unet", encoder), timm.create_model("resnet18", pretrained=False).state_dict()
    report = load_matching(network, theirs, "w.pt")
    assert f"names with '{put}' put in front" in report
    assert f"2 unexpected, left out: {put}fc.bias, {put}fc.weight" in report
    assert "missing, left new: decoder." in report
    state = network.state_dict()
    loaded = {name: tensor for name, tensor in theirs.items() if not name.startswith("fc.")}
    assert all(torch.equal(state[put + name], tensor) for name, tensor in loaded.items())
