"""Strong augmentation: our batched transforms, MONAI's dictionary pipeline, torchvision on PIL images."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np
import torch
from monai.transforms import Compose, Identityd, OneOf, RandGaussianSmoothd, RandTorchVisiond
from PIL import Image, ImageFilter
from torchvision import transforms

from benchmarks.timing import Row, alternate, ratio
from monai_supmix.transforms import BatchCompose, RandColorJitter, RandGaussianBlur, RandGrayscale

JITTER = {"brightness": 0.5, "contrast": 0.5, "saturation": 0.5, "hue": 0.25}


def monai_pipeline() -> Callable:
    """The same augmentation of MONAI's parts; colours through its wrapper of torchvision."""
    jitter = RandTorchVisiond("image", name="ColorJitter", **JITTER)
    return Compose(
        [
            OneOf([jitter, Identityd("image")], weights=[0.8, 0.2]),
            RandTorchVisiond("image", name="RandomGrayscale", p=0.2),
            RandGaussianSmoothd("image", sigma_x=(0.1, 2.0), sigma_y=(0.1, 2.0), prob=0.5),
        ]
    )


def torchvision_pipeline() -> Callable:
    """The same augmentation as UniMatch writes it, on 8-bit PIL images."""

    def blur(image: Image.Image) -> Image.Image:
        if np.random.random() >= 0.5:  # as there
            return image
        return image.filter(ImageFilter.GaussianBlur(np.random.uniform(0.1, 2.0)))

    jitter = transforms.RandomApply([transforms.ColorJitter(**JITTER)], p=0.8)
    return transforms.Compose([jitter, transforms.RandomGrayscale(0.2), blur, transforms.ToTensor()])


def run(repetitions: int, small: bool = False) -> list[Row]:
    """Time per image of three colours.

    Args:
        repetitions: measurements of each side, of 8 batches of 8 images each.
        small: images of 32 x 32 instead of 320 x 320 pixels.
    """
    batch_size, side, batches = 8, 32 if small else 320, 2 if small else 8
    torch.manual_seed(0)
    np.random.seed(0)  # torchvision's and UniMatch's draws are global
    images = torch.rand(batch_size, 3, side, side)
    pictures = [Image.fromarray((image * 255).byte().movedim(0, -1).numpy()) for image in images]
    ours = BatchCompose([RandColorJitter(), RandGrayscale(), RandGaussianBlur()])
    monai, pil = monai_pipeline().set_random_state(seed=0), torchvision_pipeline()
    sides = {
        "ours, batch of 8": lambda: [ours(images) for _ in range(batches)],
        "MONAI dictionary pipeline": lambda: [monai({"image": image}) for _ in range(batches) for image in images],
        "torchvision on PIL": lambda: [pil(picture) for _ in range(batches) for picture in pictures],
    }
    per_image = 1000 / (batches * batch_size)
    milliseconds = {name: [s * per_image for s in seconds] for name, seconds in alternate(sides, repetitions).items()}
    rows = [
        Row("augment", f"{name}, per image", statistics.median(ms), "ms", samples=ms)
        for name, ms in milliseconds.items()
    ]
    first, second, third = milliseconds.values()
    return [
        *rows,
        Row("augment", "MONAI / ours", ratio(second, first), "x", ">= 5"),
        Row("augment", "torchvision on PIL / ours", ratio(third, first), "x"),
    ]
