"""Unlabelled cases whose truth the data set happens to have: to look at, never to train on."""

from __future__ import annotations

from pathlib import Path

from monai_supmix.datalists.datalist import Datalist
from monai_supmix.datalists.draw import select_labeled
from monai_supmix.datalists.items import Item
from monai_supmix.randomness import derive_seed


def hidden_truth(datalist: Datalist, count: int) -> list[Item]:
    """Pick unlabelled cases whose truth the data set happens to have, to see how good their pseudo-labels are.

    Args:
        datalist: the list that is trained on; nothing in it changes.
        count: how many at most. A smaller pick is a part of a larger one, and a pick goes over the groups first.

    Returns:
        items of their own, with ``label``; none where no label file exists.

    Example:
        >>> bare = {"image": __file__, "case": "1L", "group": "1"}
        >>> datalist = Datalist([], [bare], [], [], ["background", "vessel"], hidden_labels={"1L": __file__})
        >>> [sorted(item) for item in hidden_truth(datalist, 3)], "label" in bare
        ([['case', 'group', 'image', 'label']], False)
    """
    labels = {case: label for case, label in datalist.hidden_labels.items() if Path(label).exists()}
    items = [{**item, "label": labels[item["case"]]} for item in datalist.unlabeled if item["case"] in labels]
    # another order than that of the labelled images: these cases must not be their fellows
    seed = derive_seed(0, "hidden truth")
    return select_labeled(items, min(count, len(items)), seed) if items and count else []
