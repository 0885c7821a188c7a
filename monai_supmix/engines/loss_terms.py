"""How the loss of an iteration is put together: the term of a strong view, and the sum of all terms."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from monai_supmix.losses import ConsistencyLoss
from monai_supmix.transforms import Blended, Mixed


def view_loss(loss: ConsistencyLoss, logits: Tensor, view: Mixed | Blended) -> Tensor:
    """The consistency of a strong view with its pseudo-label.

    Args:
        loss: the consistency loss.
        logits: of the view, ``(B, C, *spatial)``.
        view: the view with its target; a blended one has two, which count by their shares.

    Returns:
        a float32 scalar.

    Example:
        >>> from monai_supmix.transforms import MixUp
        >>> image, label = torch.rand(2, 1, 4, 4), torch.zeros(2, 1, 4, 4, dtype=torch.long)
        >>> sure = torch.ones_like(image)
        >>> view = MixUp(prob=1.0)(image, label + 1, image, label, sure, sure)
        >>> round(view_loss(ConsistencyLoss(), torch.zeros(2, 2, 4, 4), view).item(), 4)
        0.6931
    """
    term = loss(logits, view.label, view.confidence)
    if not isinstance(view, Blended):
        return term
    other = loss(logits, view.other_label, view.other_confidence)
    return view.share * other + (1 - view.share) * term


def combine(terms: dict[str, Tensor]) -> Tensor:
    """The weighted sum of the supervised and the unsupervised losses, before the adversarial one.

    Args:
        terms: ``loss_supervised`` and any of ``loss_inward``, ``loss_strong_k`` and ``loss_feature_dropout``, scalars.

    Returns:
        ``1/2 (L_x + L_u)``, or ``L_x`` where there is no unsupervised term. ``L_x`` is the mean of the first two.

    Example:
        >>> unimatch = dict(loss_supervised=1.0, loss_strong_1=1.0, loss_strong_2=0.0, loss_feature_dropout=0.0)
        >>> float(combine({name: torch.tensor(value) for name, value in unimatch.items()}))
        0.625
    """
    strong: Sequence[Tensor] = [term for name, term in terms.items() if name.startswith("loss_strong")]
    unsupervised = [torch.stack(list(strong)).mean()] if strong else []
    if "loss_feature_dropout" in terms:
        unsupervised.append(terms["loss_feature_dropout"])
    supervised = terms["loss_supervised"]
    if "loss_inward" in terms:
        supervised = (supervised + terms["loss_inward"]) / 2
    return (supervised + torch.stack(unsupervised).mean()) / 2 if unsupervised else supervised
