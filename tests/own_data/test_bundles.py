"""Written bundles are complete: they train, evaluate, predict and pass MONAI's verification as they are."""

import base64
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, load
from PIL import Image

from monai_supmix.config.audit import audit_bundle
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.errors import InputError
from monai_supmix.own_data import propose, write_bundle
from monai_supmix.own_data.pictures import write_labels
from monai_supmix.weights import load_weights
from tests.bundles import zoo
from tests.bundles.workflows import TINY, workflow
from tests.names import dotted_names, modules_among

KINDS = ("volumes", "grey", "colour")
SMALL = {key: value for key, value in TINY.items() if key != "discriminator_widths"}


@pytest.mark.parametrize("kind", KINDS)
def test_it_trains_evaluates_and_predicts_unchanged(kind, bundles, proposals, tmp_path):
    """But for what makes a test quick: a tiny network and two iterations."""
    flows = {}
    for name in ("train", "evaluate", "inference"):
        quick = {**TINY, "max_iterations": 2} if name == "train" else SMALL
        flow = flows[name] = workflow(bundles[kind], name, output_dir=str(tmp_path / "out"), **quick)
        flow.initialize()
        assert flow.check_properties() == []
        flow.run()
    _, record = load_weights(tmp_path / "out" / "model.pt")
    names = proposals[kind].datalist.class_names
    assert record["class_names"] == names
    assert record["intensity"] == proposals[kind].intensity_settings
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert list(metrics["classes"]) == names
    assert metrics["num_images"] == len(proposals[kind].datalist.test)
    assert metrics["notes"] == proposals[kind].datalist.notes
    masks = list((tmp_path / "out").glob("*_seg.nii.gz" if kind == "volumes" else "*_seg.png"))
    assert len(masks) == {"volumes": 1, "grey": 12, "colour": 8}[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_no_name_in_it_is_a_module(kind, bundles):
    assert modules_among(dotted_names(bundles[kind])) == []


@pytest.mark.parametrize("kind", KINDS)
def test_it_passes_the_model_zoos_checks(kind, bundles, tmp_path):
    zoo.check_files(bundles[kind], weights=False)
    zoo.check_keys(bundles[kind])
    zoo.check_metadata(bundles[kind], tmp_path)
    zoo.check_network(bundles[kind])


def test_monai_loads_it_once_it_has_weights(bundles, tmp_path, monkeypatch):
    bundle = Path(shutil.copytree(bundles["volumes"], tmp_path / "mine"))
    network = ConfigParser(ConfigParser.load_config_file(bundle / "configs/train.json")).get_parsed_content(
        "network_def"
    )
    (bundle / "models").mkdir()
    torch.save(network.state_dict(), bundle / "models" / "model.pt")
    monkeypatch.chdir(tmp_path)
    for kind in ("train", "inference"):
        loaded = load("mine", bundle_dir=tmp_path, workflow_type=kind, device="cpu").state_dict()
        assert all(torch.equal(tensor, loaded[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_complete_and_holds_no_code(kind, bundles, proposals):
    bundle = bundles[kind]
    for name in ("LICENSE", "docs/README.md", "docs/data_license.txt", "configs/logging.conf"):
        assert (bundle / name).stat().st_size
    findings = audit_bundle(bundle)
    assert len(findings) > 100 and not [found for found in findings if found.problem or not found.known]
    assert Datalist.from_json(bundle / "datalist.json", proposals[kind].root) == proposals[kind].datalist
    card = (bundle / "docs" / "README.md").read_text(encoding="utf-8")
    assert {"volumes": "1 for the test of 1 patient.", "grey": "of 2 patients", "colour": "of 2 patients"}[kind] in card
    assert f"\nmonai-supmix run B train --method {proposals[kind].methods[0]} --output_dir O\n" in card
    assert not re.search(r"\{\w*\}", card)
    for choice in proposals[kind].choices:
        assert choice.why.replace("|", "\\|") in card


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_shows_every_labelled_case_with_its_mask(kind, bundles, proposals):
    page = (bundles[kind] / "labels.html").read_text(encoding="utf-8")
    datalist = proposals[kind].datalist
    cases = sorted(item["case"] for item in [*datalist.labeled, *datalist.test])
    assert [name.partition(",")[0] for name in re.findall(r'<figure class="chart"><p>(.*?)</p>', page)] == cases


def test_outlines_lie_around_what_the_masks_mark(tmp_path):
    data = tmp_path / "data"
    mask = np.zeros((64, 64), np.uint8)
    mask[10:30, 40:60] = 1
    for number in range(5):
        for place, values in (("images", np.full_like(mask, 40 + number)), ("labels", mask)):
            (data / place).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(data / place / f"eye{number}.png")
    write_labels(propose(data, "eyes", ["background", "disc"]), tmp_path / "labels.html")
    page = (tmp_path / "labels.html").read_text(encoding="utf-8")
    first = re.search(r'src="data:image/jpeg;base64,([^"]+)"', page)[1]
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(first)))).astype(int)
    assert picture.shape == (320, 320, 3)
    rows, columns = np.nonzero(np.ptp(picture, axis=2) > 60)  # in colour
    assert abs(rows.min() - 50) <= 2 and abs(rows.max() - 149) <= 2
    assert abs(columns.min() - 200) <= 2 and abs(columns.max() - 299) <= 2
    assert not np.any((rows > 60) & (rows < 140) & (columns > 210) & (columns < 290)), "nothing inside"


def test_it_appears_whole_or_not_at_all(proposals, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(InputError, match="the disk is full"):
        write_bundle(proposals["colour"], tmp_path / "a" / "b" / "bundle")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "bundle").mkdir()
    with pytest.raises(InputError, match="exists: choose another output_dir"):
        write_bundle(proposals["colour"], tmp_path / "bundle")
