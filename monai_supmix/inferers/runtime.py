"""Other runtimes than PyTorch for a trained network: the same weights and labels in less time."""

from __future__ import annotations

import functools
import sys
import warnings
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from monai_supmix.errors import InputError, first_line
from monai_supmix.inferers.tensors import input_channels
from monai_supmix.networks.modes import evaluating
from monai_supmix.precision import Amp, autocast_dtype

Runtime = Literal["torch", "openvino"]

_EXAMPLE_SIDE = 64  # of the image with which a network is traced; others may have any size that the network takes
# Overlap of the probabilities of each class, of a sound conversion. The images are noise, in which few classes are the
# most probable anywhere; probabilities tell of all of them.
_LEAST_OVERLAP = {torch.float32: 0.999, torch.bfloat16: 0.9}


def in_runtime(
    network: nn.Module, runtime: Runtime = "torch", amp: Amp = "auto", device: torch.device | str = "cpu"
) -> nn.Module:
    """Make a trained network run in a runtime.

    Args:
        network: the network with its weights.
        runtime: ``"torch"`` is the network as it is; ``"openvino"`` converts it in memory, for processors.
        amp: number format, only for OpenVINO (in PyTorch the inferer sets it), see `OpenVINONetwork`.
        device: where it runs.

    Returns:
        a network to be called with images, on the device.

    Raises:
        InputError: no such runtime, the extra is not installed, the device is not a processor, or the network cannot
            be converted.

    Example:
        >>> network = nn.Conv2d(1, 2, 1)
        >>> in_runtime(network) is network
        True
    """
    if runtime == "torch":
        return network.to(device)
    if runtime != "openvino":
        raise InputError("runtime", f"is {runtime!r}", "use 'torch' or 'openvino'")
    if torch.device(device).type != "cpu":
        raise InputError("runtime", f"'openvino' is for processors, the device is {device}", "set device to cpu")
    return OpenVINONetwork(network, amp)


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry, or say how to install it.

    Raises:
        InputError: it is not installed.
    """
    # Importing it reports to its maker over the network, without being asked. Its own stub then takes the place.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino  # noqa: PLC0415  # an extra
    except ImportError as error:
        remedy = "run pip install 'monai-supmix[openvino]', or set runtime to torch"
        raise InputError("runtime", f"'openvino' is not installed ({error})", remedy) from error
    return openvino


class OpenVINONetwork(nn.Module):
    """A network that OpenVINO runs on the processor, several images side by side.

    It is converted in memory from the weights at hand and compared with the network on one image. Images may have
    any number and any size that the network takes.

    Args:
        network: the network; kept, and left as it is. Later changes of its weights have no effect.
        amp: number format, see `monai_supmix.precision`; bfloat16 took half the time of float32 on a processor with
            AVX512-BF16.

    Attributes:
        runtime: name and version.
        precision: the number format, a ``torch.dtype``.
        images_at_once: how many images the inferer passes at a time: all of a batch.

    Raises:
        InputError: OpenVINO is not installed, or the network cannot be converted.
        ValueError: for an unknown ``amp``, or float16.

    Example:
        >>> network = OpenVINONetwork(nn.Conv2d(1, 2, 3, padding=1), amp=False)  # doctest: +SKIP
        >>> network(torch.rand(5, 1, 30, 20)).shape  # doctest: +SKIP
        torch.Size([5, 2, 30, 20])
    """

    def __init__(self, network: nn.Module, amp: Amp = "auto") -> None:
        super().__init__()
        openvino = import_openvino()
        self.precision = autocast_dtype(amp, "cpu") or torch.float32
        self.runtime = f"openvino {openvino.__version__}"
        self.network = network
        self.divisor = int(getattr(network, "divisor", 1))
        self.in_channels = input_channels(network) or 1
        self.images_at_once = sys.maxsize
        sides = [-(-_EXAMPLE_SIDE // self.divisor) * self.divisor] * _spatial_dims(network)
        example = torch.rand(1, self.in_channels, *sides, generator=torch.Generator().manual_seed(0))
        try:
            with evaluating(network), torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of tracing, about checks that are for training
                model = openvino.convert_model(network, example_input=example)
                model.reshape([-1, self.in_channels, *(-1 for _ in sides)])
                compiled = _core().compile_model(model, "CPU", self._hints())
        except Exception as error:  # of many kinds, after the tracer's and the converter's own
            raise _unfit(network, first_line(error)) from error
        self._queue = openvino.AsyncInferQueue(compiled)
        self._queue.set_callback(_keep)
        self._compare(example)

    def _hints(self) -> dict[str, Any]:
        """Several streams with few threads each: small networks have too little work in one image for many cores."""
        return {
            "INFERENCE_PRECISION_HINT": "bf16" if self.precision == torch.bfloat16 else "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "THROUGHPUT",
        }

    def _compare(self, example: Tensor) -> None:
        """Refuse a conversion that does not give what the network gives, also for several images of another shape."""
        wider = torch.cat((example, example[..., : self.divisor]), dim=-1)
        with evaluating(self.network), torch.no_grad():
            pairs = [(self(x).softmax(1), self.network(x).softmax(1)) for x in (example, torch.cat((wider, -wider)))]
        overlap = torch.stack([_overlap(ours, theirs) for ours, theirs in pairs]).min(dim=0).values
        if lost := [number for number, value in enumerate(overlap) if not value >= _LEAST_OVERLAP[self.precision]]:
            problem = f"its probabilities of class {lost[0]} have an overlap of {overlap[lost[0]]:.3f} after conversion"
            raise _unfit(self.network, problem)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, K, *spatial)``, float32, of images ``(B, C, *spatial)``."""
        arrays = images.detach().float().contiguous().numpy()
        logits: dict[int, np.ndarray] = {}
        for index in range(len(arrays)):
            self._queue.start_async([arrays[index : index + 1]], (logits, index))
        self._queue.wait_all()
        return torch.from_numpy(np.concatenate([logits[index] for index in range(len(arrays))]))


@functools.cache
def _core() -> Any:
    """The one core of this process, kept until it ends.

    A core replaces the thread's alternate signal stack as long as it lives. Of two that end in another order than they
    began, the last leaves the stack of the first, unmapped: the next signal with a handler would kill the process.
    """
    return import_openvino().Core()


def _overlap(ours: Tensor, theirs: Tensor) -> Tensor:
    """Dice of probabilities ``(B, K, *spatial)`` for each class; 1 for one that has none."""
    ours, theirs = ours.double().movedim(1, 0).flatten(1), theirs.double().movedim(1, 0).flatten(1)
    whole = ours.sum(dim=1) + theirs.sum(dim=1)
    return torch.where(whole == 0, 1.0, 2 * torch.minimum(ours, theirs).sum(dim=1) / whole)


def _spatial_dims(network: nn.Module) -> int:
    return 3 if any(isinstance(module, nn.Conv3d) for module in network.modules()) else 2


def _keep(request: Any, place: tuple[dict[int, np.ndarray], int]) -> None:
    """Copy a result, whose memory the next image will get."""
    logits, index = place
    logits[index] = request.get_output_tensor(0).data.copy()


def _unfit(network: nn.Module, problem: str) -> InputError:
    return InputError("runtime", f"'openvino' cannot run {type(network).__name__} ({problem})", "set runtime to torch")
