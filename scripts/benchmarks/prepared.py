"""One and the same batch at every iteration, so that a step is timed and not the loading."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor


class PreparedBatch:
    """A loader for the trainer that gives one and the same batch."""

    def __init__(self, batch: dict[str, dict[str, Tensor]]) -> None:
        self.batch = batch

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[dict[str, dict[str, Tensor]]]:
        while True:
            yield self.batch

    def rewind(self, iteration: int, unlabeled_from: int | None = 0) -> None:
        """Nothing to rewind."""
