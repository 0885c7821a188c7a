"""What every training network must do, whatever it is made of."""

import torch
from torch import nn


def check_protocol(network: nn.Module, images: torch.Tensor, num_classes: int) -> None:
    """Shapes, what stays untouched and what changes under ``num_dropped``, with and without training."""
    batch, spatial = len(images), images.shape[2:]
    network.eval()
    with torch.no_grad():
        plain = network(images)
        assert plain.shape == (batch, num_classes, *spatial)
        for n in (1, batch):
            both = network(images, num_dropped=n)
            assert both.shape == (batch + n, num_classes, *spatial)
            assert torch.allclose(both[:batch], plain, atol=1e-5)
            assert torch.allclose(both[batch:], plain[-n:], atol=1e-5)  # nothing is dropped outside training

    network.train()
    without_batch_statistics(network)
    with torch.no_grad():
        plain = network(images)
        torch.manual_seed(0)
        first = network(images, num_dropped=batch)
        second = network(images, num_dropped=batch)
    for drawn in (first, second):
        assert torch.allclose(drawn[:batch], plain, atol=1e-5)
        assert not torch.allclose(drawn[batch:], plain, atol=1e-3)
    assert not torch.allclose(first[batch:], second[batch:], atol=1e-3)


def without_batch_statistics(network: nn.Module) -> None:
    """Let norms use their running statistics and other dropouts pass, so that samples are independent."""
    for module in network.modules():
        is_path_dropout = type(module).__name__ == "DropPath"  # every transformer library has its own
        if is_path_dropout or isinstance(module, nn.modules.batchnorm._BatchNorm | nn.modules.dropout._DropoutNd):
            module.eval()
