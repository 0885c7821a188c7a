"""The calibration that lies beside trained weights, so that inference can say how good a mask may be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_supmix.errors import InputError
from monai_supmix.files import write_json
from monai_supmix.listing import read_json
from monai_supmix.metrics.calibration import Calibration, from_plain
from monai_supmix.weights.places import QUALITY


def write_quality(folder: Path, record: Mapping[str, Any], calibration: Calibration) -> Path:
    """Write ``quality.json`` beside weights.

    Args:
        folder: where the weights lie.
        record: their record, whose ``content_sha256`` ties the two together.
        calibration: what was learnt out of fold.

    Returns:
        the file.
    """
    path = folder / QUALITY
    content = {"weights_content_sha256": record["content_sha256"], **calibration.plain()}
    write_json(content, path)
    return path


def read_quality(weights: Path, record: Mapping[str, Any]) -> Calibration | None:
    """Read the calibration beside weights.

    Args:
        weights: the file of the weights.
        record: their record.

    Returns:
        the calibration, or None where there is none, or one of other weights.

    Raises:
        InputError: the file is none of `write_quality`.

    Example:
        >>> import tempfile
        >>> folder, record = Path(tempfile.mkdtemp()), {"content_sha256": "abc"}
        >>> _ = write_quality(folder, record, Calibration(1.5, -0.6, 0.1, 18))
        >>> read_quality(folder / "model.pt", record).predict(0.8)["dice"]
        0.6
        >>> read_quality(folder / "model.pt", {"content_sha256": "of others"}) is None
        True
    """
    path = weights.with_name(QUALITY)
    if not path.is_file():
        return None
    content = read_json(path)
    try:
        calibration = from_plain(content)
        theirs = content["weights_content_sha256"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(path, f"is no calibration ({error!r})", "remove it, or run the folds again") from error
    return calibration if theirs == record.get("content_sha256") else None
