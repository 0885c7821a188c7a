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
