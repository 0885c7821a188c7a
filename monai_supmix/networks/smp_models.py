"""Models of segmentation_models_pytorch: building them by name, and finding out how they are wired."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import nn

from monai_supmix.errors import InputError, first_line
from monai_supmix.networks.names import require_known
from monai_supmix.networks.pretrained import PACKAGED, load_packaged

# Arguments of the models that would break "bare logits of num_classes channels", and what to do instead.
_RESERVED = {
    "classes": "give num_classes",
    "activation": "leave it out, the network returns bare logits",
    "aux_params": "leave it out, the network has no classification head",
}
_WITH_TOKENS = "DPT"  # its decoder takes class tokens beside the features, and images of one fixed size


def build_smp_model(
    architecture: str,
    encoder_name: str,
    in_channels: int,
    num_classes: int,
    encoder_weights: str | None,
    options: Mapping[str, Any],
) -> Any:
    """Build a model by the names its library gives to architecture and encoder.

    Args:
        architecture: class name, such as ``"DeepLabV3Plus"``; every one but DPT.
        encoder_name: name of an encoder, such as ``"resnet101"``, or ``"tu-"`` and the name of a timm model.
        in_channels: channels of an image.
        num_classes: channels of the logits.
        encoder_weights: a name in :data:`monai_supmix.networks.PACKAGED`, or of the library's pretrained weights,
            which are downloaded unless cached; ``None``: random.
        options: further arguments of the architecture; for ``tu-`` encoders also of the encoder.

    Returns:
        a model with ``encoder``, ``decoder`` and ``segmentation_head``.

    Raises:
        InputError: for unknown names or options, and for weights that cannot be had.
    """
    # The library takes seconds to import, which users of the other networks should not pay.
    import segmentation_models_pytorch as smp  # noqa: PLC0415

    classes = {model.__name__: model for model in smp.MODEL_ARCHITECTURES_MAPPING.values()}
    if architecture == _WITH_TOKENS:
        raise InputError("architecture", "DPT has no plain encoder features to drop", "choose another one")
    classes.pop(_WITH_TOKENS, None)
    require_known("architecture", architecture, classes)
    model_class = classes[architecture]
    _check_encoder_name(encoder_name)
    _check_options(model_class, encoder_name, options)
    try:
        model = model_class(
            encoder_name=encoder_name,
            encoder_weights=None if encoder_weights in PACKAGED else encoder_weights,
            in_channels=in_channels,
            classes=num_classes,
            **options,
        )
    except TypeError as error:  # a timm encoder that does not take one of the options
        raise InputError(encoder_name, f"does not take the given options ({error})", "fix them") from error
    except (OSError, KeyError, RuntimeError) as error:
        if encoder_weights is None:
            raise
        raise _weights_error(encoder_name, encoder_weights, error) from error
    if encoder_weights in PACKAGED:
        load_packaged(model.encoder, encoder_name, encoder_weights, in_channels)
    return model


def pretrained_statistics(encoder_name: str, encoder_weights: str, in_channels: int) -> tuple[list[float], ...]:
    """Find the mean and standard deviation that pretrained weights expect, for images in [0, 1].

    One channel gets the average over the colours; more than three repeat them, as the library repeats the
    first convolution's weights.

    Args:
        encoder_name: name of the encoder.
        encoder_weights: name of its weights: packaged ones, or already in the cache.
        in_channels: channels of an image.

    Returns:
        mean and standard deviation, ``in_channels`` numbers each.

    Raises:
        InputError: when the weights' description cannot be had.
    """
    mean, std = _statistics(encoder_name, encoder_weights)
    if in_channels == 1:
        return [sum(mean) / len(mean)], [sum(std) / len(std)]
    return tuple([values[c % len(values)] for c in range(in_channels)] for values in (mean, std))


def _statistics(encoder_name: str, encoder_weights: str) -> tuple[Sequence[float], Sequence[float]]:
    if encoder_weights in PACKAGED:
        return PACKAGED[encoder_weights].mean, PACKAGED[encoder_weights].std
    from segmentation_models_pytorch.encoders import get_preprocessing_params  # noqa: PLC0415 - as above

    try:
        settings = get_preprocessing_params(encoder_name, pretrained=encoder_weights)
    except (OSError, KeyError, ValueError) as error:
        raise _weights_error(encoder_name, encoder_weights, error) from error
    full = settings["input_range"][1]
    return [value / full for value in settings["mean"]], [value / full for value in settings["std"]]


@torch.enable_grad()
def decoder_levels(model: Any, in_channels: int, size: tuple[int, int]) -> list[int]:
    """Find the encoder levels that a model's decoder reads, by asking which of them gets a gradient.

    The model runs on the meta device: shapes only, no arithmetic, and its own tensors are left alone.

    Args:
        model: a model with ``encoder``, ``decoder`` and ``segmentation_head``.
        in_channels: channels of an image.
        size: height and width of the image to try.

    Returns:
        ascending indices into the encoder's list of features; 0 is the finest, often the image itself.

    Raises:
        InputError: when the model cannot take such an image, or answers in another size.
    """
    image = torch.empty(2, in_channels, *size, device="meta")
    try:
        features = [feature.detach().requires_grad_() for feature in _on_meta(model.encoder, image)]
        logits = _on_meta(model.segmentation_head, _on_meta(model.decoder, features))
    except (RuntimeError, ValueError, AssertionError) as error:
        problem = f"cannot take images of {size[0]}x{size[1]} ({first_line(error)})"
        raise InputError("encoder_name", problem, "choose another encoder, or give the img_size it is for") from error
    if logits.shape[2:] != image.shape[2:]:
        problem = f"logits have {tuple(logits.shape[2:])} pixels where images have {tuple(image.shape[2:])}"
        raise InputError("architecture", problem, "fix the options that change the scale, such as upsampling")
    gradients = torch.autograd.grad(logits.sum(), features, allow_unused=True)
    # Encoders without a level at half resolution fill the gap with a map of no channels.
    pairs = zip(features, gradients, strict=True)
    return [level for level, (feature, gradient) in enumerate(pairs) if gradient is not None and feature.shape[1]]


def _on_meta(module: nn.Module, argument: Any) -> Any:
    tensors = chain(module.named_parameters(), module.named_buffers())
    stand_ins = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors}
    return torch.func.functional_call(module, stand_ins, (argument,))


def _check_encoder_name(name: str) -> None:
    import timm  # noqa: PLC0415 - as above
    from segmentation_models_pytorch.encoders import get_encoder_names  # noqa: PLC0415 - as above

    if not name.startswith("tu-"):
        require_known("encoder_name", name, get_encoder_names())
    elif not timm.is_model(name[3:]):
        require_known("encoder_name", name, [f"tu-{model}" for model in timm.list_models()])


def _check_options(model_class: type[nn.Module], encoder_name: str, options: Mapping[str, Any]) -> None:
    for name in options:
        if name in _RESERVED:
            raise InputError(name, "is not an option of the network", _RESERVED[name])
        if not encoder_name.startswith("tu-"):  # other encoders swallow a misspelt option in silence
            own = set(inspect.signature(model_class).parameters) - {*_RESERVED, "kwargs"}
            require_known(f"option of {model_class.__name__}", name, sorted(own))


def _weights_error(encoder_name: str, encoder_weights: str, error: Exception) -> InputError:
    problem = f"{encoder_weights!r} could not be loaded for {encoder_name} ({first_line(error)})"
    if isinstance(error, KeyError):
        return InputError("encoder_weights", problem, "choose one of these, or null for random weights")
    remedy = "bring them into the Hugging Face cache (folder HF_HOME), or set encoder_weights to null"
    return InputError("encoder_weights", problem, remedy, code="no-pretrained-weights")
