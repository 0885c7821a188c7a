"""Phantom data for both bundles, made once."""

import pytest

from monai_supmix.phantoms import write_chest_ct_phantom, write_fundus_phantom
from tests.bundles.workflows import TINY, run


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    folders = {name: tmp_path_factory.mktemp(name) for name in ("chase_supmix", "covid19_ct_supmix")}
    write_fundus_phantom(folders["chase_supmix"], size=(96, 100))
    write_chest_ct_phantom(folders["covid19_ct_supmix"], num_labeled=2, num_unlabeled=2, num_test=1, size=(64, 64, 6))
    return folders


@pytest.fixture(scope="session")
def trained(phantoms, tmp_path_factory):
    """The output folders of two short trainings."""
    folders = {}
    for bundle, data in phantoms.items():
        folders[bundle] = tmp_path_factory.mktemp(f"{bundle}_output")
        run(
            bundle, "train", dataset_dir=str(data), output_dir=str(folders[bundle]), num_labeled=2,
            max_iterations=2, crop_size=[64, 64], **TINY,
        )  # fmt: skip
    return folders
