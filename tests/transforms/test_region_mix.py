"""What holds for SupMix, ClassMix and CutMix alike: the call, its checks, draws and devices."""

import pickle

import pytest
import torch
from monai.data import MetaTensor

from monai_supmix.transforms.classmix import ClassMix
from monai_supmix.transforms.cutmix import CutMix
from monai_supmix.transforms.region_mix import RegionMix
from monai_supmix.transforms.supmix import SupMix
from tests.devices import DEVICES

C, IGNORE = 5, 255
EVERY = pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda prob: SupMix(C, prob=prob, ignore_index=IGNORE), id="SupMix"),
        pytest.param(
            lambda prob: SupMix(C, prob=prob, ignore_index=IGNORE, pairing="shuffled", class_pool="dataset"),
            id="SupMix-shuffled-dataset",
        ),
        pytest.param(lambda prob: ClassMix(C, prob=prob, ignore_index=IGNORE), id="ClassMix"),
        pytest.param(lambda prob: CutMix(prob=prob), id="CutMix"),
    ],
)
SPATIAL = pytest.mark.parametrize("spatial", [(24, 17), (9, 8, 7)], ids=["2D", "3D"])


def batches(spatial, size=4, label_dtype=torch.int64, image_dtype=torch.float32, device="cpu"):
    """Arguments of the call: source and target with images, labels (some pixels ignored), confidences."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, size, 3, *spatial, generator=generator).to(image_dtype)
    labels = torch.randint(0, C, (2, size, 1, *spatial), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.05] = IGNORE
    confidences = torch.rand(labels.shape, generator=generator)
    (xa, xb), (ya, yb), (ca, cb) = (maps.to(device) for maps in (images, labels.to(label_dtype), confidences))
    return xa, ya, xb, yb, ca, cb


@EVERY
@SPATIAL
@pytest.mark.parametrize("device", DEVICES)
def test_a_seed_fixes_the_result_on_every_device(make, spatial, device):
    reference = make(0.5).set_random_state(seed=3)(*batches(spatial))
    result = make(0.5).set_random_state(seed=3)(*batches(spatial, device=device))
    other = make(0.5).set_random_state(seed=4)(*batches(spatial, device=device))
    for value, expected in zip(result, reference, strict=True):
        assert torch.equal(value.cpu(), expected)
    assert not torch.equal(result.mask, other.mask)


@EVERY
@SPATIAL
def test_nothing_is_read_back_from_the_device(make, spatial):
    """A tensor on the meta device holds no values: whatever would wait for one fails on it."""
    arguments = batches(spatial, device="meta")
    result = make(0.5)(*arguments)
    assert [value.shape for value in result] == [arguments[2].shape, *[arguments[3].shape] * 3]


@EVERY
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_device_is_not_waited_for(make):
    arguments = batches((24, 17), device="cuda")
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        make(0.5)(*arguments)
    finally:
        torch.cuda.set_sync_debug_mode(mode)


@EVERY
@SPATIAL
def test_a_draw_can_be_replayed(make, spatial):
    mix, arguments = make(0.5).set_random_state(seed=1), batches(spatial)
    first, second = mix(*arguments), mix(*arguments)
    replayed = mix(*arguments, randomize=False)
    assert not torch.equal(first.mask, second.mask)
    assert torch.equal(replayed.mask, second.mask)
    mix.set_random_state(seed=1).randomize(arguments[2])
    assert torch.equal(mix(*arguments, randomize=False).mask, first.mask)
    copy = pickle.loads(pickle.dumps(mix))
    assert torch.equal(copy(*arguments).mask, second.mask)


@EVERY
def test_replaying_needs_a_draw_for_this_shape(make):
    mix = make(0.5)
    with pytest.raises(ValueError, match=r"stored draw is for .* None, got \(4, 24, 17\)"):
        mix(*batches((24, 17)), randomize=False)
    mix.randomize(batches((24, 17))[2])
    with pytest.raises(ValueError, match=r"\(4, 24, 17\), got \(3, 24, 17\)"):
        mix(*batches((24, 17), size=3), randomize=False)


@EVERY
@SPATIAL
def test_inputs_are_not_touched_nor_returned(make, spatial):
    for prob in (0.0, 1.0):
        arguments = batches(spatial)
        before = [value.clone() for value in arguments]
        result = make(prob)(*arguments)
        assert all(torch.equal(*pair) for pair in zip(arguments, before, strict=True))
        assert not {value.data_ptr() for value in result} & {value.data_ptr() for value in arguments}


@EVERY
@pytest.mark.parametrize("label_dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
@pytest.mark.parametrize("image_dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_result_has_the_dtypes_of_the_target(make, label_dtype, image_dtype):
    xa, ya, *_ = batches((24, 17))
    _, _, xb, yb, ca, cb = batches((24, 17), label_dtype=label_dtype, image_dtype=image_dtype)
    image, label, confidence, mask = make(1.0)(xa, ya, xb, yb, ca, cb.half())
    assert (image.dtype, label.dtype) == (image_dtype, label_dtype)
    assert (confidence.dtype, mask.dtype) == (torch.float16, torch.bool)


@EVERY
def test_the_probability_is_per_sample(make):
    size = 2000
    labels = torch.arange(C).view(1, 1, 1, C).expand(size, 1, 1, C)  # every class present: a paste shows
    images = torch.zeros(size, 1, 1, C)

    def pasted(prob):
        mix = make(prob).set_random_state(seed=0)
        return mix(images, labels, images, labels).mask.flatten(1).any(1)

    assert not pasted(0.0).any()
    assert pasted(1.0).all()
    some = pasted(0.3).double()
    assert abs(some.mean() - 0.3) < 4 * (0.3 * 0.7 / size) ** 0.5
    neighbours = torch.corrcoef(torch.stack([some[:-1], some[1:]]))[0, 1]
    assert abs(neighbours) < 4 / size**0.5  # one sample's draw says nothing of the next one's


@EVERY
def test_confidence_is_none_if_none_was_given(make):
    assert make(1.0)(*batches((24, 17))[:4]).confidence is None


@pytest.mark.parametrize("mix", [ClassMix(C, ignore_index=IGNORE), CutMix()])
def test_one_confidence_without_the_other_is_an_error(mix):
    xa, ya, xb, yb, ca, cb = batches((24, 17))
    with pytest.raises(ValueError, match="source_confidence is None"):
        mix(xa, ya, xb, yb, target_confidence=cb)
    with pytest.raises(ValueError, match="target_confidence is None"):
        mix(xa, ya, xb, yb, source_confidence=ca)


@EVERY
def test_metadata_is_the_targets(make):
    *maps, _, _ = batches((24, 17))
    sides = ("source", "source", "target", "target")
    marked = [MetaTensor(value, meta={"side": side}) for value, side in zip(maps, sides, strict=True)]
    result = make(1.0).set_random_state(seed=0)(*marked)
    plain = make(1.0).set_random_state(seed=0)(*maps)
    assert result.image.meta["side"] == result.label.meta["side"] == "target"
    assert not isinstance(result.mask, MetaTensor)
    assert all(torch.equal(torch.Tensor(a), torch.Tensor(b)) for a, b in zip(result[:2], plain[:2], strict=True))
    half = make(1.0)(*marked[:2], *maps[2:])
    assert not any(isinstance(value, MetaTensor) for value in half)


@EVERY
@pytest.mark.parametrize(
    ("position", "change", "message"),
    [
        (0, lambda x: x[:, :, :-1], r"source_label .*\(4, 1, 24, 17\) .*\(4, 3, 23, 17\)"),
        (0, lambda x: x[:, :2], r"source_image \(4, 2, 24, 17\) and target_image \(4, 3, 24, 17\)"),
        (0, lambda x: x[0], r"source_image must be .* got \(3, 24, 17\)"),
        (1, lambda y: y[:, 0], r"source_label .*\(4, 24, 17\)"),
        (1, lambda y: y.expand(-1, 3, -1, -1), r"source_label .*\(4, 3, 24, 17\)"),
        (1, lambda y: y.float(), "source_label must be integers, got torch.float32"),
        (3, lambda y: y > 0, "target_label must be integers, got torch.bool"),
        (3, lambda y: y[:3], r"target_label .*\(3, 1, 24, 17\) .*\(4, 3, 24, 17\)"),
        (1, lambda y: y.numpy(), "source_label must be a tensor, got ndarray"),
        (2, lambda x: None, "target_image must be a tensor, got NoneType"),
        (5, lambda c: c.tolist(), "target_confidence must be a tensor, got list"),
        (2, lambda x: (255 * x).byte(), "source_image torch.float32 and target_image torch.uint8"),
        (4, lambda c: c[..., :-1], r"source_confidence .*\(4, 1, 24, 16\)"),
        (5, lambda c: c[:, 0], r"target_confidence .*\(4, 24, 17\)"),
    ],
)
def test_shapes_and_dtypes_that_do_not_fit_are_named(make, position, change, message):
    arguments = list(batches((24, 17)))
    arguments[position] = change(arguments[position])
    with pytest.raises(ValueError, match=message):
        make(0.0)(*arguments)


def test_labels_that_the_target_cannot_hold_are_not_made_others():
    source, target = batches((24, 17)), batches((24, 17), label_dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"source_label holds values that target_label, torch\.uint8, cannot hold"):
        CutMix(prob=1.0)(source[0], torch.full_like(source[1], -100), *target[2:4])
    with pytest.raises(ValueError, match=r"source_label holds values that target_label, torch\.int8, cannot hold"):
        CutMix(prob=1.0)(source[0], torch.full_like(target[1], 255), source[2], torch.zeros_like(source[3]).char())
    assert CutMix(prob=1.0)(*source[:2], *target[2:4]).label.dtype is torch.uint8


@pytest.mark.parametrize("given", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
@pytest.mark.parametrize("wanted", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_integers_of_any_kind_that_fit_are_pasted(given, wanted):
    image, label = torch.rand(1, 1, 4, 4), torch.arange(16).remainder(3).view(1, 1, 4, 4)
    mixed = SupMix(3, prob=1.0)(image, label.to(given), image, torch.zeros_like(label, dtype=wanted))
    assert mixed.label.dtype is wanted and torch.equal(mixed.label.long(), label * mixed.mask)


@EVERY
def test_spatial_shapes_must_agree(make):
    source, target = batches((24, 17)), batches((24, 16))
    with pytest.raises(ValueError, match=r"\(4, 3, 24, 17\) and target_image \(4, 3, 24, 16\)"):
        make(0.0)(*source[:2], *target[2:4])


@EVERY
def test_an_empty_batch_is_an_error(make):
    with pytest.raises(ValueError, match=r"B >= 1, got \(0, 3, 24, 17\)"):
        make(0.0)(*(value[:0] for value in batches((24, 17))))


@pytest.mark.parametrize("mix", [ClassMix(C, ignore_index=IGNORE), CutMix()])
def test_pairs_of_unlabelled_images_need_batches_of_one_size(mix):
    source, target = batches((24, 17), size=3), batches((24, 17), size=4)
    with pytest.raises(ValueError, match=r"same size.*\(3, 3, 24, 17\).*\(4, 3, 24, 17\)"):
        mix(*source[:2], *target[2:4])


@pytest.mark.parametrize("transform", [SupMix, ClassMix])
@pytest.mark.parametrize("side", [(1, "source_label"), (3, "target_label")])
@pytest.mark.parametrize(
    ("value", "dtype", "ignore_index"),
    [
        (C, torch.int64, IGNORE),
        (-1, torch.int64, IGNORE),
        (254, torch.uint8, IGNORE),
        (IGNORE, torch.uint8, -1),  # not to be taken for the other
        (IGNORE, torch.int64, None),
    ],
)
def test_values_that_are_no_class_are_named(transform, side, value, dtype, ignore_index):
    position, name = side
    arguments = [maps.clamp(max=C - 1) for maps in batches((24, 17), label_dtype=dtype)]
    arguments[position] = arguments[position].clone()
    arguments[position][1, 0, 2, 3] = value
    with pytest.raises(ValueError, match=rf"{name} holds {value}\b"):
        transform(C, ignore_index=ignore_index)(*arguments)


@EVERY
@pytest.mark.parametrize("prob", [-0.1, 1.1, float("nan")])
def test_a_probability_outside_its_range_is_an_error(make, prob):
    with pytest.raises(ValueError, match="prob must be in"):
        make(prob)


@pytest.mark.parametrize("asked_for", ["", "image", "confidence", "image, confidence", "confidence, image"])
def test_a_region_may_look_at_image_and_confidence_of_the_source(asked_for):
    seen = {}
    namespace = {"seen": seen}
    exec(f"def region(self, label, {asked_for}):\n seen.update(locals()); return label > 1", namespace)
    mix = type("Own", (RegionMix,), {"region": namespace["region"]})(prob=1.0)
    xa, ya, xb, yb, ca, cb = batches((24, 17))
    mixed = mix(xa, ya, xb, yb, ca, cb)
    assert torch.equal(mixed.mask, ya > 1)
    assert torch.equal(seen["label"], ya)
    assert ("image" in seen) == ("image" in asked_for) and ("confidence" in seen) == ("confidence" in asked_for)
    assert torch.equal(seen.get("image", xa), xa) and torch.equal(seen.get("confidence", ca), ca)


def test_a_region_that_takes_whatever_there_is_gets_all_of_it():
    class Own(RegionMix):
        def region(self, label, **kwargs):
            seen.update(kwargs)
            return label > 1

    seen = {}
    xa, ya, xb, yb, ca, cb = batches((24, 17))
    Own(prob=1.0)(xa, ya, xb, yb, ca, cb)
    assert seen.keys() == {"image", "confidence"} and torch.equal(seen["image"], xa)
    assert torch.equal(seen["confidence"], ca)


@pytest.mark.parametrize("kind", [SupMix, ClassMix, CutMix])
def test_a_subclass_may_pass_on_whatever_it_gets(kind):
    class Own(kind):
        def region(self, label, **kwargs):
            return super().region(label, **kwargs)

    arguments = () if kind is CutMix else (C,)
    maps = [values.clamp(max=C - 1) for values in batches((24, 17))]
    own, shipped = (one(*arguments, prob=1.0).set_random_state(seed=0)(*maps) for one in (Own, kind))
    assert torch.equal(own.mask, shipped.mask)


@pytest.mark.parametrize("region", [torch.ones(3, 4, 4) > 0, torch.ones(3, 1, 4, 4), torch.ones(3, 3, 4, 4) > 0])
def test_a_subclass_whose_region_is_no_mask_is_refused(region):
    class Wrong(RegionMix):
        def region(self, label):
            return region

    images, labels = torch.rand(3, 3, 4, 4), torch.zeros(3, 1, 4, 4, dtype=torch.long)
    with pytest.raises(ValueError, match=r"region of Wrong must give bool \(3, 1, 4, 4\), got (bool|float32)"):
        Wrong(prob=1.0)(images.flip(0), labels, images, labels)
