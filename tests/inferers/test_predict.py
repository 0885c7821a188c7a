"""Many cases: everything checked first, whole files or none, results that can be traced and resumed."""

import csv
import json
import os
import shutil
import weakref
from dataclasses import replace
from pathlib import Path

import itk
import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.reading import read_image
from monai_supmix.inferers import SliceVolumeInferer, collect, one_case, predict_cases, reading
from monai_supmix.transforms.intensity import intensity_rule
from tests.imageio.dicom_series import PATIENT, PATIENT_ID, write_series
from tests.inferers.tiny import RULE, scan, tiny_network

NETWORK = tiny_network()
RECORD = {
    "class_names": ["background", "ground glass", "effusion/fluid"],
    "intensity": {"hu": RULE, "picture": {"rule": "percentile_scale"}},
    "trained_on": {"spacing": [0.5, 1.0]},
}
AFFINE = np.diag([-0.7, -0.7, 2.5, 1.0])


def run(inputs, output, **arguments):
    inferer = arguments.pop("inferer", SliceVolumeInferer(amp=False))
    return predict_cases(inputs, output, arguments.pop("network", NETWORK), RECORD, inferer, **arguments)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    (folder / "p 1").mkdir(parents=True)
    nib.save(nib.Nifti1Image(scan(), AFFINE), folder / "scan.nii.gz")
    nib.save(nib.Nifti1Image(scan(seed=1), AFFINE), folder / "p 1" / "ü.nii")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30)).astype(np.uint8)).save(folder / "a.png")
    itk.imwrite(itk.image_from_array(scan()), str(folder / "b.nrrd"))
    write_series(folder / "p2" / "ct", scan(dtype="u2"), AFFINE)
    return folder


def test_every_kind_of_input(data, tmp_path):
    summary = run(data, tmp_path / "out", weights_sha256="abc", settings={"tta": False})
    names = ["a_seg.png", "b_seg.nii.gz", "p 1/ü_seg.nii.gz", "p2/ct_seg.nii.gz", "scan_seg.nii.gz"]
    assert [path.relative_to(tmp_path / "out").as_posix() for path in summary.written] == names
    assert files(tmp_path / "out") == sorted([*names, *(f"{name.split('.')[0]}.json" for name in names)])
    assert summary.failed == [] and summary.skipped == []
    for source, result, name in (("scan.nii.gz", "scan_seg.nii.gz", "hu"), ("a.png", "a_seg.png", "picture")):
        image = read_image(data / source)
        rule = intensity_rule(RECORD["intensity"][name])
        expected = SliceVolumeInferer(amp=False)(image, NETWORK, rule)
        written = read_image(tmp_path / "out" / result)
        assert np.array_equal(written.array.reshape(expected.shape), expected)
    before, after = (nib.load(path) for path in (data / "p 1/ü.nii", tmp_path / "out/p 1/ü_seg.nii.gz"))
    assert after.shape == before.shape and np.array_equal(after.affine, before.affine)
    assert after.get_data_dtype() == np.uint8


def test_the_record_beside_the_mask(data, tmp_path):
    summary = run(data / "scan.nii.gz", tmp_path / "out", weights_sha256="abc", settings={"tta": False})
    record = json.loads((tmp_path / "out/scan_seg.json").read_text(encoding="utf-8"))
    assert record["weights_sha256"] == "abc" and record["settings"] == {"tta": False}
    assert record["intensity"] == {"name": "hu", "rule": RULE} and record["class_names"] == RECORD["class_names"]
    assert record["notes"] == ["units unknown: taken as mm"] and record["precision"] == "float32"
    assert record["versions"]["torch"] == torch.__version__ and "nibabel" in record["versions"]
    assert record["runtime"] == "torch"
    assert record["shape"] == [12, 10, 7] and record["spacing"] == pytest.approx([0.7, 0.7, 2.5])
    assert record["warnings"] == [] and summary.warnings == {} and record["image"] == "scan.nii.gz"
    mask = np.asarray(nib.load(tmp_path / "out/scan_seg.nii.gz").dataobj)
    counts = {name: (mask == number).sum() for number, name in enumerate(RECORD["class_names"]) if number}
    volumes = {name: count * 0.7 * 0.7 * 2.5 / 1000 for name, count in counts.items()}
    assert record["volumes_ml"] == pytest.approx(volumes, abs=1e-6) and sum(counts.values()) > 0


def test_volumes_are_those_of_a_tilted_gantry():
    affine = np.diag([1.0, 1.0, 5.0, 1.0])
    affine[1, 2] = 5.0  # each slice is shifted against the one below
    image = CaseImage.from_array(np.zeros((10, 10, 5), np.int16), affine)
    assert one_case.class_volumes(np.ones((10, 10, 5), np.uint8), ["background", "liver"], image) == {"liver": 2.5}


def test_no_volumes_where_the_voxels_have_no_known_size():
    image = replace(CaseImage.from_array(np.zeros((10, 10, 5), np.int16), np.eye(4)), spacing=None)  # as of HDF5
    assert one_case.class_volumes(np.ones((10, 10, 5), np.uint8), ["background", "liver"], image) is None


def test_volumes_are_in_the_table_where_they_are_known(data, tmp_path):
    nib.save(nib.Nifti1Image(scan(shape=(12, 10, 1)), AFFINE), data / "one_plane.nii.gz")
    run(data, tmp_path / "out", keep_record=True)
    for _ in range(2):  # from what the processes noted, and from the records beside the masks
        collect(tmp_path / "out")
        with (tmp_path / "out/cases.csv").open(encoding="utf-8") as file:
            rows = {row["case"]: row for row in csv.DictReader(file)}
        known = json.loads((tmp_path / "out/scan_seg.json").read_text(encoding="utf-8"))["volumes_ml"]
        for name, volume in known.items():
            assert float(rows["scan.nii.gz"][f"{name}_ml"]) == volume
            assert rows["a.png"][f"{name}_ml"] == rows["one_plane.nii.gz"][f"{name}_ml"] == ""
        for file in (tmp_path / "out/.cohort").glob("collected.json"):
            record = json.loads(file.read_text(encoding="utf-8"))
            for row in record["cases"]:
                row.pop("warnings"), row.pop("volumes_ml")
            file.write_text(json.dumps(record), encoding="utf-8")


def test_warnings_are_recorded_and_returned(data, tmp_path, caplog):
    nib.save(nib.Nifti1Image(scan(), np.diag([3.0, 3, 3, 1])), data / "coarse.nii")
    summary = run(data, tmp_path / "out")
    expected = [
        "pixels of 3 mm, the network was trained on 0.5 to 1: look at the mask with care, or train on such images too"
    ]
    assert summary.warnings == {"coarse.nii": expected}
    assert json.loads((tmp_path / "out/coarse_seg.json").read_text(encoding="utf-8"))["warnings"] == expected
    assert "coarse.nii: pixels of 3 mm" in caplog.text


def test_nothing_of_the_patient_is_written(data, tmp_path):
    run(data / "p2", tmp_path / "out")
    run(data / "p2/ct", tmp_path / "out")
    assert files(tmp_path / "out") == ["ct_seg.json", "ct_seg.nii.gz"]
    text = (tmp_path / "out/ct_seg.json").read_text(encoding="utf-8")
    assert json.loads(text)["image"] == "ct"
    for secret in (PATIENT, PATIENT_ID, "1.2.826", str(tmp_path)):
        assert secret not in text


@pytest.mark.parametrize("damage", ["crc", "4d", "empty", "text", "channels"])
def test_raise_checks_everything_before_the_first_mask(data, tmp_path, damage):
    bad = data / "z.nii.gz"
    packed = bytearray((data / "scan.nii.gz").read_bytes())
    if damage == "crc":
        packed[-6] ^= 1
    bad.write_bytes({"empty": b"", "text": b"hello"}.get(damage, bytes(packed)))
    if damage == "4d":
        nib.save(nib.Nifti1Image(scan((4, 4, 4, 2)), AFFINE), bad)
    network = tiny_network(3) if damage == "channels" else NETWORK
    with pytest.raises(InputError):
        run(data, tmp_path / "out", network=network)
    assert not (tmp_path / "out").exists()


def test_a_rule_that_does_not_apply_is_found_before_the_first_mask(tmp_path):
    """A black fundus picture has no field of view; that shows only when the rule looks at its values."""
    record = {"class_names": ["a", "b", "c"], "intensity": {"picture": {"rule": "field_of_view_scale"}}}
    (tmp_path / "data").mkdir()
    for name, level in (("a", 120), ("z", 0)):
        Image.fromarray(np.full((16, 16, 3), level, np.uint8)).save(tmp_path / f"data/{name}.png")
    with pytest.raises(InputError, match=r"z\.png: the intensity rule does not apply"):
        predict_cases(tmp_path / "data", tmp_path / "out", tiny_network(3), record, SliceVolumeInferer())
    assert not (tmp_path / "out").exists()


def test_skip_goes_on_and_lists_what_failed(data, tmp_path):
    (data / "bad.nii.gz").write_bytes(b"hello")
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(data / "colour.png")
    summary = run(data, tmp_path / "out", on_error="skip")
    assert len(summary.written) == 5
    assert [name for name, _ in summary.failed] == ["bad.nii.gz", "colour.png"]
    assert "not gzip" in summary.failed[0][1] and "takes 1 channel" in summary.failed[1][1]
    assert len(files(tmp_path / "out")) == 10
    again = run(data, tmp_path / "out", on_error="skip")
    assert len(again.skipped) == 5 and len(again.failed) == 2 and not again.written


def test_existing_masks_are_kept_replaced_or_questioned(data, tmp_path):
    path = tmp_path / "out/scan_seg.nii.gz"
    run(data / "scan.nii.gz", tmp_path / "out", weights_sha256="abc")
    stamp, content = path.stat().st_mtime_ns, path.read_bytes()
    assert run(data / "scan.nii.gz", tmp_path / "out", weights_sha256="abc").skipped == [path]
    assert path.stat().st_mtime_ns == stamp
    for changed in (
        {"weights_sha256": "def"},
        {"weights_sha256": "abc", "inferer": SliceVolumeInferer(flips=True)},
    ):
        with pytest.raises(InputError, match="made differently"):
            run(data / "scan.nii.gz", tmp_path / "out", **changed)
        summary = run(data / "scan.nii.gz", tmp_path / "out", on_error="skip", **changed)
        assert "set overwrite to true" in summary.failed[0][1]
    assert path.read_bytes() == content
    summary = run(data / "scan.nii.gz", tmp_path / "out", weights_sha256="def", overwrite=True)
    assert summary.written == [path]
    assert json.loads((tmp_path / "out/scan_seg.json").read_text(encoding="utf-8"))["weights_sha256"] == "def"
    (tmp_path / "out/scan_seg.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="record unreadable"):
        run(data / "scan.nii.gz", tmp_path / "out", weights_sha256="def")


def test_the_mask_of_another_image_of_that_name_is_no_result(data, tmp_path):
    for patient in ("A", "B"):
        (tmp_path / patient).mkdir()
        nib.save(nib.Nifti1Image(scan(seed=ord(patient)), AFFINE), tmp_path / patient / "ct.nii.gz")
        write_series(tmp_path / patient / "series", scan(seed=ord(patient), dtype="u2"), AFFINE)
    assert len(run(tmp_path / "A", tmp_path / "out").written) == 2
    assert len(run(tmp_path / "A", tmp_path / "out").skipped) == 2
    for folder, seed in (("C", 1), ("D", 2)):
        (tmp_path / folder).mkdir()
        itk.imwrite(itk.image_from_array(scan(seed=seed)), str(tmp_path / folder / "beside.mhd"))
    assert len(run(tmp_path / "C", tmp_path / "out").written) == 1
    shutil.copytree(tmp_path / "D", tmp_path / "B", dirs_exist_ok=True)  # the same header, other voxels
    for name in ("ct.nii.gz", "series", "beside.mhd"):
        with pytest.raises(InputError, match="exists, made from another image: set overwrite to true"):
            run(tmp_path / "B" / name, tmp_path / "out")


def test_a_mask_of_a_picture_seen_otherwise_is_no_result(data, tmp_path):
    run(data / "a.png", tmp_path / "out")
    with pytest.raises(InputError, match=r"made differently \(view\)"):
        run(data / "a.png", tmp_path / "out", view="lying")


def test_somebody_elses_mask_is_not_touched(data, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/scan_seg.nii.gz").write_bytes(b"drawn by hand")
    summary = run(data / "scan.nii.gz", tmp_path / "out")
    assert summary.written == [] and "without a record" in summary.notes[0]
    assert (tmp_path / "out/scan_seg.nii.gz").read_bytes() == b"drawn by hand"


def test_output_beside_the_input_can_be_repeated(data):
    first = run(data, data)
    second = run(data, data)
    assert len(first.written) == len(second.skipped) == 5 and not second.written
    among = f"masks and records (*_seg.*) are written among the images in {data}: another output_dir keeps them apart"
    assert among in first.notes and among not in run(data, data / "masks").notes
    assert not [name for name in files(data) if "_seg_seg" in name]


@pytest.mark.parametrize("names", [("a.nii", "a.nii.gz"), ("x.png", "x.bmp"), ("a.nii.gz", "a.png")])
def test_two_inputs_with_one_result_are_refused(tmp_path, names):
    for name in names:
        if name.endswith((".png", ".bmp")):
            Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / name)
        else:
            nib.save(nib.Nifti1Image(scan(), AFFINE), tmp_path / name)
    for on_error in ("raise", "skip"):
        with pytest.raises(InputError, match="same name as that of"):
            run(tmp_path, tmp_path / "out", on_error=on_error)


def test_an_input_is_never_replaced(tmp_path):
    for name in ("a.nii.gz", "a_seg.nii.gz"):
        nib.save(nib.Nifti1Image(scan(), AFFINE), tmp_path / name)
    with pytest.raises(InputError, match=r"would replace the input a_seg\.nii\.gz"):
        run([tmp_path / "a.nii.gz", tmp_path / "a_seg.nii.gz"], tmp_path, overwrite=True)


def test_results_stay_below_the_output_folder(data, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out/p 1").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="outside"):
        run(data, tmp_path / "out")
    assert files(tmp_path / "elsewhere") == []


@pytest.mark.parametrize(("length", "maps"), [(252, False), (235, True)])
def test_names_too_long_for_a_mask_are_told_before_anything_is_written(data, tmp_path, length, maps):
    (data / "a.png").rename(data / f"{'n' * (length - 4)}.png")
    run(data, tmp_path / "before", probabilities=False) if maps else None
    with pytest.raises(InputError, match=r"its result's name would have 2.. bytes, and 255 is the most"):
        run(data, tmp_path / "out", probabilities=maps, on_error="skip")
    assert not (tmp_path / "out").exists() or files(tmp_path / "out") == []


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_name_in_another_encoding_is_told_in_letters_that_can_be_printed(data, tmp_path, on_error):
    name = os.fsdecode(b"M\xfcller.png")
    try:
        shutil.copy(next(data.glob("*.png")), data / name)
    except OSError:
        pytest.skip("this file system takes no such name")
    with pytest.raises(InputError, match=r"M\\udcfcller.png.*is not UTF-8: rename it") as told:
        run(data, tmp_path / "O", on_error=on_error)
    str(told.value).encode()
    assert not (tmp_path / "O").exists() or not files(tmp_path / "O")


def test_grey_saved_in_colour_is_predicted_as_grey(data, tmp_path):
    grey = np.array(Image.open(data / "a.png"))
    Image.fromarray(np.stack([grey] * 3, -1)).save(data / "b.png")
    run([data / "a.png", data / "b.png"], tmp_path / "out")
    masks = [np.array(Image.open(tmp_path / f"out/{name}_seg.png")) for name in "ab"]
    assert np.array_equal(*masks)
    record = json.loads((tmp_path / "out/b_seg.json").read_text(encoding="utf-8"))
    assert "saved in colour with three equal channels: read as grey" in record["notes"]


def test_further_kinds_of_files_get_masks_on_their_grid(tmp_path):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30)).astype(np.uint8))
    for ending in ("gif", "webp", "pgm"):
        picture.save(tmp_path / f"{ending}.{ending}", **({"lossless": True} if ending == "webp" else {}))
    nib.save(nib.Nifti1Pair(scan(), AFFINE), tmp_path / "pair.img")
    nib.save(nib.MGHImage(scan(dtype="i2"), AFFINE), tmp_path / "free.mgz")
    summary = run(tmp_path, tmp_path / "out")
    assert not summary.notes  # the header of the pair is not a file of another type
    names = ["free_seg.nii.gz", "gif_seg.png", "pair_seg.nii.gz", "pgm_seg.png", "webp_seg.png"]
    assert [name for name in files(tmp_path / "out") if not name.endswith(".json")] == names
    for name, source in (("pair", "pair.img"), ("free", "free.mgz")):
        mask, image = nib.load(tmp_path / f"out/{name}_seg.nii.gz"), nib.load(tmp_path / source)
        assert mask.shape == image.shape and np.allclose(mask.affine, image.affine, atol=1e-4)


def test_output_folders_that_cannot_be_used(data, tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for folder in ("file", "file/sub"):
        with pytest.raises(InputError, match="is a file"):
            run(data, tmp_path / folder)
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(InputError, match="cannot be written"):
        run(data, tmp_path / "locked/out")


def test_wrong_on_error(data, tmp_path):
    with pytest.raises(InputError, match="on_error"):
        run(data, tmp_path / "out", on_error="ignore")


@pytest.mark.parametrize("plenty", [True, False])
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_one_image_in_memory_at_a_time_or_two_where_there_is_plenty(data, tmp_path, monkeypatch, on_error, plenty):
    (data / "bad.nii").write_bytes(b"hello")
    if on_error == "raise":
        (data / "bad.nii").unlink()
    alive: list[weakref.ref] = []
    most = []

    def read(path):
        most.append(len([reference for reference in alive if reference() is not None]))
        image = read_image(path)
        alive.append(weakref.ref(image))
        return image

    monkeypatch.setattr(reading, "read_image", read)
    monkeypatch.setattr(reading, "available_memory", lambda: 1 << 40 if plenty else 0)
    summary = run(data, tmp_path / "out", on_error=on_error)
    assert len(alive) == (10 if on_error == "raise" else 5) == len(summary.written) * (2 if on_error == "raise" else 1)
    assert max(most) == (1 if plenty else 0)
    names = ["a_seg.png", "b_seg.nii.gz", "p 1/ü_seg.nii.gz", "p2/ct_seg.nii.gz", "scan_seg.nii.gz"]
    assert [path.relative_to(tmp_path / "out").as_posix() for path in summary.written] == names


def test_a_single_image_is_read_once(data, tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(reading, "read_image", lambda path: read.append(path) or read_image(path))
    summary = run(data / "scan.nii.gz", tmp_path / "out")
    assert read == [data / "scan.nii.gz"] and len(summary.written) == 1


def test_an_interrupted_run_leaves_whole_files(data, tmp_path, monkeypatch):
    real = one_case.write_mask
    written = []

    def write(mask, image, path, *rest):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        real(mask, image, path, *rest)

    monkeypatch.setattr(one_case, "write_mask", write)
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "out")
    masks = [name for name in files(tmp_path / "out") if not name.endswith(".json")]
    assert len(masks) == 2
    monkeypatch.undo()
    summary = run(data, tmp_path / "out")
    assert len(summary.skipped) == 2 and len(summary.written) == 3


def test_probability_maps(data, tmp_path):
    run(data / "scan.nii.gz", tmp_path / "out", probabilities=True)
    run(data / "a.png", tmp_path / "out", probabilities=True)
    expected = ["a_seg.json", "scan_seg.json"]
    for stem, suffix in (("a_seg", ".png"), ("scan_seg", ".nii.gz")):
        endings = (suffix, f"_prob_effusion_fluid{suffix}", f"_prob_ground_glass{suffix}")
        expected += [stem + ending for ending in endings]
    assert files(tmp_path / "out") == sorted(expected)
    maps = [nib.load(tmp_path / f"out/scan_seg_prob_{name}.nii.gz") for name in ("ground_glass", "effusion_fluid")]
    assert all(part.get_data_dtype() == np.uint8 and np.allclose(part.affine, AFFINE) for part in maps)
    first, second = (part.get_fdata() for part in maps)
    labels = nib.load(tmp_path / "out/scan_seg.nii.gz").get_fdata()
    assert first.min() >= 0 and first.max() <= 1 + 1e-6
    assert (first[labels == 1] >= second[labels == 1]).all() and (first + second)[labels == 0].max() < 0.68
    assert np.array(Image.open(tmp_path / "out/a_seg_prob_ground_glass.png")).max() > 1
    with pytest.raises(InputError, match="made differently"):
        run(data / "a.png", tmp_path / "out")
    for name in ("a.png", "scan.nii.gz"):
        run(data / name, tmp_path / "out", overwrite=True)
    assert files(tmp_path / "out") == ["a_seg.json", "a_seg.png", "scan_seg.json", "scan_seg.nii.gz"]


class Broken(torch.nn.Module):
    def forward(self, x):
        return torch.full((len(x), 3, *x.shape[2:]), torch.nan)


def test_probability_maps_stay_until_others_take_their_place(data, tmp_path, monkeypatch):
    out = tmp_path / "out"
    run(data / "scan.nii.gz", out, probabilities=True)
    before = {name: (out / name).read_bytes() for name in files(out)}
    failed = run(data / "scan.nii.gz", out, probabilities=True, overwrite=True, on_error="skip", network=Broken())
    assert len(failed.failed) == 1 and {name: (out / name).read_bytes() for name in files(out)} == before
    assert not [path for path in out.iterdir() if path.name.startswith(".scan")], "no temporary file is left"

    def interrupted(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("monai_supmix.inferers.one_case.write_json", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(data / "scan.nii.gz", out, probabilities=True, overwrite=True)
    assert not (out / "scan_seg.nii.gz").exists(), "no old mask beside new maps"
    assert len(run(data / "scan.nii.gz", out, probabilities=True, overwrite=True).written) == 1
    assert {name: (out / name).read_bytes() for name in files(out)} == before
    (out / "scan_seg_prob_ground_glass.nii.gz").unlink()
    (out / "scan_seg.nii.gz").write_bytes(b"corrected by hand")
    again = run(data / "scan.nii.gz", out, probabilities=True)
    assert len(again.skipped) == 1 and (out / "scan_seg.nii.gz").read_bytes() == b"corrected by hand"
    assert any("kept without scan_seg_prob_ground_glass.nii.gz" in note for note in again.notes)


def test_probability_maps_of_long_names_that_begin_alike_are_those_of_their_cases(tmp_path):
    """The next case is predicted while the last one is written."""
    for number, shape in enumerate([(8, 7, 6), (20, 16, 8), (6, 6, 4), (20, 16, 8)]):
        values = np.random.default_rng(number).integers(-900, 300, shape).astype(np.int16)
        nib.save(nib.Nifti1Image(values, AFFINE), tmp_path / f"{'n' * 105}_{number}.nii.gz")
    for readers in (1, 3):
        run(tmp_path, tmp_path / "out" / str(readers), probabilities=True, readers=readers)
    first, second = (tmp_path / "out" / str(readers) for readers in (1, 3))
    assert files(first) == files(second) and len(files(first)) == 16
    for name in files(first):
        assert name.endswith(".json") or (first / name).read_bytes() == (second / name).read_bytes(), name


def test_pictures_of_a_datalist_are_turned(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (20, 30)).astype(np.uint8)
    Image.fromarray(array).save(tmp_path / "a.png")
    Image.fromarray(np.rot90(array)).save(tmp_path / "upright.png")
    (tmp_path / "list.json").write_text(
        json.dumps([{"image": "a.png", "turns": 1}, {"image": "upright.png"}]), encoding="utf-8"
    )
    run(tmp_path / "list.json", tmp_path / "out")
    turned, upright = (np.array(Image.open(tmp_path / f"out/{name}_seg.png")) for name in ("a", "upright"))
    assert np.array_equal(np.rot90(turned), upright) and len(np.unique(upright)) > 1


def test_intensity_wish(data, tmp_path):
    run(data / "scan.nii.gz", tmp_path / "out", intensity="picture")
    assert json.loads((tmp_path / "out/scan_seg.json").read_text(encoding="utf-8"))["intensity"]["name"] == "picture"
    with pytest.raises(InputError, match="made differently"):
        run(data / "scan.nii.gz", tmp_path / "out")
