"""Streams are endless, fair, and the same from any start with any number of workers."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from monai.data import ArrayDataset, CacheDataset, DataLoader, Dataset, MetaTensor, ZipDataset
from monai.transforms import Compose, Randomizable, RandomizableTransform
from torch.utils.data import ConcatDataset, Subset

from monai_supmix.data.paired import PairedLoader
from monai_supmix.data.streams import KeyedBatchSampler, StreamLoader


class AddNoise(Randomizable):
    """A transform with a draw of its own."""

    def __call__(self, item):
        return torch.tensor([item, self.R.uniform()])


def stream(num_items=5, batch_size=2, stream="labeled", seed=0, **kwargs):
    return StreamLoader(range(num_items), AddNoise(), batch_size, seed, stream, **kwargs)


def take(loader, count, start=0):
    return torch.stack(list(islice(loader.batches(start), count)))


@pytest.mark.parametrize(("num_items", "batch_size"), [(1, 4), (2, 4), (5, 2), (7, 7)])
def test_every_item_is_drawn_equally_often(num_items, batch_size):
    sampler = KeyedBatchSampler(num_items, batch_size, seed=3, stream="labeled")
    indices = [index for batch in islice(sampler, num_items * 4) for _, index in batch]
    assert set(Counter(indices).values()) == {4 * batch_size}


@pytest.mark.parametrize("start", [0, 1, 6])
def test_a_stream_can_start_anywhere(start):
    assert torch.equal(take(stream(), 4, start), take(stream(), 10)[start : start + 4])


def test_workers_change_nothing():
    assert torch.equal(take(stream(), 6, 3), take(stream(num_workers=2), 6, 3))


def test_the_global_generators_change_nothing():
    np.random.seed(1)
    torch.manual_seed(1)
    first = take(stream(), 4)
    np.random.seed(2)
    torch.manual_seed(2)
    assert torch.equal(first, take(stream(), 4))


class Jitter(RandomizableTransform):
    """A random part of how items are prepared."""

    def __call__(self, item):
        return item + self.R.uniform()


@pytest.mark.parametrize(
    "kind",
    [
        Dataset,
        CacheDataset,
        lambda data, transform: Subset(Dataset(data, transform), range(5)),
        lambda data, transform: ConcatDataset([Dataset(data[:2], transform), Dataset(data[2:], transform)]),
        lambda data, transform: ZipDataset([Dataset(data, transform)]),
        ArrayDataset,
    ],
)
def test_what_is_random_in_monais_datasets_can_be_replayed(kind):
    def loader(**kwargs):
        items = kind(list(range(5)), Compose([float, Jitter()]))
        return StreamLoader(items, torch.tensor, 2, 0, "labeled", **kwargs)

    reference = take(loader(), 6)
    assert torch.equal(reference[3:], take(loader(num_workers=2), 3, start=3))
    assert len(set(reference.flatten().tolist())) == 12, "every sample has its own draw"


def test_a_dataset_may_have_attributes_of_any_kind():
    class Odd(list):
        datasets, data = None, "text"

        @property
        def dataset(self):
            return self

    assert take(StreamLoader(Odd(range(3)), torch.tensor, 2, 0, "labeled"), 2).shape == (2, 2)


def test_batches_are_plain_whatever_has_been_loaded_in_this_process():
    items = [{"image": MetaTensor(torch.rand(1, 4, 4), meta={"case": number})} for number in range(2)]
    list(DataLoader(Dataset(items), batch_size=2))  # from here on torch collates metadata as well
    batch = next(StreamLoader(items, dict, 2, 0, "labeled").batches())
    pair = next(StreamLoader(items, lambda item: (item["image"], [item]), 2, 0, "labeled").batches())
    for image in (batch["image"], pair[0], pair[1][0]["image"]):
        assert type(image) is torch.Tensor and image.shape == (2, 1, 4, 4)


def test_seed_and_stream_matter():
    reference = take(stream(num_items=50), 5)
    assert not torch.equal(reference, take(stream(num_items=50, seed=1), 5))
    assert not torch.equal(reference, take(stream(num_items=50, stream="unlabeled"), 5))


def test_the_same_item_is_augmented_anew_each_time():
    assert len(set(take(stream(num_items=1), 8)[..., 1].flatten().tolist())) == 16


def test_ranks_share_one_stream_without_overlap():
    single = KeyedBatchSampler(6, 4, seed=0, stream="unlabeled")
    ranks = [KeyedBatchSampler(6, 2, 0, "unlabeled", rank, world_size=2) for rank in (0, 1)]
    for iteration in range(5):
        assert single.batch(iteration) == ranks[0].batch(iteration) + ranks[1].batch(iteration)


def test_nothing_to_draw_from_is_refused():
    with pytest.raises(ValueError, match="unlabeled stream needs items"):
        KeyedBatchSampler(0, 4, seed=0, stream="unlabeled")


def test_pairs_follow_both_streams_and_an_epoch_is_one_pass_over_the_unlabelled():
    loader = PairedLoader(stream(2), stream(9, batch_size=4, stream="unlabeled"))
    assert len(loader) == 3
    loader.rewind(2)
    batch = next(iter(loader))
    assert torch.equal(batch["labeled"], take(stream(2), 1, 2)[0])
    assert torch.equal(batch["unlabeled"], take(stream(9, 4, "unlabeled"), 1, 2)[0])
