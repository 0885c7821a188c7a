"""A network with a channel for each class draws classes without holes; one of 16 channels does not."""

import pytest
import torch
from torch.nn import functional as F

from monai_supmix.losses import SupervisedLoss
from monai_supmix.networks import CompactUNet
from monai_supmix.own_data.room import roomy

CLASSES, SIDE, CELL = 42, 96, 16


def mosaic():
    """A picture of 36 square tiles, each of a class and a brightness of its own."""
    generator = torch.Generator().manual_seed(0)
    tiles = 1 + torch.randperm(CLASSES - 1, generator=generator)[: (SIDE // CELL) ** 2]
    label = tiles.view(1, SIDE // CELL, SIDE // CELL).repeat_interleave(CELL, 1).repeat_interleave(CELL, 2)
    noise = 0.02 * torch.randn(1, SIDE, SIDE, generator=generator)
    return ((label / CLASSES + noise).clamp(0, 1)[None], label[None])


def holes(prediction):
    """Share of the blocks of 2 x 2 pixels inside the tiles whose pixels are not of one class."""
    blocks = F.unfold(prediction.float(), 2, stride=2).view(4, SIDE // 2, SIDE // 2)
    mixed = (blocks != blocks[:1]).any(dim=0)
    place = torch.arange(SIDE // 2) % (CELL // 2)
    inside = (place > 1) & (place < CELL // 2 - 2)
    return float(mixed[inside][:, inside].float().mean())


def share_of_holes(network_def, steps=60):
    torch.manual_seed(0)
    network = CompactUNet(2, 1, CLASSES, features=network_def["features"], patch_size=2)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    loss, (image, label) = SupervisedLoss(dice_weight=1.0), mosaic()
    for _ in range(steps):
        optimizer.zero_grad()
        loss(network(image), label).backward()
        optimizer.step()
    return holes(network(image).argmax(dim=1, keepdim=True))


@pytest.mark.slow
def test_one_channel_for_each_class_closes_the_holes():
    narrow = {"_target_": "monai_supmix.networks.CompactUNet", "features": [16, 32, 32, 64, 64, 16]}
    before, after = share_of_holes(narrow), share_of_holes(roomy(narrow, CLASSES))
    assert after < 0.3 * before, (before, after)
