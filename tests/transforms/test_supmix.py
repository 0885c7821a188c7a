import numpy as np
import pytest
import torch
from scipy import stats

from monai_supmix.transforms.mixing import inverse_frequency_weights
from monai_supmix.transforms.supmix import SupMix


def drawn_classes(mix, present, size=4000):
    """Which classes ``mix`` pastes in each of ``size`` draws from a crop of one pixel per class present."""
    truth = torch.tensor(present).view(1, 1, 1, -1)
    target = torch.zeros(size, 1, 1, len(present), dtype=torch.long)
    mask = mix.set_random_state(seed=0)(truth.float(), truth, target.float(), target).mask
    return mask[:, 0, 0].numpy()


def paste_one(mix, truth, fill=-1.0):
    """Paste a labelled crop into one empty unlabelled image."""
    truth = torch.tensor(truth).view(1, 1, 1, -1)
    target = torch.zeros_like(truth)
    return mix(truth.float(), truth, torch.full(truth.shape, fill), target, None, torch.zeros(truth.shape))


def test_pasted_pixels_are_certain_and_never_ignored():
    truth = torch.tensor([[[[1, 1, 0, 255]]]])
    pseudo_label = torch.full_like(truth, 255)  # for instance padding
    mix = SupMix(num_classes=2, prob=1.0, ignore_index=255)
    mixed = mix(truth / 1.0, truth, torch.zeros(truth.shape), pseudo_label, None, torch.full(truth.shape, 0.2))
    assert mixed.mask.tolist() == [[[[True, True, False, False]]]]
    assert mixed.label.tolist() == [[[[1, 1, 255, 255]]]]
    torch.testing.assert_close(mixed.confidence, torch.tensor([[[[1.0, 1.0, 0.2, 0.2]]]]))


def test_the_confidence_of_the_source_is_not_used():
    truth = torch.tensor([[[[1, 0]]]])
    image, low = torch.zeros(1, 1, 1, 2), torch.full((1, 1, 1, 2), 0.2)
    mix = SupMix(num_classes=2, prob=1.0)
    assert mix(image, truth, image, truth, low, low).confidence[0, 0, 0, 0] == 1
    assert mix(image, truth, image, truth, low, None).confidence is None


@pytest.mark.parametrize("truth", [[0, 0, 0], [255, 255, 0]])
def test_without_foreground_nothing_is_pasted(truth):
    mixed = paste_one(SupMix(num_classes=3, prob=1.0, ignore_index=255), truth)
    assert not mixed.mask.any()
    assert (mixed.image == -1).all()


def test_an_ignore_index_among_the_classes_is_never_pasted():
    mix = SupMix(num_classes=3, prob=1.0, ignore_index=2)
    for seed in range(20):
        mixed = paste_one(mix.set_random_state(seed=seed), [1, 2])
        assert mixed.mask.flatten().tolist() == [True, False]  # and it does not count as present


@pytest.mark.parametrize(
    ("present", "number"),
    [([0, 1], 1), ([0, 1, 2], 1), ([1, 2, 3], 1), ([1, 2, 3, 4], 2), ([0, 1, 2, 3, 4, 5], 2)],
)
def test_half_of_the_foreground_classes_all_equally_likely(present, number):
    drawn = drawn_classes(SupMix(num_classes=6, prob=1.0), present)
    foreground = np.array(present) > 0
    assert not drawn[:, ~foreground].any()
    assert (drawn.sum(axis=1) == number).all()
    counts = drawn[:, foreground].sum(axis=0)
    assert len(counts) == 1 or stats.chisquare(counts).pvalue > 1e-3
    assert counts.sum() == number * len(drawn)


def test_background_classes_are_an_argument():
    drawn = drawn_classes(SupMix(num_classes=4, background_classes=(1, 3), prob=1.0), [0, 1, 2, 3])
    assert drawn.any(axis=0).tolist() == [True, False, True, False]
    assert drawn_classes(SupMix(num_classes=2, background_classes=(), prob=1.0), [0, 1]).any(axis=0).all()


def test_weights_are_the_chances_of_a_single_draw():
    weights = [9.0, 1.0, 2.0, 5.0]  # the background's own weight plays no part
    drawn = drawn_classes(SupMix(num_classes=4, prob=1.0, class_weights=weights), [0, 1, 2, 3])
    expected = np.array([0, 1, 2, 5]) / 8 * len(drawn)
    assert drawn[:, 0].sum() == 0
    assert stats.chisquare(drawn[:, 1:].sum(axis=0), expected[1:]).pvalue > 1e-3


def test_weighted_drawing_without_replacement():
    weights = np.array([1.0, 2.0, 4.0, 8.0])
    mix = SupMix(num_classes=5, prob=1.0, class_weights=[1, *weights])
    drawn = drawn_classes(mix, [1, 2, 3, 4])
    assert (drawn.sum(axis=1) == 2).all()
    share, counts, expected = weights / weights.sum(), [], []
    for a in range(4):
        for b in range(a):  # a first and b from the rest, or the other way round
            expected.append(share[a] * share[b] / (1 - share[a]) + share[b] * share[a] / (1 - share[b]))
            counts.append((drawn[:, a] & drawn[:, b]).sum())
    assert sum(expected) == pytest.approx(1)
    assert stats.chisquare(counts, np.array(expected) * len(drawn)).pvalue > 1e-3


def test_weights_count_among_the_classes_present_only():
    drawn = drawn_classes(SupMix(num_classes=4, prob=1.0, class_weights=[1, 1, 3, 1000]), [0, 1, 2])
    assert (drawn.sum(axis=1) == 1).all()
    assert abs(drawn[:, 2].mean() - 0.75) < 4 * (0.75 * 0.25 / len(drawn)) ** 0.5


def test_inverse_frequency_weights_favour_rare_classes():
    weights = inverse_frequency_weights([868, 84, 48])
    drawn = drawn_classes(SupMix(num_classes=3, prob=1.0, class_weights=weights), [0, 1, 2])
    assert abs(drawn[:, 2].mean() - 84 / 132) < 4 * 0.5 / len(drawn) ** 0.5


def test_a_class_of_weight_zero_is_like_background():
    drawn = drawn_classes(SupMix(num_classes=3, prob=1.0, class_weights=[1, 0, 1]), [0, 1, 2])
    assert drawn.all(axis=0).tolist() == [False, False, True]


def test_the_data_sets_pool_draws_absent_classes_too():
    mix = SupMix(num_classes=5, prob=1.0, class_pool="dataset")  # 2 of 4, wherever they may be
    drawn = drawn_classes(mix, [0, 1, 2])
    assert not drawn[:, 0].any()
    number = drawn.sum(axis=1)
    # hypergeometric: both, one or none of two classes when 2 of 4 are drawn
    counts = [(number == n).sum() for n in range(3)]
    assert stats.chisquare(counts, np.array([1, 4, 1]) / 6 * len(drawn)).pvalue > 1e-3


def paste_numbered(sources, targets, **options):
    """The source pasted into each target, told by its intensity."""
    truth = torch.ones(sources, 1, 1, 1, dtype=torch.long)
    target = torch.zeros(targets, 1, 1, 1, dtype=torch.long)
    image = torch.arange(sources).view(-1, 1, 1, 1).double()
    mix = SupMix(num_classes=2, prob=1.0, **options).set_random_state(seed=0)
    return mix(image, truth, torch.full((targets, 1, 1, 1), -1.0), target).image.flatten().int()


@pytest.mark.parametrize(("sources", "targets"), [(4, 4), (2, 5), (5, 2), (1, 3)])
def test_aligned_pairs_go_round_the_source(sources, targets):
    assert paste_numbered(sources, targets).tolist() == [i % sources for i in range(targets)]


def test_shuffled_pairs_are_equally_likely():
    counts = np.bincount(paste_numbered(3, 3000, pairing="shuffled"))
    assert len(counts) == 3
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, "num_classes must be at least 1"),
        ({"num_classes": 1}, "no class is left to paste"),
        ({"num_classes": 3, "background_classes": (0, 3)}, "background class 3"),
        ({"num_classes": 3, "background_classes": (-1,)}, "background class -1"),
        ({"num_classes": 3, "class_weights": [1, 1]}, r"3 finite numbers.*\[1.0, 1.0\]"),
        ({"num_classes": 2, "class_weights": [1, -1]}, "none negative"),
        ({"num_classes": 2, "class_weights": [1, float("inf")]}, "finite"),
        ({"num_classes": 2, "class_weights": [1, 0]}, "no class is left"),
        ({"num_classes": 2, "class_pool": "crop"}, "class_pool must be .* got 'crop'"),
        ({"num_classes": 2, "pairing": "random"}, "pairing must be .* got 'random'"),
    ],
)
def test_arguments_outside_their_range_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        SupMix(**arguments)


def test_the_weights_given_are_not_changed():
    weights = np.ones(3)
    SupMix(num_classes=3, class_weights=weights)
    assert weights.tolist() == [1, 1, 1]
