"""A tiny problem on which every method trains in a second."""

import torch

from monai_supmix.data.paired import PairedLoader
from monai_supmix.data.streams import StreamLoader
from monai_supmix.engines import SemiSupervisedTrainer, StrongViews
from monai_supmix.losses import ConsistencyLoss, SupervisedLoss
from monai_supmix.networks import CompactUNet, FeatureDiscriminator
from monai_supmix.transforms import BatchCompose, ClassMix, CutMix, MixUp, RandGaussianBlur, SupMix

CLASSES = 3
MIXING = {"cutmix": CutMix, "classmix": lambda: ClassMix(CLASSES), "supmix": lambda: SupMix(CLASSES), "mixup": MixUp}
METHODS = {
    "supervised": (None, 0, False, False),
    "fixmatch": ("cutmix", 1, False, False),
    "unimatch": ("cutmix", 2, True, False),
    "classmix": ("classmix", 2, True, False),
    "supmix": ("supmix", 2, True, False),
    "sufd": ("cutmix", 2, True, True),
    "supmix_sufd": ("supmix", 2, True, True),
    "mixup": ("mixup", 2, True, False),
}


def items(count, seed, spatial=(32, 32)):
    """Images whose brightness is their class."""
    generator = torch.Generator().manual_seed(seed)
    result = []
    for _ in range(count):
        label = torch.zeros(1, *spatial, dtype=torch.uint8)
        for value in (1, 2):
            start = [int(torch.randint(0, side // 2, (), generator=generator)) for side in spatial]
            label[(0, *(slice(s, s + side // 3) for s, side in zip(start, spatial, strict=True)))] = value
        image = label / 3 + 0.1 * torch.rand(1, *spatial, generator=generator)
        result.append({"image": image.expand(3, *spatial).clone(), "label": label})
    return result


class Flip:
    """A transform without a draw."""

    def __call__(self, item):
        return {key: value.flip(-1) for key, value in item.items()}


def loader(labeled=2, unlabeled=5, seed=0, spatial=(32, 32), batch_sizes=(2, 2), **kwargs):
    """Both streams over toy images."""
    streams = []
    for name, count, size in (("labeled", labeled, batch_sizes[0]), ("unlabeled", unlabeled, batch_sizes[1])):
        pictures = items(count, seed=len(name), spatial=spatial)
        streams.append(StreamLoader(pictures, Flip(), size, seed, name, **kwargs))
    return PairedLoader(*streams)


def trainer(
    method="supmix_sufd",
    seed=0,
    device="cpu",
    spatial=(32, 32),
    max_epochs=2,
    data=None,
    with_optimizer=True,
    network=None,
    **kwargs,
):
    """A trainer of any of the methods on the toy images."""
    mixing, num_views, feature_dropout, with_discriminator = METHODS[method]
    torch.manual_seed(seed)
    network = network or CompactUNet(len(spatial), 3, CLASSES, features=(4, 4, 8, 8, 8, 4))
    discriminator = FeatureDiscriminator(CLASSES, (4, 8), len(spatial)).to(device) if with_discriminator else None
    optimizer = torch.optim.SGD(network.to(device).parameters(), 0.05, momentum=0.9)
    views = StrongViews(num_views, BatchCompose([RandGaussianBlur()]), MIXING[mixing]() if mixing else None)
    return SemiSupervisedTrainer(
        device=device,
        max_epochs=max_epochs,
        train_data_loader=data or loader(seed=seed, spatial=spatial),
        network=network,
        optimizer=optimizer,
        supervised_loss=SupervisedLoss(),
        strong_views=views,
        consistency_loss=ConsistencyLoss(threshold=0.5),
        feature_dropout=feature_dropout,
        discriminator=discriminator,
        discriminator_optimizer=(
            torch.optim.Adam(discriminator.parameters(), 1e-3) if with_discriminator and with_optimizer else None
        ),
        seed=seed,
        **({"amp": False} | kwargs),
    )
