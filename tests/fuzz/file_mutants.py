"""Damage PNG, TIFF, JPEG, NRRD, MetaImage and DICOM files at random and look at what reading makes of them.

    python -m tests.fuzz.file_mutants --count 1000 --seed 0     # of each type

A damaged file is refused, or read to the very values of the undamaged one. What else may be right depends on
what a format can notice:

* PNG has a checksum over every byte that means something: nothing else is right. The same holds for deflated
  voxels in TIFF, NRRD and MetaImage: a change there that is not refused is a failure.
* Files that are cut, or (NRRD, MetaImage) have rubbish at their end, can always be told by the sizes in the header.
* The bytes of headers, and of voxels that are not compressed, have no checksum in TIFF, NRRD, MetaImage and
  DICOM. There a change may be read as what the standard says that these bytes mean, told by a second opinion
  (`tests.fuzz.file_meanings`). No reader of these formats can do better.

* JPEG has no checksum and no sizes: changed bits give other pixels, and nothing in the file is there to tell. These
  are counted apart; a JPEG that is cut is refused.

Anything else, another exception or another result, is a failure: silent.
"""

import argparse
import io
import logging
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from monai_supmix.errors import InputError
from monai_supmix.imageio.reading import read_image
from tests.fuzz import file_meanings
from tests.fuzz.nifti_mutants import Mutant, flip, same
from tests.imageio import matrix_volumes
from tests.imageio.dicom_series import write_series

SHAPE = (14, 20)


@dataclass
class Original:
    """An undamaged file: where its header is, and where changes cannot be read as anything else."""

    name: str
    data: bytes
    header: tuple[int, int]
    checked: tuple[int, int]
    meaning: Callable
    tail_is_told: bool = False


def originals(kind, folder):
    """Files of one type, by different writers and storages."""
    return list({"PNG": _png, "TIFF": _tiff, "JPEG": _jpeg, "DICOM": _dicom}.get(kind, _text_header)(kind, folder))


def _picture(array, form, **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, form, **options)
    return buffer.getvalue()


def _numbers(dtype, channels=()):
    return np.random.default_rng(0).integers(0, 250, (*SHAPE, *channels)).astype(dtype)


def _png(kind, folder):
    for array in (_numbers("u1"), _numbers("u2") * 250, _numbers("u1", (3,)), _numbers("u1") > 99):
        data = _picture(array, "PNG")
        yield Original("a.png", data, (8, 41), (0, len(data)), file_meanings.none)


def _tiff(kind, folder):
    choices = ({}, {"byteorder": ">"}, {"photometric": "miniswhite"}, {"compression": "zlib"}, {"rowsperstrip": 4})
    for number, options in enumerate(choices):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, _numbers("u2" if number % 2 else "u1"), **options, metadata=None)
        data = buffer.getvalue()
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            start = file.pages.first.dataoffsets[0]
        checked = (start, len(data)) if "compression" in options else (0, 0)
        yield Original("a.tif", data, (0, start), checked, file_meanings.tiff)


def _jpeg(kind, folder):
    smooth = np.add.outer(np.arange(40), np.arange(56)).astype(np.uint8)
    for array in (smooth, np.stack([smooth, smooth // 2, 200 - smooth], -1)):
        for options in ({}, {"progressive": True}):
            data = _picture(array, "JPEG", quality=90, **options)
            yield Original("a.jpg", data, (0, data.index(b"\xff\xda") + 10), (0, 0), file_meanings.none)


def _text_header(kind, folder):
    write = {"NRRD": matrix_volumes._nrrd, "MetaImage": matrix_volumes._meta}[kind]
    name, mark = {"NRRD": ("a.nrrd", b"\n\n"), "MetaImage": ("a.mha", b"LOCAL\n")}[kind]
    meaning = {"NRRD": file_meanings.nrrd, "MetaImage": file_meanings.meta}[kind]
    for packed in (False, True):
        for order in "<>":
            path = Path(folder) / name
            write("i2", order, ("gzip" if packed else "raw") if kind == "NRRD" else packed)(path)
            data = path.read_bytes()
            start = data.index(mark) + len(mark)
            yield Original(name, data, (0, start), (start, len(data)) if packed else (0, 0), meaning, tail_is_told=True)


def _dicom(kind, folder):
    volume = np.random.default_rng(0).integers(0, 3000, (9, 8, 1))
    affine = np.array([[-0.7, 0, 0, 30], [0, -0.8, 0, 40], [0, 0, 2.5, -50], [0, 0, 0, 1.0]])
    for slope in (1.0, 0.5):
        (file,) = write_series(Path(folder) / f"series{slope}", volume, affine, slope=slope)
        data = file.read_bytes()
        yield Original("a.dcm", data, (132, data.index(b"\xe0\x7f\x10\x00OW") + 12), (0, 0), file_meanings.dicom)


def mutate(original, rng):
    """Damage a file in one of the ways that files are damaged."""
    kind = str(rng.choice(["header bits", "header bytes", "any bits", "pixel bits", "cut", "tail", "hole"]))
    data, (low, high), count = original.data, original.header, int(rng.integers(1, 5))
    match kind:
        case "header bits":
            where = sorted(rng.integers(low, high, count).tolist())
            data = flip(data, where, rng)
        case "header bytes":
            where = sorted(rng.integers(low, high, count).tolist())
            changed = bytearray(data)
            for position in where:
                changed[position] = int(rng.integers(256))
            data = bytes(changed)
        case "any bits":
            where = sorted(rng.integers(0, len(data), count).tolist())
            data = flip(data, where, rng)
        case "pixel bits":
            where = sorted(rng.integers(min(high, len(data) - 1), len(data), count).tolist())
            data = flip(data, where, rng)
        case "cut":
            where = int(rng.integers(0, len(data)))
            data = data[:where]
        case "tail":
            where = int(rng.integers(1, 5000))
            data = data + rng.integers(0, 256, where).astype(np.uint8).tobytes()
        case _:
            start = int(rng.integers(0, len(data)))
            where = (start, end := min(len(data), start + int(rng.integers(1, 200))))
            data = data[:start] + bytes(end - start) + data[end:]
    return Mutant(kind, data, f"{original.name} of {len(original.data)} bytes, {kind} {where}")


def read(original, data, folder):
    """Read bytes as a file, or as the only file of a series."""
    place = Path(folder) / "read"
    place.mkdir(exist_ok=True)
    path = place / original.name
    path.write_bytes(data)
    return read_image(place if original.name.endswith(".dcm") else path)


def judge(original, mutant, folder):
    """Read a mutant. Returns the outcome in a word and, for a failure, what went wrong."""
    try:
        image = read(original, mutant.data, folder)
    except InputError as error:
        told = error.problem and error.remedy
        return ("refused", "") if told else ("failure", f"does not say what to do: {error}")
    except BaseException as error:
        return "failure", f"{type(error).__name__}: {error}"
    return compare(original, mutant, image, folder)


def compare(original, mutant, image, folder):
    """What became of a mutant that was read."""
    values = image.array.astype(np.float64) * image.slope + image.inter
    expected = read(original, original.data, folder)
    if _alike(values, image.affine, expected.array, expected.affine):
        return "unharmed", ""
    if mutant.kind == "cut" or (mutant.kind == "tail" and original.tail_is_told):
        return "failure", "gave another image, which its size rules out"
    outside = [*range(original.checked[0]), *range(original.checked[1], len(original.data))]
    if original.checked[1] and all(mutant.data[i : i + 1] == original.data[i : i + 1] for i in outside):
        return "failure", "gave another image, which checksums rule out"
    return ("cannot be told", "") if original.name.endswith(".jpg") else by_meaning(original, mutant, image, values)


def by_meaning(original, mutant, image, values):
    """Compare with the second opinion on what the bytes of a mutant say."""
    try:
        meant, affine = file_meanings.quietly(original.meaning, mutant.data)
    except Exception as error:
        return "failure", f"accepted, but the bytes mean nothing ({error})"
    if _alike(values, image.affine, meant, affine):
        return "as its bytes say", ""
    return "failure", f"is read as something that its bytes do not say ({values.shape}, {image.notes})"


def _alike(values, affine, other, other_affine):
    if (affine is None) != (other_affine is None):
        return False
    return same(values, np.asarray(other, float)) and (affine is None or same(affine, other_affine))


KINDS = ("PNG", "TIFF", "JPEG", "NRRD", "MetaImage", "DICOM")


def fuzz(kind, count, seed, folder):
    """Judge `count` mutants of one type; returns outcomes counted by kind of damage, and the failures."""
    rng = np.random.default_rng(seed)
    files = originals(kind, folder)
    outcomes: Counter[tuple[str, str]] = Counter()
    failures = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(count):
            original = files[number % len(files)]
            mutant = mutate(original, rng)
            outcome, why = judge(original, mutant, folder)
            outcomes[mutant.kind, outcome] += 1
            if outcome == "failure":
                failures.append(f"{kind} {number}: {mutant.what}: {why}")
    return outcomes, failures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", default=KINDS)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    columns = ("refused", "unharmed", "as its bytes say", "cannot be told", "failure")
    print(f"{'type':12}" + "".join(f"{column:>18}" for column in columns))
    wrong = []
    for kind in arguments.kinds:
        with tempfile.TemporaryDirectory() as folder:
            outcomes, failures = fuzz(kind, arguments.count, arguments.seed, folder)
        sums = [sum(n for (_, outcome), n in outcomes.items() if outcome == column) for column in columns]
        print(f"{kind:12}" + "".join(f"{total:18}" for total in sums), flush=True)
        wrong += failures
    print(*wrong, sep="\n")
    print(f"{arguments.count} mutants of each type, seed {arguments.seed}: {len(wrong)} failures")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
