"""The documents of a bundle for a user's own data."""

from __future__ import annotations

from monai_supmix.listing import counted
from monai_supmix.own_data.classes import Classes
from monai_supmix.own_data.proposal import Proposal

DATA_LICENSE = """\
The data that this bundle is for are not part of it, and only you know their terms.

Before you pass on this bundle, or weights trained with it, write here: who owns the data, under which licence or
agreement they may be used, whether weights trained on them may be passed on, and what is to be cited. If they show
patients, say which consent or approval covers that.
"""


def write_card(proposal: Proposal) -> str:
    """Write ``docs/README.md``.

    Args:
        proposal: the settings.

    Returns:
        Markdown.
    """
    names = proposal.datalist.class_names
    rows = "\n".join(f"| {c.subject} | {_cell(c.value)} | {_cell(c.why)} |" for c in proposal.choices)
    preset = f" --preset {proposal.preset}" if proposal.preset else ""
    notes = "\n".join(f"* {line}" for line in [*proposal.datalist.notes, *proposal.warnings])
    return _CARD.format(
        name=proposal.name,
        foreground=", ".join(names[1:]),
        kind=f"{'colour' if proposal.channels == 3 else 'grey'} {'pictures' if proposal.pictures else 'volumes'}",
        method=proposal.methods[0],
        preset=preset,
        evaluate=_EVALUATE.format(preset=preset) if proposal.datalist.test else "",
        measured=_MEASURED if proposal.datalist.test else _UNMEASURED,
        planes="" if proposal.pictures else f" Volumes are predicted slice by slice ({proposal.axis} planes).",
        counts=_counts(proposal),
        channels="" if proposal.datalist.label_values() is None else _CHANNELS,
        rows=rows,
        notes=f"\nTo look at before training:\n\n{notes}\n" if notes else "",
        template=proposal.template.name,
        masks="`<name>_seg.png`" if proposal.pictures else "`<name>_seg.nii.gz`, on the grid of its image",
        bits="`uint16`" if max(proposal.datalist.label_values() or [0]) > 255 else "`uint8`",
        values=Classes(names, "", proposal.datalist.label_values()).table(),
    )


def _counts(proposal: Proposal) -> str:
    sides = {"labelled": proposal.datalist.labeled, "unlabelled": proposal.datalist.unlabeled}
    sides["for the test"] = proposal.datalist.test
    counts = []
    for side, items in sides.items():
        patients = len({item["group"] for item in items})
        of = f" of {counted(patients, 'patient')}" if proposal.patients_known else ""
        counts += [f"{len(items)} {side}{of}"] if items else []
    return ", ".join(counts)


_EVALUATE = "monai-supmix run B evaluate --output_dir O{preset}\n"
_MEASURED = "`evaluate` measures it on the test images."
_UNMEASURED = "There is no test: all labels are trained on, so nothing can measure it."


_CHANNELS = """
Label files and masks have the values below (*classes*). `pred_classes` and `channel_def` in `configs/metadata.json`
number the same classes 0, 1, 2, ...: these are channels of the network's output, as MONAI defines the field."""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


_CARD = """\
# {name}

Segments {foreground} in {kind}.{planes}
Trains on labelled and unlabelled images with **SupMix + SUFD** (Mano, Saito, Hotta, VISAPP 2025), or with any of the
methods in `configs/methods`, to begin with `{method}`.

Written by `monai-supmix new` from the shipped bundle `{template}`; only what the data require differs from it.

Research use only: not a medical device, not for diagnosis.

## Data

{counts}.{channels}
`datalist.json` names the cases of each side. Its paths are relative to `dataset_dir`, which the configurations set to
where the data were; if they have moved, give `--dataset_dir`.

`labels.html` shows labelled images with the outlines of their masks. It is not part of what `export` makes of this
bundle; delete it before you pass the folder itself on.

The terms of the data are for their owner to state: `data_license.txt`.

## What was proposed, and why

| | | because |
|---|---|---|
{rows}
{notes}
Classes, patients and split are in `datalist.json` (classes also in `train.json` and `evaluate.json`); all else is in
`configs/train.json`: change it there, or as an option of a run, such as `--max_epochs 100`.

## Commands

`B` is this folder, `O` a folder for results.

```bash
monai-supmix run B train --method {method}{preset} --output_dir O
{evaluate}monai-supmix predict B IMAGES --output_dir MASKS{preset}
```

`predict` uses the weights in `models/`, or while there are none those of the last training with this bundle;
`--run_dir O` names another training.

The same with MONAI's command line: `python -m monai.bundle run --bundle_root B --config_file B/configs/train.json
--output_dir O`, and `evaluate.json` and `inference.json` likewise.

`train` leaves `model.pt`, `model.safetensors`, checkpoints and `report.html` in `O`; `--num_labeled N` uses N of the
labelled images and the others without their labels, `--method unimatch` another method, none SupMix + SUFD (a file of
your own sets `"method": "mine"`, and reports and trackers use that name). `evaluate` writes
`metrics.json`, `cases.csv` and a report of the test. `predict` writes {masks}:
{bits}, {values}.
`monai-supmix install O B` copies the weights into `models/`, so that the bundle predicts without `O`.
`--ckpt_path O/5_folds` predicts by the mean of the networks of a training with `--folds 5`; `install O/5_folds B` keeps
them.
`monai-supmix export B --output_dir O --format torchscript onnx zip` hands them on: as TorchScript, as ONNX
(`pip install "monai-supmix[onnx]"`), and with the bundle as an archive, which leaves out `datalist.json`. Each is
compared with the weights first, on an image of yours with `--case IMAGE`.

## Performance

Unknown: nothing has been trained yet. {measured}

## Limits

Settings were chosen by rules from the data, not searched for. The weights know only what the training images show.
Before you pass on the bundle, note that `dataset_dir`, `datalist.json` and this page hold names of folders and cases.

Licence: Apache-2.0 for configuration; the data's terms are their own.
"""
