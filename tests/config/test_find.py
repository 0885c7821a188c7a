"""Bundles by folder and name, their configuration files, and the wheel that carries them."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from monai_supmix.config import find
from monai_supmix.config.find import config_files, find_bundle
from monai_supmix.errors import InputError

CLONE = Path(find.__file__).resolve().parents[2]
in_clone = pytest.mark.skipif(not (CLONE / "pyproject.toml").is_file(), reason="not in a clone")


def make_bundle(folder):
    for name in ("metadata.json", "train.json", "methods/a.json", "presets/p.json"):
        path = folder / "configs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}", encoding="utf-8")
    return folder


def test_a_folder_stands_over_a_name(tmp_path, monkeypatch):
    shipped = make_bundle(tmp_path / "shipped" / "eyes")
    monkeypatch.setattr(find, "HOMES", (tmp_path / "not there", tmp_path / "shipped"))
    monkeypatch.chdir(tmp_path)
    assert find_bundle("eyes") == shipped
    (tmp_path / "eyes").mkdir()
    assert find_bundle("eyes") == shipped, "an output folder of that name is not a bundle"
    mine = make_bundle(tmp_path / "eyes")
    assert find_bundle("eyes") == mine
    assert find_bundle(shipped) == shipped


def test_a_near_name_is_looked_for_among_the_bundles_beside_it_as_well(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_bundle(tmp_path / "my_liver")
    make_bundle(tmp_path / "shelf" / "my_kidney")
    for name, near in (("my_livr", "my_liver"), ("shelf/my_kidny", "shelf/my_kidney"), ("chase_supmx", "chase_supmix")):
        with pytest.raises(InputError, match=f"did you mean {near}\\?$"):
            find_bundle(name)
    with pytest.raises(InputError) as failure:
        find_bundle("zzz")
    assert "one of" in failure.value.remedy and "my_liver" not in failure.value.remedy, "only the shipped ones"


def test_files_are_merged_in_the_order_of_the_contract(tmp_path):
    bundle = make_bundle(tmp_path / "eyes")
    extra = tmp_path / "extra.json"
    extra.write_text("{}", encoding="utf-8")
    files = config_files(bundle, ["train", str(extra)], "a", "p")
    assert [file.name for file in files] == ["train.json", "a.json", "p.json", "extra.json"]
    assert config_files(bundle, [str(extra)]) == [extra]


def test_a_bundle_without_methods_says_so(tmp_path):
    bundle = make_bundle(tmp_path / "eyes")
    shutil.rmtree(bundle / "configs" / "methods")
    with pytest.raises(InputError, match="a: is not a method: this bundle has none"):
        config_files(bundle, ["train"], "a")


@in_clone
@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib came with Python 3.11")
def test_every_package_is_listed_for_the_wheel():
    import tomllib  # noqa: PLC0415

    listed = tomllib.loads((CLONE / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    present = {path.parent for path in (CLONE / "monai_supmix").rglob("*.py")}
    names = {".".join(path.relative_to(CLONE).parts) for path in present}
    assert set(listed) == names | {"monai_supmix._bundles"}


@in_clone
@pytest.mark.slow
def test_the_wheel_holds_the_bundles_whole(tmp_path):
    pytest.importorskip("setuptools", minversion="77")
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CLONE / name, source)
    for name in ("monai_supmix", "bundles"):
        shutil.copytree(CLONE / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "-w", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    files = {path.relative_to(source / "bundles") for path in (source / "bundles").rglob("*") if path.is_file()}
    carried = {name for name in names if name.startswith("monai_supmix/_bundles/")}
    assert carried == {f"monai_supmix/_bundles/{path.as_posix()}" for path in files}
    assert len(carried) > 10
    assert {path.relative_to(source).as_posix() for path in (source / "monai_supmix").rglob("*.py")} <= names
