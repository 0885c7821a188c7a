"""Datalists of a data set: the labelled and the validation images are drawn, or stand in a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from monai_supmix.datalists.datalist import Datalist, check_datalist
from monai_supmix.datalists.draw import draw_validation_groups, pick_named, select_labeled
from monai_supmix.datalists.items import Item, prepared, without_label
from monai_supmix.datalists.partly import KEY
from monai_supmix.errors import InputError


def build_datalist(
    train: Sequence[Item],
    test: Sequence[Item],
    class_names: Sequence[str],
    subject: object,
    *,
    num_labeled: int | None = None,
    labeled_seed: int | None = 0,
    labeled_list: Sequence[str] | str | None = None,
    num_val_patients: int = 0,
    validation_pool: Sequence[Item] | None = None,
    unlabeled_pool: str = "rest",
    notes: Iterable[str] = (),
    shared_groups: Iterable[str] = (),
) -> Datalist:
    """Draw the labelled and the validation images of a split and check the result.

    Args:
        train: items of the training side; those without ``label`` can only be unlabelled.
        test: items of the test side, all with ``label``.
        class_names: names of the classes, index = label value.
        subject: what errors are about, normally the data folder.
        num_labeled: number of labelled images, drawn over different groups first; None takes all.
        labeled_seed: seed of the draws; None is refused. With one seed a smaller draw is a part of a larger one.
        labeled_list: names of the labelled cases instead of a draw; a string is a name, or a text file with
            one name a line.
        num_val_patients: number of groups held out for validation, with all their images.
        validation_pool: items that the split itself sets aside; validation groups come from here if given,
            otherwise from `train`.
        unlabeled_pool: ``"rest"``: training images that are not labelled; ``"all"``: the labelled ones too,
            without their labels.
        notes: see `Datalist`.
        shared_groups: see `Datalist`.

    Raises:
        InputError: too few images or groups, unknown names, or a list that fails `check_datalist`.
    """
    if labeled_seed is None:
        raise InputError("labeled_seed", "is null, and no list of labelled cases is published", "give a whole number")
    if unlabeled_pool not in ("rest", "all"):
        raise InputError("unlabeled_pool", f"is {unlabeled_pool!r}", "use 'rest' or 'all'")
    notes = list(notes)
    train, test = prepared(train, class_names, subject), prepared(test, class_names, subject)
    source = train if validation_pool is None else prepared(validation_pool, class_names, subject)
    chosen = () if labeled_list is None else pick_named(train, labeled_list, "labeled_list")
    taken = {item["group"] for item in (*test, *chosen)}
    val_groups = draw_validation_groups(source, num_val_patients, labeled_seed, taken)
    validation = [item for item in source if item["group"] in val_groups and "label" in item]
    kept = [item for item in train if item["group"] not in val_groups]
    unused = len(train) - len(kept) - len(validation)
    if validation_pool is None and unused > 0:
        notes.append(f"{unused} images without a label belong to validation patients and are left out")
    labeled = list(chosen) or select_labeled(kept, num_labeled, labeled_seed, subject=subject)
    if labeled_list is not None and num_labeled is not None and num_labeled != len(labeled):
        notes.append(f"labeled_list names {len(labeled)} cases, which overrides num_labeled={num_labeled}")
    drawn = {item["case"] for item in labeled}
    unlabeled = [without_label(item) for item in kept if unlabeled_pool == "all" or item["case"] not in drawn]
    whole = [item for item in kept if "label" in item and KEY not in item and "ignored" not in item]
    hidden = {item["case"]: item["label"] for item in whole if item["case"] not in drawn}
    datalist = Datalist(
        labeled, unlabeled, validation, list(test), list(class_names), notes, sorted(shared_groups), hidden
    )
    check_datalist(datalist, subject)
    return datalist


def fixed_datalist(
    path: str | Path, num_labeled: int | None, labeled_list: Sequence[str] | str | None, num_val_patients: int
) -> Datalist:
    """Read a datalist JSON given in place of a data folder; its draw stands, and other wishes must agree.

    Raises:
        InputError: the file is wrong, or `num_labeled`, `labeled_list` or `num_val_patients` ask for another
            draw.
    """
    datalist = Datalist.from_json(path)
    remedy = "leave the draw to the file, or give the data folder instead"
    if num_labeled is not None and num_labeled != len(datalist.labeled):
        problem = f"is {num_labeled}, but {path} holds {len(datalist.labeled)} labelled images"
        raise InputError("num_labeled", problem, f"set it to {len(datalist.labeled)}, or give the data folder instead")
    if labeled_list is not None:
        raise InputError("labeled_list", f"is given, but {path} has its own labelled images", remedy)
    if num_val_patients not in (0, len({item["group"] for item in datalist.validation})):
        raise InputError("num_val_patients", f"is {num_val_patients}, but {path} has its own validation", remedy)
    return datalist
