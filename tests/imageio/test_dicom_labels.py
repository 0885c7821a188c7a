"""DICOM labels: how segments become classes, where voxels go, and what is refused in one line."""

import copy

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.sequence import Sequence as Items

from monai_supmix.errors import InputError
from monai_supmix.imageio import dicom_labels
from monai_supmix.imageio.cases import load_case
from monai_supmix.imageio.dicom_labels import dicom_label_names
from monai_supmix.imageio.reading import read_image, read_label
from tests.imageio.dicom_series import PATIENT, write_series
from tests.imageio.test_rtstruct import AFFINE, CLASSES, KINDS, VOLUME, make_mask, write

SEG, RTSTRUCT = "SEG", "RTSTRUCT"
BOTH = pytest.mark.parametrize("kind", sorted(KINDS))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A series, its mask, and both labels, to be copied by tests that change them."""
    folder = tmp_path_factory.mktemp("written")
    write_series(folder / "ct", VOLUME, AFFINE)
    image = read_image(folder / "ct")
    mask = make_mask(image.array.shape)
    return image, mask, {kind: pydicom.dcmread(write(kind, mask, image, folder / f"{kind}.dcm")[0]) for kind in KINDS}


@pytest.fixture
def change(written, tmp_path):
    """Write a label after something was done to it."""
    image, mask, labels = written

    def changed(kind, do=lambda data: None):
        data = copy.deepcopy(labels[kind])
        do(data)
        data.save_as(tmp_path / "label.dcm", enforce_file_format=True)
        return tmp_path / "label.dcm", image, mask

    return changed


def rename(kind, names):
    def do(data):
        parts = data.SegmentSequence if kind == SEG else data.StructureSetROISequence
        for part, name in zip(parts, names, strict=True):
            setattr(part, "SegmentLabel" if kind == SEG else "ROIName", name)

    return do


@BOTH
@pytest.mark.parametrize(
    ("names", "classes", "order"),
    [
        (["Ground Glass", "VESSEL"], CLASSES, [0, 1, 2]),
        (["Vessel", "ground-glass"], CLASSES, [0, 2, 1]),  # names before numbers
        (["Segment_1", "2"], CLASSES, [0, 1, 2]),
        (["lung", "heart"], ["background", "label_1", "label_2"], [0, 1, 2]),
        (["lung", "heart"], None, [0, 1, 2]),
        (["vessel", "vessel"], CLASSES, [0, 2, 2]),
    ],
)
def test_segments_are_classes_by_name_else_by_number(change, kind, names, classes, order):
    path, image, mask = change(kind, rename(kind, names))
    assert np.array_equal(read_label(path, image, 3, class_names=classes), np.array(order)[mask])
    assert dicom_label_names(path) == dict(enumerate(names, start=1))


@BOTH
def test_an_item_of_a_datalist_names_the_classes(change, kind):
    path, image, mask = change(kind, rename(kind, ["Vessel", "Ground glass"]))
    item = {"image": str(image.path), "label": str(path), "case": "a", "class_names": CLASSES}
    assert np.array_equal(load_case(item, 3).label, np.array([0, 2, 1])[mask])
    numbered = {**item, "class_names": ["background", "label_2", "label_1"], "values": "0 2 1"}
    assert np.array_equal(load_case(numbered, 3).label, np.array([0, 2, 1])[mask])


def reverse(kind):
    def do(data):
        if kind == SEG:
            frames = data.pixel_array[::-1]
            data.PixelData = np.packbits(frames.ravel(), bitorder="little").tobytes()
            data.PerFrameFunctionalGroupsSequence = Items(list(data.PerFrameFunctionalGroupsSequence)[::-1])
        else:
            for region in data.ROIContourSequence:
                region.ContourSequence = Items(list(region.ContourSequence)[::-1])
            data.ROIContourSequence = Items(list(data.ROIContourSequence)[::-1])

    return do


def turn(data):
    """The same voxels in frames that begin at another corner, columns and rows exchanged."""
    shared = data.SharedFunctionalGroupsSequence[0]
    x, y = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    rows_apart, columns_apart = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    frames = data.pixel_array
    far = y * rows_apart * (data.Rows - 1)
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [*np.round(-y, 9), *np.round(x, 9)]
    shared.PixelMeasuresSequence[0].PixelSpacing = [columns_apart, rows_apart]
    for groups in data.PerFrameFunctionalGroupsSequence:
        place = groups.PlanePositionSequence[0]
        place.ImagePositionPatient = list(np.round(np.array(place.ImagePositionPatient, float) + far, 6))
    turned = frames[:, ::-1].transpose(0, 2, 1)
    data.Rows, data.Columns = turned.shape[1:]
    data.PixelData = np.packbits(np.ascontiguousarray(turned).ravel(), bitorder="little").tobytes()


def as_fractions(whole):
    def do(data):
        frames = data.pixel_array * np.uint8(200)
        if not whole:
            frames[0, 0, 0] = 90
        data.SegmentationType, data.SegmentationFractionalType = "FRACTIONAL", "OCCUPANCY"
        data.MaximumFractionalValue = 200
        data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
        data.PixelData = frames.tobytes() + b"\0" * (frames.size % 2)

    return do


@pytest.mark.parametrize(
    ("kind", "do"), [(SEG, reverse(SEG)), (RTSTRUCT, reverse(RTSTRUCT)), (SEG, turn), (SEG, as_fractions(whole=True))]
)
def test_voxels_are_where_their_millimetres_are(change, kind, do):
    path, image, mask = change(kind, do)
    assert np.array_equal(read_label(path, image, 3, class_names=CLASSES), mask)


def test_label_maps_of_one_frame_a_slice(written, tmp_path):
    highdicom = pytest.importorskip("highdicom")
    image, mask, labels = written
    sources = [pydicom.dcmread(file) for file in image.files]
    for source in sources:
        for keyword in ("PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime"):
            setattr(source, keyword, "")
        source.ReferringPhysicianName = ""
    described = highdicom.seg.Segmentation.from_dataset(labels[SEG]).SegmentSequence
    kind = getattr(highdicom.seg.SegmentationTypeValues, "LABELMAP", None)
    if kind is None:
        pytest.skip("this highdicom writes no label maps")
    made = highdicom.seg.Segmentation(
        sources, np.ascontiguousarray(mask.transpose(2, 1, 0)), kind, described, highdicom.UID(), 1, highdicom.UID(), 1,
        "maker", "model", "1", "1",
    )  # fmt: skip
    made.save_as(tmp_path / "map.dcm")
    assert np.array_equal(read_label(tmp_path / "map.dcm", image, 3, class_names=CLASSES), mask)


def first_contour(data):
    return data.ROIContourSequence[0].ContourSequence[0]


def shift_contour(by):
    def do(data):
        points = np.array(first_contour(data).ContourData, float).reshape(-1, 3)
        first_contour(data).ContourData = [f"{number:.9g}" for number in (points + by).ravel()]

    return do


def shrink_a_region(data):
    for contour in data.ROIContourSequence[0].ContourSequence:
        points = np.array(contour.ContourData, float).reshape(-1, 3)
        contour.ContourData = [f"{number:.9g}" for number in (points[0] + 1e-3 * (points - points[0])).ravel()]


def draw_a_contour_twice(data):
    contours = data.ROIContourSequence[0].ContourSequence
    contours.append(copy.deepcopy(contours[0]))


def put_a_contour_into_an_item_of_its_own(data):
    """The second of the first region, which is the hole of its ring."""
    item = copy.deepcopy(data.ROIContourSequence[0])
    item.ContourSequence = [data.ROIContourSequence[0].ContourSequence.pop(1)]
    data.ROIContourSequence.append(item)


def shift_frames(by):
    def do(data):
        for groups in data.PerFrameFunctionalGroupsSequence:
            place = groups.PlanePositionSequence[0]
            place.ImagePositionPatient = list(np.round(np.array(place.ImagePositionPatient, float) + by, 6))

    return do


def other_series(kind):
    def do(data):
        if kind == SEG:
            data.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"
        else:
            study = data.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
            study.RTReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"

    return do


def other_frame(kind):
    def do(data):
        for part in [data] if kind == SEG else data.StructureSetROISequence:
            setattr(part, "FrameOfReferenceUID" if kind == SEG else "ReferencedFrameOfReferenceUID", "1.2.3")

    return do


def one_region_over_another(data):
    data.ROIContourSequence[1].ContourSequence = data.ROIContourSequence[0].ContourSequence


def same_frames_twice(data):
    for groups in data.PerFrameFunctionalGroupsSequence:
        groups.PlanePositionSequence = data.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence


NORMAL, ALONG, _ = (AFFINE[:3, axis] * [-1, -1, 1] for axis in (2, 0, 1))


@pytest.mark.parametrize(
    ("kind", "do", "problem"),
    [
        (SEG, other_series(SEG), "belongs to another series than its image"),
        (RTSTRUCT, other_series(RTSTRUCT), "belongs to another series than its image"),
        (SEG, other_frame(SEG), "belongs to another frame of reference than its image"),
        (RTSTRUCT, other_frame(RTSTRUCT), "belongs to another frame of reference than its image"),
        (SEG, shift_frames(0.5 * NORMAL), "lie in no slice of its series"),
        (RTSTRUCT, shift_contour(0.5 * NORMAL), "lie in no slice of its series"),
        (SEG, shift_frames(100 * NORMAL), "lie in no slice of its series"),
        (SEG, shift_frames(0.4 * ALONG), "on other voxels than those of its series"),
        (SEG, shift_frames(5 * ALONG), "marks voxels outside of its series"),
        (RTSTRUCT, shift_contour(20 * ALONG), "leave the image"),
        (RTSTRUCT, shrink_a_region, "the region 1, whose contours enclose no voxel"),
        (SEG, same_frames_twice, r"its segments overlap in \d+ voxels"),
        (RTSTRUCT, one_region_over_another, r"its segments overlap in \d+ voxels"),
        (SEG, rename(SEG, ["ground_glass", "Couch"]), r"holds segments that are no class: 2 \(Couch\): name segments"),
        (RTSTRUCT, rename(RTSTRUCT, ["BODY", "vessel"]), r"that are no class: 1 \(BODY\): name segments like the cl"),
        (SEG, as_fractions(whole=False), "holds fractions, no whole voxels"),
        (RTSTRUCT, lambda d: setattr(first_contour(d), "ContourGeometricType", "OPEN_PLANAR"), "the type OPEN_PLANAR"),
        (RTSTRUCT, lambda d: setattr(first_contour(d), "ContourData", ["1", "2"]), "is no whole DICOM label"),
        (SEG, lambda d: setattr(d, "PixelData", d.PixelData[:40]), "is no whole DICOM label"),
        (SEG, lambda d: delattr(d, "SegmentSequence"), "is no whole DICOM label"),
        (SEG, lambda d: setattr(d, "Modality", "CT"), "is a DICOM file of modality CT, no label"),
    ],
)
def test_refused(change, kind, do, problem):
    path, image, _ = change(kind, do)
    with pytest.raises(InputError, match=problem) as error:
        read_label(path, image, 3, class_names=CLASSES)
    assert error.value.subject == str(path) and "\n" not in str(error.value)
    assert PATIENT not in str(error.value) and "1.2." not in str(error.value)


@pytest.mark.parametrize("do", [draw_a_contour_twice, put_a_contour_into_an_item_of_its_own])
def test_a_contour_that_is_written_twice_is_no_hole_and_one_in_another_item_is(change, do):
    path, image, mask = change(RTSTRUCT, do)
    assert np.array_equal(read_label(path, image, 3, class_names=CLASSES), mask)


@BOTH
def test_numbers_beyond_the_classes(change, kind):
    path, image, _ = change(kind, rename(kind, ["Segment_1", "Segment_2"]))
    with pytest.raises(InputError, match=r"no class: 2 \(Segment_2\): use the numbers 1"):
        read_label(path, image, 2, class_names=["background", "lung"])


@BOTH
def test_a_label_needs_its_series(change, kind, tmp_path):
    path, image, _ = change(kind)
    nib.save(nib.Nifti1Image(image.array, image.affine), tmp_path / "ct.nii.gz")
    for other in (None, read_image(tmp_path / "ct.nii.gz")):
        with pytest.raises(InputError, match="can be read only with its DICOM series: give the folder of the series"):
            read_label(path, other, 3, class_names=CLASSES)


def test_an_empty_file_and_a_missing_one(written, tmp_path):
    (tmp_path / "a.dcm").touch()
    for name, problem in (("a.dcm", "is empty"), ("b.dcm", "does not exist")):
        with pytest.raises(InputError, match=problem):
            read_label(tmp_path / name, written[0], 3)
    (tmp_path / "a.dcm").write_bytes(b"no DICOM at all")
    with pytest.raises(InputError, match="is no whole DICOM label"):
        read_label(tmp_path / "a.dcm", written[0], 3)


def test_a_region_without_contours_needs_no_class(change):
    def do(data):
        del data.ROIContourSequence[1].ContourSequence
        data.StructureSetROISequence[1].ROIName = "Isocentre"

    path, image, mask = change(RTSTRUCT, do)
    assert np.array_equal(read_label(path, image, 3, class_names=CLASSES), mask * (mask == 1))


def test_slices_of_a_series_one_by_one(change):
    path, image, mask = change(SEG)
    one = image.take_slice(0)
    edited = read_label(path, image, 3, class_names=CLASSES)[..., :1]
    assert np.array_equal(edited, mask[..., :1]) and np.array_equal(one.positions, image.positions[:1])


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        ({1: "ER-", 2: "ER+"}, {1: 2, 2: 1}),
        ({1: "er +"}, None),
        ({1: "HER2-"}, None),  # HER2+ is the class
        ({1: "Tumour_Core"}, {1: 3}),
        ({1: "Grade > 2", 2: "grade <2"}, {1: 5, 2: 6}),
        ({1: "grade 2"}, None),
    ],
)
def test_names_that_differ_in_punctuation_alone_are_told_apart_or_refused(names, classes):
    known = ["background", "ER+", "ER-", "tumour core", "HER2+", "grade_gt_2", "grade_lt_2"]
    if classes is None:
        with pytest.raises(InputError, match="no class"):
            dicom_labels._classes("a.dcm", names, None, known, None)
    else:
        assert dicom_labels._classes("a.dcm", names, None, known, None) == classes


def test_a_number_in_a_name_that_is_not_the_segments_own_is_refused():
    assert dicom_labels._classes("a.dcm", {1: "Segment_1", 2: "2"}, 3, None, None) == {1: 1, 2: 2}
    with pytest.raises(InputError, match="numbers and names that agree"):
        dicom_labels._classes("a.dcm", {1: "Segment_2"}, 3, None, None)
