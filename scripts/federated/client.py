"""One site of a federated training: NVFLARE brings the global weights, MONAI's client trains a bundle on its data.

`job.py` hands it to every site, where the package has to be installed. Its argument is what `packed` makes, for NVFLARE
divides arguments at every blank.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any
from urllib.parse import quote, unquote

import nvflare.client as flare
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems, FlStatistics
from monai.fl.utils.exchange_object import ExchangeObject
from nvflare.apis.fl_constant import FLMetaKey

from monai_supmix.config.find import find_bundle

logger = logging.getLogger("federated.client")


def packed(**arguments: Any) -> str:
    """The arguments of `client_of` as one word."""
    return quote(json.dumps(arguments), safe="")


def client_of(bundle: str, rounds: int, local_epochs: int, settings: dict[str, Any]) -> MonaiAlgo:
    """MONAI's client of a bundle at this site; it evaluates where patients are held out for that."""
    algorithm = MonaiAlgo(
        str(find_bundle(bundle)),
        local_epochs=local_epochs,
        send_weight_diff=False,
        config_train_filename=["configs/train.json", "configs/federated.json"],
        train_kwargs={**settings, "rounds": rounds, "local_epochs": local_epochs},
        config_evaluate_filename=["configs/train.json"] if settings["num_val_patients"] else None,
        eval_kwargs=dict(settings),
    )
    algorithm.initialize({ExtraItems.CLIENT_NAME: flare.get_site_name()})
    return algorithm


def main() -> None:
    """Take part until the server ends."""
    flare.init()
    algorithm = client_of(**json.loads(unquote(sys.argv[1])))
    while flare.is_running():
        received = flare.receive()
        weights = ExchangeObject(weights=received.params)
        metrics = algorithm.evaluate(weights).metrics if algorithm.evaluator else None
        if metrics:
            logger.info(
                "round %d: mean_iou of the global network here: %.4f", received.current_round, metrics["mean_iou"]
            )
        algorithm.train(weights)
        update = algorithm.get_weights()
        flare.send(
            flare.FLModel(
                params={
                    name: tensor.clone() for name, tensor in update.weights.items()
                },  # NVFLARE drops all but tensors
                metrics=metrics,
                meta={FLMetaKey.NUM_STEPS_CURRENT_ROUND: update.statistics[FlStatistics.NUM_EXECUTED_ITERATIONS]},
            )
        )


if __name__ == "__main__":
    main()
