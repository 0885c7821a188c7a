"""Self-training in rounds: masks of the unlabelled images, made by trained networks, become labels of the next."""

from __future__ import annotations

import copy
import gc
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from monai.bundle import ConfigParser
from monai.utils import set_determinism

from monai_supmix.bundle.pseudo_labels import write_pseudo_labels
from monai_supmix.bundle.trained import load_trained
from monai_supmix.config.comparison import configuration_of
from monai_supmix.datalists.datalist import Datalist, require_unlabeled
from monai_supmix.errors import InputError
from monai_supmix.inferers import Inferer
from monai_supmix.randomness import derive_seed
from monai_supmix.weights import part_of_more

logger = logging.getLogger(__name__)

SUPERVISED: Mapping[str, Any] = {
    "method": "supervised",
    "mixing": None,
    "num_strong_views": 0,
    "feature_dropout": False,
    "discriminator": None,
    "pseudo_labels": None,
}
"""What makes a training of the first round of any method's configuration."""
_TRAIN = ["$bundle.start_from(@ckpt_path, @network_def, @class_names)", "$@training.run()"]
_RECORD = "training#record"


class SelfTraining:
    """Trains networks on the labelled images, then others on what these make of the unlabelled ones, in rounds.

    Round 0 trains some networks supervised, which differ in their seed and in whatever is given. At the end of each
    round the mean of its networks predicts every unlabelled image whole, as inference does; the masks are cleaned by
    the bundle's rules and lie in ``rounds/<n>/pseudo_labels`` to be looked at (what you remove or correct
    before the next round begins counts). The networks of the next round continue from their weights, or begin anew,
    and learn from the labelled images and these masks. The last round has the first network alone, and is the run
    in ``output_dir`` itself. (Lee, "Pseudo-label", 2013; Xie et al., "Self-training with noisy student improves
    ImageNet classification", CVPR 2020.)

    Every training is the bundle's own, with its checkpoints, resume and report.

    Args:
        output_dir: the run's folder.
        inferer: predicts the unlabelled images.
        rounds: rounds of training on pseudo-labels, at least 1.
        networks: networks of each round but the last: how many, or for each the entries of the configuration that are
            its own, with ids such as ``labeled_mixing#prob``. Errors that networks do not share disappear from their
            mean; those of one configuration share most of theirs. What images are shown to a network as (classes,
            intensity, working grid) is common to all.
        lengths: how long each round trains, as a multiple of the configuration's iterations or epochs; by default 1.
        first_round: entries of the configuration that are others in round 0, such as a larger batch of labelled images.
        anew: begin each round with random weights, which takes longer and forgets more of the errors.
        configuration: what all trainings share; ``None`` takes the configuration that MONAI made this from. Where
            its ``pseudo_labels`` names a folder of masks, these are trained on and nothing else is done.

    Raises:
        ValueError: ``rounds`` is below 1, there are no ``networks``, or the lengths are not one for each round.
        InputError: when run, networks that are shown images in different ways, and whatever a training refuses.

    Example:
        >>> from monai_supmix.inferers import SliceVolumeInferer
        >>> for folder in SelfTraining("output", SliceVolumeInferer(), rounds=2, networks=2).folders():
        ...     print(folder)
        output/rounds/0/network_0
        output/rounds/0/network_1
        output/rounds/1/network_0
        output/rounds/1/network_1
        output
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        inferer: Inferer,
        rounds: int = 1,
        networks: int | Sequence[Mapping[str, Any]] = 2,
        lengths: Sequence[float] | None = None,
        first_round: Mapping[str, Any] | None = None,
        anew: bool = False,
        configuration: Mapping[str, Any] | None = None,
    ) -> None:
        self.networks = [{} for _ in range(networks)] if isinstance(networks, int) else [dict(one) for one in networks]
        if rounds < 1 or not self.networks:
            raise ValueError(f"rounds and networks are at least 1, not {rounds} and {networks}.")
        self.output_dir, self.inferer, self.rounds = Path(output_dir), inferer, rounds
        self.lengths, self.anew = list(lengths or [1] * (rounds + 1)), anew
        self.first_round = dict(first_round or {})
        if len(self.lengths) != rounds + 1 or min(self.lengths) <= 0:
            raise ValueError(f"lengths has one positive number for each of {rounds + 1} rounds, not {lengths}.")
        self.configuration = configuration

    def folders(self) -> list[str]:
        """Where each training leaves its weights, in their order."""
        return [str(folder) for number in range(self.rounds + 1) for folder in self._folders(number)]

    def run(self) -> None:
        """Train all rounds, from wherever an earlier start was stopped if the configuration's ``resume`` says so.

        Raises:
            SystemExit: with status 1 at the end, when broken cases were left out.
        """
        given = configuration_of(self) if self.configuration is None else self.configuration
        if given is None:
            raise ValueError("a self-training that no configuration made has to be given one: configuration={...}.")
        _require_alike(given, self.networks)
        masks, left_out = None, False
        if given.get("pseudo_labels"):
            masks = Path(given["pseudo_labels"])
        else:
            require_unlabeled(_parser(given, {}).get_parsed_content("datalist"), "self-training")
        for number in range(self.rounds if masks else 0, self.rounds + 1):
            for place, folder in enumerate(self._folders(number)):
                logger.info("self-training: round %d of %d, %s", number, self.rounds, folder)
                own = self.networks[place]
                settings = {**given, **own}
                first = {**SUPERVISED, **self.first_round} if masks is None else {}
                changes = {**first, **own, **_length(settings, self.lengths[number])}
                if masks is not None:
                    changes["pseudo_labels"] = str(masks)
                if number > 0 and not (self.anew or given.get("pseudo_labels")):
                    changes["ckpt_path"] = str(self._folders(number - 1)[place] / "model.pt")
                seed = settings["seed"]
                changes["seed"] = seed if number == self.rounds else derive_seed(seed, "network", number, place)
                with part_of_more() if number < self.rounds else nullcontext():
                    left_out |= _train(given, {**changes, "output_dir": str(folder)})
            if number < self.rounds:
                masks = self.output_dir / "rounds" / str(number) / "pseudo_labels"
                _predict_unlabeled(given, self._folders(number), self.networks, masks, self.inferer)
        if left_out:
            raise SystemExit(1)

    def _folders(self, number: int) -> list[Path]:
        if number == self.rounds:
            return [self.output_dir]
        return [self.output_dir / "rounds" / str(number) / f"network_{place}" for place in range(len(self.networks))]


def _length(given: Mapping[str, Any], times: float) -> dict[str, int]:
    """How long a training is."""
    key = "max_iterations" if given.get("max_iterations") else "max_epochs"
    return {key: max(1, round(given[key] * times))}


def _parser(given: Mapping[str, Any], changes: Mapping[str, Any]) -> ConfigParser:
    """The given configuration with some entries replaced, of which nothing is made yet."""
    config = copy.deepcopy({key: value for key, value in given.items() if key != "_meta_"})
    parser = ConfigParser({**config, "run": _TRAIN})
    parser.update(dict(changes))
    return parser


def _require_alike(given: Mapping[str, Any], networks: Sequence[Mapping[str, Any]]) -> None:
    """Raise `InputError` unless all networks see images as the inferer shows them, which predicts with their mean."""
    parsers = [_parser(given, own) for own in ({}, *networks)]
    if _RECORD not in parsers[0]:
        return
    shared, *records = [parser.get_parsed_content(_RECORD) for parser in parsers]
    for place, record in enumerate(records):
        if differing := [key for key in shared if record[key] != shared[key]]:
            problem = f"is to have another {differing[0]} than the configuration, by which the mean of all is predicted"
            raise InputError(f"self_training#networks#{place}", problem, "change it for all, outside of the networks")


def _train(given: Mapping[str, Any], changes: Mapping[str, Any]) -> bool:
    """Train to the end; whether broken cases were left out, which a training tells by its exit status."""
    parser, left_out = _parser(given, changes), False
    set_determinism(parser.get_parsed_content("seed"))
    try:
        parser.get_parsed_content("run")
    except SystemExit as end:
        if end.code != 1:  # stopped by a signal
            raise
        left_out = True
    del parser
    gc.collect()  # the images in memory, before the next training reads its own
    return left_out


def _predict_unlabeled(
    given: Mapping[str, Any],
    folders: Sequence[Path],
    networks: Sequence[Mapping[str, Any]],
    masks: Path,
    inferer: Inferer,
) -> None:
    """Write what the mean of the networks in some folders makes of the unlabelled images, unless it is there."""
    parser = _parser(given, {"pseudo_labels": None})
    datalist: Datalist = parser.get_parsed_content("datalist")
    device = parser.get_parsed_content("device")
    idist.barrier()  # until the first process has written the weights
    trained = []
    for folder, own in zip(folders, networks, strict=True):
        network = _parser(given, own).get_parsed_content("network_def")
        trained.append(load_trained(network, folder, folder, device=device))
    write_pseudo_labels(masks, datalist, trained, inferer, parser.get_parsed_content("intensity_rules").wanted)
    del parser
    gc.collect()
