"""What all batch transforms share, and their composition with each other and with MONAI's own."""

import copy
import pickle

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import (
    Compose,
    NormalizeIntensity,
    OneOf,
    RandAdjustContrast,
    RandCoarseDropout,
    RandFlipd,
    RandZoom,
    ScaleIntensity,
)

from monai_supmix.transforms.batch import BatchCompose, per_image
from monai_supmix.transforms.color_jitter import RandColorJitter, RandColorJitterd
from monai_supmix.transforms.gamma import RandGamma, RandGammad
from monai_supmix.transforms.gaussian_blur import RandGaussianBlur, RandGaussianBlurd
from monai_supmix.transforms.gaussian_noise import RandNoise, RandNoised
from monai_supmix.transforms.grayscale import RandGrayscale, RandGrayscaled
from tests.devices import DEVICES

TRANSFORMS = [RandColorJitter, RandGrayscale, RandGaussianBlur, RandGamma, RandNoise]
DICTIONARY_FORMS = [RandColorJitterd, RandGrayscaled, RandGaussianBlurd, RandGammad, RandNoised]
transforms = pytest.mark.parametrize("transform", TRANSFORMS)


@transforms
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(3, 20, 24), (1, 20, 24), (1, 8, 9, 10), (3, 8, 9, 10)])
def test_an_image_is_a_batch_of_one(transform, device, shape):
    image = torch.rand(shape, device=device)
    before = image.clone()
    random = transform(prob=1.0).set_random_state(seed=1)
    result = random(image)
    again = random.apply_batch(image[None], randomize=False)
    assert torch.equal(result, again[0])
    assert torch.equal(random(image, randomize=False), result)
    assert torch.equal(image, before)
    assert (result.shape, result.dtype, result.device) == (image.shape, image.dtype, image.device)
    assert result.min() >= 0
    assert result.max() <= 1


def test_there_is_one_value_for_each_image():
    with pytest.raises(ValueError, match="one value per image"):
        per_image(torch.ones(2), torch.rand(3, 1, 5, 5))


@transforms
def test_a_batch_equals_its_images_one_by_one(transform):
    images = torch.rand(5, 3, 16, 16)
    random = transform(prob=0.6).set_random_state(seed=4)
    result = random.apply_batch(images)
    for i in range(5):
        single = copy.deepcopy(random)
        single.selected = random.selected[i : i + 1]
        for name, value in vars(random).items():
            if isinstance(value, np.ndarray):
                setattr(single, name, value[i : i + 1])
        if transform is RandColorJitter:
            single.factors = {name: values[i : i + 1] for name, values in random.factors.items()}
        alone = single.apply_batch(images[i : i + 1], randomize=False)[0]
        torch.testing.assert_close(alone, result[i], atol=1e-6, rtol=0)


@transforms
def test_returns_what_it_is_given(transform):
    random = transform(prob=1.0).set_random_state(seed=2)
    image = torch.rand(3, 12, 12)
    expected = random(image)
    array = random(image.numpy(), randomize=False)
    assert type(array) is np.ndarray
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, expected.numpy())
    reversed_view = image.numpy()[:, ::-1]  # negative strides
    assert random(reversed_view, randomize=False).shape == reversed_view.shape
    meta = MetaTensor(image, affine=torch.diag(torch.tensor([2.0, 3.0, 1.0, 1.0])), meta={"name": "x"})
    result = random(meta, randomize=False)
    assert type(result) is MetaTensor
    assert result.meta["name"] == "x"
    assert torch.equal(result.affine, meta.affine)
    assert torch.equal(result.as_tensor(), expected)
    assert type(random.apply_batch(meta[None], randomize=False)) is torch.Tensor


@transforms
def test_never_and_always(transform):
    images = torch.rand(50, 3, 4, 4)
    never, always = transform(prob=0.0), transform(prob=1.0)
    assert torch.equal(never.apply_batch(images), images)
    assert never(images[0]) is images[0] or torch.equal(never(images[0]), images[0])
    always.apply_batch(images)
    assert always.selected.all()


@transforms
def test_same_seed_same_result(transform):
    images = torch.rand(8, 3, 10, 10)
    first = transform().set_random_state(seed=7).apply_batch(images)
    assert torch.equal(transform().set_random_state(seed=7).apply_batch(images), first)
    restored = pickle.loads(pickle.dumps(transform().set_random_state(seed=7)))
    assert torch.equal(restored.apply_batch(images), first)


@transforms
def test_draws_do_not_depend_on_the_selection(transform):
    never, always = transform(prob=0.0).set_random_state(seed=0), transform(prob=1.0).set_random_state(seed=0)
    never.randomize(4)
    always.randomize(4)
    assert never.R.rand() == always.R.rand()


@transforms
def test_misuse_is_an_error(transform):
    random = transform()
    with pytest.raises(RuntimeError, match="nothing drawn"):
        random.apply_batch(torch.rand(2, 3, 4, 4), randomize=False)
    random.randomize(3)
    with pytest.raises(ValueError, match=r"3 images.*2"):
        random.apply_batch(torch.rand(2, 3, 4, 4), randomize=False)
    with pytest.raises(ValueError, match="floating-point"):
        random.apply_batch(torch.zeros(2, 3, 4, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match="prob"):
        transform(prob=-0.1)


@pytest.mark.parametrize("value", [-1.0, 2.0, float("nan")])  # such as CT in HU, or what is normalised to a mean of 0
def test_images_on_another_scale_are_refused_by_what_would_cut_them(value):
    images = torch.full((2, 3, 4, 4), value)
    for transform in (RandGamma(), RandNoise(), RandColorJitter(), BatchCompose([RandGrayscale(), RandGamma()])):
        with pytest.raises(ValueError, match=r"needs images in \[0, 1\], got values from"):
            getattr(transform, "apply_batch", transform)(images)
    for transform in (RandGaussianBlur(), RandGrayscale()):
        assert transform.apply_batch(images).shape == images.shape


def test_a_chain_may_begin_with_what_scales_images():
    scaled = BatchCompose([ScaleIntensity(), RandGamma(prob=1.0)])(torch.rand(2, 1, 4, 4) * 255)
    assert scaled.min() >= 0 and scaled.max() <= 1
    with pytest.raises(ValueError, match="RandGamma needs images in"):
        BatchCompose([NormalizeIntensity(), RandGamma(prob=1.0)])(torch.rand(2, 1, 16, 16))


def test_what_interpolation_leaves_a_little_outside_is_no_reason_to_stop():
    images = torch.rand(8, 1, 16, 16) * 1.4 - 0.2
    for transform in (
        RandGamma(prob=1.0),
        BatchCompose([RandGaussianBlur(), RandGamma(), RandColorJitter(), RandNoise()]),
    ):
        mixed = getattr(transform.set_random_state(seed=0), "apply_batch", transform)(images)
        assert mixed.isfinite().all()
    assert RandGamma(gamma=(2, 2), prob=1.0).apply_batch(torch.tensor([[[-0.1, 1.1]]])).tolist() == [[[0.0, 1.0]]]


def test_compose_may_stand_in_monais_compose():
    inner = BatchCompose([RandGaussianBlur(prob=1.0)])
    images = torch.rand(2, 1, 8, 8)
    mixed = Compose([inner, torch.clone]).set_random_state(seed=0)(images)
    assert torch.equal(mixed, Compose([inner]).set_random_state(seed=0)(images)) and not torch.equal(mixed, images)


@pytest.mark.parametrize("form", DICTIONARY_FORMS)
def test_dictionary_forms(form):
    image = torch.rand(3, 12, 12)
    with pytest.raises(KeyError):
        form(["a", "b"])({"a": image})
    random = form(["a", "b"], prob=1.0, allow_missing_keys=True).set_random_state(seed=3)
    data = {"a": image, "name": "case"}
    item = random(data)
    assert item["name"] == "case"
    assert data["a"] is image
    assert torch.equal(random(data, randomize=False)["a"], item["a"])
    assert torch.equal(random.set_random_state(seed=3)(data)["a"], item["a"])
    # MONAI's Compose seeds it like any of its own
    compose = Compose([random]).set_random_state(seed=1)
    first = compose(data)["a"]
    assert torch.equal(compose.set_random_state(seed=1)(data)["a"], first)
    if form is not RandGrayscaled:  # which has nothing to draw but whether
        assert not torch.equal(compose(data)["a"], first)


@pytest.mark.parametrize("device", DEVICES)
def test_compose_applies_in_order(device):
    images = torch.rand(4, 3, 16, 16, device=device)
    before = images.clone()
    gamma, blur = RandGamma(prob=1.0), RandGaussianBlur(prob=1.0)
    result = BatchCompose([gamma, blur]).set_random_state(seed=0)(images)
    expected = blur.apply_batch(gamma.apply_batch(images, randomize=False), randomize=False)
    assert torch.equal(result, expected)
    assert torch.equal(images, before)
    assert result.device == images.device


@pytest.mark.parametrize("device", DEVICES)
def test_compose_with_random_erasing_of_monai(device):
    images = torch.rand(6, 3, 32, 32, device=device) * 0.5 + 0.25
    before = images.clone()
    erase = RandCoarseDropout(holes=1, spatial_size=8, fill_value=0.0, prob=0.5)
    compose = BatchCompose([erase]).set_random_state(seed=0)
    result = compose(images)
    assert torch.equal(images, before)  # MONAI's transform writes into the tensor it is given
    assert type(result) is torch.Tensor
    assert (result.dtype, result.device) == (images.dtype, images.device)
    erased = (result == 0).flatten(1).sum(dim=1)
    assert set(erased.tolist()) == {0, 3 * 8 * 8}  # some images have a hole, some not
    places = {tuple((sample == 0).nonzero()[0].tolist()) for sample in result if (sample == 0).any()}
    assert len(places) > 1  # each its own
    assert torch.equal(result[result != 0], images[result != 0])
    assert torch.equal(compose.set_random_state(seed=0)(images), result)


def test_compose_gives_the_batch_to_whatever_takes_it():
    class Transposed:
        def apply_batch(self, images):
            return images.transpose(2, 3)

    images = torch.rand(2, 3, 8, 8)
    blur = RandGaussianBlur(prob=1.0)
    result = BatchCompose([Transposed(), blur])(images)
    expected = blur.apply_batch(images.transpose(2, 3), randomize=False)
    assert torch.equal(result, expected)


def test_compose_reaches_all_children():
    images = torch.rand(6, 3, 16, 16)
    nested = [
        RandColorJitter(),
        Compose([RandGrayscale(), BatchCompose([RandGaussianBlur()])]),
        OneOf([RandGamma(prob=1.0), RandNoise(prob=1.0)]),
        RandAdjustContrast(prob=0.5),
    ]
    compose = BatchCompose(Compose(nested))
    assert [type(t).__name__ for t in compose.transforms] == [
        "RandColorJitter",
        "RandGrayscale",
        "RandGaussianBlur",
        "OneOf",
        "RandAdjustContrast",
    ]
    first = compose.set_random_state(seed=9)(images)
    second = compose(images)
    assert torch.equal(compose.set_random_state(seed=9)(images), first)
    assert torch.equal(compose(images), second)
    assert not torch.equal(first, second)


def test_compose_gives_plain_float32_of_its_own():
    images = MetaTensor(torch.rand(3, 1, 8, 8))
    result = BatchCompose([RandGamma(prob=0.0)])(images)
    assert type(result) is torch.Tensor
    assert result.dtype == torch.float32
    result.zero_()
    assert images.max() > 0
    assert torch.equal(BatchCompose([])(images), images.as_tensor())


def test_compose_rejects_what_does_not_fit():
    with pytest.raises(ValueError, match="RandFlipd"):
        BatchCompose([RandFlipd("image")])
    with pytest.raises(ValueError, match=r"RandZoom.*\(1, 8, 8\)"):
        BatchCompose([RandZoom(prob=1.0, min_zoom=2.0, max_zoom=2.0, keep_size=False)])(torch.rand(2, 1, 8, 8))
