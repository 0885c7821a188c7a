"""Writing a bundle, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from monai_supmix.errors import InputError
from monai_supmix.files import make_directory, writing_error
from monai_supmix.own_data.card import DATA_LICENSE, write_card
from monai_supmix.own_data.editing import to_text
from monai_supmix.own_data.pictures import LABELS_NAME, write_labels
from monai_supmix.own_data.proposal import Proposal
from monai_supmix.own_data.template import DATALIST_NAME, fill_template

_COPIED = ("LICENSE", "configs/logging.conf")


def check_absent(folder: str | os.PathLike[str]) -> Path:
    """Give the folder of a bundle to be written, absolute.

    Args:
        folder: the folder; ``~`` stands for the home folder.

    Returns:
        its absolute path.

    Raises:
        InputError: something has that name.

    Example:
        >>> check_absent("a_new_bundle").name
        'a_new_bundle'
        >>> check_absent("/")
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: /: exists: choose another output_dir, or remove it
    """
    path = Path(folder).expanduser().absolute()
    if path.exists() or path.is_symlink():
        raise InputError(folder, "exists", "choose another output_dir, or remove it")
    return path


def write_bundle(proposal: Proposal, folder: str | os.PathLike[str]) -> list[Path]:
    """Write a bundle: configuration, datalist, documents, and a page that shows labelled cases with their masks.

    Args:
        proposal: the settings.
        folder: the bundle's folder; must not exist.

    Returns:
        the files, relative to the folder.

    Raises:
        InputError: the folder exists, a case cannot be read any more, or the system refuses; nothing is left behind.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from PIL import Image
        >>> from monai_supmix.own_data import propose
        >>> data = Path(tempfile.mkdtemp())
        >>> for number in range(5):
        ...     for place, values in (("images", np.arange(number, number + 64)), ("labels", np.arange(64) > 50)):
        ...         (data / place).mkdir(exist_ok=True)
        ...         Image.fromarray(values.astype(np.uint8).reshape(8, 8)).save(data / place / f"eye{number}.png")
        >>> files = write_bundle(propose(data, "eyes", ["background", "disc"]), data / "eyes")
        >>> Path("configs/train.json") in files, (data / "eyes" / "docs" / "README.md").is_file()
        (True, True)
    """
    path = check_absent(folder)
    files = {f"configs/{name}": to_text(config) + "\n" for name, config in fill_template(proposal).items()}
    files["docs/README.md"] = write_card(proposal)
    files["docs/data_license.txt"] = DATA_LICENSE
    with _folder_that_appears_whole(path) as draft:
        for name, text in files.items():
            make_directory((draft / name).parent)
            (draft / name).write_text(text, encoding="utf-8")
        for name in _COPIED:
            shutil.copyfile(proposal.template / name, draft / name)
        proposal.datalist.to_json(draft / DATALIST_NAME, proposal.root)
        write_labels(proposal, draft / LABELS_NAME)
    return sorted(file.relative_to(path) for file in path.rglob("*") if file.is_file())


@contextlib.contextmanager
def _folder_that_appears_whole(path: Path) -> Iterator[Path]:
    """A draft of a folder beside it, which gets its name when the block is through."""
    above = next(parent for parent in path.parents if parent.exists())
    make_directory(path.parent)
    draft = path.with_name(f".{path.name[-50:]}.{secrets.token_hex(6)}.tmp")
    try:
        draft.mkdir()
        yield draft
        draft.rename(path)
    except BaseException as error:
        shutil.rmtree(draft, ignore_errors=True)
        for folder in path.parents:  # folders made on the way, empty again
            if folder == above:
                break
            with contextlib.suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):
            raise writing_error(path, error) from error
        raise
