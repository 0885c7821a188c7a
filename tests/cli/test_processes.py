"""The front as a process of its own: what a user sees of a mistake is one line."""

import os
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("command", ["check", "predict"])
def test_a_broken_file_ends_in_one_line_and_status_2(command, chest, weights, tmp_path):
    image = chest / "imagesTr" / "chest_005_0000.nii.gz"
    image.write_bytes(image.read_bytes()[:-9])
    what = {
        "check": ("inference", "--dataset_dir", chest / "imagesTr", "--ckpt_path", weights),
        "predict": (chest / "imagesTr", "--output_dir", tmp_path / "masks", "--ckpt_path", weights),
    }
    front = [sys.executable, "-m", "monai_supmix", command, "covid19_ct_supmix", *what[command]]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    ended = subprocess.run(front, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"error: {image}: is damaged or truncated")
    assert ended.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chest"]


def test_help_and_slips_of_the_pen_are_told_without_the_slow_libraries():
    code = """
import sys
from monai_supmix.__main__ import main

commands = ["run", "compare", "check", "predict", "suggest", "new", "export", "install", "audit"]
for command in [[], *([command] for command in commands)]:
    assert main([*command, "--help"]) == 0
assert main(["--version"]) == 0
assert main(["run", "covid19_ct_supmx", "train"]) == main(["predct"]) == 2
print(*{"torch", "monai", "nibabel", "numpy"} & sys.modules.keys())
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    *printed, loaded = ended.stdout.splitlines()
    assert "--class_names" in "".join(printed)
    assert loaded == ""
