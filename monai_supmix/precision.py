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
            return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
        return torch.bfloat16 if kind == "cpu" and cpu_has_fast_bfloat16() else None
    raise ValueError(f"amp is one of true, false, 'auto', 'bf16', 'fp16', not {amp!r}.")


@contextmanager
def autocast(amp: Amp, device: torch.device | str) -> Iterator[None]:
    """A context in which forward passes run in the format that ``amp`` resolves to.

    On a CPU some convolutions are trained in float32, see `ConvolutionsInFloat32`.

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
        ConvolutionsInFloat32() if trained_on_cpu else nullcontext(),
    ):
        yield


class ConvolutionsInFloat32(TorchFunctionMode):
    """Train convolutions in float32 where PyTorch's CPU kernels for bfloat16 are slow or wrong.

    Slow are the gradients of 2D depthwise convolutions with a kernel beyond 3 x 3 or a stride: in bfloat16 they are
    more than half of a training step of EfficientNet-Lite0, which takes two thirds of that time without
    (``scripts/benchmark.py depthwise``). Only their gradients are computed in float32; what they give is that of
    ``torch.autocast``, bit for bit.

    Wrong are some convolutions of next to nothing, such as 3D ones of two planes with a kernel of three, or 2D ones of
    a single pixel with a stride: the gradient of their weights reads memory that nobody has written (PyTorch 2.14 with
    AVX512-BF16). These, with a margin, are computed in float32 as a whole; they cost next to nothing.

    Example:
        >>> convolution = torch.nn.Conv2d(8, 8, kernel_size=5, groups=8)
        >>> with torch.autocast("cpu", torch.bfloat16), ConvolutionsInFloat32():
        ...     convolution(torch.ones(1, 8, 6, 6)).dtype
        torch.bfloat16
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of PyTorch; a convolution in another way where its gradients are slow or wrong."""
        kwargs = kwargs or {}
        if func not in _CONVOLUTIONS or not (torch.is_autocast_enabled("cpu") and torch.is_grad_enabled()):
            return func(*args, **kwargs)
        if _is_tiny(*args[:2]):
            tensors = [None if tensor is None else tensor.float() for tensor in args[:3]]
            with torch.autocast("cpu", enabled=False):
                return func(*tensors, *args[3:], **kwargs)
        if func is not functional.conv2d or not _is_slow(*args, **kwargs):
            return func(*args, **kwargs)
        dtype = torch.get_autocast_dtype("cpu")
        tensors = [None if tensor is None else tensor.to(dtype) for tensor in args[:3]]
        return _Convolution.apply(*tensors, *args[3:])


_CONVOLUTIONS = (
    functional.conv2d, functional.conv3d, functional.conv_transpose2d, functional.conv_transpose3d
)  # fmt: skip


def _is_tiny(image: Tensor, weight: Tensor, *_: Any) -> bool:
    """Whether there is a single row or column in 2D, or less than twice the kernel along an axis in 3D."""
    dims = weight.ndim - 2
    sides = zip(image.shape[-dims:], weight.shape[-dims:], strict=True)
    return any(kernel > 1 and length < (2 * kernel if dims == 3 else 2) for length, kernel in sides)


def _is_slow(*args: Any, **kwargs: Any) -> bool:
    """Whether the arguments of a 2D convolution are those of a depthwise one with a large kernel or a stride."""
    if kwargs or len(args) < 7:
        return False  # not as a module calls it
    image, weight, _, stride, padding, _, groups = args
    depthwise = image.ndim == 4 and 1 < groups == image.shape[1] and not isinstance(padding, str)
    return depthwise and (max(weight.shape[-2:]) > _FAST_KERNEL or max(_pair(stride)) > 1)


def _pair(value: int | Sequence[int]) -> Sequence[int]:
    return (value, value) if isinstance(value, int) else value


class _Convolution(torch.autograd.Function):
    """A 2D convolution whose gradients are computed in float32; it saves what PyTorch's own saves, in its format."""

    @staticmethod
    def forward(*args: Any) -> Tensor:
        return functional.conv2d(*args)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        image, weight, bias, *ctx.settings = inputs
        ctx.save_for_backward(image, weight)
        ctx.bias_sizes = None if bias is None else [len(bias)]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        image, weight = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.settings
        gradients = torch.ops.aten.convolution_backward(
            gradient.float(), image.float(), weight.float(), ctx.bias_sizes, _pair(stride), _pair(padding),
            _pair(dilation), False, (0, 0), groups, ctx.needs_input_grad[:3],
        )  # fmt: skip
        return (*(None if one is None else one.to(image.dtype) for one in gradients), *(None for _ in ctx.settings))
