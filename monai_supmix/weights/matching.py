"""Weights and a network matched by the names of their tensors, whatever wrappers stand in front of these."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from monai_supmix.errors import InputError
from monai_supmix.listing import shorten

PREFIXES = ("module", "model", "network", "encoder", "_orig_mod")
"""What wrappers (of distributed training, Lightning, compilation, this package) put in front of names."""


def unwrap(network: nn.Module) -> nn.Module:
    """Take off the wrappers of distributed training and compilation, which change the names of the tensors.

    Args:
        network: a module.

    Returns:
        the module inside.

    Example:
        >>> network = nn.Linear(2, 1)
        >>> unwrap(nn.DataParallel(network)) is network
        True
    """
    while True:
        if isinstance(network, (nn.parallel.DistributedDataParallel, nn.DataParallel)):
            network = network.module
        elif isinstance(inner := getattr(network, "_orig_mod", None), nn.Module):
            network = inner
        else:
            return network


@dataclass(frozen=True)
class Match:
    """How weights fit a network.

    Args:
        tensors: what fits, by the network's names.
        missing: tensors of the network that the weights lack.
        unexpected: tensors of the weights that the network lacks.
        other_shape: name, shape in the weights and shape in the network of those that both have.
        renamed: how names of the weights became names of the network, in words; empty where they agree.
    """

    tensors: Mapping[str, torch.Tensor]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    other_shape: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    renamed: str = ""


def match_names(theirs: Mapping[str, torch.Tensor], ours: Mapping[str, torch.Tensor]) -> Match:
    """Match weights with a network by name, with those prefixes taken off or put in front that fit most tensors.

    One prefix is exchanged for another in all names that have it; of `PREFIXES` any number may follow each other.

    Args:
        theirs: the weights.
        ours: the network's state dictionary.

    Returns:
        what fits, under the network's names, and what does not.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 1))
        >>> theirs = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
        >>> match = match_names(theirs, network.state_dict())
        >>> sorted(match.tensors), match.renamed
        (['0.bias', '0.weight'], "'module.' taken off")
    """

    def count(renamed: Mapping[str, torch.Tensor]) -> int:
        return sum(name in ours and tensor.shape == ours[name].shape for name, tensor in renamed.items())

    # Of equally good ones the first: the names as they are, else the shortest prefixes.
    best, words, most = dict(theirs), "", count(theirs)
    for old, new in sorted(
        ((old, new) for old in _prefixes(theirs) for new in _prefixes(ours) if old != new),
        key=lambda pair: (len(pair[0]) + len(pair[1]), pair),
    ):
        if most == len(ours):
            break
        renamed = {new + n.removeprefix(old) if n.startswith(old) else n: t for n, t in theirs.items()}
        if len(renamed) == len(theirs) and (number := count(renamed)) > most:
            best, most = renamed, number
            words = " and ".join([f"'{old}' taken off"] * bool(old) + [f"'{new}' put in front"] * bool(new))
    shapes = [(name, tuple(best[name].shape), tuple(ours[name].shape)) for name in ours if name in best]
    return Match(
        tensors={name: best[name] for name, their, our in shapes if their == our},
        missing=tuple(sorted(ours.keys() - best.keys())),
        unexpected=tuple(sorted(best.keys() - ours.keys())),
        other_shape=tuple(shape for shape in shapes if shape[1] != shape[2]),
        renamed=words,
    )


def _prefixes(names: Mapping[str, Any]) -> set[str]:
    """All beginnings of the names that consist of known prefixes, and none at all."""

    def of(name: str) -> Iterator[str]:
        start = 0
        while (end := name.find(".", start)) >= 0 and name[start:end] in PREFIXES:
            start = end + 1
            yield name[:start]

    return {"", *(prefix for name in names for prefix in of(name))}


def load_into(network: nn.Module, state_dict: Mapping[str, torch.Tensor], path: str | os.PathLike[str]) -> None:
    """Load weights into a network as a whole, or say in what the two differ.

    Args:
        network: the network, also wrapped; it is left as it is when the weights do not fit.
        state_dict: the weights; prefixes of their names may differ, see `match_names`.
        path: where they come from, for the message.

    Raises:
        InputError: when the weights belong to another number of classes, of image channels, or to another
            network.

    Example:
        >>> network, other = nn.Sequential(nn.Conv2d(1, 2, 1)), nn.Sequential(nn.Conv2d(1, 3, 1))
        >>> load_into(network, nn.Sequential(nn.Conv2d(1, 2, 1)).state_dict(), "model.pt")
        >>> load_into(network, other.state_dict(), "other.pt")
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: other.pt: was trained with 3 classes, this network has 2: ...
    """
    network = unwrap(network)
    match = match_names(state_dict, network.state_dict())
    problem = _misfit(match, _pixels(network))
    if problem:
        raise InputError(
            path, problem, "use weights trained with this network, or the preset that these were trained with"
        )
    network.load_state_dict(dict(match.tensors))


def load_matching(network: nn.Module, state_dict: Mapping[str, torch.Tensor], path: str | os.PathLike[str]) -> str:
    """Load those weights into a network that fit it, as to fine-tune them; the rest of the network stays as it is.

    Args:
        network: the network, also wrapped; it is left as it is when nothing fits.
        state_dict: the weights; prefixes of their names may differ, see `match_names`.
        path: where they come from, for the message.

    Returns:
        one line: what was loaded, and which tensors are missing, unexpected or of another shape.

    Raises:
        InputError: when none of the network's kernels is among them. Vectors alone (biases, norms) fit by accident
            wherever two networks are as wide as each other.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 1))
        >>> print(load_matching(network, nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 3, 1)).state_dict(), "w.pt"))
        2 of 4 tensors loaded (80 % of the values); 2 of another shape, left new: 1.bias (3 for 2), 1.weight \
    (3x4x1x1 for 2x4x1x1); the output layer is new, for 2 classes instead of 3
    """
    network = unwrap(network)
    ours = network.state_dict()
    match = match_names(state_dict, ours)
    if not any(tensor.ndim > 1 for tensor in match.tensors.values()):
        problem = f"has nothing for this network: no kernel fits; tensors: {_counts(match)}"
        raise InputError(path, problem, "use weights of the same network, or of its encoder")
    network.load_state_dict(dict(match.tensors), strict=False)
    loaded, whole = (sum(tensor.numel() for tensor in side.values()) for side in (match.tensors, ours))
    share = f"{len(match.tensors)} of {len(ours)} tensors loaded ({100 * loaded // whole} % of the values"
    lines = [share + (f"; names with {match.renamed})" if match.renamed else ")"), *_differences(match)]
    if len({name.rpartition(".")[0] for name, *_ in match.other_shape}) == 1:
        axis, their, our = _what_differs(match.other_shape, _pixels(network)) or (None, 0, 0)
        if axis == 0:
            lines.append(f"the output layer is new, for {our} classes instead of {their}")
    return "; ".join(lines)


def _differences(match: Match) -> list[str]:
    """The tensors that do not fit, a sentence for each reason."""

    def size(shape: tuple[int, ...]) -> str:
        return "x".join(map(str, shape)) or "1"

    other = [f"{name} ({size(their)} for {size(our)})" for name, their, our in sorted(match.other_shape)]
    groups = (
        (match.missing, "missing, left new"),
        (match.unexpected, "unexpected, left out"),
        (other, "of another shape, left new"),
    )
    return [f"{len(names)} {what}: {shorten(names, 3)}" for names, what in groups if names]


def _pixels(network: nn.Module) -> int:
    """How many pixels one element of the output stands for.

    A network that works on blocks of pixels has the classes and channels of a whole block in its tensors.
    """
    return int(getattr(network, "patch_size", 1)) ** int(getattr(network, "spatial_dims", 2))


def _what_differs(
    other: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...], pixels: int
) -> tuple[int, int, int] | None:
    """Whether tensors of another shape are those of the head or of the first layer: axis, their size, our size."""
    for axis in (0, 1):
        sizes = {(their[axis : axis + 1], our[axis : axis + 1]) for _, their, our in other}
        rests_agree = all(t[:axis] + t[axis + 1 :] == o[:axis] + o[axis + 1 :] for _, t, o in other)
        if len(sizes) == 1 and rests_agree:
            ((their_size,), (our_size,)) = sizes.pop()
            return axis, their_size // pixels, our_size // pixels
    return None


def _misfit(match: Match, pixels: int) -> str | None:
    if match.other_shape and not (match.unexpected or match.missing):
        # Only the head differs in the number of its outputs, or the first layer in that of its inputs.
        axis, their, our = _what_differs(match.other_shape, pixels) or (None, 0, 0)
        if axis == 0:
            return f"was trained with {their} classes, this network has {our}"
        if axis == 1:
            return f"was trained on images of {their} channels, this network takes {our}"
    counts = _counts(match)
    return f"holds the weights of another network, tensors: {counts}" if counts else None


def _counts(match: Match) -> str:
    """How many tensors do not fit, and one of each kind."""
    shapes = [name for name, *_ in match.other_shape]
    groups = ((match.unexpected, "unknown here"), (match.missing, "missing"), (shapes, "of another shape"))
    return ", ".join(f"{len(names)} {what} (such as '{names[0]}')" for names, what in groups if names)
