"""Made-up hearts in the layout of ACDC's publisher and in the packaging of SSL4MIS."""

import nibabel as nib
import numpy as np

from monai_supmix.datalists.acdc import TRAINING


def heart(rng, size):
    """A slice stack ``(X, Y, Z)`` of discs, brighter from class to class, and its label map."""
    width, height, _ = size
    x, y = np.meshgrid(np.arange(width) / width, np.arange(height) / height, indexing="ij")
    label = np.zeros(size, np.uint8)
    for value, (centre, radius) in enumerate([(0.35, 0.2), (0.55, 0.25), (0.55, 0.15)], start=1):
        label[(x - centre) ** 2 + (y - 0.5) ** 2 < radius**2] = value
    return (200 * label + rng.randint(0, 100, size)).astype(np.int16), label


def write_publishers(root, numbers, same=(), size=(6, 5, 3)):
    """The publisher's layout: frames 1 and 8 of each patient, a 4D file beside them.

    Args:
        root: folder.
        numbers: of the patients; those above 100 come under ``testing``.
        same: patients with the same images and different labels.
        size: voxels of a volume.
    """
    for number in numbers:
        name = f"patient{number:03d}"
        folder = root / ("training" if number <= 100 else "testing") / name
        folder.mkdir(parents=True)
        (folder / "Info.cfg").write_text(
            "ED: 1\nES: 8\nGroup: DCM\nHeight: 184.0\nNbFrame: 30\nWeight: 95.0\n", encoding="utf-8"
        )
        (folder / f"{name}_4d.nii.gz").write_bytes(b"never read")
        for frame in (1, 8):
            image, label = heart(np.random.RandomState(frame if number in same else 100 * number + frame), size)
            if number in same:
                label[0, 0, 0] = number % 4
            for ending, values in (("", image), ("_gt", label)):
                file = nib.Nifti1Image(values, np.diag([-1.5, -1.5, 10, 1]))
                nib.save(file, folder / f"{name}_frame{frame:02d}{ending}.nii.gz")
    return root


def write_ssl4mis(root, numbers, size=(5, 4, 11)):
    """SSL4MIS' packaging: one frame of each patient, training patients slice by slice; needs h5py."""
    import h5py  # noqa: PLC0415

    (root / "data").mkdir(parents=True)
    for number in numbers:
        image, label = (part.T for part in heart(np.random.RandomState(number), size))
        name = f"patient{number:03d}_frame01"
        parts = {f"{name}_slice_{k + 1}": k for k in range(len(image))} if number in TRAINING else {name: slice(None)}
        for stem, part in parts.items():
            with h5py.File(root / "data" / f"{stem}.h5", "w") as file:
                file["image"], file["label"] = image[part].astype(np.float32) / 700, label[part]
    return root
