"""An image that its intensity rule does not suit is named, when it is checked and when it is loaded."""

import numpy as np
import pytest
from PIL import Image

from monai_supmix.__main__ import main
from monai_supmix.data import LoadPlanes
from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.phantoms import write_fundus_phantom
from monai_supmix.transforms.intensity import FieldOfViewScale


def test_a_black_photograph_is_named_by_check_and_by_training(tmp_path, capsys):
    write_fundus_phantom(tmp_path / "data", size=(96, 100))
    black = sorted((tmp_path / "data").glob("*.jpg"))[0]
    Image.new("RGB", Image.open(black).size).save(black)
    own = ["--dataset_dir", str(tmp_path / "data"), "--crop_size", "[32,32]", "--max_iterations", "1"]
    assert main(["check", "chase_supmix", *own]) == 2
    assert f"{black.name}" in capsys.readouterr().out
    quiet = ["--num_workers", "0", "--tensorboard", "false", "--output_dir", str(tmp_path / "O")]
    assert main(["run", "chase_supmix", "train", *own, *quiet]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert black.name in line and "the intensity rule does not apply" in line


def test_other_images_fit():
    loading = LoadPlanes(lambda image: FieldOfViewScale(), num_classes=2)
    loading.fits(CaseImage.from_array(np.full((3, 8, 8), 200, np.uint8)))
    with pytest.raises(InputError, match="the intensity rule does not apply"):
        loading.fits(CaseImage.from_array(np.zeros((3, 8, 8), np.uint8)))
