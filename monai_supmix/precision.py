"""Which number format a forward pass uses, chosen by what the device can do fast."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

import torch
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

    On a CPU some depthwise convolutions stay in float32 where they are trained, see `DepthwiseInFloat32`.

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
        DepthwiseInFloat32() if trained_on_cpu else nullcontext(),
    ):
        yield


class DepthwiseInFloat32(TorchFunctionMode):
    """Keep those 2D depthwise convolutions in float32 whose backward pass PyTorch's CPU kernels for bfloat16 make slow.

    These are the ones with a kernel beyond 3 x 3 or a stride. In bfloat16 they are more than half of a training step of
    EfficientNet-Lite0, which takes two thirds of that time without them (``scripts/benchmark.py depthwise``). The
    result has the format that it would have had.

    Example:
        >>> convolution = torch.nn.Conv2d(8, 8, kernel_size=5, groups=8)
        >>> with torch.autocast("cpu", torch.bfloat16), DepthwiseInFloat32():
        ...     convolution(torch.ones(1, 8, 6, 6)).dtype
        torch.bfloat16
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of PyTorch; a convolution in another way where that is faster."""
        kwargs = kwargs or {}
        if func is not functional.conv2d or not _is_slow(*args, **kwargs):
            return func(*args, **kwargs)
        image, *rest = args
        with torch.autocast("cpu", enabled=False):
            return func(image.float(), *rest, **kwargs).to(torch.get_autocast_dtype("cpu"))


def _is_slow(*args: Any, **kwargs: Any) -> bool:
    """Whether the arguments of a convolution are those of a depthwise one with a large kernel or a stride."""
    if kwargs or len(args) < 7 or not torch.is_autocast_enabled("cpu"):
        return False  # not as a module calls it
    image, weight, _, stride, _, _, groups = args
    depthwise = 1 < groups == image.shape[-3] and weight.requires_grad
    strides = (stride,) if isinstance(stride, int) else stride
    return depthwise and weight.dtype is torch.float32 and (max(weight.shape[-2:]) > _FAST_KERNEL or max(strides) > 1)
