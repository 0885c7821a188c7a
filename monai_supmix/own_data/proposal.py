"""All settings of a bundle for a user's own data, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from monai_supmix.config.find import find_bundle
from monai_supmix.datalists.check import Problem, check_cases, first_problem
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.datalists.partly import refuse_unlearnable
from monai_supmix.errors import InputError
from monai_supmix.imageio.planes import Axis
from monai_supmix.listing import counted, read_json, shorten
from monai_supmix.own_data.choice import Choice
from monai_supmix.own_data.dimensions import propose_dimensions
from monai_supmix.own_data.facts import Facts, look_closer
from monai_supmix.own_data.grid import Grid3D, grid_3d, memory_needed, propose_crop, propose_grid
from monai_supmix.own_data.intensity import check_wanted, other_scales, rule_for_pictures, rule_for_volumes
from monai_supmix.own_data.layout import find_cases
from monai_supmix.own_data.method import propose_method
from monai_supmix.own_data.mirroring import propose_mirroring
from monai_supmix.own_data.room import propose_room

_TEMPLATES = {3: "chase_supmix", 1: "covid19_ct_supmix"}
_ITERATIONS = 1200  # what the CT bundle trains
_MUCH_MEMORY = 4.0  # gigabytes


@dataclass(frozen=True)
class Proposal:
    """Settings for a data set.

    Args:
        name: name of the bundle.
        root: folder of the data.
        datalist: all labelled training cases, all unlabelled ones, and the test.
        patients_known: whether it is known which images belong to one patient.
        template: folder of the shipped bundle whose configuration is the base.
        channels: channels of an image.
        channel: what dataset.json calls the channel, or nothing.
        pictures: whether images are pictures, not volumes.
        intensity_settings: the intensity rule by what the input is.
        intensity: what the input is, where the type of file does not say.
        working: the grid that the network works on.
        grid_3d: the grid for 3D networks; ``None`` where images are not volumes or have no axial planes.
        axis: direction of the planes of volumes.
        crop_size: of the training crops.
        max_epochs: passes over the unlabelled images.
        methods: what to train first, and what to compare with it.
        preset: the preset to train with, if the bundle's own network is not the one to begin with.
        mirror: whether training and inference may mirror images left to right.
        unlabeled_pool: ``"all"`` where there are too few images without a label.
        choices: the same in words, with reasons.
        lines: what the data set holds.
        warnings: what to look at before training.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from PIL import Image
        >>> data = Path(tempfile.mkdtemp())
        >>> for number in range(5):
        ...     for place, values in (("images", np.arange(number, number + 64)), ("labels", np.arange(64) > 50)):
        ...         (data / place).mkdir(exist_ok=True)
        ...         Image.fromarray(values.astype(np.uint8).reshape(8, 8)).save(data / place / f"eye{number}.png")
        >>> proposal = propose(data, "eyes", ["background", "disc"])
        >>> proposal.pictures, proposal.channels, proposal.unlabeled_pool, proposal.template.name
        (True, 1, 'all', 'covid19_ct_supmix')
    """

    name: str
    root: Path
    datalist: Datalist
    patients_known: bool
    template: Path
    channels: int
    channel: str
    pictures: bool
    intensity_settings: dict[str, dict[str, Any]]
    intensity: str | None
    working: dict[str, Any]
    grid_3d: Grid3D | None
    axis: Axis
    crop_size: list[int]
    max_epochs: int
    methods: list[str]
    preset: str | None
    mirror: bool
    unlabeled_pool: str
    choices: list[Choice]
    lines: list[str]
    warnings: list[str]


class BrokenCasesError(InputError):
    """Some cases cannot be used; the message is about the first.

    Args:
        problems: all that is wrong.

    Example:
        >>> problems = [Problem(case, InputError(f"{case}.png", "is empty", "copy it again")) for case in ("a", "b")]
        >>> raise BrokenCasesError(problems)
        Traceback (most recent call last):
        ...
        monai_supmix.own_data.proposal.BrokenCasesError: a.png: is empty (the first of 2 problems): copy it again
    """

    def __init__(self, problems: list[Problem]) -> None:
        first = first_problem(problems)
        super().__init__(first.subject, first.problem, first.remedy)
        self.problems = problems


def propose(
    data: str | Path,
    name: str,
    class_names: Sequence[str] | None = None,
    group_pattern: str | None = None,
    test_list: str | None = None,
    intensity: str | None = None,
    labels: str | None = None,
) -> Proposal:
    """Look at a folder, check every file, and propose settings for a bundle.

    Args:
        data: folder in nnU-Net's layout, or with ``images/`` and ``labels/``; cases without a label are the
            unlabelled pool.
        name: name of the bundle.
        class_names: names of the classes, background first, over those of dataset.json.
        group_pattern: regular expression that finds the patient in a case name.
        test_list: text file with the names of the test cases; ``"none"`` for no test.
        intensity: ``"hu"`` or ``"picture"`` to say what the values of volumes are; ``"field_of_view"`` for fundus
            pictures.
        labels: the label values that are classes, with their names: ``"0=background,5=liver"``.

    Returns:
        the settings, each with its reason, for `write_bundle`.

    Raises:
        BrokenCasesError: files that cannot be used, or labels that do not fit their image.
        InputError: the layout, the classes or the split cannot be made out, or no training case has labels of a class.

    Example:
        >>> propose("missing", "eyes")
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: missing: ...
    """
    check_wanted(intensity)
    found = find_cases(data, class_names, group_pattern, test_list, labels)
    datalist = found.datalist
    refuse_unlearnable(datalist.labeled, datalist.class_names, found.root)
    facts = Facts(datalist)
    items = [*datalist.test, *datalist.labeled, *datalist.unlabeled]
    bar = tqdm(items, "reading", leave=False, disable=None)  # on a terminal only
    if problems := check_cases(bar, len(datalist.class_names), look=facts.look):
        raise BrokenCasesError(problems)
    channels, pictures = _one_kind(facts, found.root)
    check_wanted(intensity, pictures, channels)
    if not facts.surveyor.counts["labeled"][1:].any():
        problem = f"no labelled training image shows any of {shorten(datalist.class_names[1:], 8)}"
        raise InputError(found.root, problem, "label some, or name other test cases with --test_list")

    template = find_bundle(_TEMPLATES[channels])
    settings = read_json(template / "configs" / "train.json")
    axis = facts.axis()
    views = facts.views(axis)
    closer = look_closer(facts.telling_cases(datalist.labeled), len(datalist.class_names), axis)
    if pictures:
        rule = rule_for_pictures(facts.in_dark_surround if channels == 3 else 0, len(items), intensity)
    else:
        rule = rule_for_volumes([*facts.lowest.values()], closer.values, datalist.class_names, found.channel, intensity)
    working, grid = propose_grid(views, closer.labels, len(datalist.class_names))
    crop_size, crop = propose_crop(views, working, settings["crop_size"][0])
    axial = facts.views("axial") if facts.all_have("axial") else None
    preset, dimensions = (None, None) if pictures else propose_dimensions(axial)
    room = propose_room(settings["network_def"], len(datalist.class_names))
    mirror, mirroring = propose_mirroring(datalist.class_names, [plane for plane, _ in closer.labels], axis)
    pool, pool_choice = _pool(datalist)
    batches = settings["labeled_batch_size"], settings["unlabeled_batch_size"]
    max_epochs, length = _length(datalist, pool, *batches)
    methods, method = propose_method(datalist)
    whole = replace(datalist, unlabeled=[*datalist.unlabeled, *(datalist.labeled if pool == "all" else ())])
    survey = facts.surveyor.report(whole)
    memory = memory_needed(views, working, channels)
    if memory > _MUCH_MEMORY:
        survey.warnings.append(f"training keeps all images in memory, about {memory:.0f} GB: mind what there is")
    return Proposal(
        name=name,
        root=found.root,
        datalist=datalist,
        patients_known=found.patients_known,
        template=template,
        channels=channels,
        channel=found.channel,
        pictures=pictures,
        intensity_settings=rule.settings,
        intensity=rule.intensity,
        working=working,
        grid_3d=None if axial is None else grid_3d(axial),
        axis=axis,
        crop_size=crop_size,
        max_epochs=max_epochs,
        methods=methods,
        preset=preset,
        mirror=mirror,
        unlabeled_pool=pool,
        choices=[
            *found.choices,
            _background(facts, datalist),
            pool_choice,
            _template_choice(template.name, channels, facts.grey_in_colour),
            *([] if dimensions is None else [_axis_choice(axis), dimensions]),
            rule.choice,
            grid,
            crop,
            *([] if room is None else [room]),
            mirroring,
            method,
            length,
        ],
        lines=[f"{found.root}: {found.layout}", *_without_classes(datalist), *survey.lines],
        warnings=[*survey.warnings, *found.warnings, *other_scales(facts.lowest, facts.highest)],
    )


def _one_kind(facts: Facts, root: Path) -> tuple[int, bool]:
    """Channels of all images, and whether they are pictures."""
    total = sum(facts.channels.values())
    if 0 < facts.pictures < total:
        problem = f"holds {counted(facts.pictures, 'picture')} and {counted(total - facts.pictures, 'volume')}"
        raise InputError(root, problem, "keep one kind in one data set")
    if facts.grey_in_colour and facts.channels[1] + facts.grey_in_colour == total:
        return 1, True
    if len(facts.channels) > 1:
        kinds = " and ".join(
            f"{counted(count, 'image')} of {counted(channels, 'channel')}" for channels, count in facts.channels.items()
        )
        raise InputError(root, f"holds {kinds}", "save all in grey or all in colour")
    (channels,) = facts.channels
    if channels not in _TEMPLATES:
        raise InputError(root, f"holds images of {channels} channels", "give grey or colour images")
    return channels, facts.pictures == total


def _without_classes(datalist: Datalist) -> list[str]:
    """What a datalist holds; its classes are among the choices."""
    return [line for line in datalist.describe() if not line.startswith("classes: ")]


def _background(facts: Facts, datalist: Datalist) -> Choice:
    counts = facts.surveyor.counts["labeled"]
    why = f"value 0, {100 * counts[0] / counts.sum():.3g} % of the labelled pixels; SupMix never pastes it"
    return Choice("background", datalist.class_names[0], why)


def _pool(datalist: Datalist) -> tuple[str, Choice]:
    unlabeled, labeled = len(datalist.unlabeled), len(datalist.labeled)
    if unlabeled >= labeled:
        why = "they are as many as the labelled ones, or more"
        return "rest", Choice("unlabelled", f"the {counted(unlabeled, 'image')} without a label", why)
    value = f"all training images ({unlabeled + labeled}), the labelled ones once more without their labels"
    why = f"only {counted(unlabeled, 'image')} without a label, fewer than the labelled ones"
    return "all", Choice("unlabelled", value, why if unlabeled else "every image has a label")


def _length(datalist: Datalist, pool: str, labeled_batch: int, unlabeled_batch: int) -> tuple[int, Choice]:
    """Epochs that make up the usual number of iterations."""
    size = len(datalist.unlabeled) + (len(datalist.labeled) if pool == "all" else 0)
    per_epoch = math.ceil(size / unlabeled_batch)
    epochs = max(1, round(_ITERATIONS / per_epoch))
    batches = f"batches of {labeled_batch} labelled and {unlabeled_batch} unlabelled images"
    value = f"{counted(epochs, 'epoch')} of {counted(per_epoch, 'iteration')}, {batches}"
    return epochs, Choice("training", value, f"about {_ITERATIONS} iterations, as the shipped bundles")


def _template_choice(name: str, channels: int, grey_in_colour: int) -> Choice:
    if channels == 3:
        why = "in colour: strong views change brightness, contrast, hue, saturation and focus; crops are turned any way"
    else:
        why = "grey: strong views change brightness, contrast, gamma, noise and focus; crops are turned a little"
    if channels == 1 and grey_in_colour:
        why = f"{why} ({grey_in_colour} are saved in colour with three equal channels and read as grey)"
    return Choice("template", name, f"images are {why}")


def _axis_choice(axis: Axis) -> Choice:
    if axis == "axial":
        return Choice("planes", axis, "as usual: voxels of most volumes are not much thicker in another direction")
    return Choice("planes", axis, "voxels of most volumes are thickest this way: they were acquired as such slices")
