"""What ``export`` writes, and what it refuses."""

import json
import shutil
import zipfile

import pytest
import torch
from monai.bundle import ConfigParser, ckpt_export, verify_net_in_out
from monai.data import load_net_with_metadata
from PIL import Image

from monai_supmix.config.find import config_files, find_bundle
from monai_supmix.files import sha256
from monai_supmix.weights import load_weights
from tests.cli.conftest import make_weights

BUNDLE = "covid19_ct_supmix"


def network(preset=None, **changes):
    """An untrained network of the bundle."""
    parser = ConfigParser()
    parser.read_config([str(file) for file in config_files(find_bundle(BUNDLE), ["inference"], preset=preset)])
    parser.update(changes)
    torch.manual_seed(0)
    return parser.get_parsed_content("network_def")


@pytest.fixture
def scan(chest):
    return chest / "imagesTs" / "chest_006_0000.nii.gz"


def test_all_forms_carry_the_record_of_the_weights_and_give_what_they_give(front, weights, scan, tmp_path):
    onnx = pytest.importorskip("onnx")
    out = tmp_path / "out"
    forms = ("--format", "onnx", "torchscript", "zip")
    ended = front("export", BUNDLE, *forms, "--output_dir", out, "--ckpt_path", weights, "--case", scan)
    assert ended.status == 0, ended.err
    names = ["model.ts", "model.onnx", f"{BUNDLE}_v0.1.0.zip"]
    assert ended.out.splitlines()[-3:] == [f"written: {out / name}" for name in names]
    assert {path.name for path in out.iterdir()} == {*names, "model.ts.json", "model.onnx.json"}
    known = {"file": "model.pt", "sha256": sha256(weights), "record": load_weights(weights)[1]}
    for name in names[:2]:
        record = json.loads((out / f"{name}.json").read_text(encoding="utf-8"))
        assert record["weights"] == known
        assert record["sha256"] == sha256(out / name)
        assert record["input"]["free"] == ["batch", "height", "width"]
        assert record["parity"]["case"] == scan.name
        # 4 planes on the working grid, and one twice as high as two images
        assert record["parity"]["num_pixels"] == (4 + 2 * 2) * 32 * 32
        assert record["parity"]["max_difference"] <= record["parity"]["tolerance"]
        assert "logits differ by at most" in ended.out and f"{name}: " in ended.out
    exported, metadata, files = load_net_with_metadata(str(out / "model.ts"), more_extra_files=["inference.json"])
    assert metadata["weights"] == known
    assert str(tmp_path) not in files["inference.json"].decode()
    state = load_weights(weights)[0]
    assert all(torch.equal(tensor, state[name]) for name, tensor in exported.state_dict().items())
    properties = {entry.key: entry.value for entry in onnx.load(out / "model.onnx").metadata_props}
    assert json.loads(properties["metadata"]) == metadata
    with zipfile.ZipFile(out / names[2]) as archive:
        assert archive.read(f"{BUNDLE}/models/model.ts") == (out / "model.ts").read_bytes()
        assert archive.read(f"{BUNDLE}/models/model.onnx") == (out / "model.onnx").read_bytes()


def test_the_networks_settings_are_exported_with_it_and_a_case_is_made_up(front, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    small = network(**{"network_def#features": [4, 4, 4, 4, 4, 4]})
    make_weights(out / "model.pt", network=small)  # as training leaves it
    ended = front("export", BUNDLE, "--output_dir", out, "--network_def#features", "[4,4,4,4,4,4]")
    assert ended.status == 0, ended.err
    assert "case: made-up chest CT" in ended.out and str(out / "model.pt") in ended.out
    _, metadata, files = load_net_with_metadata(str(out / "model.ts"), more_extra_files=["inference.json"])
    config = json.loads(files["inference.json"])
    assert config["network_def"]["features"] == [4, 4, 4, 4, 4, 4]
    assert config["bundle_root"] == "." and config["ckpt_path"] is None
    assert metadata["weights"]["sha256"] == sha256(out / "model.pt")


def test_a_network_of_volumes_is_exported_with_metadata_of_volumes(front, scan, tmp_path):
    unet = network("volume3d", **{"network_def#network#channels": [4, 4, 4, 4]})
    path = make_weights(tmp_path / "volumes.pt", network=unet)
    command = ("export", BUNDLE, "--preset", "volume3d", "--ckpt_path", path, "--output_dir", tmp_path / "out")
    small = ("--network_def#network#channels", "[4,4,4,4]", "--crop_size", "[8,32,16]")
    ended = front(*command, *small, "--case", scan)
    assert ended.status == 0, ended.err
    _, metadata, _ = load_net_with_metadata(str(tmp_path / "out" / "model.ts"))
    shapes = [part["spatial_shape"] for side in metadata["network_data_format"].values() for part in side.values()]
    assert shapes == [["16*n", "16*n", "16*n"]] * 2
    record = json.loads((tmp_path / "out" / "model.ts.json").read_text(encoding="utf-8"))
    assert record["input"]["shape"] == [1, 1, 8, 32, 16]
    assert record["input"]["free"] == ["batch", "depth", "height", "width"]


def test_an_archive_of_a_preset_works_by_itself(front, chest, tmp_path):
    unet = network("volume3d", **{"network_def#network#channels": [4, 4, 4, 4]})
    path = make_weights(tmp_path / "volumes.pt", network=unet)
    preset = ("--preset", "volume3d", "--network_def#network#channels", "[4,4,4,4]", "--crop_size", "[8,32,32]")
    out = tmp_path / "out"
    ended_export = front("export", BUNDLE, *preset, "--ckpt_path", path, "--output_dir", out, "--format", "zip")
    assert ended_export.status == 0, ended_export.err
    shutil.unpack_archive(out / f"{BUNDLE}_v0.1.0.zip", tmp_path)
    configs = tmp_path / BUNDLE / "configs"
    files = {"meta_file": str(configs / "metadata.json"), "config_file": str(configs / "inference.json")}
    verify_net_in_out("network_def", **files, device="cpu")
    assert "weights" not in json.loads((configs / "metadata.json").read_text(encoding="utf-8"))
    made = {}
    for place, command in {"there": [tmp_path / BUNDLE], "here": [BUNDLE, *preset, "--ckpt_path", path]}.items():
        data = ("--dataset_dir", chest, "--output_dir", tmp_path / place, "--device", "cpu", "--amp", "false")
        for config in ("evaluate", "inference"):
            ended = front("run", command[0], config, *command[1:], *data)
            assert ended.status == 0, ended.err
        cases, mask = tmp_path / place / "cases.csv", next((tmp_path / place).glob("*_seg.nii.gz"))
        made[place] = (cases.read_bytes(), mask.read_bytes())
    assert made["there"] == made["here"]
    for config in ("evaluate", "inference"):
        entries = json.loads((configs / f"{config}.json").read_text(encoding="utf-8"))
        assert {"network_def", "crop_size"} <= entries.keys()
        assert not entries.keys() & {"weak_augmentation", "labeled_batch_size"}, "only training uses them"
    training = json.loads((configs / "train.json").read_text(encoding="utf-8"))
    assert training["network_def"]["network"]["channels"] == [4, 4, 4, 4]
    assert training["labeled_batch_size"] == 2, "the preset's"
    card = (tmp_path / BUNDLE / "docs" / "README.md").read_text(encoding="utf-8")
    assert f"not those that this page was written for** (SHA-256 {sha256(path)})" in card.splitlines()[2]
    assert card.endswith((find_bundle(BUNDLE) / "docs" / "README.md").read_text(encoding="utf-8").partition("\n")[2])
    assert "says at its top that it was written for other weights" in ended_export.out


def test_an_archive_has_all_that_its_own_entries_refer_to_whatever_it_is_called(front, weights, chest, tmp_path):
    bundle = tmp_path / "ct"
    shutil.copytree(find_bundle(BUNDLE), bundle)
    inferer = json.loads((bundle / "configs" / "inference.json").read_text(encoding="utf-8"))["inferer"]
    preset = {"größe": 2, "2d": "@größe", "unused": 1, "inferer": {**inferer, "batch_size": "@2d"}}
    (bundle / "configs" / "presets" / "mine.json").write_text(json.dumps(preset), encoding="utf-8")
    exported = ("export", bundle, "--preset", "mine", "--ckpt_path", weights, "--format", "zip")
    ended = front(*exported, "--output_dir", tmp_path / "out", "--run_dir", tmp_path)
    assert ended.status == 0, ended.err
    shutil.unpack_archive(tmp_path / "out" / "ct_v0.1.0.zip", tmp_path / "there")
    config = json.loads((tmp_path / "there" / "ct" / "configs" / "inference.json").read_text(encoding="utf-8"))
    assert (config["größe"], config["2d"], config["run_dir"]) == (2, "@größe", "@output_dir")
    assert "unused" not in config
    scan = next((chest / "imagesTs").glob("*.nii.gz"))
    ended = front("predict", tmp_path / "there" / "ct", scan, "--output_dir", tmp_path / "masks", "--device", "cpu")
    assert ended.status == 0, ended.err


def test_a_preset_of_prediction_alone_leaves_the_training_as_it_is(front, weights, tmp_path):
    bundle = tmp_path / "ct"
    shutil.copytree(find_bundle(BUNDLE), bundle)
    (bundle / "configs" / "presets" / "flips.json").write_text('{"inferer#flips": [1]}', encoding="utf-8")
    exported = ("export", bundle, "--preset", "flips", "--ckpt_path", weights, "--format", "zip")
    ended = front(*exported, "--output_dir", tmp_path / "out")
    assert ended.status == 0, ended.err
    shutil.unpack_archive(tmp_path / "out" / "ct_v0.1.0.zip", tmp_path / "there")
    configs = tmp_path / "there" / "ct" / "configs"
    assert (configs / "train.json").read_bytes() == (bundle / "configs" / "train.json").read_bytes()
    assert json.loads((configs / "inference.json").read_text(encoding="utf-8"))["inferer"]["flips"] == [1]


def test_a_run_without_weights_is_not_exported(refused, tmp_path):
    says = "holds no model.pt, as --run_dir should: give the folder of a training"
    refused("export", BUNDLE, "--run_dir", tmp_path, "--output_dir", tmp_path / "out", says=says)


@pytest.mark.parametrize("file", ["model.pt", "model.safetensors"])
def test_an_archive_of_the_bundles_own_weights_has_its_own_documents(front, file, tmp_path):
    own = ("--ckpt_path", find_bundle(BUNDLE) / "models" / file)
    ended = front("export", BUNDLE, *own, "--output_dir", tmp_path / "out", "--format", "zip")
    assert ended.status == 0, ended.err
    shutil.unpack_archive(tmp_path / "out" / f"{BUNDLE}_v0.1.0.zip", tmp_path)
    card = tmp_path / BUNDLE / "docs" / "README.md"
    assert card.read_bytes() == (find_bundle(BUNDLE) / "docs" / "README.md").read_bytes()
    assert "other weights" not in ended.out


def test_an_archive_without_a_preset_has_the_bundles_own_configurations(front, weights, tmp_path):
    out = tmp_path / "out"
    ended = front("export", BUNDLE, "--ckpt_path", weights, "--output_dir", out, "--format", "zip")
    assert ended.status == 0, ended.err
    shutil.unpack_archive(out / f"{BUNDLE}_v0.1.0.zip", tmp_path)
    for file in (find_bundle(BUNDLE) / "configs").glob("*.json"):
        assert (tmp_path / BUNDLE / "configs" / file.name).read_bytes() == file.read_bytes()


def test_an_export_that_gives_something_else_is_refused_and_the_old_one_stays(
    refused, weights, scan, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("model.ts", "model.ts.json"):
        (out / name).write_text("an older export", encoding="utf-8")

    def spoil_and_export(net_id, filepath, ckpt_file, *rest):
        state = torch.load(ckpt_file, weights_only=True)
        state["unet.final_conv.weight"][1, 0] += 0.5
        torch.save(state, ckpt_file)
        ckpt_export(net_id, filepath, ckpt_file, *rest)

    monkeypatch.setattr("monai_supmix.export.torchscript.ckpt_export", spoil_and_export)
    command = ("export", BUNDLE, "--ckpt_path", weights, "--case", scan, "--format", "torchscript", "zip")
    refused(*command, "--output_dir", out, says="model.ts: does not give what model.pt gives on chest_006_0000.nii.gz")
    assert (
        (out / "model.ts").read_text(encoding="utf-8")
        == (out / "model.ts.json").read_text(encoding="utf-8")
        == "an older export"
    )
    refused(*command, "--output_dir", tmp_path / "new", says="does not give what")


def test_mistakes_end_in_one_line(refused, weights, scan, tmp_path, monkeypatch):
    command = ("export", BUNDLE, "--ckpt_path", weights, "--output_dir", tmp_path / "out")
    refused(*command, "--format", "tensorrt", says="invalid choice: 'tensorrt'")
    refused("export", BUNDLE, says="the following arguments are required: --output_dir")
    refused(*command, "--device", "cpu", says="--device: has no meaning here")
    refused(*command, "--amp", "bf16", says="--amp: has no meaning here")
    refused(*command, "--runtime", "openvino", says="--runtime: has no meaning here")
    refused(*command, "--seeds", "1", says="--seeds: is not a key of inference.json: did you mean seed?")
    refused(*command, "--case", tmp_path / "none.nii.gz", says="none.nii.gz: does not exist")
    picture = tmp_path / "eye.png"
    Image.new("RGB", (64, 64), "red").save(picture)
    refused(*command, "--case", picture, says="eye.png: the network takes 1 channel, the image has 3")
    other = make_weights(tmp_path / "other.pt", num_classes=2)
    refused(*command[:2], "--ckpt_path", other, *command[4:], says="was trained with 2 classes, this network has 4")
    monkeypatch.setattr("monai_supmix.export.onnx_graph.find_spec", lambda _: None)
    refused(*command, "--format", "onnx", says='pip install "monai-supmix[onnx]"')


def test_damaged_metadata_are_told(refused, weights, tmp_path):
    bundle = tmp_path / "bundle"
    (bundle / "configs").mkdir(parents=True)
    for name in ("inference.json", "metadata.json"):
        shutil.copy(find_bundle(BUNDLE) / "configs" / name, bundle / "configs" / name)
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
    command = ("export", bundle, "--ckpt_path", weights, "--output_dir", tmp_path / "out")
    metadata["network_data_format"]["outputs"]["pred"]["channel_def"]["1"] = "nodule"
    (bundle / "configs" / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    refused(*command, says="is for background, nodule, consolidation")
    del metadata["network_data_format"]["inputs"]
    (bundle / "configs" / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    refused(*command, says="metadata.json: lacks 'inputs'")
