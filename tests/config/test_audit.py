"""What a bundle names and would run, fetch or write is listed, and what is dangerous in it is flagged."""

import json
import pickle

import pytest
import torch

from monai_supmix.__main__ import main
from monai_supmix.config.audit import audit_bundle, audit_config
from monai_supmix.config.find import HOMES

BUNDLES = sorted({path.parents[1] for home in HOMES for path in home.glob("*/configs/metadata.json")})


def flagged(config):
    return {finding.id for finding in audit_config(config) if finding.problem}


@pytest.mark.parametrize(
    ("component", "argument"),
    [
        ({"_target_": "monai.data.PersistentDataset", "weights_only": False}, "weights_only"),
        ({"_target_": "PersistentDataset", "weights_only": None}, "weights_only"),
        ({"_target_": "PersistentDataset", "weights_only": "@safe"}, "weights_only"),
        ({"_target_": "DenseNet121", "spatial_dims": 2, "pretrained": True}, "pretrained"),
        ({"_target_": "DenseNet121", "pretrained": "$True"}, "pretrained"),
        ({"_target_": "DenseNet121", "pretrained": "$not @x"}, "pretrained"),
        ({"_target_": "DenseNet121", "pretrained": "@always"}, "pretrained"),
        ({"_target_": "mine.Dataset", "download": 1}, "download"),
        ({"_target_": "CSVDataset", "src": "https://example.org/cases.csv"}, "src"),
        ({"_target_": "CSVDataset", "src": ["s3://bucket/cases.csv"]}, "src#0"),
        ({"_target_": "SaveImage", "output_dir": "/home/somebody"}, "output_dir"),
        ({"_target_": "SaveImage", "output_dir": "~/.ssh"}, "output_dir"),
        ({"_target_": "SaveImage", "output_dir": "C:\\Users"}, "output_dir"),
        ({"_target_": "SaveImage", "output_dir": "out/../../elsewhere"}, "output_dir"),
        ({"_target_": "SaveImage", "output_dir": "$'/home/' + @name"}, "output_dir"),
        ({"_target_": "UNet", "_mode_": "debug"}, "_mode_"),
    ],
)
def test_dangerous_arguments_are_flagged(component, argument):
    assert flagged({"safe": False, "always": True, "x": component}) == {f"x#{argument}"}


@pytest.mark.parametrize(
    "component",
    [
        {"_target_": "PersistentDataset", "weights_only": True, "cache_dir": "cache"},
        {"_target_": "DenseNet121", "pretrained": False},
        {"_target_": "monai_supmix.networks.EncoderDecoder", "pretrained": None, "download": "@never"},
        {"_target_": "CSVDataset", "src": "cases.csv"},
        {"_target_": "SaveImage", "output_dir": "./output"},
        {"_target_": "SaveImage", "output_dir": "$@dataset_dir + '/masks'"},
    ],
)
def test_the_same_components_used_safely_are_not(component):
    assert not flagged({"never": False, "x": component})


@pytest.mark.parametrize(
    "target",
    [
        *("os.system", "subprocess.Popen", "eval", "builtins.eval", "torch.load", "torch.hub.load", "monai.bundle.run"),
        *("monai.data.utils.pickle.loads", "torch.serialization.os.system", "pathlib.Path.touch"),
        *("DecathlonDataset", "download_url", "run_cmd", "optional_import", "ckpt_export"),  # names of MONAI
        *("monai.utils.run_cmd", "torch.ops.load_library", "torch.classes.load_library", "monai.utils.optional_import"),
        *("huggingface_hub.hf_hub_download", "pandas.read_pickle", "joblib.load"),
        *("@name", "$torch.nn.Linear", ["os", "system"], None, {"a": 1}),
    ],
)
def test_dangerous_components_are_flagged(target):
    assert "x#_target_" in flagged({"x": {"_target_": target}})


@pytest.mark.parametrize(
    "expression",
    [
        *("import os", "from os import system", "from torch import hub", "import os.path as path", "os.system('ls')"),
        *("__import__('os').system('ls')", "eval('1')", "open('x')", "getattr(@x, 'a')", "().__class__"),
        *("torch.hub.load('a', 'b')", "t.hub.load('a')", "monai.data.dataset.torch.load('x')"),
        *("np.load('x', allow_pickle=True)", "monai.networks.nets.DenseNet121(pretrained=True)"),
        *("torch.classes.load_library('a')", "torch.classes.a.b", "p.read_pickle('a')", "monai.utils.run_cmd(['a'])"),
        *("monai.networks.nets.EfficientNetBN('efficientnet-b0')", "nets.EfficientNetBN('efficientnet-b0', True)"),
        *("torchvision.models.resnet18(weights='DEFAULT')", "segmentation_models_pytorch.Unet()"),
        *("@x['/etc/passwd']", "[f('https://example.org/x') for f in @list]", "@train#net.save('../x')"),
    ],
)
def test_dangerous_expressions_are_flagged(expression):
    imports = ["$import torch as t", "$import pandas as p", "$from monai.networks import nets"]
    assert flagged({"imports": imports, "x": f"${expression}"}) == {"x"}


@pytest.mark.parametrize(
    "text",
    ["torch.classes.load_library", "torch.\0", "monai..", "torch." * 500, "(" * 300, "f" + "(1)" * 3000, "\ud800"],
)
def test_nothing_that_is_written_there_ends_the_audit(text):
    found = audit_config(
        {"a": {"_target_": text}, "b": f"${text}", "c": f"${text}('a')", "d": {"download": f"@{text}"}}
    )
    assert {"a#_target_", "b", "c"} <= {finding.id for finding in found}


@pytest.mark.parametrize(
    ("target", "safe", "unsafe"),
    [
        ("EfficientNetBN", {"pretrained": False}, {}),
        ("monai.networks.nets.MILModel", {"pretrained": False}, {}),
        ("segmentation_models_pytorch.Unet", {"encoder_weights": None}, {}),
        ("torchvision.models.resnet18", {}, {"weights": "DEFAULT"}),
        ("DenseNet121", {}, {"pretrained": True}),
    ],
)
def test_weights_that_a_network_fetches_unless_told_not_to_are_flagged(target, safe, unsafe):
    assert flagged({"x": {"_target_": target, **unsafe}})
    assert not flagged({"x": {"_target_": target, **safe}})


def test_a_call_that_leaves_nothing_dangerous_out_is_not_flagged():
    expression = (
        "$nets.EfficientNetBN('efficientnet-b0', False), segmentation_models_pytorch.Unet(encoder_weights=None)"
    )
    assert not flagged({"imports": ["$from monai.networks import nets"], "x": expression})


HANDLER = "[handlers]\nkeys=h\n[handler_h]\nclass={}\nargs={}\n"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (HANDLER.format("StreamHandler", "(sys.stdout,)"), None),
        (HANDLER.format("FileHandler", "('train.log', 'w')"), None),
        (HANDLER.format("FileHandler", "('/etc/cron.d/x',)"), "handler_h#args"),
        (HANDLER.format("FileHandler", "('../x',)"), "handler_h#args"),
        (HANDLER.format("FileHandler", "('%(p)s',)") + "[DEFAULT]\np=/etc/x\n", "handler_h#args"),
        (HANDLER.format("FileHandler", "()") + "kwargs={'filename': '/x'}\n", "handler_h#kwargs"),
        (HANDLER.format("StreamHandler", "(os.system('a'),)"), "handler_h#args"),
        (HANDLER.format("handlers.SocketHandler", "('a', 1)"), "handler_h#class"),
        ("[formatter_f]\nclass=mine.Formatter\n", "formatter_f#class"),
        ("no section", ""),
    ],
)
def test_logging_that_does_more_than_print_is_flagged(tmp_path, text, where):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "logging.conf").write_text(text, encoding="utf-8")
    found = [finding.id for finding in audit_bundle(tmp_path) if finding.problem]
    assert found == ([] if where is None else [where])


def test_what_comes_from_elsewhere_is_foreign_and_not_flagged():
    config = {"imports": ["$import mine"], "found": {"_target_": "mine.datalist", "dataset_dir": "@dataset_dir"}}
    config |= {"size": "$mine.size(@found)", "net": {"_target_": "monai_supmix.networks.CompactUNet"}}
    known = {finding.id: finding.known for finding in audit_config(config)}
    assert known == {"imports#0": False, "found#_target_": False, "size": False, "net#_target_": True}
    assert not flagged(config)


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_shipped_bundles_are_known_and_clean(bundle, capsys):
    findings = audit_bundle(bundle)
    assert len(findings) > 50
    assert [finding for finding in findings if finding.problem or not finding.known] == []
    assert main(["audit", str(bundle)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line == f"{len(findings)} entries: {len(findings)} known (--all lists them), " + (
        "0 foreign to the shipped bundles, 0 flagged"
    )


def test_what_is_flagged_or_foreign_is_printed_first(tmp_path, capsys):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "metadata.json").write_text("{}", encoding="utf-8")
    config = {"a": {"_target_": "monai_supmix.networks.CompactUNet"}, "b": "$import mine", "c": "$import os"}
    (tmp_path / "configs" / "train.json").write_text(json.dumps(config), encoding="utf-8")
    for more, told in (([], ["FLAGGED", "foreign"]), (["--all"], ["FLAGGED", "foreign", "known"])):
        assert main(["audit", str(tmp_path), *more]) == 2
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines if "train.json" in line] == told
        assert lines[-1].startswith("3 entries: 1 known") and lines[-1].endswith(
            "1 foreign to the shipped bundles, 1 flagged"
        )


def test_dangerous_files_are_flagged(tmp_path, capsys):
    bundle = tmp_path / "bundle"
    for name in ("configs", "scripts", "models"):
        (bundle / name).mkdir(parents=True)
    (bundle / "configs" / "metadata.json").write_text('{"schema": "https://example.org/schema.json"}', encoding="utf-8")
    (bundle / "configs" / "train.yaml").write_text("run: $import os", encoding="utf-8")
    (bundle / "configs" / "broken.json").write_text("{", encoding="utf-8")
    (bundle / "scripts" / "torch.py").write_text("", encoding="utf-8")
    (bundle / "configs" / "link.json").symlink_to("/etc/passwd")
    torch.save({"weight": torch.ones(2)}, bundle / "models" / "plain.pt")
    torch.save(torch.nn.Linear(2, 2), bundle / "models" / "whole.pt")
    (bundle / "models" / "old.pth").write_bytes(pickle.dumps(print))
    names = ("configs/train.yaml", "configs/broken.json", "configs/link.json", "models/whole.pt", "models/old.pth")
    assert {f.file for f in audit_bundle(bundle) if f.problem} == {*names, "scripts/torch.py"}
    assert main(["audit", str(bundle)]) == 2
    ended = capsys.readouterr()
    assert ended.err.startswith(f"error: {bundle}") and ended.err.count("\n") == 1
    assert "FLAGGED configs/train.yaml#run: $import os" in ended.out


def test_nothing_of_what_is_audited_runs(tmp_path):
    trace = tmp_path / "ran"
    (tmp_path / "mine.py").write_text(f"open({str(trace)!r}, 'w')", encoding="utf-8")
    audit_config({"a": f"$open({str(trace)!r}, 'w')", "b": {"_target_": "mine.thing"}, "c": "$import mine"})
    assert not trace.exists()
