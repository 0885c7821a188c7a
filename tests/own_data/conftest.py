"""Three small data sets, and the bundles that are made for them."""

import pytest

from monai_supmix.own_data import propose, write_bundle
from tests.own_data.folders import write_colour_pairs, write_grey_pictures, write_volumes


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    volumes = write_volumes(tmp_path_factory.mktemp("volumes"))
    return {
        "volumes": volumes,
        "grey": write_grey_pictures(tmp_path_factory.mktemp("grey") / "data", volumes),
        "colour": write_colour_pairs(tmp_path_factory.mktemp("colour") / "data", tmp_path_factory.mktemp("scratch")),
    }


@pytest.fixture(scope="session")
def proposals(data):
    return {kind: propose(folder, kind) for kind, folder in data.items()}


@pytest.fixture(scope="session")
def bundles(proposals, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    for kind, proposal in proposals.items():
        write_bundle(proposal, folder / kind)
    return {kind: folder / kind for kind in proposals}
