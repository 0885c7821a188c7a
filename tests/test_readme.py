"""The Python snippets of the documents run."""

import re
from pathlib import Path

import nibabel
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "monai_supmix" / "README.md")
DOCUMENTS = sorted(path for path in PAGES if path.exists())
SNIPPETS = [
    pytest.param(code, id=f"{path.relative_to(ROOT)}-{number}")
    for path in DOCUMENTS
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.S))
]


@pytest.mark.parametrize("code", SNIPPETS)
def test_snippet_runs(code, tmp_path, monkeypatch):
    """Beside what another run has left, and once more where it leaves masks itself."""
    monkeypatch.chdir(tmp_path)
    Path("output").mkdir()
    Path("output/model.pt").write_bytes(b"no weights for these snippets")
    if "chest.nii.gz" in code:
        volume = np.random.default_rng(0).integers(-1000, 200, (64, 64, 3), np.int16)
        nibabel.save(nibabel.Nifti1Image(volume, np.diag([5.0, 5.0, 8.0, 1.0])), "chest.nii.gz")
    for _ in range(2 if "ms.predict" in code else 1):
        exec(compile(code, "snippet", "exec"), {})


def test_links_to_files_lead_somewhere():
    links = [
        path.parent / target
        for path in DOCUMENTS
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text(encoding="utf-8"))
    ]
    assert links and [target for target in links if not target.exists()] == []


def test_links_of_the_readme_work_on_the_package_index():
    """README is the long description of the wheel, which has no files beside it; only pictures are relative."""
    links = re.findall(r"(?<!!)\[[^\]]*\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert links and all(link.startswith("https://") for link in links)
