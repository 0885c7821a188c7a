"""What a bundle chooses by itself from the machine at hand."""

from __future__ import annotations

import os
from typing import Any

import torch

from monai_supmix.datalists.datalist import Datalist, require_unlabeled
from monai_supmix.precision import Amp


def default_device() -> torch.device:
    """The GPU of this process where there is one, else the CPU.

    It is that of ``LOCAL_RANK`` (torchrun) or ``SLURM_LOCALID`` (srun); processes beyond the number of GPUs share them.

    Example:
        >>> default_device().type in ("cpu", "cuda")
        True
    """
    if torch.cuda.is_available():
        slurm = os.environ.get("SLURM_LOCALID", "0") if "SLURM_STEP_NUM_TASKS" in os.environ else "0"
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", slurm)) % torch.cuda.device_count())
    return torch.device("cpu")


def default_num_workers(device: torch.device | str) -> int:
    """Loader workers of each stream: one on a CPU with several cores, which are busy training; up to 4 beside a GPU.

    Example:
        >>> default_num_workers("cpu") <= 1
        True
    """
    others = (os.cpu_count() or 1) - 1
    return min(others, 1) if torch.device(device).type == "cpu" else min(4, max(1, others))


def default_amp(device: torch.device | str) -> Amp:
    """Number format for evaluation and inference: mixed precision on a GPU, float32 on a CPU.

    Training takes what the processor does fast (``"auto"``). Masks and figures of a CPU do not depend on which
    one it is, unless asked to.

    Example:
        >>> default_amp("cpu")
        False
    """
    return "auto" if torch.device(device).type == "cuda" else False


def unlabeled_pool(datalist: Datalist, needed: object) -> list[dict[str, Any]]:
    """The images of the unlabelled stream, whose number is the length of an epoch for every method.

    Args:
        datalist: the datalist.
        needed: whether the method looks at unlabelled images at all.

    Returns:
        the unlabelled items; the labelled ones when there are none and none are needed.

    Raises:
        InputError: the method needs unlabelled images and there are none.

    Example:
        >>> item = {"image": "1L.jpg", "label": "1L.png", "case": "1L", "group": "1"}
        >>> datalist = Datalist([item], [], [], [], ["background", "vessel"])
        >>> len(unlabeled_pool(datalist, needed=False))
        1
        >>> unlabeled_pool(datalist, needed=True)
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: datalist: this method needs unlabelled images and there are none: ...
    """
    if needed:
        require_unlabeled(datalist)
    return datalist.unlabeled or datalist.labeled
