"""From what a user names (file, folder, pattern, datalist) to cases, and where their results go."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from monai_supmix.datalists.fingerprint import content_sha256
from monai_supmix.datalists.image_folder import ImageFolder
from monai_supmix.datalists.left_out import told_left_out
from monai_supmix.errors import InputError
from monai_supmix.files import reading_error, sha256
from monai_supmix.imageio.dicom import list_dicom_files
from monai_supmix.imageio.file_kinds import PICTURE_SUFFIXES, SUFFIXES, suffix_of
from monai_supmix.imageio.parts import files_of_image
from monai_supmix.imageio.reading import read_image
from monai_supmix.imageio.usual_view import LYING, lies_on_its_side
from monai_supmix.listing import below, is_companion, shorten

_OWN = "_seg"
_LABELS = ("labels", "labelsTr", "labelsTs")
_CHASE_MASK = re.compile(r"Image_\d\d[LR]_(1st|2nd)HO")
_ENOUGH_TO_JUDGE = 16
_HERE = PurePath()


@dataclass(frozen=True)
class InputCase:
    """One image to predict.

    Args:
        path: file, or folder of a DICOM series.
        folder: where it lies relative to what the user named; its results go to the same place below the
            output.
        turns: quarter turns that bring a picture to the usual view.
        mirror: 1 to swap left and right after turning.
    """

    path: Path
    folder: PurePath = _HERE
    turns: int = 0
    mirror: int = 0

    @property
    def stem(self) -> str:
        """The name without its ending.

        Example:
            >>> InputCase(Path("a/scan.1.nii.gz")).stem
            'scan.1'
        """
        return self.path.name.removesuffix(self._suffix)

    @property
    def is_dicom(self) -> bool:
        """Whether this is a DICOM series, which is a folder."""
        return self.path.is_dir()

    @property
    def name(self) -> str:
        """The file or series relative to what the user named, for records."""
        return (self.folder / self.path.name).as_posix()

    def sha256(self) -> str:
        """Hash of the file's bytes; of several files, such as a DICOM series (in the order of names), of their hashes.

        Raises:
            InputError: it cannot be read.
        """
        if not self.is_dicom:
            return content_sha256(self.path)
        hashes = [sha256(file) for file in sorted(list_dicom_files(self.path))]
        return hashlib.sha256("".join(hashes).encode()).hexdigest()

    def stamp(self) -> dict[str, int]:
        """What the file system says about it: number of files, bytes, time of the last change, and its number there.

        Two with the same stamp are taken for one without reading them. The number (of several files the sum) tells
        files apart whose times a program has set, such as those of an archive.

        Raises:
            InputError: it cannot be read.
        """
        try:
            named = [self.path] if self.is_dicom else files_of_image(self.path)
            numbered = [file.stat() for file in named]
            files = [entry.stat() for entry in os.scandir(self.path) if entry.is_file()] if self.is_dicom else numbered
        except OSError as error:
            raise reading_error(self.path, error) from error
        return {
            "files": len(files) or 1,
            "bytes": sum(file.st_size for file in files or numbered),
            "modified_ns": max(file.st_mtime_ns for file in (*numbered, *files)),
            "inode": sum(file.st_ino for file in numbered),
        }

    def output(self, output_dir: Path, ending: str | None = None) -> Path:
        """Where a result goes: ``<output_dir>/<folder>/<stem>_seg<ending>``.

        Args:
            output_dir: the output folder.
            ending: ``None`` for the mask: ``.png`` for pictures, else ``.nii.gz``.

        Example:
            >>> InputCase(Path("in/p1/scan.nii"), PurePath("p1")).output(Path("out")).as_posix()
            'out/p1/scan_seg.nii.gz'
        """
        if ending is None:
            ending = ".png" if self._suffix.lower() in PICTURE_SUFFIXES else ".nii.gz"
        return output_dir / self.folder / f"{self.stem}{_OWN}{ending}"

    @property
    def _suffix(self) -> str:
        return "" if self.is_dicom else suffix_of(self.path)


def find_inputs(inputs: str | Path | Sequence[str | Path]) -> tuple[list[InputCase], list[str]]:
    """Find the cases that a user names, in the order of their paths.

    Args:
        inputs: a file; a folder, searched with all its sub-folders (links are followed, loops are safe); a
            pattern with ``*``, ``?`` or ``**``; a datalist ``.json`` whose items have ``image`` or are paths
            themselves (relative to it); or several of these. A folder with DICOM slices is one case. Files
            named ``*_seg.*``, the observers' masks of CHASE_DB1, hidden files, and ``labels`` folders beside
            ``images`` are left out when searching.

    Returns:
        cases, and notes about what was left out, also beside an `ImageFolder`.

    Raises:
        InputError: nothing found, or a datalist that cannot be read.
    """
    named = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    cases: dict[Path, InputCase] = {}
    notes: list[str] = []
    for entry in named:
        for case in _expand(entry, notes, several=len(named) > 1):
            cases.setdefault(_absolute(case.path), case)
    if not cases:
        subject = ", ".join(str(entry) for entry in named) or "inputs"
        raise InputError(subject, "holds no image", f"give files of type {', '.join(SUFFIXES)} or DICOM folders")
    notes += [note for entry in named if isinstance(entry, ImageFolder) for note in _beside(entry)]
    return [cases[path] for path in sorted(cases)], notes


def image_items(inputs: str | Path | Sequence[str | Path]) -> list[dict[str, str]]:
    """The cases that a user names, as MONAI's data sets take them.

    Args:
        inputs: see `find_inputs`.

    Returns:
        ``{"image": path}`` of each.

    Raises:
        InputError: as `find_inputs`.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "chest.nii.gz").touch()
        >>> [Path(item["image"]).name for item in image_items(folder)]
        ['chest.nii.gz']
    """
    return [{"image": str(case.path)} for case in find_inputs(inputs)[0]]


def set_view(cases: Sequence[InputCase], view: str = "upright") -> tuple[list[InputCase], list[str]]:
    """Turn pictures of axial slices that lie on their side; volumes know their own orientation.

    Args:
        cases: from `find_inputs`; those of a datalist that says how they lie stay as they are.
        view: ``"upright"`` changes nothing, ``"lying"`` turns all pictures, ``"auto"`` judges from the
            pictures, which takes at least 16 of them.

    Returns:
        the cases, and notes on what was done or could not be judged.

    Raises:
        InputError: another ``view``.
    """
    if view not in ("upright", "lying", "auto"):
        raise InputError("view", f"is {view!r}", "use 'auto', 'upright' or 'lying'")
    pictures = [c for c in cases if suffix_of(c.path).lower() in PICTURE_SUFFIXES and not (c.turns or c.mirror)]
    if view == "upright" or not pictures:
        return list(cases), []
    if view == "auto":
        if len(pictures) < _ENOUGH_TO_JUDGE:
            return list(cases), ["too few pictures to judge whether they lie on their side: if so, give view=lying"]
        sample = pictures[:: max(1, len(pictures) // 24)]
        arrays = []
        for case in sample:
            with contextlib.suppress(InputError):  # its prediction will report it
                arrays.append(read_image(case.path).array.mean(axis=0))
        if not lies_on_its_side(arrays):
            return list(cases), []
    turned = {case: replace(case, turns=LYING["turns"], mirror=LYING["mirror"]) for case in pictures}
    how = "judged from the pictures" if view == "auto" else "as given"
    note = f"pictures lie on their side ({how}) and are brought to the usual axial view for the network"
    return [turned.get(case, case) for case in cases], [note]


def _expand(entry: str | Path, notes: list[str], several: bool) -> Iterator[InputCase]:
    path = Path(entry)
    if path.is_dir():
        named = path.absolute().parent if isinstance(entry, ImageFolder) else path.absolute()
        unused: list[Path] = []
        yield from _search(path, PurePath(named.name if several else ""), unused)
        notes += _told(unused, path.name or str(path))
    elif path.name.lower().endswith(".json"):
        yield from _relative(_read_datalist(path, notes))
    elif not path.exists() and glob.has_magic(str(entry)):
        pattern = str(Path(glob.escape(str(path.parent)), path.name)) if path.parent.is_dir() else str(entry)
        paths = [Path(match) for match in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207  # may be absolute
        files = [match for match in paths if match.is_file() and suffix_of(match) and not _is_own(match.name)]
        folders = [match for match in paths if match.is_dir() and list_dicom_files(match)]
        notes += _told([match for match in paths if match.is_file() and match not in files], str(entry))
        yield from _relative(InputCase(match) for match in [*files, *folders])
    else:
        yield InputCase(path)


def _beside(taken: ImageFolder) -> Iterator[str]:
    """Tell of images in the data folder that are not in its folder of images; label maps are none."""
    folder = Path(taken)
    not_counted = (folder, *(folder.with_name(name) for name in _LABELS))
    count = sum(1 for _ in _search(folder.parent, _HERE, [], without=not_counted))
    if count:
        how = "to predict them, give their folder, their files or a pattern"
        yield f"only images in {folder.name} are predicted, {count} beside it left out: {how}"


def _told(unused: Sequence[Path], where: str) -> list[str]:
    """Say what a search passes over: masks, and files that are not images."""
    folders = [path for path in unused if path.is_dir()]
    masks = [path for path in unused if _is_own(path.name) and path not in folders]
    others = [path for path in unused if path not in masks and path not in folders and not is_companion(path)]
    places = shorten(sorted("/".join(path.parts[-2:]) for path in folders), 3)
    beside = f"folders of labels beside those of their images are left out ({len(folders)}): {places}"
    return [
        *told_left_out(others, where, "not a type that is read"),
        *told_left_out([path for path in masks if suffix_of(path)], where, "named like masks"),
        *([beside] if folders else []),
    ]


def _search(root: Path, base: PurePath, unused: list[Path], without: Collection[Path] = ()) -> Iterator[InputCase]:
    """Walk a folder; every folder is entered once, however many links lead to it; `unused` gets what is passed over."""
    entered = {folder.resolve() for folder in without}
    for name, folders, files in os.walk(root, followlinks=True):
        place = Path(name)
        if place.resolve() in entered:
            folders.clear()
            continue
        entered.add(place.resolve())
        maps = [folder for folder in folders if folder in _LABELS and folder.replace("labels", "images") in folders]
        unused += [place / folder for folder in maps]
        folders[:] = sorted(folder for folder in folders if not folder.startswith(".") and folder not in maps)
        relative = base / place.relative_to(root)
        visible = [place / file for file in sorted(files) if not file.startswith(".")]
        dicom = set(list_dicom_files(place))
        for file in visible:
            if suffix_of(file) and not _is_own(file.name) and not is_companion(file):
                yield InputCase(file, relative)
            elif file not in dicom:
                unused.append(file)
        if dicom:
            whole = place if place.name not in ("", "..") else place.resolve()
            yield InputCase(whole, relative.parent if relative != base else base)


def _is_own(name: str) -> bool:
    """Whether this is a result of an earlier run (or another label map) rather than an image."""
    stem = name.removesuffix(suffix_of(name)) if suffix_of(name) else PurePath(name).stem
    own = stem.endswith((_OWN, f"{_OWN}_rtstruct")) or f"{_OWN}_prob_" in stem
    return own or _CHASE_MASK.fullmatch(stem) is not None


def _read_datalist(path: Path, notes: list[str]) -> Iterator[InputCase]:
    """Read the items of a datalist: a list, or lists by side, of paths or of dictionaries with ``image``."""
    remedy = 'write {"test": [{"image": "scan.nii.gz"}, ...]}'
    try:
        record = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InputError(path, f"cannot be read as JSON ({error})", remedy) from error
    sides = record.values() if isinstance(record, dict) else [record]
    lists = [side for side in sides if isinstance(side, list) and any(_image_of(item) for item in side)]
    items = [item for side in lists for item in side if _image_of(item)]
    if not items:
        raise InputError(path, "names no image", remedy)
    if dropped := [str(item) for side in lists for item in side if not _image_of(item)]:
        notes.append(f"{len(dropped)} entries of {path.name} name no image and are left out: {shorten(dropped)}")
    files = [below(path.parent, _image_of(item)) for item in items]
    if not any(file.exists() for file in files):
        problem = f"names images that are not where it lies, such as {_image_of(items[0])}"
        raise InputError(path, problem, "give the folder of the images, or a datalist with paths relative to itself")
    for file, item in zip(files, items, strict=True):
        how = item if isinstance(item, dict) else {}
        yield InputCase(file, turns=int(how.get("turns", 0)), mirror=int(how.get("mirror", 0)))


def _image_of(item: object) -> str:
    """The image that an entry of a datalist names, or nothing. Class names and notes are not paths of images."""
    if isinstance(item, dict):
        item = item.get("image")
        return item if isinstance(item, str) else ""
    return item if isinstance(item, str) and suffix_of(item) else ""


def _relative(cases: Iterable[InputCase]) -> Iterator[InputCase]:
    """Place cases relative to the deepest folder that holds them all."""
    cases = list(cases)
    parents = [_absolute(case.path).parent for case in cases]
    if parents:
        common = Path(os.path.commonpath(parents))
        for case, parent in zip(cases, parents, strict=True):
            yield InputCase(case.path, PurePath(parent.relative_to(common)), case.turns, case.mirror)


def _absolute(path: Path) -> Path:
    """The absolute path without ``..``, links as they are (`Path.resolve` would follow them)."""
    return Path(os.path.abspath(path))  # noqa: PTH100
