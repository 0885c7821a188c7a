"""HDF5 volumes and slices: read as stored, slices in the order of their numbers, mistakes in one line."""

import sys

import nibabel as nib
import numpy as np
import pytest

from monai_supmix.errors import InputError
from monai_supmix.imageio import Planes, load_case, read_image, read_label, write_mask
from monai_supmix.imageio.hdf5 import files_of, is_there

h5py = pytest.importorskip("h5py", reason="h5py is not installed (extra hdf5)")


def write(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name, data=values, compression="gzip")
    return path


@pytest.fixture
def volume():
    return np.random.RandomState(0).rand(11, 6, 4).astype(np.float32)


@pytest.fixture
def folder(tmp_path, volume):
    """The same volume as one file and as slices, whose names do not sort like their numbers."""
    label = (volume > 0.5).astype(np.uint8)
    write(tmp_path / "whole.h5", image=volume, label=label)
    for index in range(len(volume)):
        write(tmp_path / f"p_slice_{index + 1}.h5", image=volume[index], label=label[index])
    write(tmp_path / "p_slice_other.h5", image=volume)
    return tmp_path


@pytest.mark.parametrize("name", ["whole.h5", "p_slice_*.h5"])
def test_planes_are_the_slices_as_stored(folder, volume, name):
    case = load_case({"image": str(folder / name), "label": str(folder / name)}, 2)
    planes = Planes(case.image)
    assert np.array_equal([planes[k][0] for k in range(len(planes))], volume)
    assert np.array_equal(planes.view(case.label), volume > 0.5)
    assert case.label.dtype == np.uint8
    assert case.image.spacing is planes.spacing is planes.step is None
    assert case.image.notes == ("spacing unknown",)


def test_one_slice_is_a_volume_of_one_plane(folder, volume):
    image = read_image(folder / "p_slice_3.h5")
    assert (image.array.shape, image.file_shape) == ((4, 6, 1), (4, 6))
    assert np.array_equal(Planes(image)[0][0], volume[2])


def test_a_mask_has_the_images_shape_and_claims_no_millimetres(folder):
    image = read_image(folder / "whole.h5")
    mask = read_label(folder / "whole.h5", image)
    write_mask(mask, image, folder / "mask.nii.gz")
    written = nib.load(folder / "mask.nii.gz")
    assert np.array_equal(written.dataobj, mask)
    assert written.header.get_xyzt_units()[0] == "unknown"


def test_a_star_in_the_name_of_another_file_is_no_pattern(tmp_path):
    named = tmp_path / "a*b.nii.gz"
    assert files_of(named) == [named] and not is_there(named)
    named.touch()
    assert is_there(named)


def test_mistakes_are_told(folder, monkeypatch, volume):
    write(folder / "bare.h5", other=volume)
    write(folder / "flat.h5", image=volume[0, 0])
    (folder / "text.h5").write_text("no HDF5", encoding="utf-8")
    write(folder / "q_slice_1.h5", image=volume[0])
    write(folder / "q_slice_2.h5", image=volume[0, :3])
    for name, says in {
        "bare.h5": "holds no dataset 'image'",
        "flat.h5": r"of shape \(4,\)",
        "text.h5": "cannot be read",
        "none.h5": "does not exist",
        "none_*.h5": "matches no file",
        "nowhere/none_*.h5": "matches no file",
        "q_slice_*.h5": r"q_slice_2.h5: its 'image' has the shape \(3, 4\)",
    }.items():
        with pytest.raises(InputError, match=says):
            read_image(folder / name)
    with pytest.raises(InputError, match="label values that are not classes"):
        write(folder / "high.h5", image=volume, label=np.full(volume.shape, 7, np.uint8))
        read_label(folder / "high.h5", num_classes=4)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match=r"h5py, which is not installed: pip install 'monai-supmix\[hdf5\]'"):
        read_image(folder / "whole.h5")
