"""Inferers called as MONAI's tools call them, against the same images read and predicted by this package."""

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
from PIL import Image
from torch import nn

from monai_supmix.errors import InputError
from monai_supmix.imageio import CaseReader, read_image
from monai_supmix.inferers import LabelMapd, SliceVolumeInferer, VolumeInferer
from monai_supmix.transforms import HUWindow, PercentileScale

RULE = HUWindow(-100.0, 100.0)
LOADING = Compose([LoadImaged("image", reader=CaseReader), EnsureChannelFirstd("image")])
TURNED = np.array([[0, 0, 2.5, -3], [-0.7, 0, 0, 20], [0, 1.4, 0, 7], [0, 0, 0, 1]])  # other order and directions


@pytest.fixture
def volumes(tmp_path):
    numbers = np.random.default_rng(0)
    paths = []
    for index, affine in enumerate((np.diag([0.7, 0.7, 5, 1]), TURNED)):
        image = nib.Nifti1Image(numbers.integers(-30, 30, (9, 7, 6)).astype(np.int16), affine)
        image.header.set_slope_inter(2.0, 5.0)
        paths.append(tmp_path / f"{index}.nii.gz")
        nib.save(image, paths[-1])
    return paths


def network_of(dims, channels=1):
    torch.manual_seed(0)
    network = (nn.Conv2d, nn.Conv3d)[dims - 2](channels, 3, 3, padding=1)
    network.weight.data -= network.weight.data.flatten(1).mean(dim=1).reshape(3, *[1] * (dims + 1))
    network.bias.data.zero_()  # edges count, not levels: several classes are found
    return network


@pytest.mark.parametrize("inferer", [
    SliceVolumeInferer(divisor=2, working={"spacing": [1.0, 1.0]}, amp=False, intensity=lambda _: RULE),
    VolumeInferer((4, 8, 8), {"spacing": [2.0, 1.0, 1.0]}, amp=False, intensity=lambda _: RULE),
])  # fmt: skip
def test_a_batch_of_volumes_is_predicted_each_on_its_own_grid(inferer, volumes):
    network = network_of(2 if isinstance(inferer, SliceVolumeInferer) else 3)
    batch = next(iter(DataLoader(Dataset([{"image": str(path)} for path in volumes], LOADING), batch_size=2)))
    found = inferer(inputs=batch["image"], network=network)
    assert found.shape == (2, 1, 9, 7, 6) and found.dtype == torch.uint8
    for path, item in zip(volumes, decollate_batch(found), strict=True):
        expected = inferer(read_image(path), network, RULE)
        assert len(np.unique(expected)) > 1
        assert np.array_equal(item[0].numpy(), expected)
        assert np.allclose(item.affine, nib.load(path).affine)


def test_one_volume_is_predicted_as_monai_label_and_deploy_do_it(volumes):
    inferer = SliceVolumeInferer(divisor=1, amp=False, intensity=lambda _: RULE)
    network, image = network_of(2), LOADING({"image": str(volumes[1])})["image"]
    scripted = torch.jit.script(network)
    expected = inferer(read_image(volumes[1]), network, RULE)
    for called in (network, scripted):
        assert np.array_equal(inferer(image[None], called)[0, 0].numpy(), expected)
    with pytest.raises(InputError, match=r"1\.nii\.gz: is a volume without a batch: give \(B, 1, X, Y, Z\)"):
        inferer(image, network)
    with pytest.raises(InputError, match="is a volume without a batch"):
        inferer(image[:, 2:], network)  # cropped: the metadata still tell the size of the file
    planes = image[..., 2][None]  # one of its planes is a picture, whatever the metadata say of the volume
    assert inferer(planes, network).shape == (1, 1, 9, 7)


def test_pictures_have_monais_order_of_axes(tmp_path):
    array = np.random.default_rng(0).integers(0, 255, (8, 12, 3), np.uint8)
    Image.fromarray(array).save(path := tmp_path / "eye.png")
    inferer = SliceVolumeInferer(divisor=1, amp=False, intensity=lambda _: PercentileScale())
    network = network_of(2, channels=3)
    found = inferer(LOADING({"image": str(path)})["image"][None], network)
    assert found.shape == (1, 1, 12, 8)
    expected = inferer(read_image(path), network, PercentileScale())
    assert np.array_equal(found[0, 0].numpy().T, expected)
    assert np.array_equal(inferer(torch.from_numpy(array.transpose(2, 1, 0))[None], network)[0, 0].numpy().T, expected)


@pytest.mark.parametrize(("inputs", "message"), [
    (torch.zeros(1, 1, 4, 4, 4), "without its place in the world: give a MetaTensor"),
    (MetaTensor(torch.zeros(1, 2, 4, 4, 4)), "which is no image"),
    (np.zeros((1, 1, 4, 4)), "inputs: are of the type ndarray: give a tensor with a batch, or a CaseImage"),
    (MetaTensor(torch.zeros(1, 1, 4, 4, 4), affine=torch.zeros(4, 4)), "affine is singular"),
])  # fmt: skip
def test_what_cannot_be_predicted_right_is_refused(inputs, message):
    inferer = SliceVolumeInferer(divisor=1, intensity=lambda _: RULE)
    with pytest.raises(InputError, match=message):
        inferer(inputs, network_of(2))


def test_without_rules_a_tensor_is_refused():
    with pytest.raises(ValueError, match="without intensity rules"):
        SliceVolumeInferer()(torch.zeros(1, 1, 4, 4), network_of(2))


def test_a_file_without_spacing_is_not_taken_for_millimetres(tmp_path):
    """As the usual reading: a working grid in millimetres needs some."""
    image = LOADING({"image": str(_without_spacing(tmp_path))})["image"]
    inferer = SliceVolumeInferer(working={"spacing": [1.0, 1.0]}, intensity=lambda _: RULE)
    with pytest.raises(InputError, match="spacing"):
        inferer(image[None], network_of(2))


def _without_spacing(folder):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed (extra hdf5)")
    with h5py.File(path := folder / "patient001_frame01.h5", "w") as file:
        file["image"] = np.zeros((3, 8, 8), np.float32)
    return path


def test_label_maps_get_the_values_that_were_trained_on():
    step = LabelMapd("pred", {"label_values": [0, 3, 300]})
    volume = step({"pred": MetaTensor(torch.tensor([0, 1, 2], dtype=torch.uint8).reshape(1, 3, 1, 1))})["pred"]
    assert volume.flatten().tolist() == [0, 3, 300] and volume.shape == (1, 3, 1, 1)
    assert LabelMapd("pred", {})({"pred": torch.zeros(1, 4, 5)})["pred"].shape == (4, 5)
