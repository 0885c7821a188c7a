"""MONAI Deploy's own inference operator, in an application with a source and a sink, gives the mask of predict."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ckpt_export

from monai_supmix.phantoms import write_chest_ct_phantom
from tests.bundles.workflows import BUNDLES, run
from tests.masks import lowest_dice

BUNDLE = "covid19_ct_supmix"
ROOT = Path(__file__).parents[2]
ENOUGH = 0.999  # predict gives the weights another layout, which rounds differently
APPLICATION = """
import sys
import nibabel as nib
import numpy as np
from monai.deploy.conditions import CountCondition
from monai.deploy.core import AppContext, Application, Image, IOType, Operator
from monai.deploy.operators.monai_bundle_inference_operator import IOMapping, MonaiBundleInferenceOperator

case, model, output = sys.argv[1:]

class Source(Operator):
    def setup(self, spec):
        spec.output("image")

    def compute(self, op_input, op_output, context):
        image = nib.load(case)
        told = {"spacing": image.header.get_zooms(), "affine": image.affine, "original_affine": image.affine}
        op_output.emit(Image(np.asarray(image.dataobj), {**told, "original_channel_dim": "no_channel"}), "image")

class Sink(Operator):
    def setup(self, spec):
        spec.input("pred")

    def compute(self, op_input, op_output, context):
        np.save(output, op_input.receive("pred").asnumpy())

class App(Application):
    def compose(self):
        inference = MonaiBundleInferenceOperator(
            self, name="inference", app_context=AppContext({"model": model}), bundle_path=model,
            input_mapping=[IOMapping("image", Image, IOType.IN_MEMORY)],
            output_mapping=[IOMapping("pred", Image, IOType.IN_MEMORY)],
        )
        source, sink = Source(self, CountCondition(self, 1), name="source"), Sink(self, name="sink")
        self.add_flow(source, inference, {("image", "image")})
        self.add_flow(inference, sink, {("pred", "pred")})

App().run()
"""


def python_with_deploy():
    """This interpreter where it has MONAI Deploy; its absence, and a machine that cannot run it, skip the test."""
    if find_spec("monai.deploy") is None:
        pytest.skip("MONAI Deploy is not installed (monai-deploy-app-sdk)")
    told = subprocess.run(
        [sys.executable, "-c", "import monai.deploy.operators.monai_bundle_inference_operator"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if told.returncode:
        pytest.skip(f"MONAI Deploy does not run here (monai-deploy-app-sdk): {told.stderr.strip().splitlines()[-1]}")
    return sys.executable


@pytest.mark.slow
def test_the_operator_gives_predicts_mask(tmp_path):
    python = python_with_deploy()
    data = write_chest_ct_phantom(
        tmp_path / "ct", num_labeled=1, num_unlabeled=1, num_test=1, size=(128, 112, 8), slice_spacing=16.0
    )
    case = next(data.glob("imagesTs/*.nii.gz"))
    run(BUNDLE, "inference", dataset_dir=str(case), output_dir=str(tmp_path), device="cpu")
    expected = np.asarray(nib.load(next(tmp_path.glob("*_seg.nii.gz"))).dataobj)
    assert len(np.unique(expected)) > 1, "a mask of nothing shows little"

    bundle, model = BUNDLES / BUNDLE, tmp_path / "model.ts"
    configs = bundle / "configs"
    ckpt_export(
        "network_def", str(model), ckpt_file=str(bundle / "models" / "model.pt"), bundle_root=str(bundle),
        meta_file=str(configs / "metadata.json"), config_file=str(configs / "inference.json"),
    )  # fmt: skip
    (tmp_path / "application.py").write_text(APPLICATION, encoding="utf-8")
    command = [python, tmp_path / "application.py", case, model, tmp_path / "mask.npy"]
    # In the bundle's folder, for working grid and intensity rules lie with the weights.
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=bundle, check=True, timeout=600, env=environment)
    mask = np.load(tmp_path / "mask.npy").swapaxes(0, 2)  # the operator hands on planes first
    assert mask.shape == expected.shape and lowest_dice(mask, expected) >= ENOUGH
