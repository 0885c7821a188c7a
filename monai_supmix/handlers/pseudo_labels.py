"""How good pseudo-labels are, on unlabelled cases whose truth the data set happens to have."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn

from monai_supmix.errors import InputError
from monai_supmix.handlers.history import Row, TrainingHistory
from monai_supmix.inferers.volume import VolumeInferer
from monai_supmix.listing import counted
from monai_supmix.losses.consistency import Threshold, believed
from monai_supmix.networks.modes import evaluating
from monai_supmix.weights import unwrap

logger = logging.getLogger(__name__)


class _Inferer(Protocol):
    def probabilities(self, network: nn.Module, images: Tensor) -> Tensor: ...


class Loading(Protocol):
    """Loads a case as training does, and picks samples to look at; :class:`monai_supmix.data.LoadPlanes` is one."""

    def __call__(self, item: Mapping[str, Any]) -> Mapping[str, Any]:
        """Load an item of a datalist."""

    def samples(self, loaded: Mapping[str, Any], most: int) -> tuple[Tensor, Tensor]:
        """Images and truth."""


class PseudoLabelMonitor:
    """Compares pseudo-labels with the truth of a few unlabelled cases, now and then and at the end of a training.

    The network (the teacher, where there is one) predicts the whole images on its working grid in evaluation mode,
    without augmentation: near to the weak view that training takes its pseudo-labels from, but not the same. Nothing
    of it reaches training: truth is read here and stays here, no random number is drawn, every module gets back the
    mode it had. Rows go into the history, which is a part of every checkpoint, so a resumed run has the same rows.

    Under several processes the first one looks. A method that does not use unlabelled images has no pseudo-labels.

    Args:
        history: its ``pseudo_label_rows`` grow.
        items: unlabelled cases with their hidden truth, from :func:`monai_supmix.data.hidden_truth`.
        load: loads an item onto the working grid as training does, such as :class:`monai_supmix.data.LoadPlanes`.
        inferer: gives the probabilities of images on the working grid.
        class_names: names of the classes, background first.
        interval: iterations between two looks.
        total_iterations: length of the training, after which comes the last look.
        threshold: confidence from which training believes a pseudo-label, one or one for each class.
        num_samples: how many planes (or volumes, for a 3D network) are looked at in all, the same ones each time.

    Attach it after the history and before checkpoints.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> from monai_supmix.data import LoadPlanes
        >>> from monai_supmix.inferers import SliceVolumeInferer
        >>> from monai_supmix.transforms import PercentileScale
        >>> folder = tempfile.mkdtemp()
        >>> item = {"image": f"{folder}/image.png", "label": f"{folder}/label.png", "case": "eye"}
        >>> Image.new("RGB", (8, 8)).save(item["image"])
        >>> Image.new("L", (8, 8), 1).save(item["label"])
        >>> engine = Engine(lambda engine, batch: None)
        >>> engine.network, engine.state.device = nn.Conv2d(3, 2, 1), "cpu"
        >>> engine.network.bias.data = torch.tensor([0.0, 9.0])  # sure of the vessel
        >>> history, load = TrainingHistory(), LoadPlanes(lambda image: PercentileScale(), num_classes=2)
        >>> names, inferer = ["background", "vessel"], SliceVolumeInferer(divisor=1)
        >>> PseudoLabelMonitor(history, [item], load, inferer, names, interval=2, total_iterations=2).attach(engine)
        >>> _ = engine.run([1, 2])
        >>> [(row["iteration"], row["coverage"], row["precision"]) for row in history.pseudo_label_rows]
        [(2, 1.0, 1.0)]
    """

    def __init__(
        self,
        history: TrainingHistory,
        items: Sequence[Mapping[str, Any]],
        load: Loading,
        inferer: _Inferer,
        class_names: Sequence[str],
        interval: int,
        total_iterations: int,
        threshold: Threshold = 0.95,
        num_samples: int = 4,
    ) -> None:
        self.history, self.items, self.load, self.inferer = history, list(items), load, inferer
        self.class_names = list(class_names)
        self.interval, self.total_iterations, self.threshold = interval, total_iterations, threshold
        self.num_samples = num_samples
        self._samples: list[tuple[Tensor, Tensor]] | None = None

    def attach(self, engine: Engine) -> None:
        """Follow a :class:`monai_supmix.engines.SemiSupervisedTrainer`."""
        if self.items and self.num_samples and idist.get_rank() == 0 and getattr(engine, "uses_unlabeled", True):
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._look)

    def _look(self, engine: Any) -> None:
        iteration = engine.state.iteration
        if iteration % self.interval and iteration != self.total_iterations:
            return
        if self._samples is None:
            self._samples = self._load()
        if not self._samples:
            return
        network = unwrap(getattr(engine, "teacher", None) or engine.network)
        row = self.measure(network, engine.state.device)
        self.history.pseudo_label_rows.append({"iteration": iteration, **row})
        engine.state.metrics.update({f"hidden_truth_{name}": value for name, value in row.items()})
        right = f", {100 * row['precision']:.1f} % of them right" if "precision" in row else ""
        shares = f"{100 * row['coverage']:.1f} % of the pixels are confident{right}"
        logger.info("pseudo-labels of %s with hidden truth: %s", counted(len(self._samples), "unlabelled case"), shares)

    def _load(self) -> list[tuple[Tensor, Tensor]]:
        """Images and truth; a case that cannot be read is left out, for training does not need its truth."""
        most = -(-self.num_samples // len(self.items))
        samples = []
        for item in self.items:
            try:
                samples.append(self.load.samples(self.load(item), most))
            except InputError as error:
                logger.warning("pseudo-labels of %s are not looked at: %s", item.get("case"), error)
        return samples

    def measure(self, network: nn.Module, device: torch.device | str) -> Row:
        """Predict all samples and compare, see `pseudo_label_quality`.

        Args:
            network: in whatever mode; evaluated in evaluation mode and left as it was.
            device: where it is.
        """
        count = len(self.class_names)
        if isinstance(self.inferer, VolumeInferer):  # probabilities of a whole volume are for the host's memory
            device = "cpu"
        confident, doubtful = torch.zeros(2, count**2, dtype=torch.int64, device=device)
        with evaluating(network), torch.inference_mode():
            for images, truth in self._samples or []:
                probabilities = self.inferer.probabilities(network, images.to(device, torch.float32))
                confidence, pseudo_label = probabilities.max(dim=1, keepdim=True)
                sure = believed(pseudo_label, confidence, self.threshold)
                truth_there = truth.to(device, torch.int64)
                judged = (truth_there >= 0) & (truth_there < count)  # what the truth leaves out, as 255, is of no class
                pairs = count * truth_there + pseudo_label
                confident += torch.bincount(pairs[judged & sure], minlength=count**2)
                doubtful += torch.bincount(pairs[judged & ~sure], minlength=count**2)
        square = (count, count)
        return pseudo_label_quality(confident.view(square).cpu(), doubtful.view(square).cpu(), self.class_names)


def pseudo_label_quality(confident: Tensor, doubtful: Tensor, class_names: Sequence[str]) -> Row:
    """Figures of pseudo-labels from counts of pixels.

    Args:
        confident: ``(C, C)``, how many confident pixels of each true class (rows) have each pseudo-label (columns).
        doubtful: the same of all other pixels.
        class_names: names of the ``C`` classes.

    Returns:
        fractions in [0, 1]: ``coverage``, the share of confident pixels; ``precision``, the share of them whose
        pseudo-label is right; and for each class ``precision_<class>`` (of the confident pixels with this
        pseudo-label), ``recall_<class>`` (the share of the class's true pixels that are confident and right),
        ``share_<class>`` and ``true_share_<class>`` (of all pixels, by pseudo-label and by truth). A ratio without
        anything to divide by is left out.

    Example:
        >>> confident, doubtful = torch.tensor([[6, 1], [0, 1]]), torch.tensor([[0, 0], [2, 0]])
        >>> row = pseudo_label_quality(confident, doubtful, ["background", "vessel"])
        >>> row["coverage"], row["precision"], row["precision_vessel"], row["share_vessel"], row["true_share_vessel"]
        (0.8, 0.875, 0.5, 0.2, 0.3)
    """
    every = confident + doubtful
    pixels, sure, right = every.sum(), confident.sum(), confident.diagonal()
    ratios: dict[str, tuple[Tensor, Tensor]] = {"coverage": (sure, pixels), "precision": (right.sum(), sure)}
    for index, name in enumerate(class_names):
        ratios |= {
            f"precision_{name}": (right[index], confident[:, index].sum()),
            f"recall_{name}": (right[index], every[index].sum()),
            f"share_{name}": (every[:, index].sum(), pixels),
            f"true_share_{name}": (every[index].sum(), pixels),
        }
    return {name: int(part) / int(whole) for name, (part, whole) in ratios.items() if whole > 0}
