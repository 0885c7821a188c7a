"""Inference from NIfTI file to NIfTI file: the CT bundle's, in PyTorch and in OpenVINO, against MONAI's SliceInferer.

All sides read the same file and write a mask of it; between the two they do the same work: the bundle's HU window,
every slice resized to the network's grid, softmax, probabilities resized back, the most probable class of every voxel.
"""

from __future__ import annotations

import copy
import itertools
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
import torch.nn.functional as F
from monai.bundle import ConfigParser
from monai.inferers import SliceInferer
from monai.transforms import AsDiscreted, Compose, EnsureChannelFirstd, LoadImaged, SaveImaged, ScaleIntensityRanged
from torch import Tensor, nn

from benchmarks.timing import Row, alternate, ratio
from monai_supmix.bundle import PredictionRun, Trained, load_trained
from monai_supmix.errors import InputError
from monai_supmix.inferers import SliceVolumeInferer, in_runtime
from monai_supmix.inferers.runtime import import_openvino
from monai_supmix.metrics.overlap import dice, overlap_counts
from monai_supmix.networks import EncoderDecoder
from monai_supmix.phantoms.chest_ct import FIELD_OF_VIEW, draw_chest_ct
from monai_supmix.precision import Amp, autocast

BUNDLE = Path(__file__).parents[2] / "bundles" / "covid19_ct_supmix"
_REPEATED = 5  # so many slices in a row are alike, because drawing takes long
_FORMATS: dict[Amp, str] = {False: "", "auto": ", amp"}  # beside the name of a runtime
_FITTED = 200  # steps after which the paper's network finds all classes of the phantom


def make_volume(path: Path, size: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Write a chest CT phantom whose slices, as stored, are in the usual view: nothing has to be turned.

    Returns:
        Hounsfield units, int16, and labels, uint8, both of shape `size`.
    """
    steps = (FIELD_OF_VIEW / size[1], FIELD_OF_VIEW / size[0], 300 / size[2])
    drawn = draw_chest_ct((size[1], size[0], -(-size[2] // _REPEATED)), (*steps[:2], steps[2] * _REPEATED))
    image, label = (np.repeat(part.swapaxes(0, 1), _REPEATED, axis=2)[..., : size[2]] for part in drawn)
    affine = np.zeros((4, 4))  # to the back, to the left, to the head
    affine[1, 0], affine[0, 1], affine[2, 2], affine[3, 3] = -steps[1], -steps[0], steps[2], 1
    nib.save(nib.Nifti1Image(image, affine), path)
    return image, label


def default_network() -> tuple[nn.Module, Mapping[str, Any]]:
    """The bundle's network with the weights that ship, and their record."""
    parser = ConfigParser()
    parser.read_config(str(BUNDLE / "configs" / "inference.json"))
    trained = load_trained(parser.get_parsed_content("network_def"), "", BUNDLE, BUNDLE / "models" / "model.pt")
    return trained.network.eval(), trained.record


def paper_network(image: np.ndarray, label: np.ndarray, record: Mapping[str, Any]) -> nn.Module:
    """The paper's network, fitted a little: classes of random weights would hang on rounding errors."""
    torch.manual_seed(0)
    network = EncoderDecoder(
        "DeepLabV3Plus",
        "resnet101",
        in_channels=1,
        num_classes=4,
        encoder_output_stride=16,
        decoder_atrous_rates=(6, 12, 18),
    )
    window, size = record["intensity"]["hu"], record["working"]["size"]
    scaled = (image.astype(np.float32) - window["low"]) / (window["high"] - window["low"])
    planes = torch.from_numpy(scaled[..., ::_REPEATED]).clamp(0, 1).movedim(-1, 0)[:, None]
    x = F.interpolate(planes, size, mode="bilinear", antialias=True)
    y = F.interpolate(torch.from_numpy(label[..., ::_REPEATED]).movedim(-1, 0)[:, None].float(), size)[:, 0].long()
    optimizer, weight = torch.optim.AdamW(network.parameters(), 1e-3), torch.tensor([0.1, 1.0, 1.0, 1.0])
    rng = np.random.default_rng(0)
    for _ in range(_FITTED):
        part, (top, left) = rng.integers(0, len(x), 4), (rng.integers(0, side // 2) for side in size)
        crop = (..., slice(top, top + size[0] // 2), slice(left, left + size[1] // 2))
        optimizer.zero_grad()
        with autocast("auto", "cpu"):
            logits = network(x[part][crop])
        F.cross_entropy(logits.float(), y[part][crop], weight).backward()
        optimizer.step()
    return network.eval()


class OnWorkingGrid(nn.Module):
    """A network that works on a grid of its own, as MONAI's inferer takes it."""

    def __init__(self, network: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.network, self.size = network, size

    def forward(self, slices: Tensor) -> Tensor:
        """Probabilities on the grid of the slices."""
        small = F.interpolate(slices, self.size, mode="bilinear", antialias=True)
        return F.interpolate(self.network(small).softmax(dim=1), slices.shape[2:], mode="bilinear")


def monai_pipeline(network: nn.Module, record: Mapping[str, Any], path: Path, folder: Path) -> Callable[[], Any]:
    """What a user of MONAI writes, with default arguments, but for the mask's data type (which would be float32)."""
    window = record["intensity"]["hu"]
    load = Compose(
        [
            LoadImaged("image"),
            EnsureChannelFirstd("image"),
            ScaleIntensityRanged("image", window["low"], window["high"], 0.0, 1.0, clip=True),
        ]
    )
    predictor = OnWorkingGrid(network, tuple(record["working"]["size"])).eval()
    inferer = SliceInferer(roi_size=nib.load(path).shape[:2], spatial_dim=2)
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
            pred: Tensor = inferer(item["image"][None], predictor)  # type: ignore[assignment]
        save({"pred": pred[0]})

    return predict


def our_pipeline(
    network: nn.Module, record: Mapping[str, Any], path: Path, folder: Path, runtime: Any, amp: Amp
) -> Callable[[], Any]:
    """What the bundle's inference runs."""
    trained = Trained(in_runtime(network, runtime, amp), record, path, "")
    inferer = SliceVolumeInferer(working=record["working"], divisor=network.divisor, amp=amp)  # type: ignore[arg-type]
    return lambda: PredictionRun(str(path), folder, trained, inferer, overwrite=True).run()


def read_mask(folder: Path) -> np.ndarray:
    (path,) = folder.glob("*.nii.gz")
    return np.asarray(nib.load(path).dataobj, dtype=np.uint8)


def runtimes() -> list[str]:
    """The runtimes at hand."""
    try:
        import_openvino()
    except InputError:
        return ["torch"]
    return ["torch", "openvino"]


def compare(
    name: str,
    network: nn.Module,
    record: Mapping[str, Any],
    path: Path,
    least: Mapping[Amp, str | None],
    repetitions: int,
) -> list[Row]:
    """Time all sides with one network, and compare their masks with MONAI's, class by class.

    MONAI computes in float32, and so do ours where the masks have to be the same; what another format changes is told.

    Args:
        name: of the network.
        network: the network.
        record: that of its weights.
        path: the volume.
        least: our number formats, and how many times as fast as MONAI's each has to be.
        repetitions: measurements of each side.
    """
    reference = "MONAI SliceInferer"
    outputs = {reference: path.parent / name / reference}
    sides = {reference: monai_pipeline(copy.deepcopy(network), record, path, outputs[reference])}
    ours: dict[str, Amp] = {}
    for amp, runtime in itertools.product(least, runtimes()):
        side = f"{runtime}{_FORMATS[amp]}"
        folder = path.parent / name / side
        try:
            sides[side] = our_pipeline(copy.deepcopy(network), record, path, folder, runtime, amp)
        except InputError as error:  # the runtime's own check of the network: bf16 may round too much
            if not amp:
                raise
            print(f"{name}: left out: {error}", file=sys.stderr)
            continue
        ours[side], outputs[side] = amp, folder
    seconds = alternate(sides, repetitions)
    masks = {side: read_mask(folder) for side, folder in outputs.items()}
    rows = [
        Row("infer", f"{name}, {reference}", statistics.median(seconds[reference]), "s", samples=seconds[reference])
    ]
    for side, amp in ours.items():
        faster, same = ratio(seconds[reference], seconds[side]), None if amp else ">= 0.999"
        overlap = dice(overlap_counts(masks[side], masks[reference], len(record["class_names"])))
        rows += [
            Row("infer", f"{name}, ours in {side}", statistics.median(seconds[side]), "s", samples=seconds[side]),
            Row("infer", f"{name}, MONAI / ours in {side}", faster, "x", least[amp]),
            *(
                Row("infer", f"{name}, {side}, masks of {word}", float(value), "Dice", same)
                for word, value in list(zip(record["class_names"], overlap, strict=True))[1:]
                if not np.isnan(value)  # neither finds any
            ),
        ]
    num_found = len(np.setdiff1d(masks[reference], 0))
    classes = Row("infer", f"{name}, classes found", num_found, "classes", f">= {len(record['class_names']) - 1}")
    return [
        *rows,
        classes,
        Row("infer", f"{name}, voxels other than background", 100 * float((masks[reference] > 0).mean()), "%"),
    ]


def run(repetitions: int, small: bool = False) -> list[Row]:
    """Time from file to file, and agreement of the masks.

    Args:
        repetitions: measurements of each side.
        small: a tiny volume, and only the default network.
    """
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "ct.nii.gz"
        image, label = make_volume(path, (64, 64, 6) if small else (512, 512, 100))
        network, record = default_network()
        if small:
            record = {**record, "working": {"size": [64, 64]}}
        # Number formats as in the bundle: its default for processors, and that of the preset with the paper's network.
        rows = compare("default network", network, record, path, {False: ">= 4"}, repetitions)
        if not small:
            network = paper_network(image, label, record)
            rows += compare("ResNet-101", network, record, path, {"auto": ">= 2", False: None}, repetitions)
    return rows
