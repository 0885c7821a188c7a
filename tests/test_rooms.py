"""The package's rooms: dependencies point one way, low rooms know no command line."""

import ast
import graphlib
import re
from pathlib import Path

import pytest

import monai_supmix

PACKAGE = Path(monai_supmix.__file__).parent
LOW = ("imageio", "datalists", "data", "transforms", "losses", "networks", "engines", "inferers", "metrics", "phantoms")
HIGH = {
    "engines": ("bundle", "cli", "own_data", "report", "config"),
    "imageio": ("datalists", "data", "engines", "inferers"),
    "datalists": ("data", "engines", "inferers", "bundle"),
    **dict.fromkeys(("transforms", "losses", "networks", "data"), ("engines", "bundle", "cli", "own_data", "config")),
}


def modules():
    return {path.relative_to(PACKAGE).with_suffix("").as_posix(): path for path in PACKAGE.rglob("*.py")}


def imports(path):
    """Modules of this package that a module imports, those for annotations among them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("monai_supmix"):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("monai_supmix")]
        found |= {name.removeprefix("monai_supmix").lstrip(".").replace(".", "/") for name in names}
    return found & (modules().keys() | {path.parent.name for path in PACKAGE.rglob("__init__.py")})


def room(module):
    return module.partition("/")[0]


@pytest.mark.parametrize("low", HIGH)
def test_dependencies_point_one_way(low):
    wrong = {
        module: sorted(room(name) for name in imports(path) if room(name) in HIGH[low])
        for module, path in modules().items()
        if room(module) == low
    }
    assert not {module: names for module, names in wrong.items() if names}


def test_no_two_modules_need_each_other():
    graph = {module: imports(path) - {module} for module, path in modules().items() if not module.endswith("__init__")}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


@pytest.mark.parametrize("low", LOW)
def test_low_rooms_name_no_option_and_no_preset(low):
    told = [
        f"{path.name}:{number}: {line.strip()}"
        for path in sorted((PACKAGE / low).rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"(?<![-\w])--[a-z]\w+|\bpresets?\b", line)
    ]
    assert told == []


def test_text_files_name_their_encoding():
    """Without it a file reads differently, or not at all, where the locale is another."""
    root = Path(__file__).parents[1]
    folders = (PACKAGE, root / "scripts", root / "tests")
    files = [path for folder in folders for path in folder.rglob("*.py")]
    missing = [
        f"{path.name}:{node.lineno}"
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and (plain := {"read_text": 0, "write_text": 1}.get(getattr(node.func, "attr", ""))) is not None
        and len(node.args) <= plain
        and "encoding" not in {keyword.arg for keyword in node.keywords}
    ]
    assert not missing, missing
