"""Train a bundle in several places, none of which hands out its images: federated averaging by NVFLARE, simulated here.

For example, three rounds with the data of two sites, both on this machine::

    python scripts/federated/job.py covid19_ct_supmix --data A B --rounds 3 --output_dir O

Entries of the bundle's ``train.json`` may follow after ``--set``, as ``KEY=VALUE``.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from pathlib import Path
from typing import Any

from client import packed
from monai.bundle import ConfigParser
from nvflare.app_common.default_component_policy import DEFAULT_CLASS_ALLOW_LIST
from nvflare.app_opt.pt.recipes.fedavg import FedAvgRecipe
from nvflare.recipe import SimEnv, set_per_site_config

from monai_supmix.config.find import find_bundle
from monai_supmix.errors import InputError
from monai_supmix.weights import load_into, read_weights


def setting(pair: str) -> tuple[str, Any]:
    """``KEY=VALUE`` of the command line; what is no number, list or dictionary is a word."""
    key, _, text = pair.partition("=")
    try:
        return key, ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return key, text


def network_of(bundle: Path, settings: dict[str, Any], ckpt_path: Path | None) -> dict[str, Any]:
    """The network that the server averages, as NVFLARE describes one; the weights to begin with have to fit it."""
    parser = ConfigParser()
    parser.read_config([bundle / "configs" / "train.json"])
    parser.update(settings)
    network = parser.get_parsed_content("network_def", instantiate=False).get_config()
    if ckpt_path is not None:
        load_into(ConfigParser(network).get_parsed_content(""), read_weights(ckpt_path).tensors, ckpt_path)
    return {"class_path": network["_target_"], "args": {key: network[key] for key in network if key != "_target_"}}


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="the folders of the sites")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--local_epochs", type=int, default=1)
    parser.add_argument("--ckpt_path", type=Path, help="weights to begin with, else random ones")
    parser.add_argument(
        "--num_val_patients", type=int, default=0, help="held out at every site, to evaluate each round"
    )
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", dest="settings")
    return parser.parse_args()


def main() -> None:
    """Simulate the federation, every site in a process of its own."""
    args = arguments()
    bundle = find_bundle(args.bundle)
    for folder in args.data:
        if not folder.is_dir():
            raise InputError(folder, "is no folder", "name the data of each site")
    if (args.output_dir / bundle.name).exists():
        raise InputError(args.output_dir / bundle.name, "exists", "name another output_dir, or remove it")
    settings = {**dict(map(setting, args.settings)), "num_val_patients": args.num_val_patients}
    network = network_of(bundle, settings, args.ckpt_path)
    recipe = FedAvgRecipe(
        name=bundle.name,
        model=network,
        initial_ckpt=args.ckpt_path and str(args.ckpt_path.resolve()),
        min_clients=len(args.data),
        num_rounds=args.rounds,
        train_script=str(Path(__file__).with_name("client.py")),
        key_metric="mean_iou",
    )
    shared = {"bundle": str(bundle), "rounds": args.rounds, "local_epochs": args.local_epochs}
    sites = {
        f"site-{number}": {"train_args": packed(**shared, settings={**settings, "dataset_dir": str(folder.resolve())})}
        for number, folder in enumerate(args.data, 1)
    }
    set_per_site_config(recipe, sites)
    # NVFLARE makes only what its sites allow: its own parts, and here the network.
    allowed = {"format_version": 2, "class_allow_list": [*DEFAULT_CLASS_ALLOW_LIST, network["class_path"]]}
    local = args.output_dir / bundle.name / "local"
    local.mkdir(parents=True, exist_ok=True)
    (local / "resources.json").write_text(json.dumps(allowed), encoding="utf-8")
    recipe.execute(SimEnv(clients=list(sites), workspace_root=str(args.output_dir)))
    print(f"written: {args.output_dir / bundle.name / 'server/simulate_job/app_server/FL_global_model.pt'}")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
