"""The modes, training or evaluation, of a network's modules."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode and every one of its modules back into the mode it had.

    (MONAI's ``eval_mode`` puts all modules of a network into one mode again, also those that were frozen.)

    Example:
        >>> network = nn.Sequential(nn.Dropout(), nn.Dropout().eval())
        >>> with evaluating(network):
        ...     network.training
        False
        >>> [module.training for module in network.modules()]
        [True, True, False]
    """
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
