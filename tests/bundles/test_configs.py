"""What the configurations of the bundles say: the contract's ids, every method, the paper's settings."""

import pytest
import torch
from monai.bundle import ConfigParser

from monai_supmix.bundle.attached import check_grid
from tests.bundles.workflows import (
    BUNDLES,
    METHODS,
    NAMES,
    OTHER_AUGMENTATIONS,
    SHIPPED,
    TINY,
    config_files,
    read_config,
    workflow,
)

COMMON = {
    "bundle_root", "dataset_dir", "output_dir", "ckpt_path", "device", "amp", "seed", "num_workers"
}  # fmt: skip
TRAIN = {
    "method", "max_epochs", "max_iterations", "num_labeled", "labeled_seed", "labeled_list", "num_val_patients",
    "resume", "save_interval",
}  # fmt: skip
INFERENCE = {"overwrite", "on_error", "tta", "runtime"}
PIECES = {  # mixing, strong views, feature dropout, discriminator: METHOD.md's table
    "supervised": (None, 0, False, False),
    "fixmatch": ("CutMix", 1, False, False),
    "unimatch": ("CutMix", 2, True, False),
    "classmix": ("ClassMix", 2, True, False),
    "supmix": ("SupMix", 2, True, False),
    "sufd": ("CutMix", 2, True, True),
    "supmix_sufd": ("SupMix", 2, True, True),
    "mixup": ("MixUp", 2, True, False),
    "cutout": (None, 2, True, False),
    "random_erasing": (None, 2, True, False),
}


def parser(bundle, method=None, preset=None):
    result = ConfigParser()
    result.read_config(config_files(bundle, "train", method, preset))
    result.update({"device": "cpu"})
    return result


@pytest.mark.parametrize("bundle", SHIPPED)
def test_the_contracts_ids_exist(bundle):
    assert set(read_config(bundle, "train")) >= COMMON | TRAIN
    assert set(read_config(bundle, "evaluate")) >= COMMON | {"runtime"}
    assert set(read_config(bundle, "inference")) >= COMMON | INFERENCE
    if bundle != "chase_supmix":
        assert all("intensity" in read_config(bundle, kind) for kind in ("train", "evaluate", "inference"))


@pytest.mark.parametrize("bundle", ["covid19_ct_supmix", "acdc_supmix"])
def test_every_foreground_class_of_a_dicom_bundle_has_snomed_codes(bundle):
    config = read_config(bundle, "inference")
    names = read_config(bundle, "train")["class_names"]
    assert config["dicom_seg"] == "auto" and list(config["dicom_codes"]) == names[1:]
    for terms in config["dicom_codes"].values():
        for value, scheme, meaning in terms.values():
            assert scheme == "SCT" and meaning
            assert has_check_digit(value), "a slip of the pen in a code"


def has_check_digit(number):
    """Whether the last digit is Verhoeff's, computed in the dihedral group of the pentagon: that of SNOMED CT."""

    def times(a, b):  # 0-4 are turns, 5-9 mirrored turns
        turn = (a - b if a >= 5 else a + b) % 5
        return turn + 5 * ((a >= 5) != (b >= 5))

    permutation = [list(range(10)), [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]]
    while len(permutation) < 8:
        permutation.append([permutation[-1][digit] for digit in permutation[1]])
    total = 0
    for place, digit in enumerate(reversed(number)):
        total = times(total, permutation[place % 8][int(digit)])
    return total == 0


@pytest.mark.parametrize("bundle", SHIPPED)
def test_evaluation_and_inference_build_the_network_that_was_trained(bundle):
    train = parser(bundle).get_parsed_content("network_def")
    for kind in ("evaluate", "inference"):
        other = ConfigParser()
        other.read_config(config_files(bundle, kind))
        network = other.get_parsed_content("network_def")
        assert {k: v.shape for k, v in network.state_dict().items()} == {
            k: v.shape for k, v in train.state_dict().items()
        }


@pytest.mark.parametrize("preset", [None, "paper"])
@pytest.mark.parametrize("method", [*METHODS, *OTHER_AUGMENTATIONS])
@pytest.mark.parametrize("bundle", SHIPPED)
def test_every_method_is_its_pieces_with_and_without_the_preset(bundle, method, preset):
    config = parser(bundle, method, preset)
    mixing, views, feature_dropout, discriminator = PIECES[method]
    resolved = {name: config.get_parsed_content(name) for name in ("mixing", "discriminator", "strong_views")}
    assert (type(resolved["mixing"]).__name__ if mixing else resolved["mixing"]) == mixing
    assert resolved["strong_views"].num_views == views
    assert config.get_parsed_content("feature_dropout") is feature_dropout
    assert (resolved["discriminator"] is not None) == discriminator
    if mixing in ("ClassMix", "SupMix"):
        assert resolved["mixing"].ignore_index == (255 if preset else None)
    if mixing in ("CutMix", "SupMix", "MixUp"):
        tuned = mixing == "SupMix" and bundle != "chase_supmix" and not preset
        assert resolved["mixing"].prob == (1.0 if tuned else 0.5)


@pytest.mark.parametrize("bundle", SHIPPED)
def test_methods_and_presets_keep_to_their_own_keys(bundle):
    pieces = {"method", "mixing", "num_strong_views", "feature_dropout", "discriminator"}
    for method in PIECES:
        config = read_config(bundle, f"methods/{method}")
        holes = {"strong_views#augmentation"} if method in ("cutout", "random_erasing") else set()
        assert set(config) == pieces | holes
        assert config["method"] == method
    for preset in (BUNDLES / bundle / "configs" / "presets").iterdir():
        assert not set(read_config(bundle, f"presets/{preset.stem}")) & pieces


@pytest.mark.parametrize(("preset", "sides"), [(None, [48, 64]), ("volume3d", [24, 48, 64])])
@pytest.mark.parametrize("method", ["cutout", "random_erasing"])
def test_cutout_hides_a_square_and_random_erasing_puts_noise_into_a_rectangle(method, preset, sides):
    config = parser("covid19_ct_supmix", method, preset)
    nothing = {"_target_": "monai_supmix.transforms.BatchCompose", "transforms": []}
    config.update({"crop_size": sides, "strong_augmentation": nothing})
    image = 0.2 + 0.6 * torch.rand(60, 1, *sides)
    label, confidence = torch.ones(60, 1, *sides, dtype=torch.uint8), torch.rand(60, 1, *sides)
    first, second = config.get_parsed_content("strong_views")(image, label, image, label, confidence)
    assert not torch.equal(first.image, second.image)
    assert torch.equal(first.label, label) and torch.equal(first.confidence, confidence) and not first.mask.any()
    extents = []
    for before, after in zip(image[:, 0], first.image[:, 0], strict=True):
        hole = (before != after).nonzero()
        if len(hole):
            extent = hole.amax(dim=0) - hole.amin(dim=0) + 1
            assert extent.prod() == len(hole), "a hole is a box"
            extents.append(extent)
            inside = after[before != after]
            assert not inside.any() if method == "cutout" else 0.2 <= inside.min() < inside.max() <= 0.8
    assert 15 < len(extents) < 45, "half of the images"
    low, high = torch.stack(extents).aminmax(dim=0)
    if method == "cutout":
        assert low.tolist() == high.tolist() == [sides[0] // 2] * len(sides)
    else:
        assert (low >= torch.tensor(sides) // 7).all() and (high <= torch.tensor(sides) * 5 // 8).all()
        assert (low < high).all()


def test_the_default_method_is_the_papers():
    for bundle in SHIPPED:
        train, method = read_config(bundle, "train"), read_config(bundle, "methods/supmix_sufd")
        assert {name: train[name] for name in method} == method


@pytest.mark.parametrize("bundle", SHIPPED)
def test_every_preset_trains_on_the_grid_on_which_it_predicts(bundle):
    for preset in (None, *(path.stem for path in sorted((BUNDLES / bundle / "configs/presets").glob("*.json")))):
        config = parser(bundle, preset=preset)
        config.update({"pretrained": None})
        loading, inferer, kept = (
            config.get_parsed_content(name) for name in ("train#preprocessing", "validate#inferer", "working")
        )
        check_grid(loading, kept)
        assert inferer.working == kept
        if bundle == "acdc_supmix" and preset != "paper":
            assert (kept, loading.working) == ({"center": [160, 160]}, {"center": [192, 192]})


@pytest.mark.parametrize("bundle", SHIPPED)
def test_the_paper_has_no_teacher_and_no_cleaning_and_mixes_no_labelled_images(bundle):
    config = parser(bundle, preset="paper")
    assert config.get_parsed_content("teacher_momentum") is None and config.get_parsed_content("save") == "student"
    assert not config.get("labeled_mixing") and not config.get("cleaning")


@pytest.mark.parametrize(
    ("bundle", "epochs", "crop", "lr"),
    [("chase_supmix", 1000, 320, 0.004), ("covid19_ct_supmix", 500, 256, 0.001), ("acdc_supmix", 500, 256, 0.001)],
)
def test_the_paper_preset_is_section_4_1(bundle, epochs, crop, lr):
    config = parser(bundle, preset="paper")
    config.update({"network_def#encoder_weights": None})
    assert parser(bundle, preset="paper").get_parsed_content("network_def#encoder_weights") == "imagenet"
    network = config.get_parsed_content("network_def")
    assert config["network_def"]["architecture"] == "DeepLabV3Plus"
    assert config["network_def"]["encoder_name"] == "resnet101"
    assert network.divisor == 16
    assert config["network_def"]["decoder_atrous_rates"] == [6, 12, 18]
    assert network.dropout_prob == 0.5
    optimizer = config.get_parsed_content("optimizer").defaults
    assert (optimizer["lr"], optimizer["momentum"], optimizer["weight_decay"]) == (lr, 0.9, 1e-4)
    assert config["max_epochs"] == epochs
    assert config["crop_size"] == [crop, crop]
    assert (config["labeled_batch_size"], config["unlabeled_batch_size"]) == (4, 4)
    assert config.get_parsed_content("consistency_loss").threshold == 0.95
    assert config.get_parsed_content("supervised_loss").dice_weight == 0
    assert (config["burn_in"], config["sufd_weight"]) == (0.0, 1.0)
    assert config["lr_scheduler"]["power"] == 0.9
    crop_transform = config.get_parsed_content("weak_augmentation").transforms[-1]
    assert (crop_transform.scale, crop_transform.rotation, crop_transform.flip_prob) == ((0.5, 2.0), 0.0, 0.5)
    assert [group["lr"] for group in config.get_parsed_content("optimizer").param_groups] == [lr, lr]
    discriminator = config.get_parsed_content("discriminator_optimizer").defaults
    assert (discriminator["lr"], tuple(discriminator["betas"])) == (1e-4, (0.9, 0.99))
    widths = [
        m.out_channels for m in config.get_parsed_content("discriminator").modules() if hasattr(m, "out_channels")
    ]
    assert widths == [64, 128, 256, 512, 1]


def test_the_strong_views_of_fundus_pictures_are_unimatchs():
    strong = {
        t["_target_"].rsplit(".", 1)[1]: t
        for t in read_config("chase_supmix", "train")["strong_augmentation"]["transforms"]
    }
    jitter = strong["RandColorJitter"]
    assert [jitter[k] for k in ("brightness", "contrast", "saturation", "hue", "prob")] == [
        0.5,
        0.5,
        0.5,
        0.25,
        0.8,
    ]
    assert strong["RandGrayscale"]["prob"] == 0.2
    assert (strong["RandGaussianBlur"]["sigma"], strong["RandGaussianBlur"]["prob"]) == ([0.1, 2.0], 0.5)


@pytest.mark.parametrize("bundle", NAMES)
@pytest.mark.parametrize("kind", ["train", "inference", "evaluate"])
def test_monai_finds_all_properties(bundle, kind, phantoms, tmp_path, trained):
    override = {"dataset_dir": str(phantoms[bundle]), "output_dir": str(tmp_path), **TINY}
    if kind != "train":
        override = {k: v for k, v in override.items() if k != "discriminator_widths"}
        override["ckpt_path"] = str(trained[bundle] / "model.pt")
    else:
        override["num_labeled"] = 2
    flow = workflow(bundle, kind, **override)
    flow.initialize()
    assert flow.check_properties() == []


@pytest.mark.parametrize("kind", ["evaluate", "inference"])
@pytest.mark.parametrize("bundle", SHIPPED)
def test_the_paper_preset_downloads_nothing_after_training_and_keeps_the_number_format(bundle, kind):
    config = ConfigParser()
    config.read_config(config_files(bundle, kind, preset="paper"))
    assert config.get_parsed_content("network_def#encoder_weights") is None
    assert config["amp"] == read_config(bundle, kind)["amp"]


@pytest.mark.parametrize("bundle", SHIPPED)
def test_the_head_of_the_papers_network_can_learn_faster(bundle):
    config = parser(bundle, preset="paper")
    config.update({"network_def#encoder_weights": None, "head_lr_multiplier": 10.0, "optimizer#lr": 0.5})
    encoder, head = config.get_parsed_content("optimizer").param_groups
    network = config.get_parsed_content("network_def")
    assert (encoder["lr"], head["lr"]) == (0.5, 5.0)
    assert sum(p.numel() for p in encoder["params"]) == sum(p.numel() for p in network.encoder.parameters())
    assert len(encoder["params"]) + len(head["params"]) == len(list(network.parameters()))


@pytest.mark.parametrize("bundle", SHIPPED)
def test_where_torchrun_has_started_no_process_one_trains_alone_and_says_so(bundle, monkeypatch, caplog):
    monkeypatch.delenv("RANK", raising=False)
    assert read_config(bundle, "multi_gpu_train") == {"multi_gpu": True}, "it restates nothing"
    for several in (False, True):
        config = ConfigParser()
        config.read_config([*config_files(bundle, "train"), *(config_files(bundle, "multi_gpu_train") * several)])
        config.update({"device": "cpu"})
        caplog.clear()
        config.get_parsed_content("initialize#1")
        assert ("one process trains alone" in caplog.text) == several
        assert not torch.distributed.is_initialized()


@pytest.mark.parametrize("bundle", SHIPPED)
def test_the_configuration_of_a_training_is_read_in_a_few_minutes(bundle):
    text = (BUNDLES / bundle / "configs" / "train.json").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 220
    assert len(read_config(bundle, "train")["initialize"]) <= 4


@pytest.mark.parametrize("bundle", NAMES)
def test_all_methods_of_a_seed_begin_with_the_same_network(bundle, phantoms, tmp_path):
    weights = {}
    for method in METHODS:
        flow = workflow(
            bundle, "train", method, dataset_dir=str(phantoms[bundle]), output_dir=str(tmp_path), num_labeled=2, **TINY
        )
        flow.initialize()
        state = flow.parser.get_parsed_content("network_def").state_dict()
        weights[method] = torch.cat([value.flatten().float() for value in state.values()])
    assert all(torch.equal(weights["supervised"], other) for other in weights.values())
