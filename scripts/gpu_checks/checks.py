"""The checks, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from benchmarks.timing import Row

from gpu_checks import runs, training
from gpu_checks.place import Place


@dataclass(frozen=True)
class Check:
    """One check.

    Args:
        name: what it is called in the tables.
        limit: seconds after which it is ended.
        function: called with the place and the name; returns its figures, and raises where something is wrong.
    """

    name: str
    limit: int
    function: Callable[[Place, str], list[Row]]

    def not_here(self, place: Place) -> str | None:
        """Why it cannot run here, if it cannot."""
        if self.name == "paper-fp16" and not place.on_gpu:
            return "float16 needs a GPU"
        if self.name == "two-processes" and place.on_gpu and torch.cuda.device_count() < 2:
            return "there is one GPU"
        return None


CHECKS = (
    Check("tests", 80, runs.device_tests),
    Check("paper-fp32", 50, partial(training.bundle_steps, preset="paper", amp="False")),
    Check("paper-bf16", 45, partial(training.bundle_steps, preset="paper", amp="bf16")),
    Check("paper-fp16", 45, partial(training.bundle_steps, preset="paper", amp="fp16")),
    Check("unimatch", 50, training.published_order),
    Check("default", 40, partial(training.bundle_steps, preset=None, amp="auto")),
    Check("inference", 50, runs.inference),
    Check("resume", 50, runs.resume),
    Check("two-processes", 55, runs.two_processes),
)
"""Their limits add up to less than eight minutes."""


def compared(rows: list[Row]) -> list[Row]:
    """The paper's setting beside UniMatch's published step, as far as both ran."""
    values = {(row.benchmark, row.name): row.value for row in rows}
    result = []
    for what in ("images per second", "peak memory"):
        published = values.get(("unimatch", what))
        for name in ("paper-fp32", "paper-bf16", "paper-fp16"):
            if published and (name, what) in values:
                result.append(
                    Row(name, f"{what}, ours / UniMatch's order in float32", values[name, what] / published, "x")
                )
    return result
