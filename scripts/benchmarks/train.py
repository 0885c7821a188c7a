"""One training step: ours, the reference order, and the bare network; and two ways to see unlabelled images."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import unlabeled
from benchmarks.prepared import PreparedBatch
from benchmarks.timing import Row, alternate, peak_memory, ratio
from monai_supmix.engines import SemiSupervisedTrainer, StrongViews
from monai_supmix.losses import SupervisedLoss
from monai_supmix.networks import CompactUNet, EncoderDecoder, FeatureDiscriminator
from monai_supmix.precision import Amp, autocast
from monai_supmix.transforms import (
    BatchCompose,
    CutMix,
    RandColorJitter,
    RandGaussianBlur,
    RandGrayscale,
    SupMix,
)
from monai_supmix.transforms.cutmix import box_mask

CLASSES = 2
Step = Callable[[], Any]


def make_network(small: bool) -> nn.Module:
    """The paper's network (random weights), or a tiny one."""
    torch.manual_seed(0)
    if small:
        return CompactUNet(num_classes=CLASSES, features=(4, 4, 8, 8, 8, 4))
    return EncoderDecoder(
        "DeepLabV3Plus",
        "resnet101",
        num_classes=CLASSES,
        encoder_output_stride=16,
        decoder_atrous_rates=(6, 12, 18),
    )


def make_batch(small: bool, crop: int = 256) -> dict[str, dict[str, Tensor]]:
    """4 labelled and 4 unlabelled images of crop x crop pixels (small: 2 and 2, 64 x 64)."""
    generator = torch.Generator().manual_seed(0)
    count, side = (2, 64) if small else (4, crop)
    images = torch.rand(2, count, 3, side, side, generator=generator)
    label = (torch.rand(count, 1, side, side, generator=generator) < 0.1).to(torch.uint8)
    return {"labeled": {"image": images[0], "label": label}, "unlabeled": {"image": images[1]}}


def sgd(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=4e-3, momentum=0.9, weight_decay=1e-4)


def our_step(small: bool, method: str, amp: Amp) -> Step:
    """One iteration of the trainer: strong augmentation, mixing, all losses, both optimizers."""
    network = make_network(small)
    discriminator = None
    if method == "supmix_sufd":
        discriminator = FeatureDiscriminator(CLASSES, (8, 16) if small else (64, 128, 256, 512))
    strong = BatchCompose([RandColorJitter(), RandGrayscale(), RandGaussianBlur()])
    mixing = SupMix(CLASSES) if method == "supmix_sufd" else CutMix()
    trainer = SemiSupervisedTrainer(
        device="cpu",
        max_epochs=0,
        train_data_loader=PreparedBatch(make_batch(small)),  # type: ignore[arg-type]
        network=network,
        optimizer=sgd(network),
        supervised_loss=SupervisedLoss(),
        strong_views=StrongViews(2, strong, mixing),
        feature_dropout=True,
        discriminator=discriminator,
        discriminator_optimizer=(
            None if discriminator is None else torch.optim.Adam(discriminator.parameters(), 1e-4, (0.9, 0.99))
        ),
        amp=amp,
    )

    def step() -> None:
        trainer.state.max_epochs += 1  # an epoch is one batch
        trainer.run()

    return step


def reference_step(small: bool, device: str = "cpu", crop: int = 256) -> Step:
    """UniMatch's published step: its order of forward passes, float32, contiguous; augmented beforehand."""
    network = make_network(small).to(device)
    optimizer = sgd(network)
    batch = make_batch(small, crop)
    x, y = batch["labeled"]["image"].to(device), batch["labeled"]["label"][:, 0].long().to(device)
    weak = batch["unlabeled"]["image"].to(device)
    weak_mix = weak.flip(-1)
    strong, strong_mix = [weak.clone(), weak.flip(-2)], [weak_mix.clone(), weak_mix.flip(-2)]
    ignore = ignore_mix = torch.zeros(len(weak), *weak.shape[2:], dtype=torch.long, device=device)
    draw = CutMix(prob=1.0).set_random_state(seed=0)

    def step() -> None:
        with torch.no_grad():
            network.eval()
            p_mix = network(weak_mix)
            conf_mix, label_mix = p_mix.softmax(dim=1).max(dim=1)[0], p_mix.argmax(dim=1)
        boxes, images = [], []
        for own, other in zip(strong, strong_mix, strict=True):
            draw.randomize(weak)
            box = box_mask(*(torch.from_numpy(edge).to(device) for edge in draw._box), weak.shape[2:])[:, 0]
            image = own.clone()
            image[box[:, None].expand(image.shape)] = other[box[:, None].expand(image.shape)]
            boxes.append(box)
            images.append(image)
        network.train()
        logits = network(torch.cat((x, weak)), num_dropped=len(x) + len(weak))
        p_x, p_w, _, p_fp = logits.split([len(x), len(weak), len(x), len(weak)])
        p_s = network(torch.cat(images)).chunk(2)
        p_w = p_w.detach()
        conf, label = p_w.softmax(dim=1).max(dim=1)[0], p_w.argmax(dim=1)

        def masked(p: Tensor, label: Tensor, conf: Tensor, ignore: Tensor) -> Tensor:
            loss = F.cross_entropy(p, label, reduction="none") * ((conf >= 0.95) & (ignore != 255))
            return loss.sum() / (ignore != 255).sum().item()

        losses = []
        for p, box in zip(p_s, boxes, strict=True):
            maps = [
                torch.where(box, other, own)
                for own, other in ((label, label_mix), (conf, conf_mix), (ignore, ignore_mix))
            ]
            losses.append(masked(p, *maps))
        loss_fp = masked(p_fp, label, conf, ignore)
        loss = (F.cross_entropy(p_x, y) + losses[0] * 0.25 + losses[1] * 0.25 + loss_fp * 0.5) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def bare_step(small: bool, amp: Amp) -> Step:
    """Forward and backward of the same images and nothing else: the floor of our step."""
    network = copy.deepcopy(make_network(small)).to(memory_format=torch.channels_last).train()
    batch = make_batch(small)
    first = torch.cat((batch["labeled"]["image"], batch["unlabeled"]["image"]))
    second = batch["unlabeled"]["image"].repeat(2, 1, 1, 1)
    first, second = (part.contiguous(memory_format=torch.channels_last) for part in (first, second))
    num_dropped = len(batch["unlabeled"]["image"])

    def step() -> None:
        network.zero_grad(set_to_none=True)
        with autocast(amp, "cpu"):
            total = network(first, num_dropped=num_dropped).sum() + network(second).sum()
        total.backward()

    return step


SIDES: dict[str, Callable[[bool], Step]] = {
    "reference order, float32": reference_step,
    "ours (unimatch), float32": lambda small: our_step(small, "unimatch", False),
    "bare network, float32": lambda small: bare_step(small, False),
    "ours (unimatch), amp": lambda small: our_step(small, "unimatch", "auto"),
    "ours (supmix_sufd), amp": lambda small: our_step(small, "supmix_sufd", "auto"),
    "bare network, amp": lambda small: bare_step(small, "auto"),
}


def steps_in_a_fresh_process(side: str, small: bool) -> None:
    step = SIDES[side](small)
    for _ in range(2):
        step()


def run(repetitions: int, small: bool = False) -> list[Row]:
    """Time and memory of a training step.

    Args:
        repetitions: measurements of each side.
        small: a tiny network and crop.
    """
    seconds = alternate({name: make(small) for name, make in SIDES.items()}, repetitions)
    reference, plain, bare_plain, unimatch, ours, bare = SIDES
    rows = [Row("train", name, statistics.median(s), "s", samples=s) for name, s in seconds.items()]
    memory = {name: peak_memory(steps_in_a_fresh_process, name, small) for name in (reference, ours)}
    rows += [Row("train", f"peak memory, {name}", value, "MB") for name, value in memory.items()]
    return [
        *rows,
        Row("train", f"{ours} / {bare}", ratio(seconds[ours], seconds[bare]), "x", "<= 1.15"),
        Row("train", f"{reference} / {ours}", ratio(seconds[reference], seconds[ours]), "x", ">= 2.3"),
        Row("train", f"{reference} / {unimatch}", ratio(seconds[reference], seconds[unimatch]), "x"),
        Row("train", f"{reference} / {plain}", ratio(seconds[reference], seconds[plain]), "x", ">= 1"),
        Row("train", f"{plain} / {bare_plain}", ratio(seconds[plain], seconds[bare_plain]), "x"),
        Row("train", "peak memory, ours / reference", memory[ours] / memory[reference], "x", "<= 0.7"),
        *unlabeled.run(repetitions, small),
    ]
