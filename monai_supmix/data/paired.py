"""The labelled and the unlabelled stream side by side, as one loader for an Ignite engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from torch.utils.data import Dataset

from monai_supmix.data.streams import StreamLoader
from monai_supmix.processes import rank, world_size


class PairedLoader:
    """Batches ``{"labeled": ..., "unlabeled": ...}``, one per training iteration.

    The streams are endless and of independent batch sizes; an epoch is one pass over the *unlabelled* images,
    for every method, so that methods are compared at equal numbers of steps.

    Args:
        labeled: the stream of labelled samples; they repeat as often as needed.
        unlabeled: the stream of unlabelled samples.

    Example:
        >>> streams = [StreamLoader(range(n), lambda i: i, 2, 0, s) for n, s in ((1, "labeled"), (5, "unlabeled"))]
        >>> loader = PairedLoader(*streams)
        >>> len(loader)
        3
        >>> next(iter(loader))["labeled"].tolist()
        [0, 0]
        >>> loader.rewind(iteration=2, unlabeled_from=3)
        >>> batches = iter(loader)
        >>> sorted(next(batches)), sorted(next(batches))
        (['labeled'], ['labeled', 'unlabeled'])
    """

    def __init__(self, labeled: StreamLoader, unlabeled: StreamLoader) -> None:
        self.labeled, self.unlabeled = labeled, unlabeled
        # Crops that lie at one place: the pairs of SupMix, and the other way round.
        pairs = min(labeled.sampler.batch_size, unlabeled.sampler.batch_size)
        labeled.dataset.num_pairs = unlabeled.dataset.num_pairs = pairs
        self.rewind(0)

    def rewind(self, iteration: int, unlabeled_from: int | None = 0) -> None:
        """Set where the next pass begins.

        Args:
            iteration: number of iterations already done.
            unlabeled_from: the unlabelled stream is left unread before this many are done, ``None``: always, for
                a method that has no use for it.
        """
        self.iteration, self.unlabeled_from = iteration, unlabeled_from

    def __len__(self) -> int:
        return self.unlabeled.batches_per_pass

    def __iter__(self) -> Iterator[dict[str, Any]]:
        labeled = self.labeled.batches(self.iteration)
        if self.unlabeled_from is None:
            yield from ({"labeled": batch} for batch in labeled)
            return
        alone = max(0, self.unlabeled_from - self.iteration)
        yield from ({"labeled": batch} for batch in islice(labeled, alone))
        unlabeled = self.unlabeled.batches(self.iteration + alone)
        yield from ({"labeled": a, "unlabeled": b} for a, b in zip(labeled, unlabeled, strict=False))


def paired_loader(
    labeled: Sequence[Any] | Dataset,
    unlabeled: Sequence[Any] | Dataset,
    transform: Callable[[Any], Any],
    batch_sizes: Sequence[int],
    seed: int,
    **loader_kwargs: Any,
) -> PairedLoader:
    """Make both streams of a training, of which each of several processes draws its own share.

    Args:
        labeled: prepared items with labels.
        unlabeled: prepared items of the unlabelled images.
        transform: the random transform of a sample, of both streams.
        batch_sizes: samples per batch and process, labelled and unlabelled.
        seed: the run's seed.
        loader_kwargs: further arguments of :class:`torch.utils.data.DataLoader`, such as ``num_workers``.

    Example:
        >>> loader = paired_loader(range(3), range(10, 18), lambda item: item, batch_sizes=[2, 4], seed=0)
        >>> batch = next(iter(loader))
        >>> len(batch["labeled"]), len(batch["unlabeled"]), len(loader)
        (2, 4, 2)
    """
    labeled_size, unlabeled_size = batch_sizes
    place = rank(), world_size()
    return PairedLoader(
        StreamLoader(labeled, transform, labeled_size, seed, "labeled", *place, **loader_kwargs),
        StreamLoader(unlabeled, transform, unlabeled_size, seed, "unlabeled", *place, **loader_kwargs),
    )
