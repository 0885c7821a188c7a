"""What one iteration offers to a user-defined loss term."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Number
from typing import NamedTuple

import numpy as np
from torch import Tensor, nn

from monai_supmix.errors import InputError
from monai_supmix.transforms import Blended, Mixed
from monai_supmix.weights import unwrap


class Maps(NamedTuple):
    """The same thing of each group of images in a step.

    Attributes:
        labeled: of the labelled images, ``(B_l, channels, *spatial)``.
        weak: of the weak views of the unlabelled images, ``(B_u, channels, *spatial)``; None during the burn-in, and
            for logits and features also where a teacher makes their forward superfluous.
        strong: of each strong view, ``(B_u, channels, *spatial)``; empty where there are none.
    """

    labeled: Tensor
    weak: Tensor | None
    strong: tuple[Tensor, ...]

    @classmethod
    def of(cls, first: Tensor, second: Tensor, num_labeled: int, num_weak: int, strong: list[int]) -> Maps:
        """Cut what the two forwards of an iteration gave into groups, in float32.

        Args:
            first: of labelled images, weak views, and whatever comes behind them.
            second: of the strong views, and whatever comes behind them.
            num_labeled: number of labelled images.
            num_weak: number of weak views.
            strong: number of images in each strong view.

        Example:
            >>> import torch
            >>> first, second = torch.zeros(4, 2, 8, 8), torch.zeros(6, 2, 8, 8)
            >>> maps = Maps.of(first, second, num_labeled=1, num_weak=3, strong=[3, 3])
            >>> len(maps.labeled), len(maps.weak), [len(view) for view in maps.strong]
            (1, 3, [3, 3])
        """
        labeled, weak = first[: num_labeled + num_weak].float().split([num_labeled, num_weak])
        return cls(labeled, weak if num_weak else None, second[: sum(strong)].float().split(strong) if strong else ())


class Step(NamedTuple):
    """One iteration, as the terms in ``extra_terms`` of a trainer see it.

    Attributes:
        iteration: counted from 1.
        images: in [0, 1], as the network saw them.
        logits: the network's outputs for them, float32, with gradients.
        features: outputs of the module that ``extra_features`` of the trainer names, with gradients; None without it.
        label: ground truth of the labelled images, ``(B_l, 1, *spatial)``.
        pseudo_label: arg max of the weak view ``(B_u, 1, *spatial)``; None during the burn-in.
        confidence: its probability ``(B_u, 1, *spatial)`` in [0, 1]; None during the burn-in.
        views: the strong views with their mixed targets and masks.
        labelled_classes: bool ``(B_l, C)``, the classes that were labelled in each labelled image; None where all were.

    Example:
        >>> import torch
        >>> def certain(step):  # an extra term: low entropy of the labelled images' maps
        ...     probability = step.logits.labeled.softmax(dim=1)
        ...     return {"entropy": (0.1, torch.special.entr(probability).sum(dim=1).mean())}
        >>> images, logits = (Maps(torch.zeros(1, channels, 8, 8), None, ()) for channels in (1, 2))
        >>> label = torch.zeros(1, 1, 8, 8, dtype=torch.long)
        >>> step = Step(1, images, logits, None, label, pseudo_label=None, confidence=None, views=())
        >>> certain(step)["entropy"]
        (0.1, tensor(0.6931))
    """

    iteration: int
    images: Maps
    logits: Maps
    features: Maps | None
    label: Tensor
    pseudo_label: Tensor | None
    confidence: Tensor | None
    views: tuple[Mixed | Blended, ...]
    labelled_classes: Tensor | None = None


OWN_NAMES = ("supervised", "inward", "feature_dropout", "generator", "discriminator", "total")

ExtraTerm = Callable[[Step], Mapping[str, tuple[float, Tensor]]]
"""A user-defined loss term: the step in, ``{name: (weight, scalar)}`` out; empty where it has nothing to say."""


def tap(network: nn.Module, name: str, message: str) -> Callable[[Tensor], Tensor]:
    """Keep the latest output of a named module, to look at beside or instead of the logits.

    Args:
        network: the network, perhaps wrapped.
        name: dotted name of the module, which returns one tensor.
        message: what the name should have been, for the error.

    Returns:
        a function of the logits that returns the module's output of the same forward; it raises `InputError` where the
        network holds the module but never calls it.

    Raises:
        ValueError: when the network has no such module.

    Example:
        >>> import torch
        >>> network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 2, 1))
        >>> features = tap(network, "0", "features is the name of a module")
        >>> features(network(torch.zeros(3, 1, 8, 8))).shape
        torch.Size([3, 4, 8, 8])
    """
    modules = dict(unwrap(network).named_modules())
    if not name or name not in modules:
        raise ValueError(f"{message}, not {name!r}.")
    latest: list[Tensor] = []
    modules[name].register_forward_hook(lambda _module, _inputs, result: latest.__setitem__(slice(None), [result]))

    def output(_logits: Tensor) -> Tensor:
        if not latest:
            argument = message.partition(" ")[0]
            problem = f"names {name!r}, a part of the network that is never called itself"
            raise InputError(argument, problem, "name a module inside it")
        return latest[0]

    return output


def uses_unlabeled(term: ExtraTerm) -> bool:
    """Whether a term looks at the weak views: yes, unless its attribute ``uses_unlabeled`` is false."""
    return bool(getattr(term, "uses_unlabeled", True))


def evaluate(terms: Iterable[ExtraTerm], step: Step) -> dict[str, tuple[float, Tensor]]:
    """Compute all extra terms.

    Args:
        terms: the terms.
        step: what they see.

    Returns:
        weight and loss by name.

    Raises:
        InputError: two losses have one name, or one that the trainer or its curves use, or a name is of other
            characters than letters, digits, ``_``, ``-`` and ``.``, which curves may have; or a term returns something
            else than losses with their weights.
    """
    result: dict[str, tuple[float, Tensor]] = {}
    for term in terms:
        losses = term(step)
        if not isinstance(losses, Mapping):
            problem = f"one returns a {type(losses).__name__}"
            raise InputError("extra_terms", problem, "return a dictionary, {name: (weight, loss)}")
        for name, weighted in losses.items():
            if not _is_weighted(weighted):
                raise InputError(
                    "extra_terms", f"{name!r} is no weight with a loss", "return (weight, loss), a scalar tensor"
                )
            if not (isinstance(name, str) and re.fullmatch(r"[\w.-]+", name)):
                raise InputError("extra_terms", f"a loss is called {name!r}", "use letters, digits, '_', '-' and '.'")
            if name in result or name in OWN_NAMES or name.startswith("strong_"):
                raise InputError("extra_terms", f"two losses are called {name!r}", "give one of them another name")
            result[name] = weighted
    return result


def _is_weighted(value: object) -> bool:
    """Whether it is a weight and a loss."""
    if not (isinstance(value, Sequence) and len(value) == 2):
        return False
    weight, loss = value
    is_number = isinstance(weight, Number) or (isinstance(weight, (Tensor, np.ndarray)) and np.size(weight) == 1)
    return is_number and isinstance(loss, Tensor) and loss.numel() == 1
