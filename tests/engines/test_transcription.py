"""The trainer's losses and weights equal those of a plain transcription of the method, image by image."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ignite.engine import Events

from monai_supmix.randomness import derive_seed
from monai_supmix.transforms import BatchCompose, RandColorJitter, RandGaussianBlur, RandGrayscale
from monai_supmix.transforms.cutmix import draw_boxes
from tests.engines.toys import CLASSES, METHODS, loader, trainer

SEED, ITERATIONS, THRESHOLD, WEIGHT, IGNORED = 3, 4, 0.4, 0.3, 255


@pytest.fixture(autouse=True)
def double(monkeypatch):
    """All in double precision, where no rounding moves a pixel over the threshold, whatever the processor."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def augmentation():
    return BatchCompose([RandColorJitter(), RandGrayscale(), RandGaussianBlur()])


class Transcription:
    """One iteration of every method as the paper and UniMatch describe it, nothing batched or fused."""

    def __init__(self, method, network, discriminator, ignore_index=None, teacher_momentum=None):
        self.mixing, self.num_views, self.feature_dropout, _ = METHODS[method]
        self.network, self.discriminator = network, discriminator
        self.ignore_index = ignore_index
        self.teacher = None if teacher_momentum is None else copy.deepcopy(network)
        self.teacher_momentum = teacher_momentum
        self.momentum = [torch.zeros_like(p) for p in network.parameters()]
        if discriminator is not None:
            self.adam = torch.optim.Adam(discriminator.parameters(), 1e-3, foreach=False)

    def iteration(self, number, batch):
        """Update both networks; return all losses."""
        losses = {}
        x_l, y_l = batch["labeled"]["image"], batch["labeled"]["label"].long()
        torch.manual_seed(derive_seed(SEED, "network", number, 0))
        self.network.train()
        unsupervised = self.mixing is not None
        x_w = batch["unlabeled"]["image"] if unsupervised else x_l[:0]
        looked_at = self.teacher is None or self.feature_dropout or self.discriminator is not None
        p_l, p_w, p_fp = self.forward(x_l, x_w if looked_at else x_w[:0])
        guide = self.teacher.eval()(x_w) if self.teacher is not None else p_w

        losses["loss_supervised"] = loss = self.cross_entropy(p_l, y_l, torch.ones(y_l.shape) > 0)
        if unsupervised:
            confidence, pseudo_label = torch.zeros(len(x_w), 1, *x_w.shape[2:]), y_l.new_zeros(())
            pseudo_label = pseudo_label.expand(confidence.shape).clone()
            for i in range(len(x_w)):
                probability = guide[i].detach().exp() / guide[i].detach().exp().sum(dim=0)
                for c in range(CLASSES):
                    higher = probability[c] > confidence[i, 0]
                    pseudo_label[i, 0][higher] = c
                    confidence[i, 0][higher] = probability[c][higher]
            if self.ignore_index is not None:
                pseudo_label[batch["unlabeled"]["ignore"]] = self.ignore_index

            parts = []
            views = [
                self.strong_view(k, number, x_l, y_l, x_w, pseudo_label, confidence) for k in range(self.num_views)
            ]
            p_s = self.network(torch.cat([image for image, _ in views]))
            for k, (_, targets) in enumerate(views):
                p = p_s[k * len(x_w) : (k + 1) * len(x_w)]
                losses[f"loss_strong_{k + 1}"] = sum(
                    share * self.cross_entropy(p, label, conf >= THRESHOLD) for share, label, conf in targets
                )
                parts.append(losses[f"loss_strong_{k + 1}"])
            if self.feature_dropout:
                dropped = self.cross_entropy(p_fp, pseudo_label, confidence >= THRESHOLD)
                losses["loss_feature_dropout"] = dropped
                loss = loss / 2 + parts[0] / 8 + parts[1] / 8 + dropped / 4
            else:
                loss = loss / 2 + parts[0] / 2
        if self.discriminator is not None:
            maps_l, maps_w = p_l.softmax(dim=1), p_w.softmax(dim=1)
            losses["loss_generator"] = -F.logsigmoid(self.discriminator(maps_w)).mean()
            loss = loss + WEIGHT * losses["loss_generator"]
        losses["loss"] = loss

        for p, grad, v in zip(
            self.network.parameters(),
            torch.autograd.grad(loss, list(self.network.parameters())),
            self.momentum,
            strict=True,
        ):
            v.mul_(0.9).add_(grad)
            with torch.no_grad():
                p.sub_(0.05 * v)
        self.move_teacher(number)
        if self.discriminator is not None:
            d_w, d_l = self.discriminator(maps_w.detach()), self.discriminator(maps_l.detach())
            bce = (-F.logsigmoid(-d_w).mean() - F.logsigmoid(d_l).mean()) / 2
            losses["loss_discriminator"] = bce
            for p, grad in zip(
                self.discriminator.parameters(),
                torch.autograd.grad(bce, list(self.discriminator.parameters())),
                strict=True,
            ):
                p.grad = grad
            self.adam.step()
        return {name: value.item() for name, value in losses.items()}

    def move_teacher(self, number):
        """The average of all weights so far, the younger the shorter; counters are the network's."""
        for name, value in self.teacher.state_dict().items() if self.teacher is not None else ():
            m = min(self.teacher_momentum, number / (number + 9)) if value.is_floating_point() else 0
            now = self.network.state_dict()[name]
            value.copy_(m * value + (1 - m) * now)

    def forward(self, x_l, x_w):
        """Encode once; decode as it is and, for the weak view, with channels dropped."""
        features = self.network.encode(torch.cat([x_l, x_w]))
        num_plain = len(x_l) + len(x_w)
        if self.feature_dropout:
            drop = F.dropout2d if x_w.ndim == 4 else F.dropout3d
            for level in range(5):
                weak = features[level][len(x_l) :]
                weak = drop(weak, 0.5) if level in (0, 4) else weak
                features[level] = torch.cat([features[level], weak])
        logits = self.network.decode(features)
        return logits[: len(x_l)], logits[len(x_l) : num_plain], logits[num_plain:]

    def cross_entropy(self, logits, label, selected):
        """Mean over the pixels that are not ignored, of which only the selected ones cost anything."""
        total, count = 0.0, 0
        for i in range(len(logits)):
            log_p = logits[i] - logits[i].logsumexp(dim=0)
            for c in range(CLASSES):
                total = total - (log_p[c] * (selected[i, 0] & (label[i, 0] == c))).sum()
            count += int((label[i, 0] != self.ignore_index).sum()) if self.ignore_index else label[i].numel()
        return total / max(count, 1)

    def strong_view(self, k, number, x_l, y_l, x_w, pseudo_label, confidence):
        """Image of one strong view, and its targets: share, label and confidence."""
        seed = derive_seed(SEED, "strong view", k, number, 0)
        augment = augmentation()
        augment.set_random_state(seed=derive_seed(seed, "augmentation"))
        strong = augment(x_w)
        draw = np.random.RandomState(derive_seed(seed, "mixing"))
        mixed = draw.random_sample(len(x_w)) < (1.0 if self.mixing == "classmix" else 0.5)
        partners = np.random.RandomState(seed)
        partner = partners.permutation(len(x_w))
        while any(partner[i] == i for i in range(len(x_w))):
            partner = partners.permutation(len(x_w))
        if self.mixing == "mixup":
            return self.blended_view(strong, draw.beta(1.0, 1.0), mixed, partner, pseudo_label, confidence)
        if self.mixing == "cutmix":
            start, stop = draw_boxes(len(x_w), x_w.shape[2:], (0.02, 0.4), (0.3, 1 / 0.3), draw)
        elif self.mixing == "classmix":
            order = draw.random_sample((len(x_w), CLASSES)).argsort(axis=1)
        else:
            order = 1 + draw.exponential(size=(len(x_w), CLASSES - 1)).argsort(axis=1)

        image, label, conf = strong.clone(), pseudo_label.clone(), confidence.clone()
        for i in np.flatnonzero(mixed):
            if self.mixing == "supmix":
                source = (x_l[i % len(x_l)], y_l[i % len(x_l)], torch.ones_like(conf[i]))
            else:
                source = (strong[partner[i]], pseudo_label[partner[i]], confidence[partner[i]])
            region = torch.zeros(x_w.shape[2:]) > 0
            if self.mixing == "cutmix":
                region[tuple(slice(a, b) for a, b in zip(start[i], stop[i], strict=True))] = True
            else:
                present = [c for c in order[i] if (source[1] == c).any()]
                least = 1 if self.mixing == "supmix" else 0
                for c in present[: max(least, len(present) // 2)]:
                    region |= source[1][0] == c
            for target, part in zip((image, label, conf), source, strict=True):
                target[i][:, region] = part[:, region]
        return image, [(1.0, label, conf)]

    def blended_view(self, strong, share, mixed, partner, pseudo_label, confidence):
        """A strong view of MixUp: two images in one, with the targets of both."""
        image, label, conf = strong.clone(), pseudo_label.clone(), confidence.clone()
        for i in np.flatnonzero(mixed):
            image[i] = share * strong[partner[i]] + (1 - share) * strong[i]
            label[i], conf[i] = pseudo_label[partner[i]], confidence[partner[i]]
        return image, [(share, label, conf), (1 - share, pseudo_label, confidence)]


def compare(method, spatial=(32, 32), ignore_index=None, data=None, iterations=ITERATIONS, teacher_momentum=None):
    """Run both from the same weights over the same batches; only rounding differs."""
    data = data or (lambda: loader(seed=SEED, spatial=spatial))
    engine = trainer(
        method, SEED, spatial=spatial, data=data(), max_iterations=iterations, sufd_weight=WEIGHT,
        teacher_momentum=teacher_momentum,
    )  # fmt: skip
    engine.consistency_loss.threshold = THRESHOLD
    engine.consistency_loss.ignore_index = ignore_index
    if engine.strong_views:
        engine.strong_views.augmentation = augmentation()
        engine.strong_views.mixing.ignore_index = ignore_index
    networks = copy.deepcopy(engine.network), copy.deepcopy(engine.discriminator)
    plain = Transcription(method, *networks, ignore_index, teacher_momentum)
    plain.network.to(memory_format=torch.contiguous_format)
    outputs = []
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda e: outputs.append(e.state.output))
    engine.run()

    batches = iter(data())
    for number, output in enumerate(outputs, 1):
        expected = plain.iteration(number, next(batches))
        assert {name: output[name].item() for name in expected} == pytest.approx(expected, rel=1e-7), number
        assert {name for name in output if name.startswith("loss")} == set(expected)
    assert len(outputs) == iterations
    pairs = [(engine.network, plain.network), (engine.discriminator, plain.discriminator)]
    for fast, slow in pairs + ([(engine.teacher, plain.teacher)] if teacher_momentum is not None else []):
        for name, value in (slow.state_dict() if slow is not None else {}).items():
            difference = (fast.state_dict()[name] - value).float().norm()
            assert difference <= 1e-6 * value.float().norm() + 1e-8, name


@pytest.mark.parametrize("method", METHODS)
def test_losses_and_weights_equal_those_of_a_plain_transcription(method):
    compare(method)


@pytest.mark.parametrize("method", ["fixmatch", "unimatch", "sufd"])
def test_with_a_teacher_too(method):
    compare(method, teacher_momentum=0.2)  # its own from the third step on


def test_in_3d_too():
    compare("supmix_sufd", spatial=(32, 32, 32), iterations=2)  # rounding soon grows in a net this small


@pytest.mark.parametrize("method", ["unimatch", "classmix", "supmix_sufd", "mixup"])
def test_with_pixels_outside_the_image_too(method):
    def data():
        pair = loader(seed=SEED, batch_sizes=(2, 3))
        flip = pair.unlabeled.dataset.transform

        def with_ignore(item):
            item = flip(item)
            outside = torch.zeros(1, 32, 32, dtype=torch.bool)
            outside[..., : 2 + int(100 * item["image"].mean()) % 7] = True
            return item | {"ignore": outside}

        pair.unlabeled.dataset.transform = with_ignore
        return pair

    compare(method, ignore_index=IGNORED, data=data)
