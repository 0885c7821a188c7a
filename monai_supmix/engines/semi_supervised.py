"""The semi-supervised trainer: one iteration for every method of the paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.engines import Trainer
from monai.utils.enums import CommonKeys as Keys
from torch import Tensor, nn

from monai_supmix.data.paired import PairedLoader
from monai_supmix.engines.views import StrongViews
from monai_supmix.losses import ConsistencyLoss, SUFDLoss, discriminator_accuracy
from monai_supmix.networks import frozen
from monai_supmix.precision import Amp, autocast, autocast_dtype
from monai_supmix.randomness import derive_seed

SUFD_MAPS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda logits: logits.float().softmax(dim=1),
    "logits": lambda logits: logits,
}


class SemiSupervisedTrainer(Trainer):
    r"""Train a segmentation network on labelled and unlabelled images.

    Minimises :math:`L = \frac12 (L_x + L_u) + w L_{SUFD}`, where :math:`L_x` is the supervised loss and
    :math:`L_u` the mean of the unsupervised ones: with feature dropout half of it is :math:`L_{fp}` and half
    is shared by the strong views (UniMatch's 1/2, 1/4, 1/4), without it the strong views share all (FixMatch's
    1). Without any unsupervised term the loss is :math:`L_x` itself.

    Which method is trained follows from what is given: ``strong_views`` (and the mixing inside them),
    ``feature_dropout`` and ``discriminator``. All seven methods of the paper's tables are such combinations.

    Every random draw is keyed by ``(seed, iteration, rank)``: the global torch generator is seeded anew at each
    iteration, so a run resumed at any iteration continues exactly as if it had never stopped.

    Args:
        device: where to train.
        max_epochs: epochs to train; one epoch is one pass over the unlabelled images.
        train_data_loader: batches ``{"labeled": {"image", "label"}, "unlabeled": {"image"}}``; images
            ``(B, C_in, *spatial)`` in [0, 1], labels ``(B, 1, *spatial)`` integers. The two batch sizes may
            differ. An optional boolean ``"ignore"`` of the unlabelled batch, ``(B, 1, *spatial)``, marks pixels
            outside the image.
        network: called as ``network(images, num_dropped=n)``, see :class:`monai_supmix.networks.TrainingNetwork`;
            plain networks serve as long as ``feature_dropout`` is off.
        optimizer: optimizer of the network.
        supervised_loss: ``loss(logits, label)``, a scalar.
        strong_views: makes the strong views; ``None`` (or one that makes 0 views) for none.
        consistency_loss: the loss of strong views and dropped features against pseudo-labels.
        feature_dropout: decode the weak view once more with dropped feature channels (UniMatch).
        discriminator: tells maps of labelled from maps of unlabelled images; ``None`` trains without SUFD.
        discriminator_optimizer: its optimizer; needed with ``discriminator``.
        burn_in: share of all iterations, in [0, 1), that first train on labelled images alone (Liu et al., Unbiased
            Teacher, ICLR 2021): they cost a fraction of the others, and pseudo-labels begin better.
        sufd_weight: weight of the adversarial term.
        sufd_ramp_up: iterations over which that weight rises linearly from 0, counted from the first one, a burn-in
            included.
        sufd_input: what the discriminator sees: ``"softmax"`` or ``"logits"`` of the output map, or the dotted
            name of a module of ``network`` whose output, e.g. the decoder's, it sees instead.
        teacher: where given, pseudo-labels are this network's (evaluation mode) instead of the trained
            network's own, for example an exponential moving average; keeping it up to date is the caller's.
        amp: see :func:`monai_supmix.precision.autocast_dtype`.
        seed: the run's seed.
        max_iterations: train for this many iterations in all, whatever ``max_epochs`` says.
        train_handlers: MONAI or Ignite handlers.
        trainer_kwargs: further arguments of :class:`monai.engines.Trainer`.

    Raises:
        ValueError: when ``discriminator`` comes without its optimizer, ``sufd_input`` names no module, or ``burn_in``
            is no such share.

    ``engine.state.output`` holds, as tensors on the device: ``loss`` and its terms ``loss_supervised``,
    ``loss_strong_1`` ..., ``loss_feature_dropout``, ``loss_generator``, ``loss_discriminator``, and
    ``confidence_coverage`` (share of pixels at or above the threshold), ``pseudo_label_share`` ``(C,)``,
    ``discriminator_accuracy``. During the burn-in only ``loss`` and ``loss_supervised``.
    """

    def __init__(
        self,
        device: torch.device | str,
        max_epochs: int,
        train_data_loader: PairedLoader,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        supervised_loss: Callable[[Tensor, Tensor], Tensor],
        strong_views: StrongViews | None = None,
        consistency_loss: ConsistencyLoss | None = None,
        feature_dropout: bool = False,
        discriminator: nn.Module | None = None,
        discriminator_optimizer: torch.optim.Optimizer | None = None,
        burn_in: float = 0.0,
        sufd_weight: float = 1.0,
        sufd_ramp_up: int = 0,
        sufd_input: str = "softmax",
        teacher: nn.Module | None = None,
        amp: Amp = "auto",
        seed: int = 0,
        max_iterations: int | None = None,
        train_handlers: Sequence | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        if max_iterations is not None:
            max_epochs = -(-max_iterations // len(train_data_loader))
        super().__init__(
            device=device,
            max_epochs=max_epochs,
            data_loader=train_data_loader,
            amp=False,  # this class autocasts by itself: MONAI's argument knows CUDA alone
            decollate=False,
            handlers=train_handlers,
            **trainer_kwargs,
        )
        if (discriminator is None) != (discriminator_optimizer is None):
            raise ValueError("a discriminator and its optimizer are given together or not at all.")
        if not 0 <= burn_in < 1:
            raise ValueError(f"burn_in is a share of the training in [0, 1), not {burn_in}.")
        self.network = network.to(self.state.device)
        if all(parameter.ndim < 5 for parameter in network.parameters()):
            network.to(memory_format=torch.channels_last)  # 2D; parameters stay the same objects
        self.streams = train_data_loader
        self.optimizer = optimizer
        self.supervised_loss = supervised_loss
        self.strong_views = strong_views if strong_views and strong_views.num_views else None
        self.consistency_loss = consistency_loss or ConsistencyLoss()
        self.feature_dropout = feature_dropout
        self.discriminator = discriminator
        self.discriminator_optimizer = discriminator_optimizer
        self.burn_in = int(burn_in * (max_iterations or max_epochs * len(train_data_loader)))
        self.sufd_loss = SUFDLoss()
        self.sufd_weight, self.sufd_ramp_up = sufd_weight, sufd_ramp_up
        self.teacher = teacher
        self.precision, self.seed = amp, seed
        self.grad_scaler = torch.amp.GradScaler(
            self.state.device.type, enabled=autocast_dtype(amp, self.state.device) is torch.float16
        )
        self._sufd_map = SUFD_MAPS.get(sufd_input) or _tap(network, sufd_input)
        self.add_event_handler(Events.STARTED, self._rewind_data)
        if max_iterations is not None:
            self.add_event_handler(Events.ITERATION_COMPLETED(once=max_iterations), Engine.terminate)

    @property
    def uses_unlabeled(self) -> bool:
        """Whether any term of the loss looks at unlabelled images."""
        return self.strong_views is not None or self.feature_dropout or self.discriminator is not None

    def _rewind_data(self, engine: Engine) -> None:
        self.streams.rewind(engine.state.iteration, self.burn_in if self.uses_unlabeled else None)

    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> dict[str, Tensor]:
        key = (engine.state.iteration, idist.get_rank())
        torch.manual_seed(derive_seed(self.seed, "network", *key))  # dropout
        self.network.train()

        # The labelled batch x_l, y_l and the weak view x_w of the unlabelled batch, which the burn-in leaves out.
        semi = self.uses_unlabeled and engine.state.iteration > self.burn_in
        x_l, y_l = (self._to_device(batchdata["labeled"][name]) for name in (Keys.IMAGE, Keys.LABEL))
        unlabeled: dict[str, Any] = batchdata["unlabeled"] if semi else {Keys.IMAGE: x_l[:0]}
        x_w = self._to_device(unlabeled[Keys.IMAGE])

        # One forward for both; the weak features are decoded once more with dropped channels (UniMatch).
        num_dropped = len(x_w) if self.feature_dropout else 0
        with autocast(self.precision, self.state.device):
            images = torch.cat([x_l, x_w])
            logits = self.network(images, num_dropped=num_dropped) if num_dropped else self.network(images)
            sufd_map = self._sufd_map(logits) if self.discriminator is not None and semi else logits
        p_l, p_w, p_fp = logits.split([len(x_l), len(x_w), num_dropped])
        terms = {"loss_supervised": self.supervised_loss(p_l.float(), y_l)}
        output: dict[str, Tensor] = {}

        if semi:
            # Pseudo-labels of the weak view (Eq. 7).
            confidence, pseudo_label = self._pseudo_label(x_w, p_w, unlabeled.get("ignore"))
            output |= self._pseudo_label_statistics(confidence, pseudo_label, p_w.shape[1])

        if self.strong_views is not None and semi:
            # Strong views, mixed with regions of other images (Eqs. 8-11), in one forward.
            views = self.strong_views(x_l, y_l, x_w, pseudo_label, confidence, seed=self.seed, key=key)
            with autocast(self.precision, self.state.device):
                p_s = self.network(torch.cat([view.image for view in views]))
            for k, (view, p) in enumerate(zip(views, p_s.chunk(len(views)), strict=True), 1):
                terms[f"loss_strong_{k}"] = self.consistency_loss(p, view.label, view.confidence)

        if num_dropped:
            terms["loss_feature_dropout"] = self.consistency_loss(p_fp, pseudo_label, confidence)
        loss = combine(terms)

        # SUFD (Eq. 12), first term: unlabelled maps shall pass for labelled ones; the discriminator is frozen.
        if self.discriminator is not None and semi:
            map_l, map_w, _ = sufd_map.split([len(x_l), len(x_w), num_dropped])
            with frozen(self.discriminator), autocast(self.precision, self.state.device):
                terms["loss_generator"] = self.sufd_loss.generator_loss(_unwrap(self.discriminator)(map_w))
            loss = loss + self._sufd_weight(engine.state.iteration) * terms["loss_generator"]

        self._step(loss, self.optimizer)

        # SUFD, second and third term: the discriminator learns from the same maps, detached.
        if self.discriminator is not None and self.discriminator_optimizer is not None and semi:
            self.discriminator.train()
            with autocast(self.precision, self.state.device):
                d_w, d_l = self.discriminator(torch.cat([map_w, map_l]).detach()).split([len(x_w), len(x_l)])
            terms["loss_discriminator"] = self.sufd_loss.discriminator_loss(d_w, d_l)
            output["discriminator_accuracy"] = discriminator_accuracy(d_w.detach(), d_l.detach())
            self._step(terms["loss_discriminator"], self.discriminator_optimizer)

        self.grad_scaler.update()
        return {Keys.LOSS: loss.detach(), **{name: term.detach() for name, term in terms.items()}, **output}

    def _to_device(self, tensor: Tensor) -> Tensor:
        moved = tensor.to(self.state.device, non_blocking=self.non_blocking)
        is_2d_image = moved.is_floating_point() and moved.ndim == 4
        return moved.contiguous(memory_format=torch.channels_last) if is_2d_image else moved

    @torch.no_grad()
    def _pseudo_label(self, x_w: Tensor, p_w: Tensor, ignore: Tensor | None) -> tuple[Tensor, Tensor]:
        """Confidence and arg max of the weak view, both ``(B, 1, *spatial)``."""
        if self.teacher is not None:
            with autocast(self.precision, self.state.device):
                p_w = self.teacher.eval()(x_w)
        confidence, pseudo_label = p_w.detach().float().softmax(dim=1).max(dim=1, keepdim=True)
        if ignore is not None:
            ignore_index = self.consistency_loss.ignore_index
            if ignore_index is None:
                raise ValueError("the unlabelled batch holds an ignore map, but the consistency loss no ignore_index.")
            pseudo_label = pseudo_label.masked_fill(self._to_device(ignore).bool(), ignore_index)
        return confidence, pseudo_label

    @torch.no_grad()
    def _pseudo_label_statistics(self, confidence: Tensor, pseudo_label: Tensor, num_classes: int) -> dict[str, Tensor]:
        shares = [(pseudo_label == c).float().mean() for c in range(num_classes)]
        coverage = (confidence >= self.consistency_loss.threshold).float().mean()
        return {"confidence_coverage": coverage, "pseudo_label_share": torch.stack(shares)}

    def _sufd_weight(self, iteration: int) -> float:
        return self.sufd_weight * min(1.0, iteration / self.sufd_ramp_up if self.sufd_ramp_up else 1.0)

    def _step(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad(set_to_none=True)
        self.grad_scaler.scale(loss).backward()
        self.grad_scaler.step(optimizer)


def combine(terms: dict[str, Tensor]) -> Tensor:
    """The weighted sum of the supervised and the unsupervised losses, before the adversarial one.

    Args:
        terms: ``loss_supervised`` and any of ``loss_strong_k`` and ``loss_feature_dropout``, scalars.

    Returns:
        ``1/2 (L_x + L_u)``, or ``L_x`` where there is no unsupervised term.

    Example:
        >>> unimatch = dict(loss_supervised=1.0, loss_strong_1=1.0, loss_strong_2=0.0, loss_feature_dropout=0.0)
        >>> float(combine({name: torch.tensor(value) for name, value in unimatch.items()}))
        0.625
    """
    strong: Sequence[Tensor] = [term for name, term in terms.items() if name.startswith("loss_strong")]
    unsupervised = [torch.stack(list(strong)).mean()] if strong else []
    if "loss_feature_dropout" in terms:
        unsupervised.append(terms["loss_feature_dropout"])
    if not unsupervised:
        return terms["loss_supervised"]
    return (terms["loss_supervised"] + torch.stack(unsupervised).mean()) / 2


def _unwrap(module: nn.Module) -> nn.Module:
    """The module inside a DistributedDataParallel wrapper; a frozen one has no gradients to exchange."""
    return module.module if isinstance(module, nn.parallel.DistributedDataParallel) else module


def _tap(network: nn.Module, name: str) -> Callable[[Tensor], Tensor]:
    """Keep the latest output of a named module, to look at instead of the logits."""
    modules = dict(_unwrap(network).named_modules())
    if not name or name not in modules:
        raise ValueError(f"sufd_input is 'softmax', 'logits' or the name of a module of the network, not {name!r}.")
    latest: list[Tensor] = []
    modules[name].register_forward_hook(lambda _module, _inputs, result: latest.__setitem__(slice(None), [result]))
    return lambda _logits: latest[0]
