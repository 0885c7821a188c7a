"""`presets/logit_adjustment.json`: a training as ever, whose output layer then knows how rare classes are."""

import torch

from monai_supmix.data.class_weights import labelled_pixels
from monai_supmix.weights import read_weights
from tests.bundles.workflows import run, workflow

BUNDLE = "covid19_ct_supmix"


def test_the_preset_shifts_the_output_layer_and_nothing_else_also_when_run_again(phantoms, tmp_path):
    small = {
        "device": "cpu", "dataset_dir": str(phantoms[BUNDLE]), "num_labeled": 2, "max_iterations": 2, "burn_in": 0.0,
        "crop_size": [64, 64], "working": {"size": [64, 64]}, "amp": False, "num_workers": 0, "tensorboard": False,
    }  # fmt: skip
    state = {}
    for tau, resume in ((0.0, False), (1.0, False), (1.0, "auto")):
        folder = str(tmp_path / str(tau))
        options = {**small, "output_dir": folder, "logit_adjustment": tau, "resume": resume}
        run(BUNDLE, "train", "supmix", "logit_adjustment", **options)
        state[tau, resume] = read_weights(folder + "/model.pt").tensors
    part = workflow(BUNDLE, "train", preset="logit_adjustment", **options).parser.get_parsed_content
    pixels = labelled_pixels(part("train#dataset"), 4)
    assert (pixels[:3] > 0).all(), "the phantom shows them"
    offsets = torch.where(pixels > 0, (pixels[0] / pixels).log(), 0.0).float()
    plain, adjusted = state[0.0, False], state[1.0, False]
    for name, tensor in adjusted.items():
        shift = offsets.repeat(4) if name == "unet.final_conv.bias" else torch.zeros(())
        assert torch.allclose(tensor.float(), plain[name].float() + shift, atol=1e-5), name
        assert torch.equal(tensor, state[1.0, "auto"][name]), "the checkpoint of a finished run is not adjusted twice"
