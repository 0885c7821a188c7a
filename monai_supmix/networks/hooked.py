"""Any MONAI network as a training network, with feature dropout in modules that the user names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from monai_supmix.networks.feature_dropout import check_probability, drop_channels
from monai_supmix.networks.names import require_known
from monai_supmix.networks.protocol import check_num_dropped


class HookedNetwork(nn.Module):
    """Wrap a network that knows nothing of feature dropout, in 2D or 3D: UNet, DynUNet, SwinUNETR, ...

    It fulfils :class:`monai_supmix.networks.TrainingNetwork`. With ``num_dropped=n`` the last ``n`` images
    pass through the *whole* network a second time in the same batch, and the output of each named module
    loses channels for these copies. That costs more than a network that shares its encoder's pass, and the
    encoder's batch norm counts these images twice.

    A network that answers with a list or tuple of one tensor is unwrapped; with more (deep supervision,
    auxiliary outputs) it is refused, because MONAI's networks do not agree on which of them is the map.
    The named modules must not lie inside a region of activation checkpointing, whose second pass happens
    during ``backward``, when nothing is dropped.

    Args:
        network: maps images ``(B, C_in, *spatial)`` to logits ``(B, C, *spatial)``.
        dropout_modules: names of modules as in ``network.named_modules()``, each with an output
            ``(B, C, *spatial)``; for a U-Net the first skip and the deepest level are UniMatch's choice.
            Empty: the network serves for everything but feature dropout.
        dropout_prob: probability of a channel to be zeroed.
        divisor: what every side of an image must be a multiple of, for callers that pad; the network
            itself says what is wrong with other sizes.
        in_channels: channels of an image; by default as far as the network, or the first of its modules that has
            ``in_channels``, shows, else None.

    Raises:
        InputError: when the network has no module of a given name.
        ValueError: when ``dropout_prob`` is not a probability.

    Example:
        >>> from monai.networks.nets import UNet
        >>> unet = UNet(2, in_channels=1, out_channels=2, channels=(4, 8, 8), strides=(2, 2), norm="batch")
        >>> network = HookedNetwork(unet, dropout_modules=("model.0", "model.1.submodule.1"), divisor=4)
        >>> network(torch.rand(3, 1, 32, 32), num_dropped=2).shape
        torch.Size([5, 2, 32, 32])
    """

    def __init__(
        self,
        network: nn.Module,
        dropout_modules: Sequence[str] = (),
        dropout_prob: float = 0.5,
        divisor: int = 1,
        in_channels: int | None = None,
    ) -> None:
        super().__init__()
        known = [name for name, _ in network.named_modules() if name]
        for name in dropout_modules:
            require_known("dropout_modules", name, known)
        self.network = network
        self.dropout_modules = tuple(dropout_modules)
        self.dropout_prob = check_probability(dropout_prob)
        self.divisor = divisor
        candidates = (in_channels, *(getattr(module, "in_channels", None) for module in network.modules()))
        self.in_channels = next((number for number in candidates if isinstance(number, int)), None)

    def forward(self, x: torch.Tensor, num_dropped: int = 0) -> torch.Tensor:
        """Segment the images, and the last of them once more under feature dropout.

        Args:
            x: images in [0, 1], shape ``(B, C_in, *spatial)``.
            num_dropped: n, how many of the last images to pass once more, in [0, B].

        Returns:
            logits, shape ``(B + n, C, *spatial)``.

        Raises:
            ValueError: when ``num_dropped`` does not fit, no module was named to drop, a named module or
                the network returns something other than one map.
        """
        if not torch.jit.is_scripting():  # hooks and checks of types are beyond TorchScript
            return self._one_map(self.network(x), x) if num_dropped == 0 else self._with_dropped(x, num_dropped)
        if num_dropped != 0:
            raise ValueError("the scripted form of a hooked network has no feature dropout.")
        return self.network(x)

    def _with_dropped(self, x: torch.Tensor, num_dropped: int) -> torch.Tensor:
        check_num_dropped(num_dropped, x.shape[0])
        if not self.dropout_modules:
            raise ValueError(
                "feature dropout needs to know what to drop: name modules of the network in dropout_modules, "
                "or train without feature dropout."
            )
        x = torch.cat((x, x[-num_dropped:]))
        with self._hooks(num_dropped):
            return self._one_map(self.network(x), x)

    @contextmanager
    def _hooks(self, num_dropped: int) -> Iterator[None]:
        """Drop channels of the last samples for as long as the block lasts."""

        def drop(module: nn.Module, _inputs: Any, output: Any) -> torch.Tensor:
            if not isinstance(output, torch.Tensor):
                kind = type(output).__name__
                raise ValueError(f"a module to drop returns one tensor; {type(module).__name__} returns a {kind}.")
            kept, copies = output[:-num_dropped], output[-num_dropped:]
            return torch.cat((kept, drop_channels(copies, self.dropout_prob, self.training)))

        handles = [self.network.get_submodule(name).register_forward_hook(drop) for name in self.dropout_modules]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _one_map(self, output: Any, x: torch.Tensor) -> torch.Tensor:
        if isinstance(output, list | tuple) and len(output) == 1:
            output = output[0]
        if not isinstance(output, torch.Tensor):
            raise ValueError(
                f"{type(self.network).__name__} returns a {type(output).__name__}, not one map: "
                "switch deep supervision and auxiliary outputs off."
            )
        if not torch.jit.is_tracing() and (output.shape[0], *output.shape[2:]) != (x.shape[0], *x.shape[2:]):
            raise ValueError(
                f"{type(self.network).__name__} returns shape {tuple(output.shape)} for images of shape "
                f"{tuple(x.shape)}: one map of the images' size is needed, without deep supervision."
            )
        return output
