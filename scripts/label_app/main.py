"""The app of a MONAI Label server for a bundle of this package: what it trains is what it then predicts with.

MONAI Label's own app for bundles also works, but asks the internet for the model zoo first, and leaves a training in
``./output``, where it has no effect on the next mask: a bundle of this package never writes into itself.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from monailabel.interfaces.app import MONAILabelApp
from monailabel.tasks.activelearning.first import First
from monailabel.tasks.activelearning.random import Random
from monailabel.tasks.infer.bundle import BundleInferTask
from monailabel.tasks.train.bundle import BundleTrainTask

import monai_supmix
from monai_supmix.config.find import find_bundle
from monai_supmix.errors import InputError
from monai_supmix.weights import install_weights
from monai_supmix.weights.places import bundle_classes


class Inference(BundleInferTask):
    """Masks by the bundle's own weights, the newest ones."""

    def _load_bundle_config(self, path: str, config: str) -> Any:
        parser = super()._load_bundle_config(path, config)
        parser["run_dir"] = None  # not ./output of the folder where the server was started
        return parser

    def pre_transforms(self, data: Any = None) -> Any:
        """Begin a request anew: a training may have replaced the weights and the settings stored with them."""
        self.bundle_config.parse()
        return super().pre_transforms(data)


class Training(BundleTrainTask):
    """Trains on the labelled studies, with the others as the pool; then the bundle has the new weights."""

    def __init__(self, path: str, conf: dict[str, str], runs: Path) -> None:
        super().__init__(path, conf)
        self.runs = runs
        self.begins_with: str | None = None

    def __call__(self, request: dict[str, Any], datastore: Any) -> dict[str, Any]:
        """Train, and install what was learnt; a training that was stopped changes nothing."""
        self.output_dir = self.runs / time.strftime("%Y-%m-%d_%H-%M-%S")
        result = super().__call__(request, datastore)
        install_weights(self.output_dir / "model.pt", self.bundle_path)
        return {**result, "output_dir": str(self.output_dir)}

    def _load_checkpoint(self, model_pytorch: str, pretrained: bool, train_handlers: Any) -> None:
        """Trained weights are loaded by the bundle, which reports what of them fits."""
        self.begins_with = model_pytorch if pretrained and Path(model_pytorch).exists() else None

    def _update_overrides(self, overrides: dict[str, Any]) -> dict[str, Any]:
        overrides |= {"output_dir": str(self.output_dir), "ckpt_path": self.begins_with}
        return overrides

    def _fetch_datalist(self, request: dict[str, Any], datastore: Any) -> Any:
        for study in datastore.get_labeled_images():
            self._check_order(study, datastore.get_label_info(study, "final"))
        return super()._fetch_datalist(request, datastore)

    def _check_order(self, study: str, info: dict[str, Any]) -> None:
        """Viewers number the segments by their place: without one of them the others would be other classes."""
        classes = [name.lower() for name in bundle_classes(Path(self.bundle_metadata_path))[1:]]
        segments = [segment["name"].lower() for segment in info.get("label_info", ())]
        if segments and segments != classes:
            problem = f"was submitted with the segments {', '.join(segments)}, and the classes are {', '.join(classes)}"
            raise InputError(study, problem, "submit it again with all of them in this order, empty ones too")


class SupMixApp(MONAILabelApp):
    """Serves the bundles in the app's folder ``model``, or those that ``--conf models A,B`` names."""

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        home = Path(app_dir, "model")
        names = [name.strip() for name in conf.get("models", "").split(",") if name.strip()]
        folders = [home / name for name in names] if names else sorted(path for path in home.iterdir() if path.is_dir())
        self.bundles = {folder.name: str(find_bundle(folder)) for folder in folders}
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name="MONAI-SupMix",
            description="Semi-supervised segmentation: a few labelled studies, the others as the pool",
            version=monai_supmix.__version__,
        )

    def init_infers(self) -> dict[str, Inference]:
        """Inference with each bundle."""
        return {name: Inference(bundle, self.conf) for name, bundle in self.bundles.items()}

    def init_trainers(self) -> dict[str, Training]:
        """Trainings of each bundle, below the app's folder ``trainings``."""
        runs = Path(self.app_dir, "trainings")
        return {name: Training(bundle, self.conf, runs / name) for name, bundle in self.bundles.items()}

    def init_strategies(self) -> dict[str, Any]:
        """Which study comes next."""
        return {"random": Random(), "first": First()}
