"""What scripts/monailabel_environment refuses before it makes anything; a server is in tests/bundles."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "monailabel_environment"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["server"], "takes a new folder and a bundle"),
        (["server", "chase_supmx"], "chase_supmx: is no bundle"),
        (["server", "untrained"], "untrained: has no weights in models/model.pt"),
        (["taken", "chase_supmix"], "taken: exists: name a new folder"),
        (["server", "chase_supmix"], "no_python: is not a Python 3.10 or 3.11 with venv"),
    ],
)
def test_mistakes_are_refused_before_anything_is_made(arguments, said, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "untrained" / "configs").mkdir(parents=True)
    (tmp_path / "untrained" / "configs" / "metadata.json").write_text("{}", encoding="utf-8")
    python = tmp_path / "no_python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "raise SystemExit(1)"\n', encoding="utf-8")
    python.chmod(0o755)
    before = sorted(tmp_path.rglob("*"))
    environment = {**os.environ, "PYTHON": str(python)}
    ended = subprocess.run(
        [SCRIPT, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False, env=environment
    )
    assert (ended.returncode, ended.stdout, sorted(tmp_path.rglob("*"))) == (2, "", before)
    assert said in ended.stderr and ended.stderr.startswith("error: ") and ended.stderr.count("\n") == 1
