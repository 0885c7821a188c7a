"""Endless, replayable streams of training samples.

What the ``j``-th sample of iteration ``i`` is, and how it is augmented, follows from ``(seed, stream, i, j)``
alone. So a run can start at any iteration and see exactly what an uninterrupted run would have seen, with any
number of loader workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from monai.transforms import Randomizable
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from monai_supmix.data.workers import outlive_termination
from monai_supmix.errors import InputError
from monai_supmix.plain import as_plain
from monai_supmix.randomness import derive_seed, generators_seeded

Key = tuple[int, int]


class KeyedBatchSampler(Sampler[list[Key]]):
    """Batches of ``(position, index)`` keys without end, from any iteration on.

    Position counts the samples drawn by all ranks since the start of training. Every ``num_items`` positions
    are one permutation of the items, so that all are seen equally often, also when a batch holds more samples
    than there are items.

    Args:
        num_items: number of items to draw from.
        batch_size: samples per batch and rank.
        seed: the run's seed.
        stream: the stream's name; streams of other names are independent.
        rank: this process among ``world_size`` processes, each of which draws its own share.
        world_size: number of processes.

    Raises:
        ValueError: when there is nothing to draw from, or the batch is empty.

    Example:
        >>> sampler = KeyedBatchSampler(num_items=3, batch_size=2, seed=0, stream="labeled")
        >>> batches = iter(sampler)
        >>> first, second, third = next(batches), next(batches), next(batches)
        >>> sorted(index for _, index in first + second[:1])
        [0, 1, 2]
        >>> sampler.start_iteration = 2
        >>> next(iter(sampler)) == third
        True
    """

    def __init__(
        self, num_items: int, batch_size: int, seed: int, stream: str, rank: int = 0, world_size: int = 1
    ) -> None:
        if num_items < 1 or batch_size < 1:
            raise ValueError(f"the {stream} stream needs items and a batch size, not {num_items} and {batch_size}.")
        self.num_items, self.batch_size = num_items, batch_size
        self.seed, self.stream = seed, stream
        self.rank, self.world_size = rank, world_size
        self.start_iteration = 0
        self._permutation = lru_cache(maxsize=4)(self._draw_permutation)

    def _draw_permutation(self, cycle: int) -> np.ndarray:
        random_state = np.random.RandomState(derive_seed(self.seed, self.stream, "order", cycle))
        return random_state.permutation(self.num_items)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k != "_permutation"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._permutation = lru_cache(maxsize=4)(self._draw_permutation)

    def key(self, position: int) -> Key:
        """The sample at a position: ``(position, index)``."""
        cycle, place = divmod(position, self.num_items)
        return position, int(self._permutation(cycle)[place])

    def batch(self, iteration: int) -> list[Key]:
        """The keys of one iteration (counted from 0) on this rank."""
        start = (iteration * self.world_size + self.rank) * self.batch_size
        return [self.key(position) for position in range(start, start + self.batch_size)]

    def __iter__(self) -> Iterator[list[Key]]:
        iteration = self.start_iteration
        while True:
            yield self.batch(iteration)
            iteration += 1


class KeyedDataset(Dataset):
    """Items with a random transform whose draw belongs to the sample's position.

    Args:
        items: prepared (for example cached) items. The ``transform`` of one of MONAI's datasets, also inside a
            ``Subset``, is seeded as well, so that what is random in it can be replayed.
        transform: applied to an item for every sample; a :class:`monai.transforms.Randomizable` (such as
            ``Compose``) is seeded first by ``(seed, stream, position)``, and so are the generators of Python, NumPy
            and torch, which other code may draw from. One with a ``place``, or such a one in a
            ``Compose``, is then seeded alike for the samples of all streams that share a place, see
            :class:`monai_supmix.transforms.RandSimilarityCropd`.
        seed: the run's seed.
        stream: the stream's name.
        batch_size: samples per batch and rank.

    Attributes:
        num_pairs: sample j of a batch shares the place of sample ``j % num_pairs`` in every stream.
    """

    def __init__(
        self,
        items: Sequence[Any] | Dataset,
        transform: Callable[[Any], Any],
        seed: int,
        stream: str,
        batch_size: int = 1,
    ) -> None:
        self.items, self.transform, self.seed, self.stream = items, transform, seed, stream
        self.batch_size = self.num_pairs = batch_size
        self._preparations = list(_random_transforms(items))

    def __len__(self) -> int:
        return len(self.items)  # type: ignore[arg-type]

    def __getitem__(self, key: Key) -> Any:
        position, index = key
        for number, prepare in enumerate(self._preparations):
            prepare.set_random_state(seed=derive_seed(self.seed, self.stream, "prepare", position, number))
        if isinstance(self.transform, Randomizable):
            self.transform.set_random_state(seed=derive_seed(self.seed, self.stream, "augment", position))
            self._share_places(position)
        with generators_seeded(derive_seed(self.seed, self.stream, "generators", position)):
            return _one_sample(self.transform(self.items[index]))

    def _share_places(self, position: int) -> None:
        batch, sample = divmod(position, self.batch_size)  # the batches of all ranks are counted through
        number = {"pair": sample % self.num_pairs, "batch": 0}
        for step in getattr(self.transform, "transforms", [self.transform]):
            place = getattr(step, "place", "own")
            if place in number:
                step.set_random_state(seed=derive_seed(self.seed, "place", batch, number[place]))


def _one_sample(made: Any) -> Any:
    """What a transform has made of an item; MONAI's crops that can make several give a list even of one."""
    if not (isinstance(made, list) and made and all(isinstance(sample, Mapping) for sample in made)):
        return made
    if len(made) > 1:
        problem = f"makes {len(made)} samples of one image, and each sample is drawn by itself"
        raise InputError("weak_augmentation", problem, "set num_samples=1 and a larger batch instead")
    return made[0]


def _random_transforms(items: Any, seen: set[int] | None = None) -> Iterator[Randomizable]:
    """What may draw something for each item: a dataset or its transform, and those of the datasets it is made of."""
    seen = set() if seen is None else seen
    seen.add(id(items))
    yield from (part for part in (items, getattr(items, "transform", None)) if isinstance(part, Randomizable))
    for name in ("dataset", "data", "datasets"):
        inner = getattr(items, name, None)
        for part in inner if isinstance(inner, (list, tuple)) else (inner,):
            if isinstance(part, Dataset) and id(part) not in seen:
                yield from _random_transforms(part, seen)


def collate(samples: Sequence[Any]) -> Any:
    """Samples as a batch of plain tensors, whatever metadata MONAI's transforms have given them.

    Args:
        samples: tensors, or dictionaries or sequences of tensors and numbers.

    Example:
        >>> from monai.data import MetaTensor
        >>> type(collate([{"image": MetaTensor([1.0])}, {"image": MetaTensor([2.0])}])["image"]).__name__
        'Tensor'
    """
    return default_collate([as_plain(sample) for sample in samples])


class StreamLoader:
    """A loader of one keyed stream: endless batches from a chosen iteration on.

    Args:
        items: prepared items, see :class:`KeyedDataset`.
        transform: the random transform of a sample.
        batch_size: samples per batch and rank.
        seed: the run's seed.
        stream: the stream's name.
        rank: this process among ``world_size`` processes.
        world_size: number of processes.
        loader_kwargs: further arguments of :class:`torch.utils.data.DataLoader`, such as ``num_workers``.

    Example:
        >>> loader = StreamLoader([10, 20, 30], lambda item: item, batch_size=2, seed=0, stream="labeled")
        >>> whole = loader.batches(start_iteration=0)
        >>> _, second = next(whole), next(whole)
        >>> bool((next(loader.batches(start_iteration=1)) == second).all())
        True
        >>> loader.batches_per_pass
        2
    """

    def __init__(
        self,
        items: Sequence[Any] | Dataset,
        transform: Callable[[Any], Any],
        batch_size: int,
        seed: int,
        stream: str,
        rank: int = 0,
        world_size: int = 1,
        **loader_kwargs: Any,
    ) -> None:
        self.dataset = KeyedDataset(items, transform, seed, stream, batch_size)
        self.sampler = KeyedBatchSampler(len(self.dataset), batch_size, seed, stream, rank, world_size)
        loader_kwargs.setdefault("worker_init_fn", outlive_termination)
        loader_kwargs.setdefault("collate_fn", collate)
        self.loader = DataLoader(self.dataset, batch_sampler=self.sampler, **loader_kwargs)

    @property
    def batches_per_pass(self) -> int:
        """Iterations in which all ranks together see every item once, rounded up."""
        per_iteration = self.sampler.batch_size * self.sampler.world_size
        return -(-self.sampler.num_items // per_iteration)

    def batches(self, start_iteration: int = 0) -> Iterator[Any]:
        """Batches from an iteration (counted from 0) on, without end."""
        self.sampler.start_iteration = start_iteration
        return iter(self.loader)
