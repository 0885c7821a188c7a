"""A small network and intensity rule for tests: deterministic, and different in every direction."""

import numpy as np
import torch
from torch import nn

RULE = {"rule": "hu_window", "low": -1000.0, "high": 1000.0}


def tiny_network(channels: int = 1, classes: int = 3, seed: int = 0, dims: int = 2) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    conv = nn.Conv2d if dims == 2 else nn.Conv3d
    network = nn.Sequential(conv(channels, 6, 5, padding=2), nn.ReLU(), conv(6, classes, 3, padding=1))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return network


def scan(shape: tuple[int, ...] = (12, 10, 7), dtype: str = "i2", seed: int = 0) -> np.ndarray:
    """Values between -900 and 900 (0 and 900 for unsigned types)."""
    low = 0 if np.dtype(dtype).kind == "u" else -900
    return np.random.default_rng(seed).integers(low, 900, shape).astype(dtype)
