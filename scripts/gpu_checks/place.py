"""Where checks run, and how large."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from benchmarks.timing import peak_of

ROOT = Path(__file__).parents[2]


class Place(NamedTuple):
    """Where a check runs, and how large.

    Attributes:
        device: ``"cuda:0"``, or ``"cpu"`` to see that everything runs.
        small: tiny sizes.
    """

    device: str
    small: bool

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return torch.device(self.device).type == "cuda"

    def wait(self) -> None:
        """Wait until the device has done what it was given."""
        if self.on_gpu:
            torch.cuda.synchronize(self.device)

    def peak_memory(self) -> float:
        """Most memory in use so far, in MB: of the GPU by tensors, else of this process."""
        return torch.cuda.max_memory_allocated(self.device) / 2**20 if self.on_gpu else peak_of()
