"""Inference from NIfTI file to NIfTI file: ours against MONAI's SliceInferer."""

from __future__ import annotations

import copy
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
import torch.nn.functional as F
from monai.inferers import SliceInferer
from monai.transforms import AsDiscreted, Compose, EnsureChannelFirstd, LoadImaged, SaveImaged, ScaleIntensityRanged
from scipy import ndimage
from torch import Tensor, nn

from benchmarks.timing import Row, alternate, ratio
from monai_supmix.inferers import SliceVolumeInferer, predict_cases
from monai_supmix.networks import CompactUNet, EncoderDecoder

WINDOW = (-1250.0, 250.0)
CLASSES = ("background", "ground_glass", "consolidation", "pleural_effusion")


def make_volume(path: Path, size: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Write a CT-like volume: a body with noisy lungs that hold lesions of three densities.

    Its array axes run to the back, to the left and to the head, so that its slices as stored are the usual
    view and nothing has to be turned on either side.

    Returns:
        Hounsfield units, int16, and the lesions' labels, uint8.
    """
    rng = np.random.default_rng(0)
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in size[:2]), indexing="ij")
    body = (x / 0.9) ** 2 + (y / 0.7) ** 2 < 1
    lungs = (((abs(x) - 0.42) / 0.33) ** 2 + (y / 0.5) ** 2 < 1)[..., None]
    blobs = ndimage.zoom(
        rng.normal(size=(16, 16, max(2, size[2] // 12))),
        [s / n for s, n in zip(size, (16, 16, max(2, size[2] // 12)), strict=True)],
        order=1,
        grid_mode=True,
        mode="nearest",
    )
    label = (np.digitize(blobs, (0.45, 0.8, 1.1)) * lungs).astype(np.uint8)
    image = np.where(body, 40, -1000)[..., None] + np.where(lungs, -890, 0)
    image = np.choose(label, (image, -500, 50, 10)) + rng.normal(scale=25, size=size)
    affine = np.array([[0.0, -0.7, 0, 0], [-0.7, 0, 0, 0], [0, 0, 5, 0], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(image.astype(np.int16), affine), path)
    return image.astype(np.int16), label


def train_briefly(network: nn.Module, image: np.ndarray, label: np.ndarray, steps: int, crop: int) -> nn.Module:
    """Fit a network a little: classes of random weights would hang on rounding errors."""
    rng = np.random.default_rng(0)
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    scaled = np.clip((image.astype(np.float32) - WINDOW[0]) / (WINDOW[1] - WINDOW[0]), 0, 1)
    network.train()
    for _ in range(steps):
        draws = [
            [rng.integers(0, side - part + 1) for side, part in zip(image.shape, (crop, crop, 1), strict=True)]
            for _ in range(4)
        ]
        x, y = (
            torch.stack([torch.from_numpy(a[i : i + crop, j : j + crop, k]) for i, j, k in draws])
            for a in (scaled, label)
        )
        loss = F.cross_entropy(network(x[:, None]), y.long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def monai_pipeline(network: nn.Module, path: Path, folder: Path, size: tuple[int, int]) -> Callable[[], Any]:
    """What a user of MONAI writes; only the mask's data type is not the default (which is float32)."""
    load = Compose(
        [
            LoadImaged("image"),
            EnsureChannelFirstd("image"),
            ScaleIntensityRanged("image", *WINDOW, 0.0, 1.0, clip=True),
        ]
    )
    inferer = SliceInferer(roi_size=size, spatial_dim=2)
    save = Compose(
        [
            AsDiscreted("pred", argmax=True),
            SaveImaged(
                "pred",
                output_dir=folder,
                output_postfix="seg",
                separate_folder=False,
                output_dtype=np.uint8,
                print_log=False,
            ),
        ]
    )

    def predict() -> None:
        item = load({"image": str(path)})
        with torch.no_grad():
            pred: Tensor = inferer(item["image"][None], network)  # type: ignore[assignment]
        save({"pred": pred[0]})

    return predict


def our_pipeline(network: nn.Module, path: Path, folder: Path, **kwargs: Any) -> Callable[[], Any]:
    """What the bundles' inference runs, on the volume's own grid."""
    record = {
        "class_names": list(CLASSES),
        "intensity": {"hu": {"rule": "hu_window", "low": WINDOW[0], "high": WINDOW[1]}},
        "trained_on": {},
    }
    inferer = SliceVolumeInferer(**kwargs)
    return lambda: predict_cases(path, folder, network, record, inferer, intensity="hu", overwrite=True)


def read_mask(folder: Path) -> np.ndarray:
    (path,) = folder.glob("*.nii.gz")
    return np.asarray(nib.load(path).dataobj, dtype=np.uint8)


def make_networks(small: bool) -> dict[str, nn.Module]:
    """The CT bundle's default network and the paper's."""
    torch.manual_seed(0)
    compact = CompactUNet(in_channels=1, num_classes=4, features=(8, 16, 32, 32, 64, 8), upsample="nontrainable")
    if small:
        return {"default network": compact}
    paper = EncoderDecoder(
        "DeepLabV3Plus",
        "resnet101",
        in_channels=1,
        num_classes=4,
        encoder_output_stride=16,
        decoder_atrous_rates=(6, 12, 18),
    )
    return {"default network": compact, "ResNet-101": paper}


def run(repetitions: int, small: bool = False) -> list[Row]:
    """Time from file to file, and agreement of the masks.

    Args:
        repetitions: measurements of each side.
        small: a tiny volume, and the default network alone.
    """
    size = (64, 64, 6) if small else (512, 512, 100)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = folder / "ct.nii.gz"
        image, label = make_volume(path, size)
        for (name, network), target in zip(make_networks(small).items(), (4, 2), strict=False):
            train_briefly(network, image, label, steps=30 if "default" in name else 15, crop=min(size[0], 128))
            outputs = {side: folder / name / side for side in ("MONAI", "ours")}
            sides = {
                "MONAI": monai_pipeline(copy.deepcopy(network), path, outputs["MONAI"], size[:2]),
                "ours": our_pipeline(network, path, outputs["ours"]),
            }
            seconds = alternate(sides, repetitions, warm_up=0 if "ResNet" in name else 1)
            rows += [
                Row("infer", f"{name}, {side}", statistics.median(s), "s", samples=s) for side, s in seconds.items()
            ]
            rows.append(Row("infer", f"{name}, MONAI / ours", ratio(*seconds.values()), "x", f">= {target}"))
            first, second = (read_mask(output) for output in outputs.values())
            rows.append(Row("infer", f"{name}, agreement", 100 * float((first == second).mean()), "%", ">= 99.9"))
    return rows
