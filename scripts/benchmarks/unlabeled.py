"""Unlabelled images per second through the compact semi-supervised step: all of it, and a teacher with one view."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from monai.bundle import ConfigParser

from benchmarks.prepared import PreparedBatch
from benchmarks.timing import Row, alternate, ratio
from monai_supmix.engines import SemiSupervisedTrainer

CONFIGS = Path(__file__).parents[2] / "bundles" / "chase_supmix" / "configs"


class Setting(NamedTuple):
    """How unlabelled images are trained on; all else is as in the bundle.

    Attributes:
        labeled: labelled images in a step.
        unlabeled: unlabelled images in a step.
        entries: of the configuration, by id.
    """

    labeled: int
    unlabeled: int
    entries: dict[str, Any]


WHOLE = Setting(4, 2, {"num_strong_views": 2, "feature_dropout": True, "teacher_momentum": None})
TEACHER = Setting(
    2, 12, {"num_strong_views": 1, "feature_dropout": False, "teacher_momentum": 0.99, "discriminator": None}
)


def make_trainer(setting: Setting, small: bool) -> SemiSupervisedTrainer:
    """The trainer that the bundle's configuration describes, on one prepared batch."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    side = 64 if small else 256
    images = torch.rand(setting.labeled + setting.unlabeled, 3, side, side, generator=generator)
    label = (torch.rand(setting.labeled, 1, side, side, generator=generator) < 0.1).to(torch.uint8)
    batch = {
        "labeled": {"image": images[: setting.labeled], "label": label},
        "unlabeled": {"image": images[setting.labeled :]},
    }
    parser = ConfigParser()
    parser.read_config([str(CONFIGS / "train.json"), str(CONFIGS / "methods" / "supmix_sufd.json")])
    parser.update({"device": "cpu", "max_epochs": 0, "burn_in": 0.0, "train#handlers": [], **setting.entries})
    parser["train"]["dataloader"] = PreparedBatch(batch)
    if small:
        parser.update({"network_def#features": [4, 4, 4, 4, 4, 4], "discriminator_widths": [4, 4]})
    return parser.get_parsed_content("train#trainer")


def make_step(setting: Setting, small: bool) -> Callable[[], None]:
    """One iteration of it."""
    trainer = make_trainer(setting, small)

    def step() -> None:
        trainer.state.max_epochs += 1  # an epoch is one batch
        trainer.run()

    return step


def run(repetitions: int, small: bool = False) -> list[Row]:
    """Unlabelled images per second of both, turn by turn.

    Args:
        repetitions: measurements of each side.
        small: a tiny network and crop.
    """
    settings = {
        "compact, whole (two strong views, dropped features, discriminator; 4 + 2 images)": WHOLE,
        "compact teacher (0.99; one strong view; 2 + 12 images)": TEACHER,
    }
    seconds = alternate({name: make_step(setting, small) for name, setting in settings.items()}, repetitions)
    rates = {name: [settings[name].unlabeled / duration for duration in taken] for name, taken in seconds.items()}
    whole, teacher = rates
    return [
        *(
            Row("train", f"{name}, unlabelled images", statistics.median(rate), "/s", samples=rate)
            for name, rate in rates.items()
        ),
        Row(
            "train", "unlabelled images per second, compact teacher / whole",
            ratio(rates[teacher], rates[whole]), "x", ">= 2.5",
        ),
    ]  # fmt: skip
