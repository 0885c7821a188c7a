"""What to do about a mistake, in the words of the command line: library code knows no option and no preset."""

from __future__ import annotations

from monai_supmix.errors import InputError

REMEDIES = {
    "planes-of-volumes": "leave it (or the preset rare_classes) to networks in 2D",
    "no-pretrained-weights": "go online once so that they reach the Hugging Face cache (folder HF_HOME), "
    "copy that cache here, or set encoder_weights (of presets/paper.json: --pretrained) to null",
    "no-weights": "give --output_dir the folder of a training, or --ckpt_path a file or folder of weights",
    "other-network": "use weights trained with this network, or the preset that these were trained with",
    "rare-class": "train with --preset rare_classes, which draws every class equally often",
}
"""By the code of an `InputError` or of an advice."""


def in_words_of_options(error: InputError) -> InputError:
    """The same mistake with the remedy that a user of the commands has.

    Example:
        >>> low = InputError("PlanesByClass", "draws planes", "give planes", code="planes-of-volumes")
        >>> print(in_words_of_options(low))
        PlanesByClass: draws planes: leave it (or the preset rare_classes) to networks in 2D
    """
    return InputError(error.subject, error.problem, REMEDIES.get(error.code, error.remedy), error.code)
