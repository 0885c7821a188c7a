"""Which number format a forward pass uses, chosen by what the device can do fast."""

from __future__ import annotations

from typing import Literal

import torch

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


def autocast(amp: Amp, device: torch.device | str) -> torch.autocast:
    """A context in which forward passes run in the format that ``amp`` resolves to.

    Example:
        >>> with autocast("bf16", "cpu"):
        ...     torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype
        torch.bfloat16
    """
    dtype = autocast_dtype(amp, device)
    kind = torch.device(device).type
    return torch.autocast(kind, dtype=dtype or torch.bfloat16, enabled=dtype is not None)
