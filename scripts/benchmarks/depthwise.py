"""One supervised step of a U-Net with depthwise convolutions (`presets/pretrained.json`) in three number formats."""

from __future__ import annotations

import statistics
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from benchmarks.timing import Row, alternate, ratio
from monai_supmix.losses import SupervisedLoss
from monai_supmix.networks import EncoderDecoder
from monai_supmix.precision import autocast

CLASSES = 4
THROUGHOUT, OURS = "bfloat16 throughout", "bfloat16, slow gradients in float32"
SIDES = {
    "float32": nullcontext,
    THROUGHOUT: lambda: torch.autocast("cpu", torch.bfloat16),
    OURS: lambda: autocast("bf16", "cpu"),
}


class SupervisedStep:
    """Forward, loss, backward and optimizer on 12 images of 128 x 128 pixels (small: 2 of 32 x 32)."""

    def __init__(self, network: nn.Module, small: bool) -> None:
        count, side = (2, 32) if small else (12, 128)
        generator = torch.Generator().manual_seed(0)
        image = torch.rand(count, 1, side, side, generator=generator)
        self.image = image.contiguous(memory_format=torch.channels_last)
        self.label = torch.randint(CLASSES, (count, 1, side, side), generator=generator, dtype=torch.uint8)
        self.network = network.to(memory_format=torch.channels_last).train()
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
        self.loss = SupervisedLoss(dice_weight=1.0)

    def __call__(self, format_: AbstractContextManager[None]) -> None:
        """Take one step whose forward pass runs in a number format."""
        with format_:
            logits = self.network(self.image)
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(logits.float(), self.label).backward()
        self.optimizer.step()


def run(repetitions: int, small: bool = False) -> list[Row]:
    """Time of a training step of EfficientNet-Lite0 with a small decoder.

    Args:
        repetitions: measurements of each side.
        small: tiny images.
    """
    torch.manual_seed(0)
    network = EncoderDecoder(
        "Unet", "tu-tf_efficientnet_lite0", in_channels=1, num_classes=CLASSES, decoder_channels=(128, 64, 32, 16, 16)
    )
    step = SupervisedStep(network, small)
    seconds = alternate({name: lambda make=make: step(make()) for name, make in SIDES.items()}, repetitions)
    rows = [Row("depthwise", name, statistics.median(s), "s", samples=s) for name, s in seconds.items()]
    compared = ratio(seconds[THROUGHOUT], seconds[OURS])
    return [*rows, Row("depthwise", f"{THROUGHOUT} / {OURS}", compared, "x", ">= 1.2")]
