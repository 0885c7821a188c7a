"""What a folder or list names and nothing uses: counted and reported, everywhere in the same words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath

from monai_supmix.datalists.partly import has_mask
from monai_supmix.errors import InputError
from monai_supmix.listing import ending_of, is_companion, normal_form, shorten, stem_of, visible_files


def told_left_out(names: Iterable[str | PurePath], where: object, why: str) -> list[str]:
    """Say in one line what is left out: how many, with which endings, and the first names.

    Args:
        names: names or paths of the files.
        where: the folder or list that holds them.
        why: why nothing uses them.

    Returns:
        one line, or none if nothing is left out.

    Example:
        >>> told_left_out(["a.ppm", "b.ppm", "notes"], "images", "not a type that is read")
        ['3 files of images are left out (not a type that is read; 2 .ppm, 1 without ending): a.ppm, b.ppm, notes']
    """
    paths = [PurePath(name) for name in names]
    if not paths:
        return []
    counts = Counter(ending_of(path.name) or "without ending" for path in paths)
    endings = ", ".join(f"{count} {ending}" for ending, count in sorted(counts.items(), key=lambda c: (-c[1], c[0])))
    files = "1 file of {} is" if len(paths) == 1 else f"{len(paths)} files of {{}} are"
    return [f"{files.format(where)} left out ({why}; {endings}): {shorten([path.name for path in paths])}"]


def left_out_of(folder: Path, endings: Sequence[str]) -> list[str]:
    """Tell of the files of a folder that a layout does not look at: other types, and what lies in sub-folders.

    Args:
        folder: a folder of images or labels; a missing one holds nothing.
        endings: the endings that are read there, with their dot.

    Returns:
        a line for each reason.
    """
    here = [path for path in _unread(folder, endings) if not (folder.name.startswith("labels") and has_mask(path))]
    below = [
        path
        for path in sorted(folder.rglob("*"))
        if path.parent != folder
        and _is_read(path, endings)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    return [
        *told_left_out(here, folder.name, "not a type that is read"),
        *told_left_out(below, folder.name, f"in sub-folders: to use them, put them into {folder.name} itself"),
    ]


def named_like_masks(names: Iterable[str]) -> list[str]:
    """Names of what `predict` and annotation programs write beside an image, among those of files without ending.

    Example:
        >>> named_like_masks(["a", "a_seg", "a_seg_prob_vessel", "b_seg"])  # b_seg may be an image: there is no b
        ['a_seg', 'a_seg_prob_vessel']
    """
    known = dict.fromkeys(names)
    of_mask = re.compile(r"(.+)_seg(_prob_.+|_rtstruct)?")
    return [name for name in known if (match := of_mask.fullmatch(name)) and match[1] in known]


def refuse_unread_labels(folder: Path, endings: Sequence[str], cases: Mapping[str, object]) -> None:
    """Raise `InputError` for a label file of a type that is not read: its case would pass for an unlabelled one.

    Args:
        folder: a folder of labels.
        endings: the endings that are read there, with their dot.
        cases: by name, the cases that have an image.
    """
    unread = [
        path for path in _unread(folder, endings) if normal_form(stem_of(path.name)) in cases and not has_mask(path)
    ]
    if unread:
        why = "are of a type that is not read" if len(endings) > 1 else f"do not end in {endings[0]} as the others"
        problem = f"{len(unread)} label files of images {why}: {shorten([path.name for path in unread])}"
        wanted = endings[0] if len(endings) == 1 else ".nii.gz or .png"
        raise InputError(folder, problem, f"convert them, for example to {wanted}")


def _unread(folder: Path, endings: Sequence[str]) -> list[Path]:
    return [path for path in visible_files(folder) if not _is_read(path, endings) and not is_companion(path)]


def _is_read(path: Path, endings: Sequence[str]) -> bool:
    return path.name.lower().endswith(tuple(endings))
