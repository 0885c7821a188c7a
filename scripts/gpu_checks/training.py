"""Training steps on prepared batches: the paper's setting, UniMatch's published order, the bundle's default."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from benchmarks.prepared import PreparedBatch
from benchmarks.timing import Row
from benchmarks.train import reference_step
from ignite.engine import Engine, Events

from gpu_checks.place import Place
from monai_supmix.cli.workflow import configure
from monai_supmix.phantoms import write_fundus_phantom

ITERATIONS, WARM_UP = 50, 10
_TINY = {"crop_size": "[64,64]", "labeled_batch_size": "2", "unlabeled_batch_size": "2"}
_TINY_NETWORK = {
    None: {"network_def#features": "[4,4,4,4,4,4]", "discriminator_widths": "[4,4]"},
    "paper": {"network_def#encoder_name": "resnet18", "discriminator_widths": "[4,4]"},
}


def lengths(place: Place) -> tuple[int, int]:
    """Number of iterations, and how many of them warm up."""
    return (3, 1) if place.small else (ITERATIONS, WARM_UP)


def bundle_steps(place: Place, name: str, preset: str | None, amp: str) -> list[Row]:
    """Iterations of the trainer as the fundus bundle configures it, on one batch of its own loader.

    Args:
        place: where, and how large.
        name: of the figures.
        preset: of the bundle; the paper's begins with random weights.
        amp: number format, as the bundle's option takes it.

    Returns:
        images per second, peak memory and the last loss.

    Raises:
        FloatingPointError: a loss is not finite.
    """
    iterations, warm_up = lengths(place)
    with tempfile.TemporaryDirectory() as folder:
        write_fundus_phantom(Path(folder) / "data", size=(96, 100) if place.small else (480, 500))
        pairs = {
            "dataset_dir": f"{folder}/data", "output_dir": f"{folder}/output", "device": place.device, "amp": amp,
            "num_workers": "0", "burn_in": "0.0", "max_iterations": str(iterations),
        }  # fmt: skip
        pairs |= {"pretrained": "None"} if preset else {}
        pairs |= _TINY | _TINY_NETWORK[preset] if place.small else {}
        parts = configure("chase_supmix", ["train"], pairs, "supmix_sufd", preset)
        batch: dict[str, Any] = next(iter(parts.parser().get_parsed_content("train#dataloader")))
        parser = parts.parser()
        parser["train"]["dataloader"] = PreparedBatch(batch)
        trainer = parser.get_parsed_content("train#trainer")
    losses: list[torch.Tensor] = []
    clock: dict[int, float] = {}

    def note(engine: Engine) -> None:
        losses.append(engine.state.output["loss"])
        if engine.state.iteration in (warm_up, iterations):
            place.wait()
            clock[engine.state.iteration] = time.perf_counter()

    trainer.add_event_handler(Events.ITERATION_COMPLETED, note)
    waits = count_waits(trainer, max(1, warm_up - 1)) if place.on_gpu else []
    trainer.run()
    finite = torch.stack(losses).isfinite().tolist()
    if len(finite) != iterations or not all(finite):
        raise FloatingPointError(f"{finite.count(True)} of {iterations} losses are finite")
    images = sum(len(part["image"]) for part in batch.values())
    seconds = (clock[iterations] - clock[warm_up]) / (iterations - warm_up)
    rows = [*_figures(place, name, images, seconds), Row(name, "loss, last of all finite ones", float(losses[-1]), "")]
    return [*rows, *(Row(name, "times that a step waits for the device", count, "") for count in waits)]


def count_waits(engine: Engine, iteration: int) -> list[int]:
    """Have PyTorch count how often the processor waits for the GPU within one iteration of an engine.

    Args:
        engine: whose iterations are run afterwards.
        iteration: which one.

    Returns:
        gets the number when that iteration is over.
    """
    waits: list[int] = []
    listening = ExitStack()

    def begin(_engine: Engine) -> None:
        caught: list[Any] = listening.enter_context(warnings.catch_warnings(record=True))  # type: ignore[assignment]
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        listening.callback(torch.cuda.set_sync_debug_mode, "default")
        listening.callback(lambda: waits.append(sum("synchronizing" in str(warning.message) for warning in caught)))

    def end(_engine: Engine) -> None:
        listening.close()

    engine.add_event_handler(Events.ITERATION_STARTED(once=iteration), begin)
    engine.add_event_handler(Events.ITERATION_COMPLETED(once=iteration), end)
    return waits


def published_order(place: Place, name: str) -> list[Row]:
    """The same number of iterations in the order that UniMatch published, with images of the same size."""
    iterations, warm_up = lengths(place)
    step = reference_step(place.small, place.device, crop=320)
    seconds = _seconds(place, step, iterations, warm_up)
    return _figures(place, name, 4 if place.small else 8, seconds)


def _seconds(place: Place, step: Callable[[], Any], iterations: int, warm_up: int) -> float:
    for _ in range(warm_up):
        step()
    place.wait()
    start = time.perf_counter()
    for _ in range(iterations - warm_up):
        step()
    place.wait()
    return (time.perf_counter() - start) / (iterations - warm_up)


def _figures(place: Place, name: str, images: int, seconds: float) -> list[Row]:
    """Images per second, of labelled and unlabelled ones, and memory."""
    return [Row(name, "images per second", images / seconds, "/s"), Row(name, "peak memory", place.peak_memory(), "MB")]
