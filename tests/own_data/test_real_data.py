"""Real data under other names and in another layout: `new`, and what it writes, by MONAI's own command line."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from monai_supmix.__main__ import main
from tests import forked
from tests.bundles.workflows import DATA

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(DATA is None, reason="SUPMIX_DATA names no data folder"),
]


def covid_in_nnunets_layout(folder):
    """The 98 slices as PNG; a third of the training slices with their label; the published test list."""
    source = Path(DATA) / "COVID_MedSeg98"
    for name in ("imagesTr", "labelsTr", "imagesTs", "labelsTs"):
        (folder / name).mkdir(parents=True)
    test = set((source / "test48.txt").read_text(encoding="utf-8").split())
    for number, path in enumerate(sorted((source / "images").iterdir())):
        side = "Ts" if path.stem in test else "Tr"
        Image.open(path).save(folder / f"images{side}" / f"covid_{path.stem}_0000.png")
        if side == "Ts" or number % 3 == 0:
            shutil.copy(source / "labels" / f"{path.stem}.png", folder / f"labels{side}" / f"covid_{path.stem}.png")
    labels = {"background": 0, "ground glass": 1, "consolidation": 2}
    (folder / "dataset.json").write_text(json.dumps({"labels": labels, "file_ending": ".png"}), encoding="utf-8")


def chase_under_other_names(folder):
    """The photographs of 14 children, the masks of every other child."""
    source = Path(DATA) / "CHASE_DB1"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for path in source.glob("*.jpg"):
        child, eye = path.stem[6:8], {"L": "left", "R": "right"}[path.stem[8]]
        shutil.copy(path, folder / "images" / f"girl{child}_{eye}.jpg")
        if int(child) % 2:
            shutil.copy(source / f"{path.stem}_1stHO.png", folder / "labels" / f"girl{child}_{eye}.png")


@pytest.mark.parametrize(
    ("write", "grid", "counts"),
    [
        (covid_in_nnunets_layout, {"size": [256, 256]}, (15, 35, 48)),
        (chase_under_other_names, {}, (12, 14, 2)),
    ],
)
def test_from_a_folder_to_masks(write, grid, counts, tmp_path, capsys):
    write(tmp_path / "data")
    bundle, out = tmp_path / "bundle", tmp_path / "out"
    assert main(["new", str(tmp_path / "data"), "--output_dir", str(bundle)]) == 0
    assert f"{counts[0]} labelled, {counts[1]} unlabelled, {counts[2]} test" in capsys.readouterr().out
    assert json.loads((bundle / "configs" / "train.json").read_text(encoding="utf-8"))["working"] == grid
    for kind in ("train", "evaluate", "inference"):
        command = ["-m", "monai.bundle", "run", "--bundle_root", str(bundle)]
        command += ["--config_file", str(bundle / "configs" / f"{kind}.json"), "--output_dir", str(out)]
        command += ["--device", "cpu", *(["--max_iterations", "3"] if kind == "train" else [])]
        process = forked.start_python(command, tmp_path / "log.txt", folder=tmp_path)
        process.join()
        assert process.exitcode == 0, (tmp_path / "log.txt").read_text(encoding="utf-8")
    assert json.loads((out / "metrics.json").read_text(encoding="utf-8"))["num_images"] == counts[2]
    assert len(list(out.glob("*_seg.png"))) == (48 if grid else 28)
