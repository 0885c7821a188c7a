"""Bundles are the shipped ones with a few entries replaced, and say so when these are gone."""

import json
import shutil
from dataclasses import replace

import pytest

from monai_supmix.config.find import find_bundle
from monai_supmix.errors import InputError
from monai_supmix.own_data.card import write_card
from monai_supmix.own_data.editing import put, to_text
from monai_supmix.own_data.template import fill_template

REPLACED = {
    "train.json": {
        "dataset_dir", "datalist_file", "found", "class_names", "num_labeled", "unlabeled_pool", "max_epochs",
        "crop_size", "working", "intensity_settings", "network_def", "intensity", "experiment_name",
    },
    "evaluate.json": {
        "dataset_dir", "datalist_file", "datalist", "class_names", "network_def", "intensity", "evaluation",
        "experiment_name",
    },
    "inference.json": {"dataset_dir", "num_classes", "network_def", "intensity", "view", "dicom_codes"},
    "presets/volume3d.json": {"working", "crop_size"},
}  # fmt: skip
ABSENT = {"chase_supmix": {"observer", "split"}, "covid19_ct_supmix": {"form", "test_list", "group_pattern"}}


def differing(made, shipped):
    return {key for key in {*made, *shipped} if made.get(key) != shipped.get(key)}


@pytest.mark.parametrize("kind", ["volumes", "grey", "colour"])
def test_all_other_entries_are_the_templates(kind, proposals):
    proposal = proposals[kind]
    folder = proposal.template / "configs"
    made = fill_template(proposal)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*.json")}
    assert set(made) == names - ({"presets/volume3d.json"} if proposal.pictures else set())
    for name, config in made.items():
        shipped = json.loads((folder / name).read_text(encoding="utf-8"))
        if name == "metadata.json":
            assert set(config) == set(shipped)
            assert config["network_data_format"]["outputs"]["pred"]["num_channels"] == len(
                proposal.datalist.class_names
            )
            continue
        gone = ABSENT[proposal.template.name] if name in ("train.json", "evaluate.json") else set()
        assert differing(config, shipped) <= REPLACED.get(name, set()) | gone
        assert not gone & set(config)
        assert not any(f"@{key}" in json.dumps(config) for key in gone)


def test_what_is_improved_in_the_shipped_bundle_is_in_the_next_one(proposals, tmp_path):
    copy = tmp_path / "covid19_ct_supmix"
    shutil.copytree(find_bundle("covid19_ct_supmix"), copy)
    train = json.loads((copy / "configs" / "train.json").read_text(encoding="utf-8"))
    train |= {"sufd_weight": 0.25, "new_setting": "@seed"}
    (copy / "configs" / "train.json").write_text(json.dumps(train), encoding="utf-8")
    (copy / "configs" / "methods" / "next.json").write_text('{"mixing": null}', encoding="utf-8")
    made = fill_template(replace(proposals["volumes"], template=copy))
    assert (made["train.json"]["sufd_weight"], made["train.json"]["new_setting"]) == (0.25, "@seed")
    assert made["methods/next.json"] == {"mixing": None}
    del train["crop_size"]
    (copy / "configs" / "train.json").write_text(json.dumps(train), encoding="utf-8")
    with pytest.raises(InputError, match="crop_size: is not where the shipped bundles had it"):
        fill_template(replace(proposals["volumes"], template=copy))


def test_another_direction_of_planes_reaches_training_and_inference(proposals):
    made = fill_template(replace(proposals["volumes"], axis="sagittal"))
    assert made["train.json"]["loading"]["axis"] == made["train.json"]["validation_inferer"]["axis"] == "sagittal"
    assert made["evaluate.json"]["inferer"]["axis"] == made["inference.json"]["inferer"]["axis"] == "sagittal"


def test_what_the_input_is_reaches_every_configuration(proposals):
    rule = {"picture": {"rule": "percentile_scale"}}
    made = fill_template(replace(proposals["volumes"], intensity="picture", intensity_settings=rule))
    assert {made[f"{kind}.json"]["intensity"] for kind in ("train", "evaluate", "inference")} == {"picture"}
    assert made["train.json"]["intensity_settings"] == rule


def test_networks_have_room_for_many_classes_everywhere_alike(proposals):
    names = ["background", *(f"label_{value}" for value in range(1, 42))]
    datalist = replace(proposals["volumes"].datalist, class_names=names)
    made = fill_template(replace(proposals["volumes"], datalist=datalist))
    assert {tuple(made[f"{name}.json"]["network_def"]["features"]) for name in ("train", "evaluate", "inference")} == {
        (16, 32, 32, 64, 64, 48)
    }
    assert made["presets/volume3d.json"]["network_def"]["network"]["channels"][0] == 24


def test_nothing_that_is_true_of_the_templates_data_alone_stays(proposals):
    inference = fill_template(proposals["grey"])["inference.json"]
    assert inference["view"] == "upright", "pictures are trained on as they lie"
    assert inference["dicom_codes"] == {}, "a consolidation may be something else here"


def test_the_metadata_names_the_method_and_not_the_templates_data(proposals):
    for proposal in proposals.values():
        metadata = fill_template(proposal)["metadata.json"]
        text = json.dumps(metadata).lower()
        for word in ("chase", "kingston", "fundus", "medseg", "covid", "inf-net"):
            assert word not in text
        assert len(metadata["references"]) == 2


def test_the_metadata_tell_values_of_labels_from_channels(proposals):
    """MONAI's ``channel_def`` is about the channels of the network's output; labels may have other values."""
    proposal, values = proposals["grey"], "0 3 7 9"
    items = [{**item, "values": values} for item in proposal.datalist.labeled]
    gaps = replace(proposal, datalist=replace(proposal.datalist, labeled=items))
    for one, numbers in ((proposal, "0123"), (gaps, "0379")):
        metadata, names = fill_template(one)["metadata.json"], one.datalist.class_names
        described = ", ".join(f"{number} {name}" for number, name in zip(numbers, names, strict=True))
        assert metadata["label_classes"] == described
        assert [*metadata["network_data_format"]["outputs"]["pred"]["channel_def"]] == ["0", "1", "2", "3"]
        assert ("channels of the network's output" in write_card(one)) == (one is gaps)


@pytest.mark.parametrize("name", ["chase_supmix", "covid19_ct_supmix"])
def test_files_are_laid_out_much_like_the_shipped_ones(name):
    """So that a comparison of files shows the settings and little else."""
    paths = sorted((find_bundle(name) / "configs").rglob("*.json"))
    assert paths
    for path in paths:
        shipped = path.read_text(encoding="utf-8").splitlines()
        made = to_text(json.loads(path.read_text(encoding="utf-8"))).splitlines()
        assert json.loads("\n".join(made)) == json.loads("\n".join(shipped))
        assert len(set(made) - set(shipped)) <= 3 + len(shipped) // 20


def test_put_names_an_entry_that_is_not_there():
    with pytest.raises(InputError, match="a#b"):
        put({"a": {}}, "a#b", 1)
    with pytest.raises(InputError, match="a#b"):
        put({"a": {"b": 1}}, "a#b", 1, new=True)
