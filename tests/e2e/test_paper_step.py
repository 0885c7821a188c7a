"""One iteration in the paper's own setting fits into a laptop's memory."""

import subprocess
import sys

import pytest

STEP = """
import resource, sys
from monai_supmix.phantoms import write_fundus_phantom
from tests.bundles.workflows import run
write_fundus_phantom(sys.argv[1], size=(320, 330))
run(
    "chase_supmix", "train", "supmix_sufd", "paper", dataset_dir=sys.argv[1], output_dir=sys.argv[2],
    crop_size=[256, 256], max_iterations=1, device="cpu", **{"network_def#encoder_weights": None},
)
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_batch_4_crop_256_of_the_papers_network_runs_within_6_gb(tmp_path):
    command = [sys.executable, "-c", STEP, str(tmp_path / "data"), str(tmp_path / "output")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "output" / "checkpoints" / "checkpoint_iteration=000001.pt").exists()
    peak_mib = int(done.stdout.rsplit("peak", 1)[1])
    assert peak_mib < 6 * 1024, f"{peak_mib} MiB"
