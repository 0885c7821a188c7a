"""What to do about a mistake, in the words of the command line: library code knows no option and no preset."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from monai_supmix.config.settings import SETTINGS
from monai_supmix.errors import InputError

REMEDIES = {
    "planes-of-volumes": "leave it (or the preset rare_classes) to networks in 2D",
    "no-pretrained-weights": "go online once so that they reach the Hugging Face cache (folder HF_HOME), "
    "copy that cache here, or set encoder_weights (of presets/paper.json: --pretrained) to null",
    "no-weights": "give --output_dir the folder of a training (--run_dir where --output_dir is for masks), "
    "or --ckpt_path a file or folder of weights",
    "other-network": "use weights trained with this network, or the preset that these were trained with",
    "rare-class": "train with --preset rare_classes, which draws every class equally often",
}
"""By the code of an `InputError` or of an advice."""


_KEYS = "|".join(sorted({*SETTINGS, "recalibration"}, key=len, reverse=True))
_SET_TRUE = re.compile(rf"\bset ({_KEYS}) to true\b")
_SET_QUOTED = re.compile(rf"\bset ({_KEYS}) to '(\w+)'")
_SET = re.compile(rf"\bset ({_KEYS}) to ")
_GIVE = re.compile(rf"\bgive ({_KEYS}) (?=the\b)")
_EQUALS = re.compile(rf"\b({_KEYS})=(?=\w)")
_OTHER = re.compile(r"\banother output_dir\b")


def as_options(remedy: str) -> str:
    """Settings in a remedy as options of a command.

    Example:
        >>> as_options("give resume=auto to continue it, or another output_dir")
        'give --resume auto to continue it, or another --output_dir'
        >>> as_options("set overwrite to true"), as_options("set intensity to 'hu' if that is what its values are")
        ('give --overwrite', 'give --intensity hu if that is what its values are')
        >>> as_options("set dataset_dir to the folder of the data set, or give ckpt_path the path of a model.pt")
        'give --dataset_dir the folder of the data set, or give --ckpt_path the path of a model.pt'
    """
    text = _SET_TRUE.sub(r"give --\1", remedy)
    text = _SET_QUOTED.sub(r"give --\1 \2", text)
    text = _SET.sub(r"give --\1 ", text)
    text = _GIVE.sub(r"give --\1 ", text)
    text = _EQUALS.sub(r"--\1 ", text)
    return _OTHER.sub("another --output_dir", text)


@contextmanager
def without_output_dir() -> Iterator[None]:
    """Let no mistake leave this block with the advice to choose another output_dir, for commands that take none.

    Example:
        >>> with without_output_dir():
        ...     raise InputError("models", "is read-only", "make it writable or choose another output_dir")
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: models: is read-only: make it writable
    """
    try:
        yield
    except InputError as error:
        remedy = error.remedy.removesuffix(" or choose another output_dir")
        remedy = remedy.replace("choose another output_dir", "move it elsewhere")
        raise InputError(error.subject, error.problem, remedy, error.code) from error


def in_words_of_options(error: InputError) -> InputError:
    """The same mistake with the remedy that a user of the commands has.

    Example:
        >>> low = InputError("PlanesByClass", "draws planes", "give planes", code="planes-of-volumes")
        >>> print(in_words_of_options(low))
        PlanesByClass: draws planes: leave it (or the preset rare_classes) to networks in 2D
    """
    remedy = REMEDIES.get(error.code) or as_options(error.remedy)
    return InputError(error.subject, error.problem, remedy, error.code)
