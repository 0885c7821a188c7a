"""Made-up trainings and evaluations to report on."""

import math

import numpy as np

from monai_supmix.datalists.datalist import Datalist
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.metrics import CaseMeasures, summarize
from monai_supmix.metrics.dataset import measure_case
from monai_supmix.report import CaseGallery, training_record

NAMES = ["background", "ground_glass", "consolidation", "pleural_effusion"]
DATALIST = Datalist(
    labeled=[{"image": "/secret/Anna_Meier/1.nii.gz", "label": "x", "case": "ct 1", "group": "Anna Meier"}],
    unlabeled=[{"image": "2.nii.gz", "case": f"ct {n}", "group": f"p{n // 2}"} for n in range(2, 8)],
    validation=[],
    test=[{"image": "9.nii.gz", "label": "y", "case": "ct <9>", "group": "Bo Li"}],
    class_names=NAMES,
    notes=["patients are unknown: each image is its own group"],
)
SETTINGS = {
    "seed": 7,
    "mixing": {"_target_": "monai_supmix.transforms.SupMix", "prob": 0.5, "num_classes": "@num_classes"},
    "strong_augmentation": {"_target_": "a.BatchCompose", "transforms": [{"_target_": "a.RandGamma", "prob": 0.5}]},
    "network": "$bundle.distribute(@network_def, @device)",
    "feature_dropout": True,
    "run": ["$@training.run()"],
    "test_list": "/secret/Anna_Meier/list.txt",
}


def rows(count=60):
    """A course of training that looks like one, with a gap where the loss was not finite."""
    return [
        {
            "iteration": 10 * n,
            "epoch": n,
            "learning_rate": 0.003 * (1 - n / (count + 1)) ** 0.9,
            "loss": 0.3 + math.exp(-n / 15) + 0.03 * math.sin(5 * n) if n != 20 else math.nan,
            "loss_supervised": 0.4 + math.exp(-n / 12),
            "loss_strong_1": 0.2 + 0.05 * math.sin(n / 2),
            "loss_strong_2": 0.18 + 0.05 * math.cos(n / 3),
            "loss_feature_dropout": 0.1 + 0.02 * math.sin(n),
            "loss_generator": 0.7 + 0.1 * math.sin(n / 4),
            "loss_discriminator": 0.55 + 0.1 * math.cos(n / 5),
            "loss_of_somebody": 0.5,
            "confidence_coverage": 1 - math.exp(-n / 10),
            "pseudo_label_share_0": 0.9,
            "pseudo_label_share_1": 0.06,
            "pseudo_label_share_2": 0.03 + 0.01 * math.sin(n / 6),
            "pseudo_label_share_3": 0.01,
            "discriminator_accuracy": 0.6 + 0.1 * math.sin(n / 7),
        }
        for n in range(1, count + 1)
    ]


def looks(count=6):
    """What a monitor of pseudo-labels tells; no pixel was taken for effusion at first."""
    return [
        {
            "iteration": 100 * n,
            "coverage": 1 - math.exp(-n / 2),
            "precision": 1 - 0.2 / n,
            **{f"share_{name}": share for name, share in zip(NAMES, (0.9, 0.06, 0.04, 0.0), strict=True)},
            **{f"true_share_{name}": share for name, share in zip(NAMES, (0.88, 0.07, 0.04, 0.01), strict=True)},
            **{f"precision_{name}": 1 - 0.3 * (k + 1) / n for k, name in enumerate(NAMES[:3])},
            **{f"recall_{name}": 0.9 - 0.4 * (k + 1) / n for k, name in enumerate(NAMES[:2])},
            **({"precision_pleural_effusion": 0.5} if n > 3 else {}),
        }
        for n in range(2, count + 2)
    ]


def history(**changes):
    """What a training leaves."""
    arguments = {
        "method": "supmix_sufd",
        "settings": SETTINGS,
        "datalist": DATALIST,
        "class_names": NAMES,
        "versions": {"monai_supmix": "0.1", "torch": "2.8"},
        "total_iterations": 600,
        "burn_in": 420,
        "rows": rows(),
        "validation_rows": [
            {"iteration": 10 * n, "mean_iou": 0.6 - 1 / n, "iou_background": 0.9} for n in range(2, 60, 6)
        ],
        "pseudo_label_rows": looks(),
        "command": [
            "python",
            "-m",
            "monai.bundle",
            "run",
            "--config_file",
            "['train.json','presets/paper.json']",
        ],
    }
    return training_record(**(arguments | changes))


class Unit:
    """Intensities that run from 0 to 1 already."""

    def fit(self, array):
        return None

    def apply(self, part, params):
        return part.astype(np.float32)


def blob(shape, centre, radius):
    grid = np.indices(shape).astype(float)
    distance = sum(((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radius, strict=True))
    return distance < 1


def volume_case(number, size=(200, 160, 40), noise=0.05):
    """A noisy volume with three lesions, the prediction further off for higher numbers."""
    random = np.random.default_rng(number)
    x, y, z = size
    array = 0.5 * blob(size, (x / 2, y / 2, z / 2), (x / 2.2, y / 2.2, z)).astype(np.float32)
    truth, prediction = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    for value, centre in ((1, (0.3, 0.4)), (2, (0.6, 0.6)), (3, (0.45, 0.75))):
        middle = np.array([centre[0] * x, centre[1] * y, z / 2])
        radius = (x / 9, y / 10, z / 3)
        truth[blob(size, middle, radius)] = value
        prediction[blob(size, middle + np.array([number * x / 60, 0, number]), radius)] = value
    array[truth > 0] += 0.12 * truth[truth > 0]
    array += random.normal(0, noise, size).astype(np.float32)
    affine = np.diag([-0.8, -0.8, 4.0, 1.0])
    return CaseImage.from_array(array.clip(0, 1), affine), truth, prediction


def picture_case(number, size=(300, 320), classes=2):
    """A picture with crossing lines, fewer of them found for higher numbers (up to 9)."""
    random = np.random.default_rng(number)
    truth = np.zeros(size, np.uint8)
    truth[:: size[0] // 6] = 1
    truth[:, 20 :: size[1] // 5] = classes - 1
    prediction = truth.copy()
    prediction[size[0] * (10 - number) // 10 :] = 0
    prediction[:, 7] = 1
    array = random.random((3, *size)).astype(np.float32) * 0.4 + 0.4 * (truth > 0)
    return CaseImage.from_array(array), truth, prediction


def evaluation(cases, names=NAMES, spacing=None, **extra):
    """Summary, measures and gallery of cases by name."""
    gallery = CaseGallery(names, lambda image: Unit())
    measures: dict[str, CaseMeasures] = {}
    for case, (image, truth, prediction) in cases.items():
        gallery.add(case, image, truth, prediction)
        measures[case] = measure_case(prediction, truth, len(names), image.spacing)
    told = {
        "checkpoint": "/secret/Anna_Meier/model.pt",
        "checkpoint_sha256": "0" * 64,
        "num_groups": min(5, len(cases)),
        "settings": {"tta": False, "test_list": "/secret/Anna_Meier/list.txt"},
        "notes": ["patients are unknown: each image is its own group"],
        "versions": {"monai_supmix": "0.1"},
    }
    return summarize(measures, names, **(told | extra)), measures, gallery
