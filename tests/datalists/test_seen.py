"""Test images that were labelled training images are found by their content, whatever they are called."""

import shutil

import pytest

from monai_supmix.datalists.seen import image_digests, seen_note


def case(path, content):
    path.write_bytes(content)
    return {"image": str(path), "case": path.stem, "group": path.stem}


def test_a_renamed_copy_is_the_same_image_and_a_changed_one_is_not(tmp_path):
    first = case(tmp_path / "first.png", b"1")
    (tmp_path / "elsewhere").mkdir()
    copy = shutil.copy(first["image"], tmp_path / "elsewhere" / "other.png")
    items = [{"image": str(copy), "case": "other", "group": "other"}, case(tmp_path / "second.png", b"2")]
    (note,) = seen_note(items, image_digests([first]))
    assert note.startswith("test: 1 of 2 was trained on with its labels (other): ")
    assert seen_note(items[1:], image_digests([first])) == []


def test_slices_of_one_file_are_images_of_their_own(tmp_path):
    volume = case(tmp_path / "tr_im.nii", b"100 slices")
    slices = [{**volume, "case": f"slice_{k}", "slice": k} for k in range(4)]
    learnt = image_digests(slices[:2])
    assert len(learnt) == 2
    assert seen_note(slices[2:], learnt) == []
    (note,) = seen_note(slices[1:], learnt)
    assert note.startswith("test: 1 of 3 was trained on with its labels (slice_1)")
    assert seen_note([volume], learnt) == []


def test_a_series_is_the_same_whatever_its_files_are_called(tmp_path):
    for folder, names in (("a", "123"), ("b", "321")):
        (tmp_path / folder).mkdir()
        for name, content in zip(names, (b"x", b"y", b"z"), strict=True):
            (tmp_path / folder / f"{name}.dcm").write_bytes(content)
    first, second = ({"image": str(tmp_path / folder), "case": folder, "group": folder} for folder in "ab")
    assert image_digests([first]) == image_digests([second])


def test_digests_tell_no_name_and_count_an_image_once(tmp_path):
    items = [case(tmp_path / f"anna_{k}.png", b"same") for k in range(3)]
    (digest,) = image_digests(items)
    assert len(digest) == 16
    assert "anna" not in digest


@pytest.mark.parametrize("count, named", [(3, "(0, 1, 2)"), (5, "(0, 1, 2, ...)")])
def test_the_note_names_three(count, named, tmp_path):
    items = [case(tmp_path / f"{k}.png", bytes([k])) for k in range(count)]
    (note,) = seen_note(items, image_digests(items))
    assert f"{count} of {count} were trained on with their labels {named}" in note


def test_weights_that_say_nothing_cost_no_reading():
    assert seen_note([{"image": "missing.png", "case": "a", "group": "a"}], []) == []
