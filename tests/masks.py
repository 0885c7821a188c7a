"""How alike two masks are, judged class by class: a lost class must not hide in an equal background."""

import numpy as np


def lowest_dice(mask, expected):
    """The lowest Dice of all classes but the background that either of two masks has; 1 where both have none."""
    both = [np.squeeze(np.asarray(labels)) for labels in (mask, expected)]
    assert both[0].shape == both[1].shape
    found = [[labels == c for labels in both] for c in np.union1d(*both) if c != 0]
    return min((2 * np.sum(a & b) / (np.sum(a) + np.sum(b)) for a, b in found), default=1.0)
