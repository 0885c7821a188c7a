"""The semi-supervised trainer: one iteration for every method of the paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from monai.utils.enums import CommonKeys as Keys
from torch import Tensor, nn

from monai_supmix.data.paired import PairedLoader
from monai_supmix.engines.adversary import discriminator_loss, generator_loss, judged_maps, ramped
from monai_supmix.engines.arguments import (
    check_adversary,
    check_burn_in,
    check_consistency_loss,
    check_feature_dropout,
    check_loader,
    check_pasting,
    check_teacher,
    integer_label,
)
from monai_supmix.engines.loss_terms import combine, view_loss
from monai_supmix.engines.moving_average import MovingAverage
from monai_supmix.engines.pseudo_labels import pseudo_label_of, pseudo_label_statistics, without_ignored
from monai_supmix.engines.scaling import LossScaler
from monai_supmix.engines.step import ExtraTerm, Maps, Step, evaluate, tap, uses_unlabeled
from monai_supmix.engines.views import StrongViews, mix_labeled, paste_inward
from monai_supmix.losses import ConsistencyLoss
from monai_supmix.networks.layout import channels_last_if_2d
from monai_supmix.plain import as_plain
from monai_supmix.precision import Amp, autocast, autocast_dtype
from monai_supmix.randomness import derive_seed, seed_generators
from monai_supmix.transforms import Blended, Mixed, RegionMix

INWARD = "inward"
"""Name of the labelled images with pasted regions of unlabelled ones, and of their loss."""


class SemiSupervisedTrainer(SupervisedTrainer):
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
        device: where to train; the network and all other modules that are given are moved there.
        max_epochs: epochs to train; one epoch is one pass over the unlabelled images.
        train_data_loader: batches ``{"labeled": {"image", "label"}, "unlabeled": {"image"}}``; images
            ``(B, C_in, *spatial)`` in [0, 1], labels ``(B, 1, *spatial)`` integers. The two batch sizes may
            differ. An optional boolean ``"ignore"`` of the unlabelled batch, ``(B, 1, *spatial)``, marks pixels
            outside the image; an optional ``"labelled_classes"`` of the labelled one, ``(B, C)``, the classes labelled.
        network: called as ``network(images, num_dropped=n)``, see :class:`monai_supmix.networks.TrainingNetwork`;
            plain networks serve as long as ``feature_dropout`` is off.
        optimizer: optimizer of the network.
        supervised_loss: ``loss(logits, label)``, a scalar; called with a third argument, ``labelled_classes``, for a
            batch with an image in which not all classes were labelled.
        strong_views: makes the strong views; ``None`` (or one that makes 0 views) for none.
        consistency_loss: the loss of strong views and dropped features against pseudo-labels, see
            :class:`monai_supmix.losses.ConsistencyLoss`, whose ``threshold`` and ``ignore_index`` another one has, too.
        feature_dropout: decode the weak view once more with dropped feature channels (UniMatch).
        discriminator: tells maps of labelled from maps of unlabelled images; ``None`` trains without SUFD.
        discriminator_optimizer: its optimizer; needed with ``discriminator``.
        burn_in: share of all iterations, in [0, 1), that first train on labelled images only (Liu et al., Unbiased
            Teacher, ICLR 2021): they cost a fraction of the others, and make the first pseudo-labels better.
        sufd_weight: weight of the adversarial term.
        sufd_ramp_up: iterations over which that weight rises linearly from 0, counted from the first one, a burn-in
            included.
        sufd_input: what the discriminator sees: ``"softmax"`` or ``"logits"`` of the output map, or the dotted
            name of a module of ``network`` whose output, e.g. the decoder's, it sees instead.
        teacher_momentum: where given, pseudo-labels come from an exponential moving average of the network with this
            momentum, in [0, 1), or less in the first steps, see :class:`monai_supmix.engines.MovingAverage`; it follows
            every step, also in the burn-in. The weak view then passes through the trained network only if a
            discriminator, feature dropout or an extra term looks at its map.
        save: which network is validated and saved: the ``"student"``, which is the trained one, or the ``"teacher"``.
        teacher: a network of your own that gives the pseudo-labels (in evaluation mode) instead of an average; the
            caller keeps it up to date and saves its state.
        given_pseudo_labels: the unlabelled batch brings pseudo-labels that were made before the training, under
            ``"label"`` (self-training): every pixel is believed, and no network looks at the weak view for them.
        inward: mixing that pastes regions of the unlabelled images, chosen on their pseudo-labels, into the labelled
            images, which are also trained on with the supervised loss (the other half of bidirectional copy-paste, Bai
            et al., CVPR 2023); its mean with that of the plain labelled images is then :math:`L_x`. Only confident
            pixels of a region are pasted. Labelled image i gets a region of unlabelled image i, modulo their number.
        labeled_mixing: mixing of the labelled images among themselves wherever an iteration trains on them alone: in a
            burn-in, or in supervised training.
        extra_terms: loss terms of your own: each is called with a :class:`monai_supmix.engines.Step` and returns
            ``{name: (weight, loss)}``. The loss grows by ``weight * loss``, the output by ``loss_<name>``. One with an
            attribute ``uses_unlabeled = False`` looks only at labelled images and strong views. The parameters of one
            that is a module are trained if you give them to the optimizer.
        extra_features: dotted name of a module of ``network`` whose output, one tensor, extra terms see as features.
        amp: see :func:`monai_supmix.precision.autocast_dtype`.
        seed: the run's seed.
        max_iterations: train for this many iterations in all, whatever ``max_epochs`` says.
        train_handlers: MONAI or Ignite handlers.
        trainer_kwargs: further arguments of :class:`monai.engines.SupervisedTrainer`.

    Raises:
        ValueError: when ``discriminator`` comes without its optimizer, ``sufd_input`` or ``extra_features`` names no
            module, ``burn_in`` is no such share, there are two teachers, or none where it is to be saved,
            or ``inward`` or ``labeled_mixing`` pastes no region.
        InputError: ``feature_dropout`` is on, and the network has none, or does not know which features to drop.

    ``engine.state.output`` holds, as tensors on the device: ``loss`` and its terms ``loss_supervised``,
    ``loss_strong_1`` ..., ``loss_inward``, ``loss_feature_dropout``, ``loss_generator``, ``loss_discriminator`` and
    extra ones, and ``confidence_coverage`` (share of pixels at or above the threshold), ``pseudo_label_share``
    ``(C,)``, ``discriminator_accuracy``. During the burn-in only ``loss``, ``loss_supervised`` and extra terms.

    Example:
        >>> from monai_supmix.data import StreamLoader
        >>> from monai_supmix.losses import SupervisedLoss
        >>> from monai_supmix.transforms import SupMix
        >>> items = [{"image": torch.rand(1, 8, 8), "label": torch.randint(2, (1, 8, 8))} for _ in range(4)]
        >>> streams = [StreamLoader(items, dict, 2, 0, name) for name in ("labeled", "unlabeled")]
        >>> network = nn.Conv2d(1, 2, 1)
        >>> optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        >>> trainer = SemiSupervisedTrainer(
        ...     "cpu", 1, PairedLoader(*streams), network, optimizer, SupervisedLoss(),
        ...     strong_views=StrongViews(num_views=2, mixing=SupMix(num_classes=2, prob=1.0)),
        ...     consistency_loss=ConsistencyLoss(),
        ... )
        >>> trainer.run()
        >>> trainer.state.iteration, [name for name in trainer.state.output if name.startswith("loss_strong")]
        (2, ['loss_strong_1', 'loss_strong_2'])
    """

    def __init__(
        self,
        device: torch.device | str,
        max_epochs: int,
        train_data_loader: PairedLoader,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        supervised_loss: Callable[..., Tensor],
        strong_views: StrongViews | None = None,
        consistency_loss: ConsistencyLoss | None = None,
        feature_dropout: bool = False,
        discriminator: nn.Module | None = None,
        discriminator_optimizer: torch.optim.Optimizer | None = None,
        burn_in: float = 0.0,
        sufd_weight: float = 1.0,
        sufd_ramp_up: int = 0,
        sufd_input: str = "softmax",
        teacher_momentum: float | None = None,
        save: Literal["student", "teacher"] = "student",
        teacher: nn.Module | None = None,
        given_pseudo_labels: bool = False,
        inward: RegionMix | None = None,
        labeled_mixing: RegionMix | None = None,
        extra_terms: Sequence[ExtraTerm] = (),
        extra_features: str | None = None,
        amp: Amp = "auto",
        seed: int = 0,
        max_iterations: int | None = None,
        train_handlers: Sequence | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        check_adversary(discriminator, discriminator_optimizer)
        check_teacher(teacher, teacher_momentum, save)
        check_pasting(inward=inward, labeled_mixing=labeled_mixing)
        check_burn_in(burn_in)
        check_loader(train_data_loader)
        check_feature_dropout(network, feature_dropout)
        consistency_loss = consistency_loss or ConsistencyLoss()
        check_consistency_loss(consistency_loss, inward)
        epoch_length = trainer_kwargs.get("epoch_length") or len(train_data_loader)
        if max_iterations is not None:
            max_epochs = -(-max_iterations // epoch_length)
        super().__init__(
            device=device,
            max_epochs=max_epochs,
            train_data_loader=train_data_loader,
            network=network,
            optimizer=optimizer,
            loss_function=supervised_loss,
            amp=False,  # this class autocasts by itself: MONAI's argument knows only CUDA
            decollate=False,
            train_handlers=train_handlers,
            **trainer_kwargs,
        )
        self.network = network.to(self.state.device)
        views = [getattr(strong_views, name, None) for name in ("augmentation", "mixing")]
        for part in (
            discriminator,
            teacher,
            supervised_loss,
            consistency_loss,
            inward,
            labeled_mixing,
            *views,
            *extra_terms,
        ):
            if isinstance(part, nn.Module):
                part.to(self.state.device)
        channels_last_if_2d(network)
        self.streams = train_data_loader
        self.supervised_loss = supervised_loss
        self.strong_views = strong_views if strong_views and strong_views.num_views else None
        self.consistency_loss = consistency_loss
        self.feature_dropout = feature_dropout
        self.discriminator = discriminator
        self.discriminator_optimizer = discriminator_optimizer
        self.burn_in = int(burn_in * (max_iterations or max_epochs * epoch_length))
        self.sufd_weight, self.sufd_ramp_up = sufd_weight, sufd_ramp_up
        # Before any hook is put on the network, because a copy would keep it.
        self.average = None if teacher_momentum is None else MovingAverage(network, teacher_momentum)
        self.teacher = teacher if self.average is None else self.average.network
        self.saved_network = self.teacher if save == "teacher" and self.teacher is not None else self.network
        self.given_pseudo_labels = given_pseudo_labels
        self.extra_terms = tuple(extra_terms)
        self.inward, self.labeled_mixing = inward, labeled_mixing
        self.precision, self.seed = amp, seed
        in_float16 = autocast_dtype(amp, self.state.device) is torch.float16
        self.grad_scaler = LossScaler(self.state.device.type, enabled=in_float16)
        self._judged_maps = judged_maps(network, sufd_input)
        self._features = extra_features and tap(
            network, extra_features, "extra_features is the name of a module of the network"
        )
        # Not at STARTED itself: a CheckpointLoader that is attached later sets the iteration there.
        self.add_event_handler(Events.STARTED, self._expect_start)
        self.add_event_handler(Events.EPOCH_STARTED, self._start)
        if max_iterations is not None and max_iterations % epoch_length:  # else the last epoch ends by itself
            self.add_event_handler(Events.ITERATION_COMPLETED(once=max_iterations), Engine.terminate)

    @property
    def uses_unlabeled(self) -> bool:
        """Whether any term of the loss looks at unlabelled images."""
        return self.strong_views is not None or self.inward is not None or self._looks_at_weak_map

    @property
    def _looks_at_weak_map(self) -> bool:
        """Whether a term of the loss looks at the trained network's own output for the weak view."""
        extra = any(uses_unlabeled(term) for term in self.extra_terms)
        return self.feature_dropout or self.discriminator is not None or extra

    def _expect_start(self) -> None:
        self._started = False
        self._begin_average()

    def _begin_average(self) -> None:
        """Let the average begin as the network, which may have got trained weights, unless it has got its own."""
        if self.average is not None and self.average.is_fresh:
            self.average.restart(self.network)

    def _start(self, engine: Engine) -> None:
        if self._started:
            return
        self._started = True
        self._begin_average()
        self.streams.rewind(engine.state.iteration, self.burn_in if self.uses_unlabeled else None)

    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> dict[str, Tensor]:
        iteration: int = engine.state.iteration
        key = (iteration, idist.get_rank())
        seed_generators(derive_seed(self.seed, "network", *key))  # dropout, and code that has no generator of its own
        self.network.train()
        semi = self.uses_unlabeled and iteration > self.burn_in
        discriminator = self.discriminator if semi else None

        # The labelled batch x_l, y_l and the weak view x_w of the unlabelled batch, which the burn-in leaves out.
        x_l, y_l, labelled_classes = self._labeled(batchdata["labeled"], not semi or self.given_pseudo_labels, key)
        unlabeled: dict[str, Any] = batchdata["unlabeled"] if semi else {Keys.IMAGE: x_l[:0]}
        x_w = self._to_device(unlabeled[Keys.IMAGE])

        # One forward for both; the weak features are decoded once more with dropped channels (UniMatch). Where
        # pseudo-labels come from elsewhere the weak view is left out unless a term looks at its map.
        num_dropped = len(x_w) if self.feature_dropout else 0
        own = self.teacher is None and not self.given_pseudo_labels
        num_weak = len(x_w) if own or self._looks_at_weak_map else 0
        logits, features = self._forward(torch.cat([x_l, x_w[:num_weak]]), num_dropped)
        judged = self._judged_maps(logits)[: len(x_l) + num_weak] if discriminator is not None else logits
        p_l, p_w, p_fp = logits.split([len(x_l), num_weak, num_dropped])
        terms = {"loss_supervised": self._supervised(p_l, y_l, labelled_classes)}
        output: dict[str, Tensor] = {}

        mixed: dict[str, Mixed | Blended] = {}
        if semi:
            # Pseudo-labels of the weak view (Eq. 7).
            confidence, pseudo_label = self._pseudo_label(x_w, p_w, unlabeled)
            consistency = self.consistency_loss
            output |= pseudo_label_statistics(
                pseudo_label,
                confidence,
                consistency.threshold,
                num_classes=p_w.shape[1],
                ignore_index=consistency.ignore_index,
            )
            mixed = self._mix(x_l, y_l, x_w, pseudo_label, confidence, key)

        logits_mixed, features_mixed = logits[:0], features
        if mixed:
            # Strong views, mixed with regions of other images (Eqs. 8-11), in one forward.
            logits_mixed, features_mixed = self._forward(torch.cat([view.image for view in mixed.values()]))
            p_mixed = logits_mixed.split([len(view.image) for view in mixed.values()])
            for (name, view), p in zip(mixed.items(), p_mixed, strict=True):
                terms[f"loss_{name}"] = self._mixed_loss(p, view, labelled_classes)

        if num_dropped:
            terms["loss_feature_dropout"] = self.consistency_loss(p_fp, pseudo_label, confidence)
        loss = combine(terms)

        if self.extra_terms:
            # User-defined terms, which see all of the above.
            views = [view for name, view in mixed.items() if name != INWARD]
            sizes = len(x_l), num_weak if semi else 0, [len(view.image) for view in views]
            step = Step(
                iteration=iteration,
                images=Maps(x_l, x_w if semi else None, tuple(view.image for view in views)),
                logits=Maps.of(logits, logits_mixed, *sizes),
                features=Maps.of(features, features_mixed, *sizes) if self._features else None,
                label=y_l,
                labelled_classes=labelled_classes,
                pseudo_label=pseudo_label if semi else None,
                confidence=confidence if semi else None,
                views=tuple(views),
            )
            loss = loss + self._add_extra_terms(step, terms)

        if discriminator is not None:
            # SUFD (Eq. 12), first term: unlabelled maps should pass for labelled ones; the discriminator is frozen.
            map_l, map_w = judged.split([len(x_l), num_weak])
            with autocast(self.precision, self.state.device):
                terms["loss_generator"] = generator_loss(discriminator, map_w)
            loss = loss + ramped(self.sufd_weight, self.sufd_ramp_up, iteration) * terms["loss_generator"]

        self._step(loss, self.optimizer)
        if self.average is not None:
            self.average.update(self.network, iteration)

        if discriminator is not None and self.discriminator_optimizer is not None:
            # SUFD, second and third term: the discriminator learns from the same maps, detached.
            with autocast(self.precision, self.state.device):
                loss_d, accuracy = discriminator_loss(discriminator, map_l, map_w)
            self._step(loss_d, self.discriminator_optimizer)
            terms["loss_discriminator"], output["discriminator_accuracy"] = loss_d, accuracy

        self.grad_scaler.update()
        return {Keys.LOSS: loss.detach(), **{name: term.detach() for name, term in terms.items()}, **output}

    def _forward(self, images: Tensor, num_dropped: int = 0) -> tuple[Tensor, Tensor]:
        """Logits, and what extra terms see as features: the logits themselves where they see none."""
        with autocast(self.precision, self.state.device):
            logits = self.network(images, num_dropped=num_dropped) if num_dropped else self.network(images)
            return logits, self._features(logits) if self._features else logits

    def _labeled(
        self, batch: dict[str, Any], alone: bool, key: tuple[int, ...]
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Labelled images, mixed where an iteration has nothing else, truth, and labelled classes if not all are."""
        image, label = (self._to_device(batch[name]) for name in (Keys.IMAGE, Keys.LABEL))
        label = integer_label(label)
        labelled_classes = batch.get("labelled_classes")
        if labelled_classes is not None:
            labelled_classes = None if bool(labelled_classes.all()) else self._to_device(labelled_classes)
        if self.labeled_mixing is not None and alone:
            seed = derive_seed(self.seed, "labeled mixing", *key)
            image, label = mix_labeled(self.labeled_mixing, image, label, seed, labelled_classes)
        return image, label, labelled_classes

    def _supervised(self, p: Tensor, label: Tensor, labelled_classes: Tensor | None) -> Tensor:
        """The supervised loss, which needs to know labelled classes only where some are missing."""
        partly = () if labelled_classes is None else (labelled_classes,)
        return self.supervised_loss(p.float(), label, *partly)

    def _mix(
        self, x_l: Tensor, y_l: Tensor, x_w: Tensor, pseudo_label: Tensor, confidence: Tensor, key: tuple[int, ...]
    ) -> dict[str, Mixed | Blended]:
        """Strong views of the unlabelled images by the names of their losses, and labelled images mixed with these."""
        mixed: dict[str, Mixed | Blended] = {}
        if self.strong_views is not None:
            views = self.strong_views(x_l, y_l, x_w, pseudo_label, confidence, seed=self.seed, key=key)
            mixed = {f"strong_{k}": view for k, view in enumerate(views, 1)}
        if self.inward is not None:
            sure = self.consistency_loss.believed(pseudo_label, confidence)
            seed = derive_seed(self.seed, INWARD, *key)
            mixed[INWARD] = paste_inward(self.inward, x_l, y_l, x_w, pseudo_label, confidence, sure, seed)
        return mixed

    def _mixed_loss(self, p: Tensor, view: Mixed | Blended, labelled_classes: Tensor | None) -> Tensor:
        """Consistency of a strong view; a mixed labelled image, which has no confidence, is trained on like any."""
        if view.confidence is None:
            return self._supervised(p, view.label, labelled_classes)
        return view_loss(self.consistency_loss, p, view)

    def _add_extra_terms(self, step: Step, terms: dict[str, Tensor]) -> Tensor:
        """Put user-defined terms beside the others; return their weighted sum."""
        extra = evaluate(self.extra_terms, step)
        terms |= {f"loss_{name}": term for name, (_, term) in extra.items()}
        return sum((weight * term for weight, term in extra.values()), torch.zeros((), device=self.state.device))

    def _to_device(self, tensor: Tensor) -> Tensor:
        plain, device = as_plain(tensor), self.state.device
        if device.type == "cuda" and plain.device.type == "cpu":
            plain = plain.pin_memory()  # a copy from other memory waits until the device has finished the step before
        moved = plain.to(device, non_blocking=self.non_blocking or plain.is_pinned())
        is_2d_image = moved.is_floating_point() and moved.ndim == 4
        return moved.contiguous(memory_format=torch.channels_last) if is_2d_image else moved

    @torch.no_grad()
    def _pseudo_label(self, x_w: Tensor, p_w: Tensor, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Confidence and pseudo-label of the weak view, both ``(B, 1, *spatial)``: its arg max, or the given one."""
        if self.given_pseudo_labels:
            given = integer_label(self._to_device(batch[Keys.LABEL]))
            return torch.ones(given.shape, device=given.device), given
        if self.teacher is not None:
            with autocast(self.precision, self.state.device):
                p_w = self.teacher.eval()(x_w)
        confidence, pseudo_label = pseudo_label_of(p_w)
        ignore = batch.get("ignore")
        if ignore is not None:
            pseudo_label = without_ignored(pseudo_label, self._to_device(ignore), self.consistency_loss.ignore_index)
        return confidence, pseudo_label

    def _step(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad(set_to_none=True)
        self.grad_scaler.scale(loss).backward()
        self.grad_scaler.step(optimizer)
