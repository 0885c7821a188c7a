"""The pages of the documentation: every public name has one, and Sphinx finds nothing to warn about."""

import doctest
import importlib
import inspect
from pathlib import Path

import pytest
from documentation.pages import ROOMS

from tests import forked

ROOT = Path(__file__).parents[2]


def run(folder, *arguments):
    """Run Python to its end, which must be a good one."""
    process = forked.start_python(arguments, folder / "log.txt")
    process.join()
    assert process.exitcode == 0, (folder / "log.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    target = tmp_path_factory.mktemp("docs") / "sources"
    run(target.parent, ROOT / "scripts/documentation/pages.py", target)
    return target


def test_every_public_name_has_a_page(sources):
    pages = "".join(path.read_text(encoding="utf-8") for path in (sources / "api").glob("*.rst"))
    for room in sorted(path.stem for path in (sources / "api").glob("*.md")):
        module = importlib.import_module(f"monai_supmix.{room}")
        for name in module.__all__:
            thing = getattr(module, name)
            others = [other for other in module.__all__ if getattr(module, other) is thing]
            assert any(f".{other}\n" in pages for other in others), f"{room}.{name}"


def test_every_public_name_has_an_example():
    """Its own, or for a class one of its methods' own; what is no class and no function can have none."""
    without = []
    for room in ROOMS:
        module = importlib.import_module(f"monai_supmix.{room}")
        for name in module.__all__:
            thing = getattr(module, name)
            documented = inspect.isclass(thing) or inspect.isroutine(thing)
            if documented and not any(found.examples for found in doctest.DocTestFinder().find(thing, name)):
                without.append(f"{room}.{name}")
    assert not without


def test_pictures_are_beside_the_pages(sources):
    pictures = {path.name for path in (sources / "pictures").iterdir()}
    assert pictures and all(
        f"pictures/{name}" in (sources / "readme.md").read_text(encoding="utf-8") for name in pictures
    )


@pytest.mark.slow
def test_it_builds_without_a_warning(sources, tmp_path):
    pytest.importorskip("sphinx")
    run(tmp_path, "-m", "sphinx", "--fail-on-warning", "--quiet", "-b", "html", sources, tmp_path / "html")
    assert "Eq. 12" in (tmp_path / "html" / "api" / "losses.SUFDLoss.html").read_text(encoding="utf-8")
