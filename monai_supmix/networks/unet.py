"""A compact U-Net that trains on a laptop CPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets import BasicUNet
from torch import nn

from monai_supmix.networks.feature_dropout import append_last, check_probability
from monai_supmix.networks.protocol import check_images, check_num_dropped

_LEVELS = 5  # encoder levels of BasicUNet, from full resolution down to 1/16


def space_to_channels(x: torch.Tensor, patch_size: int) -> torch.Tensor:
    """Turn blocks of pixels into channels, in any number of dimensions and scriptable.

    Args:
        x: shape ``(B, C, *spatial)``, every side a multiple of ``patch_size``.
        patch_size: side of a block, p.

    Returns:
        shape ``(B, C * p ** dims, *(side // p))``; :func:`channels_to_space` is the inverse.

    Example:
        >>> space_to_channels(torch.arange(16.0).view(1, 1, 4, 4), 2)[0, :, 0, 0]  # the first block
        tensor([0., 4., 1., 5.])
    """
    for dim in range(2, x.dim()):
        x = x.unflatten(dim, [-1, patch_size]).movedim(dim + 1, 1).flatten(1, 2)
    return x


def channels_to_space(x: torch.Tensor, patch_size: int) -> torch.Tensor:
    """Turn channels back into blocks of pixels: the inverse of :func:`space_to_channels`.

    Args:
        x: shape ``(B, C * p ** dims, *spatial)``.
        patch_size: side of a block, p.

    Returns:
        shape ``(B, C, *(side * p))``.

    Example:
        >>> x = torch.rand(2, 3, 8, 8, 8)
        >>> torch.equal(channels_to_space(space_to_channels(x, 2), 2), x)
        True
    """
    for dim in range(x.dim() - 1, 1, -1):
        x = x.unflatten(1, [patch_size, -1]).movedim(1, dim + 1).flatten(dim, dim + 1)
    return x


class CompactUNet(nn.Module):
    """MONAI's BasicUNet with batch norm, as a training network with feature dropout, in 2D and 3D.

    It fulfils :class:`monai_supmix.networks.TrainingNetwork`: the encoder runs once, the decoder once over
    the plain features and the channel-dropped copies together. Images must be multiples of ``divisor`` in
    size; in return the decoder never pads, which on a CPU saves a tenth to a fifth of a step.

    With ``patch_size=2`` every 2x2 block of pixels enters as channels and leaves as one logit per pixel: the
    U-Net works on a grid of half the size at about a quarter of the cost, and no pixel is thrown away.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of an image.
        num_classes: channels of the logits, background included.
        features: six widths: the five encoder levels, then the last decoder level.
        act: activation name and arguments, as MONAI's blocks take it.
        norm: normalisation name and arguments, as MONAI's blocks take it.
        upsample: ``"deconv"`` (2x2 transposed convolution) or ``"nontrainable"`` (1x1 convolution and
            linear interpolation).
        patch_size: side of the pixel block that one position of the first level covers.
        dropout_levels: encoder levels whose features are dropped; 0 is full resolution, -1 the deepest.
        dropout_prob: probability of a channel of such a level to be zeroed.

    Attributes:
        divisor: ``16 * patch_size``, what every side of an image must be a multiple of.

    Raises:
        ValueError: for widths, levels, a patch size or a probability that cannot be.

    Example:
        >>> network = CompactUNet(in_channels=1, num_classes=4, features=(4, 4, 8, 8, 8, 4))
        >>> network(torch.rand(3, 1, 32, 48), num_dropped=2).shape
        torch.Size([5, 4, 32, 48])
    """

    def __init__(
        self,
        spatial_dims: int = 2,
        in_channels: int = 3,
        num_classes: int = 2,
        features: Sequence[int] = (16, 16, 32, 64, 128, 16),
        act: str | tuple = ("LeakyReLU", {"negative_slope": 0.1, "inplace": True}),
        norm: str | tuple = "batch",
        upsample: str = "deconv",
        patch_size: int = 1,
        dropout_levels: Sequence[int] = (0, -1),
        dropout_prob: float = 0.5,
    ) -> None:
        super().__init__()
        if len(features) != _LEVELS + 1:
            raise ValueError(f"features are {_LEVELS + 1} widths, not {tuple(features)}.")
        if not dropout_levels or not all(-_LEVELS <= level < _LEVELS for level in dropout_levels):
            raise ValueError(
                f"dropout_levels name encoder levels from 0 to {_LEVELS - 1} (or from the end, -1 the "
                f"deepest), not {tuple(dropout_levels)}."
            )
        if patch_size < 1:
            raise ValueError(f"patch_size is at least 1, not {patch_size}.")
        self.spatial_dims, self.in_channels, self.patch_size = spatial_dims, in_channels, patch_size
        self.divisor = patch_size * 2 ** (_LEVELS - 1)
        self.dropout_prob = check_probability(dropout_prob)
        self._dropped = [level in {entry % _LEVELS for entry in dropout_levels} for level in range(_LEVELS)]
        pixels = patch_size**spatial_dims
        self.unet = BasicUNet(
            spatial_dims=spatial_dims,
            in_channels=in_channels * pixels,
            out_channels=num_classes * pixels,
            features=features,
            act=act,
            norm=norm,
            bias=False,  # the norm after every convolution has one
            upsample=upsample,
        )
        for up in (self.unet.upcat_4, self.unet.upcat_3, self.unet.upcat_2, self.unet.upcat_1):
            up.is_pad = False  # sizes always fit; padding by nothing still copies every map

    def encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the features of the five encoder levels, full resolution first."""
        x0 = self.unet.conv_0(x)
        x1 = self.unet.down_1(x0)
        x2 = self.unet.down_2(x1)
        x3 = self.unet.down_3(x2)
        x4 = self.unet.down_4(x3)
        return [x0, x1, x2, x3, x4]

    def decode(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Return the logits of the five levels' features."""
        u4 = self.unet.upcat_4(features[4], features[3])
        u3 = self.unet.upcat_3(u4, features[2])
        u2 = self.unet.upcat_2(u3, features[1])
        u1 = self.unet.upcat_1(u2, features[0])
        return self.unet.final_conv(u1)

    def forward(self, x: torch.Tensor, num_dropped: int = 0) -> torch.Tensor:
        """Segment the images, and the last of them once more under feature dropout.

        Args:
            x: images in [0, 1], shape ``(B, in_channels, *spatial)``.
            num_dropped: n, how many of the last images to decode once more, in [0, B].

        Returns:
            logits, shape ``(B + n, num_classes, *spatial)``.

        Raises:
            ValueError: when the images or ``num_dropped`` do not fit.
        """
        check_images(x, self.in_channels, self.spatial_dims, self.divisor)
        check_num_dropped(num_dropped, x.shape[0])
        if self.patch_size > 1:
            x = space_to_channels(x, self.patch_size)
        features = self.encode(x)
        if num_dropped > 0:
            decoded: list[torch.Tensor] = []
            for feature, dropped in zip(features, self._dropped):  # noqa: B905 - TorchScript has no `strict`
                prob = self.dropout_prob if dropped else 0.0
                decoded.append(append_last(feature, num_dropped, prob, self.training))
            features = decoded
        logits = self.decode(features)
        if self.patch_size > 1:
            logits = channels_to_space(logits, self.patch_size)
        return logits
