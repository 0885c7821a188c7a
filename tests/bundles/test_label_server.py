"""A MONAI Label server with this repository's app: masks, a training, and masks with what it learnt."""

import contextlib
import gzip
import json
import os
import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_supmix.phantoms import write_chest_ct_phantom
from monai_supmix.weights import read_weights
from tests.bundles.workflows import BUNDLES, run
from tests.masks import lowest_dice

BUNDLE = "covid19_ct_supmix"
CLASSES = ["ground_glass", "consolidation", "pleural_effusion"]
ROOT = Path(__file__).parents[2]
ENOUGH = 0.999  # predict gives the weights another layout, which rounds differently
PYTHON = Path(os.environ.get("MONAILABEL_ENVIRONMENT", "nowhere"), "venv", "bin", "python")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not PYTHON.exists(),
        reason="MONAI Label is not installed: MONAILABEL_ENVIRONMENT names no folder of scripts/monailabel_environment",
    ),
]


class Server:
    """A running server, asked as 3D Slicer asks it."""

    def __init__(self, folder, port):
        self.folder, self.studies, self.bundle = folder, folder / "studies", folder / "app" / "model" / BUNDLE
        self.address, self.log = f"http://127.0.0.1:{port}", folder / "log.txt"

    def ask(self, path, method="GET", body=b"", kind="application/json"):
        headers = {"Content-Type": kind} if body else {}
        request = urllib.request.Request(f"{self.address}{path}", body or None, headers, method=method)
        with urllib.request.urlopen(request, timeout=300) as response:
            return response.read()

    def wait(self, ready, seconds):
        """What `ready` gives when it is no longer None."""
        for _ in range(seconds):
            with contextlib.suppress(urllib.error.URLError):
                if (found := ready()) is not None:
                    return found
            threading.Event().wait(1.0)
        pytest.fail(f"nothing after {seconds} s: {self.log.read_text(encoding='utf-8')[-3000:]}")

    def mask(self, study):
        content = self.ask(f"/infer/{BUNDLE}?image={study}&output=image", "POST")
        return nib.Nifti1Image.from_bytes(gzip.decompress(content))

    def train(self):
        self.ask(f"/train/{BUNDLE}", "POST", json.dumps({"device": "cpu", "max_epochs": 1, "val_split": 0.25}).encode())

        def ended():
            task = json.loads(self.ask("/train/"))
            return task if task["status"] in ("DONE", "ERROR") else None

        return self.wait(ended, 600)

    def submit(self, study, segments):
        """A study's label once more, said to show these segments."""
        label = (self.studies / "labels" / "final" / f"{study}.nii.gz").read_bytes()
        info = json.dumps({"label_info": [{"name": name, "idx": k} for k, name in enumerate(segments, 1)]})
        parts = [
            b'Content-Disposition: form-data; name="params"\r\n\r\n' + info.encode(),
            b'Content-Disposition: form-data; name="label"; filename="label.nii.gz"\r\n\r\n' + label,
        ]
        body = b"".join(b"--part\r\n" + part + b"\r\n" for part in parts) + b"--part--\r\n"
        self.ask(f"/datastore/label?image={study}", "PUT", body, "multipart/form-data; boundary=part")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The app with a copy of the shipped bundle, and ten studies, four of them labelled."""
    folder = tmp_path_factory.mktemp("label")
    shutil.copytree(BUNDLES / BUNDLE, folder / "app" / "model" / BUNDLE)
    shutil.copy(ROOT / "scripts" / "label_app" / "main.py", folder / "app")
    data = write_chest_ct_phantom(folder / "data", num_test=0, size=(128, 128, 4), slice_spacing=32.0)
    (folder / "studies" / "labels" / "final").mkdir(parents=True)
    for image in data.glob("imagesTr/*.nii.gz"):
        shutil.copy(image, folder / "studies" / image.name.replace("_0000", ""))
    for label in data.glob("labelsTr/*.nii.gz"):
        shutil.copy(label, folder / "studies" / "labels" / "final")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = Server(folder, port)
    command = ["-m", "monailabel.main", "start_server", "--app", folder / "app", "--studies", found.studies]
    with found.log.open("wb") as log:
        process = subprocess.Popen(
            [PYTHON, *command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    try:
        found.wait(lambda: found.ask("/info/"), 120)
        yield found
    finally:
        process.terminate()
        process.wait(30)


def predicted(server, study, output):
    """The mask that predict writes with the weights that the server's bundle has now."""
    weights = str(server.bundle / "models" / "model.pt")
    case = str(server.studies / f"{study}.nii.gz")
    run(BUNDLE, "inference", dataset_dir=case, output_dir=str(output), ckpt_path=weights, device="cpu")
    return nib.load(output / f"{study}_seg.nii.gz")


def assert_alike(mask, expected):
    assert mask.shape == expected.shape and lowest_dice(mask.dataobj, expected.dataobj) >= ENOUGH
    assert np.allclose(mask.affine, expected.affine, atol=1e-4)


def test_the_loop_of_labelling_training_and_inference(server, tmp_path):
    info = json.loads(server.ask("/info/"))
    assert info["labels"] == CLASSES and info["trainers"].keys() == info["models"].keys() == {BUNDLE}
    study = "chest_007"  # has no label
    first = predicted(server, study, tmp_path / "first")
    assert len(np.unique(np.asarray(first.dataobj))) > 1, "a mask of nothing shows little"
    assert_alike(server.mask(study), first)

    shipped = read_weights(server.bundle / "models" / "model.pt").sha256
    for labelled in ("chest_001", "chest_002", "chest_003", "chest_004"):
        server.submit(labelled, CLASSES)
    task = server.train()
    assert task["status"] == "DONE", task["details"]
    (output,) = (server.folder / "app" / "trainings" / BUNDLE).iterdir()
    sides = json.loads((output / "history.json").read_text(encoding="utf-8"))["data"]["sides"]
    assert [sides[name]["images"] for name in ("labelled", "validation", "unlabelled")] == [3, 1, 6]
    trained = read_weights(server.bundle / "models" / "model.pt").sha256
    assert trained == read_weights(output / "model.pt").sha256 != shipped

    second = predicted(server, study, tmp_path / "second")
    assert np.any(np.asarray(first.dataobj) != np.asarray(second.dataobj)), "the training has changed nothing"
    assert_alike(server.mask(study), second)


def test_labels_whose_segments_are_not_the_classes_are_refused(server):
    before = read_weights(server.bundle / "models" / "model.pt").sha256
    server.submit("chest_002", CLASSES[1:])
    task = server.train()
    assert task["status"] == "ERROR"
    assert "chest_002: was submitted with the segments consolidation, pleural_effusion" in "".join(task["details"])
    assert read_weights(server.bundle / "models" / "model.pt").sha256 == before
