"""Which number format a forward pass uses, chosen by what the device can do fast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_FAST_KERNEL = 3
Amp = bool | Literal["auto", "bf16", "fp16"]


def cpu_has_fast_bfloat16() -> bool:
    """Whether this processor multiplies in bfloat16 by itself: AMX tiles or AVX512-BF16.

    With AVX512-BF16 alone a training step takes about two thirds of its time in float32, with AMX about a third
    (``scripts/benchmark.py train``). Without either, bfloat16 is emulated and slower; unknown processors count
    as without.
    """
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


def autocast_dtype(amp: Amp, device: torch.device | str) -> torch.dtype | None:
    """Resolve the one ``amp`` argument of trainers and inferers.

    Args:
        amp: ``"auto"`` or ``True`` takes what the device does fast: bfloat16 on a CPU or GPU with hardware
            support for it, float16 on an older GPU, float32 elsewhere. ``"bf16"`` and ``"fp16"`` insist;
            ``False`` is float32.
        device: where the network runs.

    Returns:
        the autocast data type, or ``None`` for plain float32.

    Raises:
        ValueError: for an unknown ``amp``, or float16 on a CPU.

    Example:
        >>> autocast_dtype("bf16", "cpu")
        torch.bfloat16
        >>> autocast_dtype(False, "cpu") is None
        True
    """
    kind = torch.device(device).type
    if amp is False:
        return None
    if amp == "bf16":
        return torch.bfloat16
    if amp == "fp16":
        if kind == "cpu":
            raise ValueError("amp='fp16' needs a GPU; a CPU trains in 'bf16' or with amp=false.")
        return torch.float16
    if amp is True or amp == "auto":
        if kind == "cuda":
            with torch.cuda.device(device):  # GPUs of one machine may differ
                return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
        return torch.bfloat16 if kind == "cpu" and cpu_has_fast_bfloat16() else None
    raise ValueError(f"amp is one of true, false, 'auto', 'bf16', 'fp16', not {amp!r}.")


@contextmanager
def autocast(amp: Amp, device: torch.device | str) -> Iterator[None]:
    """A context in which forward passes run in the format that ``amp`` resolves to.

    On a CPU gradients of some convolutions are computed in float32, see `ConvolutionGradientsInFloat32`.

    Example:
        >>> with autocast("bf16", "cpu"):
        ...     torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype
        torch.bfloat16
    """
    dtype = autocast_dtype(amp, device)
    kind = torch.device(device).type
    trained_on_cpu = kind == "cpu" and dtype is torch.bfloat16 and torch.is_grad_enabled()
    with (
        torch.autocast(kind, dtype=dtype or torch.bfloat16, enabled=dtype is not None),
        ConvolutionGradientsInFloat32() if trained_on_cpu else nullcontext(),
    ):
        yield


class ConvolutionGradientsInFloat32(TorchFunctionMode):
    """Compute gradients of convolutions in float32 where PyTorch's CPU kernels for bfloat16 are slow or wrong.

    Slow are 2D depthwise convolutions with a kernel beyond 3 x 3 or a stride: in bfloat16 their gradients are more than
    half of a training step of EfficientNet-Lite0, which takes two thirds of that time without (``scripts/benchmark.py
    depthwise``). Wrong are convolutions of images smaller than their kernel or their stride, such as 3D ones of two
    planes with a kernel of three: the gradient of their weights reads memory that nobody has written (PyTorch 2.14 with
    AVX512-BF16), so theirs are computed in float64, by other kernels. What convolutions give is that of
    ``torch.autocast``, bit for bit.

    Example:
        >>> convolution = torch.nn.Conv2d(8, 8, kernel_size=5, groups=8)
        >>> with torch.autocast("cpu", torch.bfloat16), ConvolutionGradientsInFloat32():
        ...     convolution(torch.ones(1, 8, 6, 6)).dtype
        torch.bfloat16
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of PyTorch; a convolution in another way where its gradients are slow or wrong."""
        kwargs = kwargs or {}
        if func not in _DEFAULTS or not (torch.is_autocast_enabled("cpu") and torch.is_grad_enabled()):
            return func(*args, **kwargs)
        given = {**_DEFAULTS[func], **dict(zip(_DEFAULTS[func], args, strict=False)), **kwargs}
        image, weight, bias, *settings = given.values()
        is_tiny = _is_tiny(image, weight, given["stride"])
        is_slow = func is functional.conv2d and _is_slow(image, weight, given["stride"], given["groups"])
        is_cast = all(tensor is None or _is_cast(tensor) for tensor in (image, weight, bias))
        if not (is_tiny or is_slow) or not is_cast or isinstance(given["padding"], str):
            return func(*args, **kwargs)
        dtype = torch.get_autocast_dtype("cpu")
        tensors = [None if tensor is None else tensor.to(dtype) for tensor in (image, weight, bias)]
        return _Convolution.apply(*tensors, func, is_tiny, *settings)


_PLAIN: dict[str, Any] = {
    **{"input": None, "weight": None, "bias": None},
    **{"stride": 1, "padding": 0, "dilation": 1, "groups": 1},
}
_TRANSPOSED: dict[str, Any] = {
    **{"input": None, "weight": None, "bias": None},
    **{"stride": 1, "padding": 0, "output_padding": 0, "groups": 1, "dilation": 1},
}
_DEFAULTS: dict[Any, dict[str, Any]] = {
    **dict.fromkeys((functional.conv1d, functional.conv2d, functional.conv3d), _PLAIN),
    **dict.fromkeys(
        (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d), _TRANSPOSED
    ),
}
"""Convolutions, with the defaults of their arguments, in order."""


def _is_cast(tensor: Tensor) -> bool:
    """Whether autocast on a CPU brings a tensor to its own format."""
    return tensor.device.type == "cpu" and tensor.dtype in (torch.float32, torch.bfloat16, torch.float16)


def _is_tiny(image: Tensor, weight: Tensor, stride: Any) -> bool:
    """Whether an image, with its batch, is smaller than the kernel or the stride along an axis."""
    dims = weight.ndim - 2
    least = (max(pair) for pair in zip(weight.shape[2:], _each(stride, dims), strict=True))
    return image.ndim == weight.ndim and any(side < most for side, most in zip(image.shape[2:], least, strict=True))


def _is_slow(image: Tensor, weight: Tensor, stride: Any, groups: int) -> bool:
    """Whether a 2D convolution is a depthwise one with a large kernel or a stride."""
    depthwise = image.ndim == 4 and 1 < groups == image.shape[1]
    return depthwise and (max(weight.shape[-2:]) > _FAST_KERNEL or max(_each(stride, 2)) > 1)


def _each(value: int | Sequence[int], dims: int) -> Sequence[int]:
    return (value,) * dims if isinstance(value, int) else value


class _Convolution(torch.autograd.Function):
    """A convolution whose gradients are computed in float32 or finer; it saves what PyTorch's own saves, as it does."""

    @staticmethod
    def forward(*args: Any) -> Tensor:
        func, settings = args[3], args[5:]
        return func(*args[:3], *settings)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        image, weight, bias, _, ctx.is_tiny, *ctx.settings = inputs
        ctx.save_for_backward(image, weight)
        ctx.bias_sizes = None if bias is None else [output.shape[1]]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        image, weight = ctx.saved_tensors
        dims, transposed = image.ndim - 2, len(ctx.settings) == 5
        if transposed:
            stride, padding, output_padding, groups, dilation = ctx.settings
        else:
            (stride, padding, dilation, groups), output_padding = ctx.settings, 0
        dtype = torch.float64 if ctx.is_tiny else torch.float32  # oneDNN has no kernels for float64
        gradients = torch.ops.aten.convolution_backward(
            gradient.to(dtype), image.to(dtype), weight.to(dtype), ctx.bias_sizes, _each(stride, dims),
            _each(padding, dims), _each(dilation, dims), transposed, _each(output_padding, dims), groups,
            ctx.needs_input_grad[:3],
        )  # fmt: skip
        none = (None,) * (2 + len(ctx.settings))
        return (*(None if one is None else one.to(image.dtype) for one in gradients), *none)
