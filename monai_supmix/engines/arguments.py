"""What the trainer refuses: arguments that contradict each other, or mean nothing."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor, nn

from monai_supmix.errors import InputError
from monai_supmix.losses import ConsistencyLoss
from monai_supmix.networks import HookedNetwork
from monai_supmix.transforms import RegionMix
from monai_supmix.transforms.region_mix import INTEGERS
from monai_supmix.weights import unwrap


def check_adversary(discriminator: nn.Module | None, optimizer: torch.optim.Optimizer | None) -> None:
    """Raise `ValueError` unless a discriminator comes with its optimizer, or neither is given."""
    if (discriminator is None) != (optimizer is None):
        raise ValueError("a discriminator and its optimizer are given together or not at all.")


def check_teacher(teacher: nn.Module | None, momentum: float | None, save: str) -> None:
    """Raise `ValueError` for two teachers, or where one is to be saved and there is none."""
    if teacher is not None and momentum is not None:
        raise ValueError("a teacher is given, or teacher_momentum makes one: not both.")
    if save not in ("student", "teacher"):
        raise ValueError(f"save is 'student' or 'teacher', not {save!r}.")
    if save == "teacher" and teacher is None and momentum is None:
        raise ValueError("save is 'teacher', and there is none: give a teacher_momentum, such as 0.99.")


def check_pasting(**given: RegionMix | None) -> None:
    """Raise `ValueError` for a mixing, by the name of its argument, that pastes no region."""
    for name, pasting in given.items():
        if not (pasting is None or isinstance(pasting, RegionMix)):
            raise ValueError(f"{name} pastes a region: it is a RegionMix, such as CutMix, not {pasting!r}.")


def check_consistency_loss(loss: ConsistencyLoss, inward: RegionMix | None) -> None:
    """Raise `ValueError` for a consistency loss that lacks what the trainer asks of it after the burn-in."""
    wanted = ["threshold", "ignore_index", *(["believed"] if inward is not None else [])]
    if missing := [name for name in wanted if not hasattr(loss, name)]:
        kind, lacks = type(loss).__name__, " and ".join(missing)
        called = "loss(logits, pseudo_label, confidence)"
        raise ValueError(f"consistency_loss is called as {called} and has {lacks}, as ConsistencyLoss has; {kind} not.")


def check_loader(loader: object) -> None:
    """Raise `ValueError` for a loader that is no `monai_supmix.data.PairedLoader`, or does not do what one does."""
    if not (callable(getattr(loader, "rewind", None)) and hasattr(loader, "__len__")):
        kind = type(loader).__name__
        raise ValueError(f"train_data_loader is a PairedLoader of both streams, see paired_loader, not a {kind}.")


def integer_label(label: Tensor) -> Tensor:
    """A truth of integers that every part of a step takes.

    Raises:
        InputError: it is of floating-point numbers, as MONAI's readers give it: resampling may have made fractions.
    """
    if label.is_floating_point() or label.is_complex():
        cast = "cast it, for example by EnsureTyped(dtype=torch.uint8), after resampling by nearest neighbour"
        raise InputError("label", f"is of {label.dtype}, and classes are integers", cast)
    return label if label.dtype in INTEGERS else label.long()


def check_burn_in(share: float) -> None:
    """Raise `ValueError` unless a burn-in leaves some of the training."""
    if not 0 <= share < 1:
        raise ValueError(f"burn_in is a share of the training in [0, 1), not {share}.")


def check_feature_dropout(network: nn.Module, wanted: bool) -> None:
    """Raise `InputError` where features are to be dropped, and the network cannot, or not yet knows which.

    The first step with unlabelled images may come late, after a burn-in.
    """
    if not wanted:
        return
    bare = unwrap(network)
    taken = inspect.signature(bare.forward).parameters
    if "num_dropped" not in taken and all(each.kind is not each.VAR_KEYWORD for each in taken.values()):
        wrap = "wrap it in a HookedNetwork that names modules to drop, or train with feature_dropout false"
        raise InputError("network_def", f"is a {type(bare).__name__}, which has no feature dropout", wrap)
    if isinstance(bare, HookedNetwork) and not bare.dropout_modules:
        choose = (
            "name modules of the network, such as its first and its deepest level, or train with feature_dropout false"
        )
        raise InputError(
            "network_def#dropout_modules", "is empty, and feature dropout needs to know what to drop", choose
        )
