"""Damage NIfTI files at random and look at what reading makes of them.

    python -m tests.fuzz.nifti_mutants --count 1000 --seed 0

What a damaged file may lead to depends on what the format can notice:

* A damaged gzip stream, a truncated file and trailing rubbish can always be noticed (checksum, sizes in the
  header): refused, or, where bytes were hit that mean nothing (the date in the gzip header), exactly the
  original voxels and grid.
* Damage of the bytes inside (before compression, or of an uncompressed file) has no checksum. It is refused,
  or the result is what the standard says these bytes mean, told by an independent reader. Where the header
  then says two different things about the grid (sform and qform, pixdim and affine), a note must say so.
* Bytes without a meaning (description, names) change nothing: never refused.

Anything else, another exception or another result, is a failure.
"""

import argparse
import gzip
import sys
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from monai_supmix.errors import InputError
from monai_supmix.imageio.reading import read_image
from tests.fuzz.nifti_reference import read_meaning, unpacked

HEADER = 348
# Fields that say nothing about voxels or grid: data_type, db_name, extents, session_error, regular, dim_info,
# intent_*, slice_*, cal_*, toffset, glmax, glmin, descrip, aux_file, intent_name, extension flag.
MEANINGLESS = [
    *range(4, 40),
    *range(56, 70),
    *range(74, 76),
    *range(120, 123),
    *range(124, 252),
    *range(328, 344),
]
TELLING = ("differently", "different voxel sizes", "neither qform nor sform")


@dataclass
class Original:
    name: str
    data: bytes
    values: np.ndarray
    affine: np.ndarray


@dataclass
class Mutant:
    kind: str
    data: bytes
    what: str


def originals(rng):
    """Small volumes of different types and forms, compressed and not."""
    turn = nib.eulerangles.euler2mat(0.1, 0.05, -0.2) @ np.diag([-0.7, 0.7, 2.5])
    affine = nib.affines.from_matvec(turn, (30, -40, 50))
    kinds = (
        ("<i2", "both"),
        ("<f4", "both"),
        ("<u1", "sform"),
        ("<i2", "qform"),
        ("<f4", "none"),
        (">i2", "both"),
    )
    for dtype, forms in kinds:
        array = rng.integers(-900, 900, (9, 8, 7)).astype(dtype)
        image = nib.Nifti1Image(array, affine, nib.Nifti1Header(endianness=dtype[0]))
        image.set_data_dtype(array.dtype)
        image.header.set_xyzt_units("mm")
        image.header.set_slope_inter(2.0, -1000.0) if dtype == "<u1" else None
        image.set_qform(affine, code=int(forms in ("both", "qform")))
        image.set_sform(affine if forms in ("both", "sform") else None, code=int(forms in ("both", "sform")))
        data = image.to_bytes()
        meaning = read_meaning(data)
        for name in ("volume.nii", "volume.nii.gz"):
            yield Original(
                name,
                gzip.compress(data, mtime=0) if name.endswith("gz") else data,
                meaning.values,
                meaning.affine,
            )


def flip(data, positions, rng):
    """Flip one bit in each of the bytes."""
    mutated = bytearray(data)
    for position in positions:
        mutated[position] ^= 1 << int(rng.integers(8))
    return bytes(mutated)


def mutate(original, rng):
    """Damage a file in one of the ways that files are damaged."""
    packed = original.name.endswith(".gz")
    inside = unpacked(original.data, original.name)
    kind = str(
        rng.choice(["header bits", "header bytes", "meaningless bytes", "voxels", "stream", "cut", "tail", "hole"])
    )
    count = int(rng.integers(1, 5))

    def again(data):
        return gzip.compress(data, mtime=0) if packed else data

    match kind:
        case "header bits":
            where = sorted(rng.integers(0, HEADER + 4, count).tolist())
            data = again(flip(inside, where, rng))
        case "header bytes":
            where = sorted(rng.integers(0, HEADER, count).tolist())
            mutated = bytearray(inside)
            for position in where:
                mutated[position] = int(rng.integers(256))
            data = again(bytes(mutated))
        case "meaningless bytes":
            where = sorted(rng.choice(MEANINGLESS, count).tolist())
            data = again(flip(inside, where, rng))
        case "voxels":
            where = sorted(rng.integers(HEADER + 4, len(inside), count).tolist())
            data = again(flip(inside, where, rng))
        case "stream":
            where = sorted(rng.integers(0, len(original.data), count).tolist())
            data = flip(original.data, where, rng)
        case "cut":
            where = int(rng.integers(0, len(original.data)))
            data = original.data[:where]
        case "tail":
            where = rng.integers(0, 256, int(rng.integers(1, 5000))).astype(np.uint8).tolist()
            data = original.data + bytes(where)
        case _:
            start = int(rng.integers(0, len(original.data)))
            end = start + int(rng.integers(1, 600))
            where = (start, end)
            data = original.data[:start] + bytes(len(original.data[start:end])) + original.data[end:]
    text = str(where) if kind != "tail" else f"{len(where)} bytes"
    return Mutant(kind, data, f"{original.name} ({original.values.shape}), {kind} {text}")


def judge(original, mutant, path):
    """Read a mutant. Returns the outcome in a word and, for a failure, what went wrong."""
    path.write_bytes(mutant.data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a warning among a thousand files is as good as silence
            image = read_image(path)
    except InputError as error:
        if mutant.kind == "meaningless bytes":
            return "failure", f"refused though nothing is lost: {error}"
        told = error.subject == str(path) and error.problem and error.remedy
        return ("refused", "") if told else ("failure", f"does not say what to do about which file: {error}")
    except BaseException as error:
        return "failure", f"{type(error).__name__}: {error}"
    values = image.array.astype(np.float64) * image.slope + image.inter
    if same(values, original.values) and same(image.affine, original.affine):
        return "unharmed", ""
    wrong = complaint(original, mutant, image, values)
    return ("failure", wrong) if wrong else ("as its bytes say", "")


def complaint(original, mutant, image, values):
    """Why a mutant should not have been read as another image than the original, or an empty string."""
    stream = ("stream", "cut", "tail", "hole") if original.name.endswith(".gz") else ("cut", "tail")
    if mutant.kind in (*stream, "meaningless bytes"):
        return "gave another image, which checksum or sizes rule out"
    try:
        meaning = read_meaning(unpacked(mutant.data, original.name))
    except Exception as error:
        return f"accepted, but the bytes mean nothing ({error})"
    if not (same(values, meaning.values) and same(image.affine, meaning.affine) and np.isfinite(values).all()):
        return f"is read as something that its bytes do not say, notes {image.notes}"
    if meaning.contradicts_itself and not any(word in note for note in image.notes for word in TELLING):
        return f"contradicts itself and no note tells: {image.notes}"
    return ""


def same(first, second):
    return first.shape == second.shape and np.allclose(first, second, rtol=1e-5, atol=1e-5, equal_nan=True)


def fuzz(count, seed, folder):
    """Judge `count` mutants; returns outcomes counted by kind of damage, and the failures."""
    rng = np.random.default_rng(seed)
    files = list(originals(rng))
    outcomes: Counter[tuple[str, str]] = Counter()
    failures = []
    for number in range(count):
        original = files[number % len(files)]
        mutant = mutate(original, rng)
        outcome, why = judge(original, mutant, Path(folder) / f"mutant_{number % len(files)}_{original.name}")
        outcomes[mutant.kind, outcome] += 1
        if outcome == "failure":
            failures.append(f"number {number}: {mutant.what}: {why}")
    return outcomes, failures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcomes, failures = fuzz(arguments.count, arguments.seed, folder)
    columns = ("refused", "unharmed", "as its bytes say", "failure")
    print(f"{'damage':20}" + "".join(f"{column:>18}" for column in columns))
    for kind in sorted({kind for kind, _ in outcomes}):
        print(f"{kind:20}" + "".join(f"{outcomes[kind, column]:18}" for column in columns))
    print(*failures, sep="\n")
    print(f"{arguments.count} mutants, seed {arguments.seed}: {len(failures)} failures")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
