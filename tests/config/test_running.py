"""A configuration checks itself before anything is made, whatever started it."""

import monai.bundle
import numpy as np
import pytest
from monai.bundle import ConfigWorkflow
from PIL import Image

from monai_supmix.bundle import check_overrides
from monai_supmix.config.error_lines import error_line
from monai_supmix.config.find import find_bundle
from monai_supmix.config.living import living
from monai_supmix.config.running import running_workflow
from tests import forked

CONFIGS = find_bundle("covid19_ct_supmix") / "configs"
MISTAKES = [
    ({"ttaa": True}, "error: ttaa: is not used by this configuration: did you mean tta?"),
    ({"inferer#flipz": [1]}, "error: inferer#flipz: SliceVolumeInferer has no such argument: did you mean flips?"),
    ({"device": "xpu:99"}, "error: device: is 'xpu:99', and this machine has none: leave it out"),
    ({"device": "mps:9"}, "error: device: is 'mps:9', and this machine has none: leave it out"),
    ({"device": "cuda:99"}, "error: device: is 'cuda:99', and this machine has "),
    ({"seed": 1.5}, "error: seed: is 1.5: give a whole number of at least 0"),
    ({"max_epochs": 3}, "error: max_epochs: is not used by this configuration"),
]


def initialize(kind="inference", **override):
    names = {"bundle_root": ".", **override}
    workflow = ConfigWorkflow(str(CONFIGS / f"{kind}.json"), logging_file=False, workflow_type=None, **names)
    workflow.initialize()
    return workflow


@pytest.mark.parametrize(("override", "says"), MISTAKES)
def test_mistakes_are_told_from_python_too(override, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RuntimeError) as caught:
        monai.bundle.run(config_file=str(CONFIGS / "inference.json"), logging_file=False, **override)
    assert error_line(caught.value).startswith(says)
    assert not any(tmp_path.iterdir())


def test_the_bundle_is_found_from_its_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workflow = initialize()
    assert workflow.parser["bundle_root"] == workflow.parser.get_parsed_content("bundle_root") == str(CONFIGS.parent)
    assert workflow.parser.get_parsed_content("trained").path.parent == CONFIGS.parent / "models"


@pytest.mark.parametrize("kind", ["inference", "evaluate"])
def test_views_that_are_not_there_are_told_and_not_recorded(kind, caplog):
    for more, off in (({}, False), ({"inferer#flips": False}, True)):  # as bundles for classes with sides have it
        parser = initialize(kind, tta=True, **more).parser
        assert ("tta is off: the inferer has no views to average" in caplog.text) is off
        recorded = parser.get_parsed_content("tta" if kind == "inference" else "evaluation#settings#tta")
        assert recorded is not off


def test_a_bundle_that_is_named_or_here_stands(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "metadata.json").write_text("{}", encoding="utf-8")
    weights = CONFIGS.parent / "models" / "model.pt"
    for folder, root in ((CONFIGS, str(tmp_path)), (tmp_path, ".")):
        monkeypatch.chdir(folder)
        workflow = initialize(bundle_root=root, ckpt_path=str(weights))
        assert workflow.parser.get_parsed_content("bundle_root") == root


def test_a_workflow_is_found_by_its_own_metadata():
    first, second = (ConfigWorkflow(str(CONFIGS / "inference.json"), logging_file=False) for _ in range(2))
    for workflow in (first, second):
        workflow.parser.parse()
        assert running_workflow(workflow.parser.get_parsed_content("_meta_")) is workflow
    assert running_workflow({}) is None and running_workflow(None) is None
    check_overrides()  # as configurations of elsewhere may have it


class Unhashable(type):  # noqa: PLW1641
    def __eq__(cls, other):
        return cls is other


def test_classes_of_others_need_no_hash():
    class Other(metaclass=Unhashable):
        pass

    class Mine:
        pass

    objects = [Other(), Mine()]
    assert list(living(Mine)) == objects[1:]
    assert list(living(Other)) == objects[:1]


@pytest.mark.parametrize(
    ("arguments", "last"),
    [
        ("--ttaa", "error: ttaa: is not used by this configuration: did you mean tta?"),
        ("--device mps:9", "error: device: is 'mps:9', and this machine has none: leave it out: the best device"),
        ("--ckpt_path None", "error: --ckpt_path: is None, which monai.bundle leaves out without a word: use mo"),
    ],
)
def test_under_monai_bundle_the_mistake_is_the_last_line(arguments, last, tmp_path, tmp_path_factory):
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "a.png")
    command = ["-m", "monai.bundle", "run", "--config_file", CONFIGS / "inference.json", "--dataset_dir", "a.png"]
    log = tmp_path_factory.mktemp("log") / "log.txt"
    process = forked.start_python([*command, *arguments.split()], log, folder=tmp_path)
    process.join()
    assert process.exitcode != 0
    assert log.read_text(encoding="utf-8").splitlines()[-1].startswith(last)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
