"""Bundles as `python -m monai.bundle run` builds them, in this process."""

import json
import os
from pathlib import Path

from monai.bundle import ConfigWorkflow

BUNDLES = Path(__file__).parents[2] / "bundles"
NAMES = ("chase_supmix", "covid19_ct_supmix")
SHIPPED = (*NAMES, "acdc_supmix")
METHODS = ("supervised", "fixmatch", "unimatch", "classmix", "supmix", "sufd", "supmix_sufd")
OTHER_AUGMENTATIONS = ("mixup", "cutout", "random_erasing")  # those of the paper's Sec. 2.2, for comparison
DATA = os.environ.get("SUPMIX_DATA")
TINY = {
    "network_def#features": [4, 4, 4, 4, 4, 4],
    "discriminator_widths": [4, 4],
    "amp": False,
    "device": "cpu",
}


def config_files(bundle, kind, method=None, preset=None):
    """The files that a user names one after the other."""
    folder = BUNDLES / bundle / "configs"
    files = [folder / f"{kind}.json"]
    files += [folder / "methods" / f"{method}.json"] if method else []
    files += [folder / "presets" / f"{preset}.json"] if preset else []
    return [str(file) for file in files]


def workflow(bundle, kind, method=None, preset=None, **override):
    """A bundle's workflow; nothing of it is instantiated yet."""
    folder = BUNDLES / bundle
    return ConfigWorkflow(
        config_file=config_files(bundle, kind, method, preset),
        meta_file=str(folder / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="train" if kind == "train" else "infer",
        bundle_root=str(folder),
        **override,
    )


def run(*args, **override):
    """Initialize and run a bundle."""
    flow = workflow(*args, **override)
    flow.initialize()
    flow.run()
    return flow


def read_config(bundle, kind):
    """A configuration file as plain JSON."""
    return json.loads((BUNDLES / bundle / "configs" / f"{kind}.json").read_text(encoding="utf-8"))
