"""Masks that a trained network, or another program, made of the unlabelled images, as labels to train on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from monai_supmix.datalists.datalist import Datalist
from monai_supmix.datalists.items import Item
from monai_supmix.errors import InputError
from monai_supmix.listing import check_folder

MASK_ENDINGS = tuple(number + end for number in ("", "_0000") for end in ("_seg.nii.gz", "_seg.png", ".nii.gz", ".png"))
"""What stands after a case's name in its mask's; ``_0000`` where the image has nnU-Net's number of a channel."""


def with_pseudo_labels(datalist: Datalist, folder: str | Path | None) -> Datalist:
    """Give the unlabelled cases the masks of a folder as their labels.

    Cases without a mask are left out and counted, so that masks can be looked at and bad ones removed. Labelled cases
    (``unlabeled_pool="all"``) get none beside their true label.

    Args:
        datalist: the datalist.
        folder: holds ``<case>_seg.nii.gz`` or ``<case>_seg.png`` (as ``predict`` writes them), also without ``_seg``;
            ``None`` gives the datalist back.

    Returns:
        a datalist whose unlabelled items have a ``label``; labelled, validation and test cases are what they were.

    Raises:
        InputError: no such folder, it has no mask of any unlabelled case, or it is not clear whose a mask is.

    Example:
        >>> import tempfile
        >>> masks = Path(tempfile.mkdtemp())
        >>> (masks / "b_seg.png").touch()
        >>> items = [{"image": f"{name}.png", "case": name, "group": name} for name in "abc"]
        >>> labelled = with_pseudo_labels(Datalist(items[:1], items[1:], [], [], ["background", "lesion"]), masks)
        >>> [item["case"] for item in labelled.unlabeled], Path(labelled.unlabeled[0]["label"]).name, labelled.notes
        (['b'], 'b_seg.png', ['1 of 2 unlabelled images without a pseudo-label are left out'])
    """
    if folder is None:
        return datalist
    root = check_folder(folder, "give the folder of the masks")
    with_masks: list[Item] = []
    taken: dict[Path, str] = {}
    values = next(({"values": item["values"]} for item in datalist.labeled if "values" in item), {})
    labeled = {item["case"] for item in datalist.labeled}
    pool = [item for item in datalist.unlabeled if item["case"] not in labeled]
    names = labeled | {item["case"] for item in pool}
    for item in pool:
        # CASE_0000_seg is the mask of a case CASE_0000 where there is one
        endings = [end for end in MASK_ENDINGS if not (end.startswith("_0000") and f"{item['case']}_0000" in names)]
        masks = [path for end in endings if (path := root / f"{item['case']}{end}").is_file()]
        if len(masks) > 1 or (masks and masks[0] in taken):
            of_another = f"may be that of {item['case']} or of {taken.get(masks[0])}"
            problem = (
                of_another if len(masks) == 1 else f"{masks[1].name} lies beside it: which is that of {item['case']}?"
            )
            raise InputError(masks[0], problem, "keep one mask for each case, named CASE_seg")
        if masks:
            taken[masks[0]] = item["case"]
            with_masks.append(
                {**values, **item, "label": str(masks[0]), **({"label_of_slice": 1} if "slice" in item else {})}
            )
    if not with_masks:
        example = f"{pool[0]['case']}_seg.nii.gz" if pool else "CASE_seg.nii.gz"
        raise InputError(root, "holds no mask of an unlabelled image", f"give masks named by case, such as {example}")
    missing = len(pool) - len(with_masks)
    notes = [f"{missing} of {len(pool)} unlabelled images without a pseudo-label are left out"]
    return dataclasses.replace(datalist, unlabeled=with_masks, notes=[*datalist.notes, *(notes if missing else [])])
