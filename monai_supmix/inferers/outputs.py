"""Where the results of many cases go, and what is there already."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_supmix.errors import InputError
from monai_supmix.files import write_json
from monai_supmix.inferers.inputs import InputCase
from monai_supmix.listing import is_text, shorten

DICOM_ENDINGS = {"dicom_seg": ".dcm", "rtstruct": "_rtstruct.dcm"}
"""What the names of DICOM results have after that of the mask, by the option that asks for them."""


def _real(path: Path) -> Path:
    """Where a path leads; unlike `Path.resolve` it leaves a link to itself for the reader to refuse."""
    return Path(os.path.realpath(path))


def check_outputs(cases: Sequence[InputCase], output_dir: Path, maps: Sequence[str] = ()) -> None:
    """Check that results have distinct names of a possible length, lie below the output folder and replace no input.

    Args:
        cases: all cases.
        output_dir: the output folder; it need not exist.
        maps: what the names of further masks of each case have before their ending, such as ``"_prob_lesion"``.

    Raises:
        InputError: where they do not, or the output folder cannot be written.
    """
    remedy = "choose another output_dir, or change its permissions"
    root = _real(output_dir)
    existing = next(folder for folder in (root, *root.parents) if folder.exists())
    if not existing.is_dir():
        raise InputError(output_dir, f"{existing} is a file, not a folder", remedy)
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(output_dir, "cannot be written", remedy)
    _check_names(cases, existing, maps)
    read = {_real(case.path) for case in cases}
    planned: dict[Path, InputCase] = {}
    for case in cases:
        place = _real(case.output(output_dir))
        if not place.is_relative_to(root):
            raise InputError(case.path, f"its result would lie outside {output_dir}", "remove the link in output_dir")
        if place in read:
            raise InputError(case.path, f"its result would replace the input {place.name}", "choose another output_dir")
        other = planned.setdefault(case.output(root, ""), case)  # also two masks that would share one record
        if other is not case:
            problem = f"its result has the same name as that of {other.path}"
            raise InputError(case.path, problem, "rename one of them, or give each its own output_dir")


def among_inputs(cases: Sequence[InputCase], output_dir: Path) -> list[str]:
    """Say that masks get into the folders of their images, where they do.

    Args:
        cases: all cases.
        output_dir: the output folder.

    Example:
        >>> among_inputs([InputCase(Path("scans/a.png"))], Path("scans"))
        ['masks and records (*_seg.*) are written among the images in scans: another output_dir keeps them apart']
        >>> among_inputs([InputCase(Path("scans/a.png"))], Path("masks"))
        []
    """
    if not any(_real(case.output(output_dir).parent) == _real(case.path.parent) for case in cases):
        return []
    note = f"masks and records (*_seg.*) are written among the images in {output_dir}"
    return [f"{note}: another output_dir keeps them apart"]


def _check_names(cases: Sequence[InputCase], folder: Path, maps: Sequence[str]) -> None:
    """Raise `InputError` for a name that is not text, or too long for a file once ``_seg`` and its ending are added."""
    try:
        longest = os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):  # Windows has no such call, and the same limit
        longest = 255
    for case in cases:
        if not is_text(str(case.path)):
            raise InputError(ascii(str(case.path)), "its name is not UTF-8", "rename it")
        mask, stem = case.output(Path()).name, case.output(Path(), "").name
        names = (mask, stem + ".json", *(stem + infix + mask[len(stem) :] for infix in maps))
        if (length := max(len(name.encode()) for name in names)) > longest:
            problem = f"its result's name would have {length} bytes, and {longest} is the most that a file may have"
            raise InputError(case.path, problem, "give it a shorter name")


def is_there(
    case: InputCase,
    output_dir: Path,
    made_with: Mapping[str, Any],
    notes: list[str],
    verify: bool = False,
    maps: Sequence[Path] = (),
) -> bool:
    """Whether the mask of a case is there already, with what belongs to it.

    Its image is recognised by the stamp in the record, see `InputCase.stamp`. Where that differs, because the image was
    copied, say, it is hashed, and the record gets the new stamp.

    Args:
        case: the case.
        output_dir: the output folder.
        made_with: what its record must say, the image aside.
        notes: gets a note about a mask without a record or without its maps.
        verify: hash the image whatever its stamp.
        maps: further masks that it belongs to.

    Raises:
        InputError: it was made differently, or a DICOM result of that name comes from elsewhere.
    """
    mask_path, record_path = case.output(output_dir), case.output(output_dir, ".json")
    if not mask_path.exists():
        for option, ending in DICOM_ENDINGS.items():
            result = case.output(output_dir, ending)
            if option in made_with and result.exists() and not record_path.exists():
                problem = "exists without a record of how it was made"
                raise InputError(result, problem, "move it away, set overwrite to true, or choose another output_dir")
        return False
    if not record_path.exists():
        notes.append(f"{mask_path} exists without a record of how it was made: kept, not predicted")
        return True
    wanted = json.loads(json.dumps(made_with))
    try:
        record = json.loads(record_path.read_text(encoding="utf-8"))
        differing = [key for key, value in wanted.items() if record.get(key) != value]
    except (OSError, ValueError, AttributeError):
        record, differing = {}, ["record unreadable"]
    another = bool(record) and not _is_of(case, record, record_path, verify)
    if another or differing:
        problem = "exists, made from another image" if another else f"exists, made differently ({', '.join(differing)})"
        raise InputError(mask_path, problem, "set overwrite to true, or choose another output_dir")
    if missing := [path.name for path in maps if not path.exists()]:
        notes.append(f"{mask_path} is kept without {shorten(missing)}, which overwrite makes anew with the mask")
    return True


def _is_of(case: InputCase, record: Mapping[str, Any], record_path: Path, verify: bool) -> bool:
    """Whether a record is about the image of a case."""
    stamp = case.stamp()
    if record.get("image_stamp") == stamp and not verify:
        return True
    if record.get("image_sha256") != case.sha256():
        return False
    if record.get("image_stamp") != stamp:
        write_json({**record, "image_stamp": stamp}, record_path)
    return True


def remove_old(case: InputCase, output_dir: Path) -> None:
    """Remove a mask that is replaced, and its DICOM results; those without a record are not ours and stay.

    Args:
        case: the case.
        output_dir: the output folder.
    """
    case.output(output_dir).unlink(missing_ok=True)
    if case.is_dicom and case.output(output_dir, ".json").exists():
        for ending in DICOM_ENDINGS.values():
            case.output(output_dir, ending).unlink(missing_ok=True)
