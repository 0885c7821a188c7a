"""A few iterations of a method on a phantom, in a handful of numbers.

Run as `.venv/bin/python -m tests.bundles.fingerprint` it writes the numbers that `test_fingerprint.py` expects:
after a change that is meant to change trainings, in the commit that makes it.
"""

import json
import tempfile
from collections import defaultdict
from pathlib import Path

import torch
from ignite.engine import Events

from monai_supmix.phantoms import write_chest_ct_phantom, write_fundus_phantom
from tests.bundles.workflows import METHODS, NAMES, workflow

EXPECTED = Path(__file__).with_suffix(".json")
NUM_ITERATIONS = 6  # the default burn-in leaves the last two for unlabelled images
# Small and quick; everything else is as the bundle has it, learning rates and loss weights among it.
SMALL = {
    "num_labeled": 2,
    "max_iterations": NUM_ITERATIONS,
    "crop_size": [64, 64],
    "amp": False,
    "device": "cpu",
    "num_workers": 0,
    "num_monitored": 0,
    "tensorboard": False,
}
# So young a network is sure of nothing: confidences that about half of the pixels reach.
OF_A_BUNDLE = {
    "chase_supmix": {"consistency_loss#threshold": 0.52},
    "covid19_ct_supmix": {"consistency_loss#threshold": 0.3, "working": {"size": [64, 64]}},
}


def write_phantoms(folder):
    """The data of each bundle below a folder."""
    folders = {name: folder / name for name in NAMES}
    write_fundus_phantom(folders["chase_supmix"], size=(96, 100))
    write_chest_ct_phantom(folders["covid19_ct_supmix"], num_labeled=2, num_unlabeled=2, num_test=1, size=(64, 64, 6))
    return folders


def fingerprint(bundle, method, data, output, **override):
    """Train for a few iterations.

    Returns:
        by name the values of each loss, iteration by iteration, and as one number each: the norm of the final
        weights, of their change (which follows the learning rate), of the statistics of the normalization layers, and
        of the change of the discriminator.
    """
    override = {**SMALL, **OF_A_BUNDLE[bundle], **override}
    flow = workflow(bundle, "train", method, dataset_dir=str(data), output_dir=str(output), **override)
    flow.initialize()
    trainer = flow.parser.get_parsed_content("train#trainer")
    parts = {"weights_change": trainer.network, "discriminator_change": trainer.discriminator}
    before = {name: _weights(part) for name, part in parts.items() if part is not None}
    found = defaultdict(list)

    def note(engine):
        for name, value in engine.state.output.items():
            if name.startswith("loss"):
                found[name].append(float(value))

    trainer.add_event_handler(Events.ITERATION_COMPLETED, note)
    flow.run()
    buffers = [buffer.flatten() for buffer in trainer.network.buffers() if buffer.is_floating_point()]
    found |= {name: float((_weights(parts[name]) - weights).norm()) for name, weights in before.items()}
    return dict(found) | {
        "weights": float(_weights(trainer.network).norm()),
        "statistics": float(torch.cat(buffers).norm()),
    }


def _weights(network):
    return torch.cat([parameter.detach().flatten().clone() for parameter in network.parameters()])


def _rounded(value):
    return [_rounded(one) for one in value] if isinstance(value, list) else float(f"{value:.6g}")


def main():
    """Write what is expected from now on."""
    with tempfile.TemporaryDirectory() as folder:
        data = write_phantoms(Path(folder))
        lines = {}
        for bundle in NAMES:
            for method in METHODS:
                found = fingerprint(bundle, method, data[bundle], Path(folder) / "output" / bundle / method)
                lines[f"{bundle} {method}"] = {name: _rounded(found[name]) for name in sorted(found)}
        told = [f"{json.dumps(name)}: {json.dumps(numbers)}" for name, numbers in lines.items()]
        EXPECTED.write_text("{\n" + ",\n".join(told) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
