"""What a checkpoint holds, to be compared with another's."""

import torch
from torch.utils._pytree import tree_flatten

from monai_supmix.handlers.checkpoints import read_checkpoint


def saved_state(path):
    """Everything of a checkpoint's state in comparable form, bit for bit, but for the time that the training took."""
    state = read_checkpoint(path)["state"]
    state["trainer"].pop("seconds")
    leaves, shape = tree_flatten(state)
    return str(shape), [leaf.numpy().tobytes() if torch.is_tensor(leaf) else repr(leaf) for leaf in leaves]
