"""Any encoder-decoder of segmentation_models_pytorch as a training network with feature dropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.utils import ensure_tuple_rep
from torch import nn

from monai_supmix.errors import InputError
from monai_supmix.networks.feature_dropout import append_last, check_probability
from monai_supmix.networks.protocol import check_images, check_num_dropped
from monai_supmix.networks.smp_models import build_smp_model, decoder_levels, pretrained_statistics

_PROBE_SIDE = 256  # a multiple of every output stride, and large enough for every decoder's pooling


class EncoderDecoder(nn.Module):
    """A 2D segmentation network by name of architecture and encoder, with feature dropout.

    It fulfils :class:`monai_supmix.networks.TrainingNetwork`: the encoder runs once, the decoder once over
    the plain features and the channel-dropped copies together, so that its batch norm sees both, as in
    UniMatch. The paper's network (Sec. 4.1) is ``EncoderDecoder("DeepLabV3Plus", "resnet101",
    encoder_weights="imagenet", encoder_output_stride=16)``.

    Images are in [0, 1] whatever the weights: the normalisation that pretrained weights expect happens
    inside. Its two buffers are part of the state dict, so a network built with ``encoder_weights=None``
    regains them together with the trained weights, without a download.

    Args:
        architecture: class of segmentation_models_pytorch, such as ``"DeepLabV3Plus"`` or ``"Unet"``.
        encoder_name: encoder of that library, or ``"tu-"`` and the name of a timm model.
        in_channels: channels of an image.
        num_classes: channels of the logits, background included.
        encoder_weights: name of pretrained weights, such as ``"imagenet"`` (downloaded once, then cached), or of
            those in an installed package, such as ``"lite0"`` for ``"tu-tf_efficientnet_lite0"`` (see
            :data:`monai_supmix.networks.PACKAGED`); ``None``: random, no network access.
        dropout_levels: indices into the encoder's features whose channels are dropped, 0 being the finest,
            -1 the deepest; ``None``: the shallowest and the deepest that the decoder reads (levels 2 and 5,
            strides 4 and 16, of the paper's network: UniMatch's c1 and c4).
        dropout_prob: probability of a channel of such a level to be zeroed.
        input_mean: subtracted from each channel; ``None``: what ``encoder_weights`` expect, 0 without.
        input_std: then divided by; ``None``: what ``encoder_weights`` expect, 1 without.
        **kwargs: further arguments of the architecture. A DeepLab's ``decoder_atrous_rates`` are the paper's
            (6, 12, 18) by default, not the library's.

    Attributes:
        encoder, decoder, segmentation_head: the model's parts.
        divisor: what every side of an image must be a multiple of.
        dropout_levels: the levels that are dropped.

    Raises:
        InputError: for unknown names, levels or options, and for weights that cannot be had.
        ValueError: for a probability or statistics that cannot be.

    Example:
        >>> network = EncoderDecoder("Unet", "resnet18", in_channels=1, num_classes=4)
        >>> network(torch.rand(3, 1, 64, 96), num_dropped=2).shape
        torch.Size([5, 4, 64, 96])
        >>> network.dropout_levels
        [1, 5]
    """

    def __init__(
        self,
        architecture: str = "DeepLabV3Plus",
        encoder_name: str = "resnet101",
        in_channels: int = 3,
        num_classes: int = 2,
        encoder_weights: str | None = None,
        dropout_levels: Sequence[int] | None = None,
        dropout_prob: float = 0.5,
        input_mean: Sequence[float] | None = None,
        input_std: Sequence[float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if architecture.startswith("DeepLab"):
            kwargs = {"decoder_atrous_rates": (6, 12, 18), **kwargs}
        model = build_smp_model(architecture, encoder_name, in_channels, num_classes, encoder_weights, kwargs)
        # Attributes are annotated here and not in the class, where TorchScript would try to read them.
        self.encoder: nn.Module = model.encoder
        self.decoder: nn.Module = model.decoder
        self.segmentation_head: nn.Module = model.segmentation_head
        self.in_channels = in_channels
        self.divisor = int(model.encoder.output_stride) if model.requires_divisible_input_shape else 1
        self.dropout_prob = check_probability(dropout_prob)
        probe_size = ensure_tuple_rep(kwargs.get("img_size", _PROBE_SIDE), 2)  # timm's name for a fixed size
        used = decoder_levels(model, in_channels, probe_size)
        channels = model.encoder.out_channels
        self.dropout_levels = _resolve_levels(dropout_levels, used, len(channels))
        # Encoders without a level at half resolution fill the gap with a map of no channels, which some
        # decoders concatenate all the same: its batch has to grow with the others'.
        self._used = [level in used or channels[level] == 0 for level in range(len(channels))]
        self._dropped = [level in self.dropout_levels for level in range(len(channels))]

        if input_std is not None and min(input_std) <= 0:
            raise ValueError(f"input_std is above 0, not {list(input_std)}.")
        mean, std = [0.0] * in_channels, [1.0] * in_channels
        if encoder_weights is not None and (input_mean is None or input_std is None):
            mean, std = pretrained_statistics(encoder_name, encoder_weights, in_channels)
        self.input_mean: torch.Tensor
        self.input_std: torch.Tensor
        self.register_buffer("input_mean", _per_channel("input_mean", input_mean or mean, in_channels))
        self.register_buffer("input_std", _per_channel("input_std", input_std or std, in_channels))

    def forward(self, x: torch.Tensor, num_dropped: int = 0) -> torch.Tensor:
        """Segment the images, and the last of them once more under feature dropout.

        Args:
            x: images in [0, 1], shape ``(B, in_channels, H, W)``.
            num_dropped: n, how many of the last images to decode once more, in [0, B].

        Returns:
            logits, shape ``(B + n, num_classes, H, W)``.

        Raises:
            ValueError: when the images or ``num_dropped`` do not fit.
        """
        check_images(x, self.in_channels, 2, self.divisor)
        check_num_dropped(num_dropped, x.shape[0])
        features = self.encoder((x - self.input_mean) / self.input_std)
        if num_dropped > 0:
            features = self._append_dropped(features, num_dropped)
        return self.segmentation_head(self.decoder(features))

    def _append_dropped(self, features: list[torch.Tensor], num_dropped: int) -> list[torch.Tensor]:
        decoded: list[torch.Tensor] = []
        for feature, used, dropped in zip(features, self._used, self._dropped):  # noqa: B905 - TorchScript
            if used:
                prob = self.dropout_prob if dropped else 0.0
                decoded.append(append_last(feature, num_dropped, prob, self.training))
            else:
                decoded.append(feature)  # at most its size is asked for
        return decoded


def _resolve_levels(levels: Sequence[int] | None, used: list[int], num_levels: int) -> list[int]:
    if levels is None:
        return sorted({used[0], used[-1]})
    resolved = sorted({level + num_levels if level < 0 else level for level in levels})
    if not resolved or not set(resolved) <= set(used):
        problem = f"{list(levels)} are not all levels that the decoder reads"
        raise InputError("dropout_levels", problem, f"choose among {', '.join(map(str, used))}")
    return resolved


def _per_channel(name: str, values: Sequence[float], in_channels: int) -> torch.Tensor:
    if len(values) != in_channels:
        raise ValueError(f"{name} holds one number per channel, {in_channels}, not {list(values)}.")
    return torch.tensor(list(values), dtype=torch.float32).view(in_channels, 1, 1)
