"""What became of each case of a cohort: a record for each process, and one table of all."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from monai_supmix.errors import InputError
from monai_supmix.files import atomic_write, write_json
from monai_supmix.inferers.claims import Claims, is_alive
from monai_supmix.inferers.cohort import FOLDER, Cohort, members, visiting
from monai_supmix.inferers.confidence import least_sure
from monai_supmix.inferers.inputs import InputCase
from monai_supmix.inferers.progress import alike
from monai_supmix.listing import read_json, stem_of

COLUMNS = ("case", "mask", "status", "confidence", "least_sure", "predicted_dice", "look", "warnings", "problem")
SUMMARY, TABLE, OTHER_TABLE = "summary.json", "cases.csv", "predicted_cases.csv"
_COLLECTED = "collected.json"
_SURE = COLUMNS[3:7]
_VOLUMES = "volumes_ml"  # of a row: millilitres by class, each a column after these
_MOST = 10  # cases to look at first
# Hidden files of results that a killed process was writing: see `atomic_write`, probability maps, and claims.
_LEFT = re.compile(r"\..*(_seg[^/]*|\.nii\.gz|\.png)\.[0-9a-f]{12}\.(tmp|prob)|\..*\.claim\d*(\.[0-9a-f]{12}\.new)?")


class CaseRecords:
    """Writes down what became of each case as soon as it is known, in a file of this process.

    Args:
        output_dir: the folder with the masks.
    """

    def __init__(self, output_dir: Path) -> None:
        self._output_dir = output_dir
        self._rows: list[dict[str, Any]] = []
        self._file: IO[str] | None = None

    @contextlib.contextmanager
    def kept(self, cohort: Cohort, cases: Sequence[InputCase]) -> Iterator[None]:
        """Write to a file from now on, also what is known already.

        Args:
            cohort: the process among others, which has been entered.
            cases: all cases of the cohort, also those of other processes; without any nothing is written.

        Raises:
            InputError: the folder cannot be written.
        """
        if not cases:
            yield
            return
        planned = {"settings": cohort.settings, "cases": [self._row(case, "open", time=0) for case in cases]}
        name = hashlib.sha256(json.dumps(planned).encode()).hexdigest()[:16]
        if not (cohort.folder / f"planned-{name}.json").exists():
            write_json(planned, cohort.folder / f"planned-{name}.json")
        with cohort.place.with_suffix(".jsonl").open("a", encoding="utf-8") as self._file:
            for row in self._rows:
                self._put(row)
            yield
        self._file = None

    def write(self, case: InputCase, status: str, **more: Any) -> None:
        """Write down a case.

        Args:
            case: the case.
            status: ``"done"`` or ``"failed"``.
            more: its ``warnings``, what `least_sure` gave and ``volumes_ml``, or its ``problem``.
        """
        row = self._row(case, status, time=time.time_ns(), **more)
        if self._file is None:
            self._rows.append(row)
        else:
            self._put(row)

    def _put(self, row: Mapping[str, Any]) -> None:
        assert self._file is not None
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def _row(self, case: InputCase, status: str, **more: Any) -> dict[str, Any]:
        mask = case.output(self._output_dir).relative_to(self._output_dir).as_posix()
        return {"case": case.name, "mask": mask, "status": status, **more}


def has_records(output_dir: Path) -> bool:
    """Whether something is known of the cases that were predicted into a folder.

    Example:
        >>> has_records(Path("nowhere"))
        False
    """
    return any((output_dir / FOLDER).glob("*.json*"))


def collect(output_dir: str | os.PathLike[str]) -> dict[str, Any]:
    """Bring the records of all processes together and write ``summary.json`` and ``cases.csv``.

    A case counts as done where its mask is there. Of what several processes say about a case the latest holds. May be
    called at any time and as often as wanted, also while others work.

    Args:
        output_dir: the folder with the masks. Where it has a ``cases.csv`` of an evaluation, the table is called
            ``predicted_cases.csv``.

    Returns:
        the content of ``summary.json``: how many ``cases`` there are, ``done``, ``failed`` and ``open``, the
        ``settings``, what ``warnings`` and ``failures`` there were, the name of the ``table``, and ``look_first``: the
        cases with the lowest mean confidence in the mask of a class (the column ``confidence``, with the class). Where
        a Dice is predicted from it, ``flagged`` counts the cases that should be looked at.

    Raises:
        InputError: there is no record, or the folder cannot be written.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> import torch
        >>> from PIL import Image
        >>> from monai_supmix.inferers import SliceVolumeInferer, predict_cases
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("left.png", "right.png"):
        ...     Image.fromarray(np.eye(8, dtype=np.uint8)).save(folder / name)
        >>> record = {"intensity": {"picture": {"rule": "percentile_scale"}}, "class_names": ["background", "vessel"]}
        >>> network, out = torch.nn.Conv2d(1, 2, 1), folder / "masks"
        >>> record |= {"trained_on": {}}
        >>> _ = predict_cases(folder, out, network, record, SliceVolumeInferer(), keep_record=True)
        >>> summary = collect(out)
        >>> summary["cases"], summary["done"], summary["open"], (out / summary["table"]).name
        (2, 2, 0, 'cases.csv')
    """
    output_dir = Path(output_dir)
    folder = output_dir / FOLDER
    if not has_records(output_dir):
        raise InputError(output_dir, "holds no record of a prediction of several cases", "give its output_dir")
    with visiting(folder) as visitor:
        alive = {member["place"].with_suffix(".jsonl") for member in members(folder, visitor.now())}
        files = sorted(folder.glob("*.jsonl"))
        planned = sorted(folder.glob("planned-*.json"), key=lambda file: file.stat().st_mtime)
        collected = _merge(output_dir, [folder / _COLLECTED, *planned], files)
        summary = _write(output_dir, collected)
        write_json(collected, folder / _COLLECTED)
        for file in [*planned, *(file for file in files if file not in alive)]:
            file.unlink(missing_ok=True)
        if not alive:
            _tidy(output_dir, visitor)
    return summary


def collect_if_last(output_dir: Path) -> dict[str, Any] | None:
    """Call `collect` unless others are still at work, who will do it, or nothing was recorded."""
    folder = output_dir / FOLDER
    if not folder.is_dir():
        return None
    with visiting(folder) as visitor:
        if members(folder, visitor.now()):
            return None
    return collect(output_dir)


def _merge(output_dir: Path, planned: Sequence[Path], records: Sequence[Path]) -> dict[str, Any]:
    """The settings, and a row for each mask: what was said about it last."""
    settings: dict[str, Any] = {}
    rows: dict[str, dict[str, Any]] = {}
    for file in planned:
        if file.exists():
            part = json.loads(file.read_text(encoding="utf-8"))
            settings = part["settings"]
            for row in part["cases"]:
                _put(rows, row)
    for file in records:
        for line in file.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):  # a process was killed while it wrote this line
                _put(rows, json.loads(line))
    for mask, row in rows.items():
        there = (output_dir / mask).exists()
        newer = there and _is_newer(output_dir / mask, row["time"])
        if row["status"] != "failed" or newer:  # an old mask beside a failure is one that was to be replaced
            row["status"] = "done" if there else "open"
        if there and ("warnings" not in row or newer):
            old = (*_SURE, _VOLUMES, *(("problem",) if newer else ()))
            kept = {key: value for key, value in row.items() if key not in old}
            rows[mask] = {**kept, **_beside(output_dir / mask)}
    return {"settings": settings, "cases": [rows[mask] for mask in sorted(rows)]}


def _put(rows: dict[str, dict[str, Any]], row: dict[str, Any]) -> None:
    earlier = rows.get(row["mask"])
    if earlier is None or row["time"] >= earlier["time"]:
        rows[row["mask"]] = row


def _is_newer(mask: Path, time_ns: int) -> bool:
    """Whether a mask was made after what was said about it, such as by predicting its case alone."""
    return mask.stat().st_mtime_ns > time_ns


def _beside(mask: Path) -> dict[str, Any]:
    """Warnings, the class that the network is least sure of, and the volumes in a mask's record, if there is one."""
    place = mask.with_name(stem_of(mask.name) + ".json")
    try:
        record = json.loads(place.read_text(encoding="utf-8"))
        sure = least_sure(record.get("confidence"), record.get("predicted"))
        return {"warnings": list(record["warnings"]), **sure, _VOLUMES: record.get(_VOLUMES)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {"warnings": []}


def _write(output_dir: Path, collected: Mapping[str, Any]) -> dict[str, Any]:
    rows = collected["cases"]
    table = output_dir / (TABLE if _is_ours(output_dir / TABLE) else OTHER_TABLE)
    volumes = [(row.get(_VOLUMES) or {}) if row["status"] == "done" else {} for row in rows]
    measured = list(dict.fromkeys(name for each in volumes for name in each))
    with atomic_write(table, text=True) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, *(f"{name}_ml" for name in measured)])
        for row, each in zip(rows, volumes, strict=True):
            warnings = "; ".join(row.get("warnings", []))
            sure = [row.get(key, "") if row["status"] == "done" else "" for key in _SURE]
            of_classes = [each.get(name, "") for name in measured]
            writer.writerow(
                [row["case"], row["mask"], row["status"], *sure, warnings, row.get("problem", ""), *of_classes]
            )
    known = [row for row in rows if row["status"] == "done" and "confidence" in row]
    by_confidence = sorted(known, key=lambda row: row["confidence"])
    summary = {
        "cases": len(rows),
        **{status: sum(row["status"] == status for row in rows) for status in ("done", "failed", "open")},
        "settings": {key: value for key, value in collected["settings"].items() if key != "dicom_codes"},
        "warnings": _kinds({row["case"]: row.get("warnings", []) for row in rows if row["status"] == "done"}),
        "failures": _kinds({row["case"]: [row["problem"]] for row in rows if row["status"] == "failed"}),
        "look_first": [{key: row[key] for key in ("case", *_SURE) if key in row} for row in by_confidence[:_MOST]],
        "flagged": sum(row["look"] for row in known if "look" in row) if any("look" in row for row in known) else None,
        "table": table.name,
    }
    write_json(summary, output_dir / SUMMARY)
    return summary


def make_way(output_dir: Path) -> None:
    """Rename the table of predictions in a folder, if there is one, where an evaluation is about to write its own."""
    table, summary = output_dir / TABLE, output_dir / SUMMARY
    if table.exists() and _is_ours(table):
        table.replace(output_dir / OTHER_TABLE)
        if summary.exists():
            write_json({**read_json(summary), "table": OTHER_TABLE}, summary)


def _is_ours(table: Path) -> bool:
    """Whether a table is one of this module, or is not there."""
    try:
        with table.open(encoding="utf-8") as file:
            return file.readline().startswith(",".join(COLUMNS[:3]) + ",")
    except (OSError, ValueError):
        return not table.exists()


def _kinds(messages: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    return [{"what": kind, "cases": len(cases), "such_as": cases[0]} for kind, cases in alike(messages).items()]


def _tidy(output_dir: Path, visitor: Claims) -> None:
    """Remove what killed processes have left: claims, half-written files, and their own."""
    folder = output_dir / FOLDER
    for place in folder.glob(".*.member.*.tmp"):  # only who has arrived writes one, and none can arrive now
        place.unlink(missing_ok=True)
    for place in [*folder.glob("*.member"), *folder.glob("*.clock"), *folder.glob(".*.new")]:
        if not is_alive(place, visitor.now()):
            place.unlink(missing_ok=True)
    now = visitor.now()
    for name, folders, files in os.walk(output_dir):
        folders[:] = [below for below in folders if not members(Path(name, below, FOLDER), now)]  # another cohort's
        for file in files:
            place = Path(name, file)
            # Who claims a mask has arrived, too; in `folder` others may be waiting for their turn.
            unfinished = file.endswith(".new") and place.parent != folder
            if _LEFT.fullmatch(file) and (".claim" not in file or unfinished or not is_alive(place, visitor.now())):
                place.unlink(missing_ok=True)
