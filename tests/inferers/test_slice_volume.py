"""The label map of a volume does not depend on how it is stored, and lies on its own grid."""

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from torch import nn

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.reading import read_image
from monai_supmix.inferers import SliceVolumeInferer, predict_planes
from monai_supmix.inferers.slice_volume import check_channels
from monai_supmix.networks import CompactUNet
from monai_supmix.transforms.intensity import FieldOfViewScale, PercentileScale, intensity_rule
from tests.devices import DEVICES
from tests.imageio.dicom_series import write_series
from tests.imageio.test_planes import ORIENTATIONS, place, rotation
from tests.inferers.tiny import RULE, scan, tiny_network

HU = intensity_rule(RULE)
OBLIQUE = place(rotation(12, -20, 8))


def infer(image, network=None, rule=HU, **settings):
    return SliceVolumeInferer(amp=False, **settings)(image, network or tiny_network(), rule)


def plane_by_plane(array, affine, network):
    """Reference: axial planes of the closest LPS volume, one pass each, without the package's code."""
    image = nib.Nifti1Image(array, affine)
    to_lps = ornt_transform(io_orientation(affine), axcodes2ornt("LPS"))
    seen = image.as_reoriented(to_lps).get_fdata(dtype=np.float32)
    labels = np.empty(seen.shape, np.uint8)
    for index in range(seen.shape[2]):
        plane = torch.from_numpy(((seen[..., index].T + 1000) / 2000).clip(0, 1).copy())
        height, width = plane.shape
        padded = torch.nn.functional.pad(plane[None, None], (0, -width % 16, 0, -height % 16), mode="replicate")
        with torch.no_grad():
            labels[..., index] = network(padded)[0, :, :height, :width].argmax(0).numpy().T
    back = ornt_transform(axcodes2ornt("LPS"), io_orientation(affine))
    return nib.orientations.apply_orientation(labels, back)


@pytest.mark.parametrize("affine", [np.diag([1.0, 1, 3, 1]), OBLIQUE, np.diag([-1.0, 1, -3, 1])[[1, 2, 0, 3]]])
def test_equals_the_network_on_each_plane(affine):
    array, network = scan(), tiny_network()
    labels = infer(CaseImage.from_array(array, affine), network)
    assert labels.dtype == np.uint8 and labels.shape == array.shape
    assert np.array_equal(labels, plane_by_plane(array, affine, network))
    assert len(np.unique(labels)) == 3


@pytest.mark.parametrize(("shape", "axis"), [((12, 10, 7), "axial"), ((12, 10, 7), "coronal"), ((9, 1, 7), "coronal")])
@pytest.mark.parametrize(
    "affine", [place(np.eye(3)), OBLIQUE, place(rotation(0, 0, 45))], ids=["straight", "oblique", "tie"]
)
def test_every_orientation_gives_the_same_mask_in_the_world(tmp_path, shape, axis, affine):
    source = nib.Nifti1Image(scan(shape), affine)
    inferer, network = SliceVolumeInferer(axis, batch_size=4, amp=False), tiny_network()
    nib.save(source, tmp_path / "a.nii")
    expected = nib.Nifti1Image(inferer(read_image(tmp_path / "a.nii"), network, HU), affine)
    for codes in ORIENTATIONS:
        turn = ornt_transform(io_orientation(affine), axcodes2ornt(codes))
        nib.save(source.as_reoriented(turn), tmp_path / "b.nii")
        labels = inferer(read_image(tmp_path / "b.nii"), network, HU)
        assert np.array_equal(labels, expected.as_reoriented(turn).dataobj), codes


@pytest.mark.parametrize(("slope", "inter"), [(1, 0), (2, -700), (-0.5, 100.25)])
@pytest.mark.parametrize("dtype", ["i2", "u2", "f4", "f8"])
def test_types_and_scaling(tmp_path, dtype, slope, inter):
    array = scan(dtype=dtype)
    values = (array.astype(np.float64) * slope + inter).astype(np.float32)
    image = CaseImage.from_array(array, OBLIQUE)
    expected = infer(CaseImage.from_array(values, OBLIQUE))
    assert np.array_equal(infer(replace(image, slope=float(slope), inter=float(inter))), expected)


def test_batches_make_no_difference():
    image = CaseImage.from_array(scan(), OBLIQUE)
    assert all(np.array_equal(infer(image, batch_size=n), infer(image, batch_size=1)) for n in (2, 3, 7, 50))


@pytest.mark.parametrize(("weights", "sizes"), [(1, {2, 3}), (10_000_001, {5})])
def test_planes_pass_together_where_weights_outweigh_them(weights, sizes):
    network, seen = tiny_network(), set()
    network.register_parameter("more", nn.Parameter(torch.empty(weights)))
    network.register_forward_pre_hook(lambda _, images: seen.add(len(images[0])))
    infer(CaseImage.from_array(scan((8, 8, 15)), OBLIQUE), network, batch_size=5)
    assert seen == sizes


def test_dicom_and_nifti_agree(tmp_path):
    stored = scan((12, 10, 7), "u2")
    write_series(tmp_path / "ct", stored, OBLIQUE, inter=-500)
    nib.save(nib.Nifti1Image((stored - 500.0).astype(np.int16), OBLIQUE), tmp_path / "ct.nii.gz")
    flipped = nib.load(tmp_path / "ct.nii.gz").as_reoriented(axcodes2ornt("RPS"))
    nib.save(flipped, tmp_path / "other.nii.gz")
    labels = [infer(read_image(tmp_path / name)) for name in ("ct", "ct.nii.gz", "other.nii.gz")]
    assert np.array_equal(labels[0], labels[1])
    back = nib.Nifti1Image(labels[2], flipped.affine).as_reoriented(
        ornt_transform(io_orientation(flipped.affine), io_orientation(OBLIQUE))
    )
    assert np.array_equal(back.dataobj, labels[1])


@pytest.mark.parametrize("working", [{"size": [17, 9]}, {"scale": 2.0}, {"scale": 0.5}, {"spacing": [1.5, 0.4]}, {}])
@pytest.mark.parametrize("divisor", [1, 16, 32])
def test_any_working_grid_gives_the_native_grid(working, divisor):
    image = CaseImage.from_array(scan(), OBLIQUE)
    labels = infer(image, working=working, divisor=divisor)
    assert labels.shape == image.label_shape


@pytest.mark.parametrize("working", [{"scale": 2.0}, {"scale": 0.5}, {"size": [18, 80]}])
def test_a_working_grid_moves_nothing(working):
    """A network that thresholds finds a square where it is, whatever the grid it works on."""
    threshold = nn.Conv2d(1, 2, 1)
    with torch.no_grad():
        threshold.weight.copy_(torch.tensor([[[[-50.0]]], [[[50.0]]]]))
        threshold.bias.copy_(torch.tensor([25.0, -25.0]))
    array = np.full((40, 36, 3), -1000, np.int16)
    array[8:20, 16:32, 1] = 1000
    labels = infer(CaseImage.from_array(array, np.diag([-1.0, -1, 1, 1])), threshold, working=working)
    where = np.argwhere(labels)
    assert np.array_equal(where.min(0), (8, 16, 1)) and np.array_equal(where.max(0), (19, 31, 1))
    assert labels.sum() > 0.95 * 12 * 16


def test_argmax_is_taken_on_the_native_grid():
    """From interpolated probabilities, not interpolated labels: edges are finer than the working grid."""
    network, planes = tiny_network(), torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        probabilities = predict_planes(network, planes, (16, 16), amp=False)
    labels = probabilities.argmax(1)
    assert probabilities.shape == (1, 3, 64, 64)
    blocks = labels.reshape(16, 4, 16, 4)
    assert (blocks != blocks[:, :1, :, :1]).any()


@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_probabilities_belong_to_the_labels(flips, dtype):
    image = CaseImage.from_array(scan(), place(rotation(90, 0, 10)))
    maps = np.zeros((3, *image.label_shape), dtype)
    labels = SliceVolumeInferer(flips=flips, amp=False)(image, tiny_network(), HU, maps)
    one = 255 if dtype == np.uint8 else 1
    assert np.allclose(maps.sum(0, dtype=float), one, atol=1.5 if one == 255 else 1e-5)
    chosen = np.take_along_axis(maps, labels[None].astype(int), 0)[0]
    assert (chosen == maps.max(0)).all()
    with pytest.raises(ValueError, match="for 2 classes, the network has 3"):
        SliceVolumeInferer(amp=False)(image, tiny_network(), HU, maps[:2])


@pytest.mark.parametrize(("turns", "mirror"), [(0, 0), (1, 0), (3, 1)])
def test_pictures(turns, mirror):
    array = np.random.default_rng(0).integers(0, 256, (3, 20, 31)).astype(np.uint8)
    network = tiny_network(3)
    image = CaseImage(Path("a.png"), "picture", array, turns=turns, mirror=mirror)
    labels = infer(image, network, PercentileScale(0, 100), divisor=1)
    seen = np.rot90(array, turns, (1, 2))[..., :: -1 if mirror else 1]
    with torch.no_grad():
        expected = network(torch.from_numpy(seen / np.float32(255))[None])[0].argmax(0).numpy()
    assert labels.shape == (20, 31)
    assert np.array_equal(np.rot90(labels, turns)[:, :: -1 if mirror else 1], expected)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("amp", [False, "auto", "bf16"])
def test_devices_and_number_formats(device, amp):
    image = CaseImage.from_array(scan((32, 32, 3)), np.eye(4))
    network = tiny_network()
    labels = SliceVolumeInferer(amp=amp, device=device)(image, network, HU)
    assert next(network.parameters()).device.type == device
    assert (labels == infer(image)).mean() > (0.97 if amp else 0.999)


def test_the_network_is_left_as_it_was():
    network = nn.Sequential(tiny_network(), nn.Dropout2d(0.9), nn.BatchNorm2d(3).eval())
    network[2].running_mean.fill_(0.1)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    state = torch.get_rng_state()
    first, second = (infer(CaseImage.from_array(scan(), np.eye(4)), network) for _ in range(2))
    assert np.array_equal(first, second)  # no dropout
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert network[0][0].weight.stride() == network[0][0].weight.contiguous().stride()

    class Failing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no")

    failing = Failing()
    with pytest.raises(RuntimeError):
        infer(CaseImage.from_array(scan(), np.eye(4)), failing)
    assert failing.training


def test_frozen_networks_work_too():
    image = CaseImage.from_array(scan(), np.eye(4))
    scripted = torch.jit.trace(tiny_network().eval(), torch.zeros(1, 1, 16, 16))
    assert np.array_equal(infer(image, scripted), infer(image))


def test_wrapped_networks_tell_their_channels():
    """A network of blocks has more channels in its first convolution than an image has."""
    network = nn.DataParallel(CompactUNet(in_channels=3, features=(4, 4, 4, 4, 4, 4), patch_size=2), device_ids=[])
    check_channels(CaseImage.from_array(np.zeros((3, 32, 32), np.uint8)), network)
    with pytest.raises(InputError, match="network takes 3 channels, the image has 1"):
        check_channels(CaseImage.from_array(scan(), OBLIQUE), network)


def test_images_that_do_not_fit_are_refused():
    grey, colour = (
        CaseImage.from_array(scan(), np.eye(4)),
        CaseImage.from_array(np.zeros((3, 8, 8), np.uint8)),
    )
    with pytest.raises(InputError, match="network takes 3 channels, the image has 1"):
        infer(grey, tiny_network(3))
    with pytest.raises(InputError, match="network takes 1 channel, the image has 3"):
        infer(colour, tiny_network(1))
    with pytest.raises(InputError, match="spacing"):
        infer(colour, tiny_network(3), working={"spacing": [1, 1]})
    with pytest.raises(InputError, match=r"does not apply .*no field of view"):
        infer(colour, tiny_network(3), FieldOfViewScale())
    with pytest.raises(InputError, match="single slice"):
        infer(CaseImage.from_array(scan((8, 1, 8)), np.eye(4)))


def test_a_network_that_gives_nan_gives_no_mask():
    network = tiny_network()
    with torch.no_grad():
        network[0].bias[0] = float("nan")
    with pytest.raises(InputError, match="NaN or infinite"):
        infer(CaseImage.from_array(scan(), np.eye(4)), network)


def test_wrong_arguments():
    for wrong in ({"axis": "up"}, {"batch_size": 0}, {"divisor": 0}):
        with pytest.raises(ValueError, match=r"is axial|at least 1"):
            SliceVolumeInferer(**wrong)
    with pytest.raises(ValueError, match="300 classes"):
        infer(CaseImage.from_array(scan(), np.eye(4)), tiny_network(classes=300))


@pytest.mark.skipif("SUPMIX_DATA" not in os.environ, reason="SUPMIX_DATA names no data folder")
def test_real_chest_ct_in_two_orientations():
    source = nib.load(Path(os.environ["SUPMIX_DATA"]) / "chest_ct_nifti/images/chest_ct_cropped.nii.gz")
    array, network = np.asarray(source.dataobj), tiny_network()
    labels = infer(CaseImage.from_array(array, source.affine), network)
    turn = ornt_transform(io_orientation(source.affine), axcodes2ornt("SAR"))
    other = source.as_reoriented(turn)
    turned = infer(CaseImage.from_array(np.asarray(other.dataobj), other.affine), network)
    assert np.array_equal(turned, nib.Nifti1Image(labels, source.affine).as_reoriented(turn).dataobj)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_peak_memory(tmp_path):
    """From file to mask, 512 x 512 x 200 int16 take at most 700 MB beside the loaded network.

    Of the compressed ones there are two, of which the second is read while the first is predicted; the plain file has
    a slope of 0.5.
    """
    shape = (512, 512, 200)
    values = np.random.default_rng(0).integers(-1000, 1000, shape[:2]).astype(np.int16)
    array = np.broadcast_to(values[..., None], shape)
    compressed, plain = tmp_path / "compressed" / "scan.nii.gz", tmp_path / "plain" / "scan.nii"
    for path in (compressed, plain):
        path.parent.mkdir()
        nib.save(nib.Nifti1Image(array, OBLIQUE), path)
    os.link(compressed, compressed.with_name("second.nii.gz"))
    with plain.open("r+b") as file:
        file.seek(112)
        file.write(np.float32(0.5).tobytes())
    script = """
        import json, sys
        from monai_supmix.inferers import SliceVolumeInferer, predict_cases
        from tests.inferers.tiny import RULE, tiny_network
        def memory(key):
            line = next(l for l in open("/proc/self/status") if l.startswith(key))
            return int(line.split()[1]) / 1024
        network = tiny_network()
        record = {"class_names": ["a", "b", "c"], "intensity": {"hu": RULE}}
        before = memory("VmRSS")
        inferer = SliceVolumeInferer(working={'scale': 0.5})
        for name, count in (("compressed", 2), ("plain", 1)):
            folders = f"{sys.argv[1]}/{name}", f"{sys.argv[1]}/{name}_masks"
            summary = predict_cases(*folders, network, record, inferer, on_error="skip")
            assert len(summary.written) == count
            print(json.dumps({"added": memory("VmHWM") - before}))  # the most of both, after the second
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), tmp_path],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2], env=os.environ,
    )  # fmt: skip
    added = [json.loads(line)["added"] for line in run.stdout.splitlines()[-2:]]
    print(*(f"{most:.0f} MB" for most in added))
    assert max(added) < 700
