"""What a bundle's configuration may run, and what is found out."""

import pytest

from monai_supmix.__main__ import main
from monai_supmix.config.allowed_names import NAMES
from monai_supmix.config.audit import audit_bundle, audit_config
from monai_supmix.config.expressions import expression_problem
from monai_supmix.config.find import HOMES

BUNDLES = sorted({path.parents[1] for home in HOMES for path in home.glob("*/configs/metadata.json")})
ALIASES = {"torch": "torch", "monai": "monai", "nn": "torch.nn", "bundle": "monai_supmix.bundle"}

NEEDED = [
    "len(@class_names)",
    "@network_def.to(@device)",
    "@max_iterations or @max_epochs * len(@train#dataloader)",
    "@discriminator is None",
    "@trained.record['working']",
    "bundle.default_device()",
    "monai_supmix.bundle.default_device()",
    "monai.utils.set_determinism(@seed)",
    "import torch",
    "from torch import nn",
    "import monai_supmix.bundle as bundle",
    "torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
    "nn.Conv2d(1, 2, 3).eval()",
    "[item['image'] for item in @datalist.train if 'label' in item]",
    "{key: value for key, value in @table.items()}",
    "lambda x, *rest: x > 0.5",
    "{'a': 1, **@b}",
    "@list[1:2] + [*@more]",
    "str(@output_dir) + '/model.pt'",
    "@train#trainer.add_event_handler(ignite.engine.Events.COMPLETED, @handler)",
]
MALICIOUS = [
    "__import__('os').system('ls')",
    "import os",
    "import os.path",
    "from os import system",
    "from torch import hub",
    "from torch import os",
    "from torch import nn; import os",
    "from torch.nn import *",
    "from . import x",
    "import subprocess as torch",
    "os.system('ls')",
    "subprocess.run(['ls'])",
    "eval('1')",
    "exec('1')",
    "compile('1', '', 'eval')",
    "open('/etc/passwd').read()",
    "print(1)",
    "getattr(@x, 'a')",
    "globals()",
    "vars(@x)",
    "torch.load('weights.pt')",
    "torch.hub.load('a', 'b')",
    "torch.os.system('ls')",
    "torch.serialization.os.system('ls')",
    "torch.utils.cpp_extension.load('a', 'b')",
    "nn.init.math.sin(1)",
    "nn.functional.importlib.import_module('os')",
    "monai.data.dataset.torch.load('x')",
    "monai.utils.misc.run_cmd(['ls'])",
    "monai.bundle.run()",
    "bundle.overrides.sys.exit()",
    "np.load('x', allow_pickle=True)",
    "[torch][0].os",
    "(lambda m: m.load)(torch)",
    "{'m': torch}",
    "@imports",
    "@imports#0.os.system('ls')",
    "@imports[0].load('x')",
    "__local_refs['imports::0'].load('x')",
    "().__class__.__bases__[0].__subclasses__()",
    "@x.__init__.__globals__",
    "@x._private",
    "(x for x in [1]).gi_frame.f_back.f_globals",
    "'{0.__class__}'.format(@x)",
    "@x['__builtins__']",
    "[eval for eval in [1]] and eval('1')",
    "[len for len in [@x]]",
    "lambda torch: torch.load('x')",
    "(x := 1)",
    "x = 1",
    "@a; @b",
    "yield 1",
    "unknown",
    "torch.nn.Missing()",
    "torch.nn.modules",
    "1 +",
]


@pytest.mark.parametrize("expression", NEEDED)
def test_what_bundles_need_is_allowed(expression):
    assert expression_problem(expression, ALIASES, ["imports::0"]) is None


@pytest.mark.parametrize("expression", MALICIOUS)
def test_what_leads_out_is_flagged(expression):
    assert expression_problem(expression, ALIASES, ["imports::0", "imports::1"])


@pytest.mark.parametrize(
    "target", ["torch.optim.Adam", "monai.transforms.Compose", "LoadImaged", "monai_supmix.transforms.SupMix"]
)
def test_components_of_the_libraries_are_allowed(target):
    assert audit_config({"x": {"_target_": target}})[0].problem is None


@pytest.mark.parametrize(
    "target",
    [
        *("os.system", "subprocess.Popen", "eval", "print", "builtins.eval", "torch.load", "torch.hub.load"),
        *("monai.bundle.run", "monai.data.utils.pickle.loads", "numpy.load", "@name", "$torch.nn.Linear"),
        *("Nothing", "torch.nn", "", "torch.nn._x", ["os", "system"], None, {"a": 1}),
    ],
)
def test_components_from_elsewhere_are_flagged(target):
    assert audit_config({"x": {"_target_": target}})[0].problem


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_allowed_name_exists(name):
    module, _, last = name.rpartition(".")
    assert hasattr(__import__(module, fromlist=[last]), last)


def test_everything_that_runs_is_listed_with_its_place():
    config = {
        "imports": ["$import torch"],
        "alias": "@imports#0",
        "relative": ["@#1", "$@##imports"],
        "macro": "%/etc/other.json#x",
        "own": "%#alias",
        "nested": [{"deep": "$open('x')"}],
        "stop": {"_target_": "UNet", "_mode_": "debug"},
        "text": "plain, @ and $ inside",
    }
    problems = {finding.id: finding.problem for finding in audit_config(config)}
    flagged = {place for place, problem in problems.items() if problem}
    assert flagged == {"alias", "relative#1", "macro", "nested#0#deep", "stop#_mode_"}
    assert problems.keys() - flagged == {"imports#0", "own", "stop#_target_"}


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_shipped_bundles_are_clean(bundle, capsys):
    findings = audit_bundle(bundle)
    assert len(findings) > 50
    assert [finding for finding in findings if finding.problem] == []
    assert main(["audit", str(bundle)]) == 0
    assert capsys.readouterr().out.endswith("0 flagged\n")


def test_files_that_do_not_belong_into_a_bundle_are_flagged(tmp_path, capsys):
    bundle = tmp_path / "bundle"
    (bundle / "configs").mkdir(parents=True)
    (bundle / "configs" / "metadata.json").write_text("{}")
    (bundle / "configs" / "train.yaml").write_text("run: $import os")
    (bundle / "configs" / "broken.json").write_text("{")
    (bundle / "scripts").mkdir()
    (bundle / "scripts" / "torch.py").write_text("")
    (bundle / "configs" / "link.json").symlink_to("/etc/passwd")
    flagged = {finding.file for finding in audit_bundle(bundle) if finding.problem}
    names = ("train.yaml", "broken.json", "link.json")
    assert flagged == {*(f"configs/{name}" for name in names), "scripts/torch.py"}
    assert main(["audit", str(bundle)]) == 2
    ended = capsys.readouterr()
    assert ended.err.startswith(f"error: {bundle}") and ended.err.count("\n") == 1
    assert "FLAGGED configs/train.yaml#run: $import os" in ended.out


def test_nothing_of_what_is_audited_runs(tmp_path):
    trace = tmp_path / "ran"
    config = {
        "a": f"$open({str(trace)!r}, 'w')",
        "b": {"_target_": "pathlib.Path.touch", "self": str(trace)},
        "c": f"$__import__('pathlib').Path({str(trace)!r}).touch()",
    }
    assert all(finding.problem for finding in audit_config(config))
    assert not trace.exists()
