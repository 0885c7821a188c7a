"""Every shipped bundle passes the checks of MONAI's model zoo, and a unit test as its bundles have one."""

import pytest
from monai.bundle import ConfigWorkflow

from monai_supmix.datalists.acdc import TEST, TRAINING
from tests.bundles import zoo
from tests.bundles.workflows import BUNDLES, SHIPPED, TINY
from tests.datalists.acdc_files import write_publishers

SMALL = {**TINY, "num_labeled": 2, "max_epochs": 1, "max_iterations": 2, "crop_size": [64, 64]}
ON_A_GRID = {"working": {"size": [64, 64]}}
LATER = {key: SMALL[key] for key in ("network_def#features", "amp", "device")}


@pytest.mark.parametrize("bundle", SHIPPED)
def test_a_bundle_passes_the_zoos_checks(bundle, tmp_path):
    folder = BUNDLES / bundle
    zoo.check_files(folder)
    zoo.check_keys(folder)
    zoo.check_metadata(folder, tmp_path)
    zoo.check_network(folder)
    zoo.check_torchscript(folder, tmp_path)


@pytest.fixture(scope="module")
def data(phantoms, tmp_path_factory):
    hearts = write_publishers(tmp_path_factory.mktemp("acdc"), (*TRAINING[:3], *TEST[:1]), size=(40, 36, 3))
    return {**phantoms, "acdc_supmix": hearts}


@pytest.mark.parametrize("bundle", SHIPPED)
def test_a_bundle_trains_evaluates_and_infers_as_the_zoos_unit_tests_do(bundle, data, tmp_path):
    configs = BUNDLES / bundle / "configs"
    override = {"bundle_root": str(BUNDLES / bundle), "dataset_dir": str(data[bundle]), "output_dir": str(tmp_path)}
    grid = {} if bundle == "chase_supmix" else ON_A_GRID
    for workflow, file, small in (
        ("train", "train", {**SMALL, **grid}), ("eval", "evaluate", LATER), ("infer", "inference", LATER)
    ):  # fmt: skip
        if workflow == "infer" and bundle == "acdc_supmix":  # the phantom's 4D files are no images
            override["dataset_dir"] = str(data[bundle] / "training" / "*" / "*_frame??.nii.gz")
        flow = ConfigWorkflow(
            workflow_type=workflow,
            config_file=str(configs / f"{file}.json"),
            logging_file=str(configs / "logging.conf"),
            meta_file=str(configs / "metadata.json"),
            **{**override, **small},
        )
        flow.initialize()
        assert not flow.check_properties()
        flow.run()
        flow.finalize()
    assert {path.name for path in tmp_path.iterdir()} >= {"model.pt", "metrics.json", "cases.csv"}
    assert list(tmp_path.rglob("*_seg.json"))
