"""Training samples from disk against cached ones, and how long the default training waits for data."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

from ignite.engine import Events
from monai.bundle import ConfigParser
from monai.data import Dataset

from benchmarks.timing import Row, alternate, ratio
from monai_supmix.data import StreamLoader
from monai_supmix.phantoms import write_fundus_phantom

BUNDLE = Path(__file__).parents[2] / "bundles" / "chase_supmix"
BATCHES = 8  # a time is that of so many batches


def chase_folder(temporary: Path, small: bool) -> Path:
    """CHASE_DB1 below the folder SUPMIX_DATA if there is one, else phantoms of the same size."""
    data = Path(os.environ.get("SUPMIX_DATA", "")) / "CHASE_DB1"
    if data.is_dir() and not small:
        return data
    return write_fundus_phantom(temporary / "CHASE_DB1", size=(96, 100) if small else (960, 999))


def parse_training(data: Path, output: Path, iterations: int, small: bool) -> ConfigParser:
    """The default training of the bundle as a user gets it."""
    parser = ConfigParser()
    parser.read_config(str(BUNDLE / "configs" / "train.json"))
    parser.update({"bundle_root": str(BUNDLE), "dataset_dir": str(data), "output_dir": str(output)})
    parser["max_iterations"] = iterations
    if small:
        parser["crop_size"] = [32, 32]
    return parser


def waiting_share(trainer: Any) -> float:
    """Percent of the wall time of a run in which the trainer waits for its next batch."""
    waited, since = 0.0, 0.0

    def start() -> None:
        nonlocal since
        since = time.perf_counter()

    def stop() -> None:
        nonlocal waited
        waited += time.perf_counter() - since

    trainer.add_event_handler(Events.GET_BATCH_STARTED, start)
    trainer.add_event_handler(Events.GET_BATCH_COMPLETED, stop)
    begin = time.perf_counter()
    trainer.run()
    return 100 * waited / (time.perf_counter() - begin)


def run(repetitions: int, small: bool = False) -> list[Row]:
    """Samples per second, and the share of waiting.

    Args:
        repetitions: measurements of each side.
        small: small pictures and crops.
    """
    with tempfile.TemporaryDirectory() as folder:
        data = chase_folder(Path(folder), small)
        parser = parse_training(data, Path(folder) / "output", 4 if small else 30, small)
        cached = parser.get_parsed_content("unlabeled_dataset")
        preprocessing = parser.get_parsed_content("train#preprocessing")
        augmentation = parser.get_parsed_content("weak_augmentation")
        files = parser.get_parsed_content("datalist").unlabeled
        loaders = {
            name: StreamLoader(items, augmentation, batch_size=4, seed=0, stream="unlabeled").batches()
            for name, items in (("cached", cached), ("from disk", Dataset(files, preprocessing)))
        }
        counts = {"cached": BATCHES, "from disk": 2}
        seconds = alternate({name: lambda n=name: list(islice(loaders[n], counts[n])) for name in loaders}, repetitions)
        rates = {name: [4 * counts[name] / s for s in values] for name, values in seconds.items()}
        share = waiting_share(parser.get_parsed_content("train#trainer"))
    return [
        *(Row("load", name, statistics.median(rate), "samples/s", samples=rate) for name, rate in rates.items()),
        Row("load", "cached / from disk", ratio(rates["cached"], rates["from disk"]), "x"),
        Row("load", "default training waits for data", share, "%", "<= 10"),
    ]
