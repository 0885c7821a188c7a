"""The paper's settings as the preset resolves them, and what is printed of them."""

import pytest
import reproduce
from reproduction.experiment import Experiment
from reproduction.settings import show, training_settings

from tests.scripts.cells import cell

# Section 4.1 and its readings, as METHOD has them, written out.
NETWORK = {
    "_target_": "monai_supmix.networks.EncoderDecoder",
    "architecture": "DeepLabV3Plus",
    "encoder_name": "resnet101",
    "encoder_weights": "imagenet",
    "encoder_output_stride": 16,
    "decoder_atrous_rates": [6, 12, 18],
}
PAPER = {
    "chase_supmix": {"epochs": 1000, "crop": [320, 320], "lr": 4e-3, "in_channels": 3, "num_classes": 2},
    "covid19_ct_supmix": {"epochs": 500, "crop": [256, 256], "lr": 1e-3, "in_channels": 1, "num_classes": 4},
}
JITTER = {"brightness": 0.5, "contrast": 0.5, "prob": 0.8}
LOSS_WEIGHTS = {
    "supervised": {"L_x": 1.0},
    "fixmatch": {"L_x": 1 / 2, "L_s1": 1 / 2},
    "unimatch": {"L_x": 1 / 2, "L_s1": 1 / 8, "L_s2": 1 / 8, "L_fp": 1 / 4},
}


def paper(bundle, method):
    return training_settings(Experiment(bundle, "paper"), cell(method))


@pytest.mark.parametrize("bundle", PAPER)
def test_the_preset_is_section_4_1(bundle):
    expected, found = PAPER[bundle], paper(bundle, "supmix_sufd")
    assert found["network"].items() >= NETWORK.items()
    assert (found["network"]["in_channels"], found["network"]["num_classes"]) == (
        expected["in_channels"], expected["num_classes"],
    )  # fmt: skip
    assert found["optimizer"].items() >= {
        "_target_": "torch.optim.SGD", "lr": expected["lr"], "momentum": 0.9, "weight_decay": 1e-4
    }.items()  # fmt: skip
    for name in ("learning rate schedule", "discriminator's schedule"):
        assert found[name] == {"_target_": "torch.optim.lr_scheduler.PolynomialLR", "power": 0.9}
    assert (found["epochs"], found["iterations"], found["crop"]) == (expected["epochs"], None, expected["crop"])
    assert found["batch, labelled + unlabelled"] == [4, 4]
    assert (found["confidence threshold"], found["feature dropout"], found["strong views"]) == (0.95, 0.5, 2)
    assert found["supervised loss"].get("dice_weight", 0.0) == 0.0
    assert found["loss weights"] == LOSS_WEIGHTS["unimatch"]
    crop = found["weak augmentation"][-1]
    assert (crop["scale"], crop["flip_prob"], crop["flip_axes"]) == ([0.5, 2.0], 0.5, [1])
    assert crop.get("rotation", 0.0) == 0.0
    mixing = found["mixing"]
    assert mixing["_target_"].endswith(".SupMix")
    assert (mixing["prob"], tuple(mixing["background_classes"])) == (0.5, (0,))
    assert (mixing["pairing"], mixing["class_pool"]) == ("aligned", "present")
    assert found["SUFD weight"] == 1.0
    assert found["discriminator"]["widths"] == [64, 128, 256, 512]
    assert found["discriminator"]["in_channels"] == expected["num_classes"]
    critic = found["discriminator's optimizer"]
    assert (critic["_target_"], critic["lr"], list(critic["betas"])) == ("torch.optim.Adam", 1e-4, [0.9, 0.99])
    strong = {step["_target_"].rpartition(".")[2]: step for step in found["strong augmentation"]}
    assert strong["RandColorJitter"].items() >= JITTER.items()
    assert (strong["RandGaussianBlur"]["prob"], list(strong["RandGaussianBlur"]["sigma"])) == (0.5, [0.1, 2.0])
    if bundle == "chase_supmix":
        assert (strong["RandColorJitter"]["saturation"], strong["RandColorJitter"]["hue"]) == (0.5, 0.25)
        assert strong["RandGrayscale"]["prob"] == 0.2
        assert found["pixels the network sees"] == "native"
    else:
        assert set(strong) == {"RandColorJitter", "RandGamma", "RandNoise", "RandGaussianBlur"}


@pytest.mark.parametrize("method", LOSS_WEIGHTS)
def test_terms_of_the_loss_weigh_what_the_paper_says(method):
    found = paper("chase_supmix", method)
    assert found["loss weights"] == LOSS_WEIGHTS[method]
    assert found["discriminator"] is found["SUFD weight"] is found["discriminator's optimizer"] is None
    assert (found["confidence threshold"] is None) == (found["mixing"] is None) == (method == "supervised")


def test_overrides_are_seen():
    settings = training_settings(Experiment("chase_supmix", overrides={"optimizer#lr": "0.5"}), cell("unimatch@7"))
    assert settings["optimizer"]["lr"] == 0.5
    assert (settings["iterations"], settings["epochs"]) == (7, None)


def test_loss_terms_of_ones_own_are_seen(tmp_path):
    preset = tmp_path / "mine.json"
    preset.write_text('{"train#trainer#extra_terms": [{"_target_": "torch.nn.Softmax", "dim": 1}]}', encoding="utf-8")
    found = training_settings(Experiment("chase_supmix", str(preset)), cell("unimatch"))["further loss terms"]
    assert show(found) == "[Softmax(dim=1)]"
    assert paper("chase_supmix", "unimatch")["further loss terms"] is None


@pytest.mark.parametrize("method", ["cutout", "random_erasing"])
def test_what_hides_parts_of_an_image_is_among_the_strong_augmentation(method):
    steps = training_settings(Experiment("chase_supmix"), cell(method))["strong augmentation"]
    assert [step["_target_"].rpartition(".")[2] for step in steps] == ["BatchCompose", "RandCoarseDropout"]


def test_a_dry_run_prints_them_and_writes_nothing(tmp_path, capsys):
    out = tmp_path / "out"
    words = ["--bundle", "chase_supmix", "--preset", "paper", "--num-labeled", "2", "5", "--seeds", "0", "1"]
    words += ["--methods", "unimatch", "supmix_sufd", "--dry-run", "--out", str(out)]
    assert reproduce.main(words) == 0
    printed = capsys.readouterr().out
    for text in (
        "EncoderDecoder(architecture=DeepLabV3Plus, encoder_name=resnet101, encoder_weights=imagenet",
        "SGD(lr=0.004, momentum=0.9, weight_decay=0.0001",
        "PolynomialLR(power=0.9)",
        "crop                         [320, 320]",
        "epochs                       1000",
        "labelled images              [2, 5]",
        "    unimatch: CutMix(prob=0.5, area=[0.02, 0.4]",
        "0 of 8 cells are finished",
    ):
        assert text in printed
    assert printed.count("missing ") == 8
    assert not out.exists()
