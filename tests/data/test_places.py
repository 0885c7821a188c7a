"""Crops at one place: a pixel of a labelled crop and of its partner come from the same point of their images."""

from itertools import islice

import pytest
import torch
from monai.transforms import Compose, Randomizable

from monai_supmix.data.paired import PairedLoader
from monai_supmix.data.streams import StreamLoader
from monai_supmix.transforms import RandSimilarityCropd


class Noise(Randomizable):
    """A draw before the crop, which each sample has for itself."""

    def __call__(self, item):
        return item | {"noise": torch.tensor(self.R.uniform())}


def coordinates(size):
    """An image whose two channels say where a pixel lies, as a share of the image."""
    rows, columns = (torch.linspace(0, 1, side) for side in size)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))


def pair(place, sizes=(2, 4), rank=0, world_size=1, seed=0, images=((40, 50), (40, 50)), **kwargs):
    crop = RandSimilarityCropd(
        "image", (12, 12), scale=(0.8, 1.25), rotation=3, flip_axes=(0, 1), mode="bilinear", place=place
    )
    streams = [
        StreamLoader(
            [{"image": coordinates(image)}] * 5, Compose([Noise(), crop]), size, seed, name,
            rank=rank, world_size=world_size, **kwargs,
        )
        for name, size, image in zip(("labeled", "unlabeled"), sizes, images, strict=True)
    ]  # fmt: skip
    return PairedLoader(*streams)


def take(loader, count=3, start=0):
    loader.rewind(start)
    return [(batch["labeled"]["image"], batch["unlabeled"]["image"]) for batch in islice(loader, count)]


def same(a, b):
    return torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("sizes", [(2, 4), (3, 2), (2, 5), (1, 3)])
def test_pairs_lie_at_one_place_and_others_elsewhere(sizes):
    for labeled, unlabeled in take(pair("pair", sizes)):
        for i, own in enumerate(labeled):
            for j, other in enumerate(unlabeled):
                # SupMix gives image j regions of labelled image j % B_l; inward pasting goes the other way round.
                partners = j % sizes[0] == i or i % sizes[1] == j
                assert same(own, other) == partners or (i % min(sizes) == j % min(sizes))
                assert not partners or same(own, other)
        assert not any(same(labeled[0], labeled[i]) for i in range(1, min(sizes)))


def test_a_batch_lies_at_one_place_and_the_next_elsewhere():
    batches = take(pair("batch"))
    for labeled, unlabeled in batches:
        assert all(same(labeled[0], crop) for crop in (*labeled, *unlabeled))
    assert not same(batches[0][0], batches[1][0])


def test_by_default_every_crop_has_its_own_place():
    labeled, unlabeled = take(pair("own"))[0]
    crops = [*labeled, *unlabeled]
    assert not any(same(a, b) for k, a in enumerate(crops) for b in crops[:k])


def test_images_of_other_sizes_are_cut_at_the_same_share_of_their_room():
    images = ((40, 50), (80, 100))
    for labeled, unlabeled in take(pair("pair", (1, 1), images=images)):
        # The centre of the crop, where nothing of scale, angle and flip is seen, as a share of the room.
        for axis, (small, large) in enumerate(zip(*images, strict=True)):
            centers = [crop[0, axis, 5:7, 5:7].mean().item() for crop in (labeled, unlabeled)]
            pixels = [center * (side - 1) for center, side in zip(centers, (small, large), strict=True)]
            assert (pixels[0] < small / 2) == (pixels[1] < large / 2) or abs(centers[0] - 0.5) < 0.1


def test_places_follow_from_seed_iteration_and_rank():
    reference = take(pair("pair"), 5)
    assert all(same(a[1], b[1]) for a, b in zip(reference[2:], take(pair("pair"), 3, start=2), strict=True))
    assert all(same(a[1], b[1]) for a, b in zip(reference, take(pair("pair", num_workers=2), 5), strict=True))
    assert not same(reference[0][0], take(pair("pair", seed=1))[0][0])
    first, second = (take(pair("pair", rank=rank, world_size=2)) for rank in (0, 1))
    assert not same(first[0][0], second[0][0])
    assert same(second[0][0], second[0][1][:2])


def test_an_unknown_place_is_refused():
    with pytest.raises(ValueError, match="place is"):
        RandSimilarityCropd("image", (12, 12), place="everywhere")
