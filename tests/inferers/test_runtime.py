"""Another runtime gives the labels of PyTorch, from the same weights, or says in one line why it cannot."""

import copy
import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks.nets import UNet
from torch import nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.planes import Planes
from monai_supmix.imageio.reading import read_image
from monai_supmix.inferers import OpenVINONetwork, SliceVolumeInferer, in_runtime, predict_cases
from monai_supmix.inferers.runtime import import_openvino
from monai_supmix.metrics.overlap import dice, overlap_counts
from monai_supmix.networks import CompactUNet, EncoderDecoder, HookedNetwork
from monai_supmix.phantoms.chest_ct import draw_chest_ct
from monai_supmix.transforms.intensity import intensity_rule
from tests.bundles.workflows import BUNDLES, NAMES
from tests.inferers.tiny import RULE, scan, tiny_network

try:
    import_openvino()
except InputError:
    pytestmark = pytest.mark.skip(reason="the extra openvino is not installed")


def default_network(bundle: str) -> nn.Module:
    parser = ConfigParser()
    parser.read_config(str(BUNDLES / bundle / "configs" / "inference.json"))
    torch.manual_seed(0)
    return parser.get_parsed_content("network_def")


@pytest.fixture(scope="module")
def phantom():
    """A volume, and the CT bundle's network fitted to it so far that it finds something."""
    array, label = draw_chest_ct((96, 96, 8), (3.3, 3.3, 15.0), rare_fraction=0.01)
    network, rule = default_network("covid19_ct_supmix"), intensity_rule(RULE)
    image = CaseImage.from_array(array, np.diag([-3.3, -3.3, 15.0, 1.0]))
    planes, params = Planes(image), rule.fit(array)
    x = torch.from_numpy(np.stack([rule.apply(planes[index], params) for index in range(8)]))
    y = torch.from_numpy(planes.view(label).astype(np.int64))
    optimizer = torch.optim.AdamW(network.parameters(), 5e-3)
    for step in range(30):
        part = slice(step % 2, None, 2)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(x[part]), y[part]).backward()
        optimizer.step()
    return image, network


def least_dice(image: CaseImage, network: nn.Module, other: nn.Module) -> float:
    """Dice of the masks of two networks for the foreground class that has least; each class must be found."""
    rule, inferer = intensity_rule(RULE), SliceVolumeInferer(working={"size": [96, 96]}, divisor=32, amp=False)
    theirs = inferer(image, network, rule)
    assert np.bincount(theirs.ravel(), minlength=4).min() > 0
    return float(dice(overlap_counts(inferer(image, other, rule), theirs, 4))[1:].min())


@pytest.mark.parametrize("bundle", NAMES)
def test_the_bundles_networks_give_the_same_logits_for_any_number_and_size(bundle):
    network = default_network(bundle)
    converted = OpenVINONetwork(network, amp=False)
    assert network.training and converted.divisor == network.divisor
    network.eval()
    for count, height, width in ((1, 64, 96), (5, 96, 32), (2, 64, 64)):
        images = torch.rand(count, network.in_channels, height, width).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            logits, expected = converted(images), network(images)
        assert logits.shape == expected.shape and torch.allclose(logits, expected, atol=1e-4)


@pytest.mark.parametrize(("amp", "least"), [(False, 0.999), ("bf16", 0.99)])  # numbers of bfloat16 have 8 bits
def test_masks_of_a_phantom_agree_in_each_class(phantom, amp, least):
    image, network = phantom
    assert least_dice(image, network, OpenVINONetwork(network, amp)) >= least


def test_the_layout_that_inference_gives_to_weights_changes_no_class(phantom):
    image, network = phantom
    laid_out = convert_conv2d_weight_memory_format(copy.deepcopy(network), torch.channels_last)
    assert least_dice(image, network, laid_out) >= 0.999


@pytest.mark.skipif("SUPMIX_DATA" not in os.environ, reason="SUPMIX_DATA names no data folder")
def test_masks_of_a_real_chest_ct_agree_in_each_class(phantom):
    image = read_image(Path(os.environ["SUPMIX_DATA"]) / "chest_ct_nifti/images/chest_ct_cropped.nii.gz")
    network = phantom[1]
    few = replace(image, array=image.array[:, :, 40:60])
    assert least_dice(few, network, OpenVINONetwork(network, amp=False)) >= 0.999


def test_volumes_by_a_3d_network():
    unet = UNet(3, in_channels=1, out_channels=3, channels=(4, 8, 8), strides=(2, 2), norm="batch")
    network = HookedNetwork(unet, dropout_modules=("model.0",), divisor=4)
    converted, volumes = OpenVINONetwork(network, amp=False), torch.rand(2, 1, 16, 24, 32)
    with torch.inference_mode():
        assert torch.allclose(converted(volumes), network.eval()(volumes), atol=1e-4)


def test_the_papers_kind_of_network():
    network = EncoderDecoder("DeepLabV3Plus", "resnet18", in_channels=1, num_classes=3, encoder_output_stride=16)
    converted, images = OpenVINONetwork(network, amp=False), torch.rand(3, 1, 96, 64)
    with torch.inference_mode():
        assert torch.allclose(converted(images), network.eval()(images), atol=1e-3)


def test_the_weights_are_those_at_hand_and_results_stay():
    network, images = CompactUNet(in_channels=1, features=(4, 4, 4, 4, 4, 4)).eval(), torch.rand(2, 1, 32, 32)
    converted = OpenVINONetwork(network, amp=False)
    with torch.inference_mode():
        first, expected = converted(images), network(images)
        second = converted(images.flip(0))
    assert torch.allclose(first, expected, atol=1e-5) and torch.allclose(second, first.flip(0), atol=1e-5)
    with torch.no_grad():
        network.unet.final_conv.bias += 1
        assert not torch.allclose(OpenVINONetwork(network, amp=False)(images), first, atol=0.1)


def test_the_record_tells_the_runtime_and_its_number_format(tmp_path):
    nib.save(nib.Nifti1Image(scan(), np.diag([-1.0, -1, 1, 1])), tmp_path / "a.nii")
    record = {"class_names": ["a", "b", "c"], "intensity": {"hu": RULE}}
    inferer, masks = SliceVolumeInferer(amp=False), []
    for runtime, amp, precision in (
        ("torch", False, "float32"),
        ("openvino", False, "float32"),
        ("openvino", "bf16", "bfloat16"),
    ):
        network = in_runtime(tiny_network(), runtime, amp)
        predict_cases(tmp_path / "a.nii", tmp_path / "out", network, record, inferer, overwrite=True)
        written = json.loads((tmp_path / "out/a_seg.json").read_text(encoding="utf-8"))
        assert written["runtime"].split()[0] == runtime and written["precision"] == precision
        masks.append(np.asarray(nib.load(tmp_path / "out/a_seg.nii.gz").dataobj))
    assert np.array_equal(masks[0], masks[1])


def test_a_missing_extra_is_one_clear_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(
        InputError, match=r"^runtime: 'openvino' is not installed .*pip install 'monai-supmix\[openvino\]'"
    ):
        in_runtime(tiny_network(), "openvino")


def test_nothing_is_reported_over_the_network():
    assert import_openvino() and sys.modules["openvino_telemetry"] is None


def test_what_cannot_be():
    with pytest.raises(InputError, match="runtime: is 'tensorrt'"):
        in_runtime(tiny_network(), "tensorrt")
    with pytest.raises(InputError, match="is for processors, the device is cuda:0: set device to cpu"):
        in_runtime(tiny_network(), "openvino", device="cuda:0")
    with pytest.raises(ValueError, match="fp16"):
        OpenVINONetwork(tiny_network(), "fp16")


class Unsteady(nn.Module):
    """Not what a trace of it does: it looks at how many images there are."""

    in_channels = 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat((x, -x), dim=1) * (10.0 if int(x.shape[0]) > 1 else -10.0)


class Untraceable(nn.Module):
    in_channels = 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no graph for this one\nand more lines")


@pytest.mark.parametrize(("network", "words"), [(Unsteady(), "have an overlap of"), (Untraceable(), "tracing")])
def test_a_network_that_cannot_be_converted_faithfully_is_refused(network, words):
    with pytest.raises(
        InputError, match=rf"runtime: 'openvino' cannot run {type(network).__name__} \(.*{words}"
    ) as caught:
        in_runtime(network, "openvino", False)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs signals of POSIX")
def test_signals_are_handled_after_networks_that_end_in_any_order():
    script = """
        import gc, os, signal, torch
        from monai_supmix.inferers import OpenVINONetwork
        signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
        first, second = (OpenVINONetwork(torch.nn.Conv2d(1, 2, 3, padding=1), amp=False) for _ in range(2))
        del first
        gc.collect()
        del second
        gc.collect()
        os.kill(os.getpid(), signal.SIGUSR1)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert (run.returncode, run.stdout) == (0, "handled\n")
