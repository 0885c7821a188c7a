"""The pages of the bundles: the model zoo's sections, and nothing named in a command that is not there."""

import re

import pytest

from tests.bundles.workflows import BUNDLES, SHIPPED

SECTIONS = [
    "Overview", "Data", "Training configuration", "Performance", "Commands", "Limits", "License", "References"
]  # fmt: skip


@pytest.mark.parametrize("bundle", SHIPPED)
def test_the_page_has_the_sections_of_the_model_zoo(bundle):
    page = (BUNDLES / bundle / "docs" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", page, re.M) == SECTIONS
    assert f"\nB=bundles/{bundle}\n" in page


@pytest.mark.parametrize("bundle", SHIPPED)
def test_what_a_command_names_is_there(bundle):
    page = (BUNDLES / bundle / "docs" / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\$B/([\w./]+)", page))
    assert {"configs/train.json", "configs/multi_gpu_train.json", "configs/metadata.json", "models/model.pt"} <= named
    assert [name for name in named if not (BUNDLES / bundle / name).exists()] == []
    for verb in ("run", "verify_net_in_out", "ckpt_export"):
        assert f"-m monai.bundle {verb} " in page
    assert "monai-supmix export $B --format torchscript onnx" in page
