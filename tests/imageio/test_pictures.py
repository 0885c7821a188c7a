"""Pictures keep their values; damage, several pages and orientation tags are refused."""

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from monai_supmix.errors import InputError
from monai_supmix.imageio.reading import read_image, read_label

GREY = np.random.default_rng(0).integers(0, 256, (20, 30)).astype(np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (20, 30, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.png", "sp ace ü.TIF", "a.bmp", "a.tiff"])
@pytest.mark.parametrize("array", [GREY, COLOUR], ids=["grey", "colour"])
def test_lossless_formats_keep_every_value(tmp_path, name, array):
    Image.fromarray(array).save(tmp_path / name)
    image = read_image(tmp_path / name)
    assert image.is_picture and image.affine is None and image.spacing is None and image.notes == ()
    assert np.array_equal(image.array, np.atleast_3d(array).transpose(2, 0, 1))
    assert image.label_shape == (20, 30) and image.channels == image.array.shape[0]


def test_jpeg(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.jpg")
    assert np.array_equal(read_image(tmp_path / "a.jpg").array[0], np.array(Image.open(tmp_path / "a.jpg")))


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bit_grey_stays(tmp_path, name):
    array = GREY.astype(np.uint16) * 257
    Image.fromarray(array).save(tmp_path / name)
    image = read_image(tmp_path / name)
    assert image.array.dtype == np.uint16 and np.array_equal(image.array[0], array)


def test_floating_point_tiff(tmp_path):
    array = GREY.astype(np.float32) / 7
    Image.fromarray(array).save(tmp_path / "a.tif")
    assert np.array_equal(read_image(tmp_path / "a.tif").array[0], array)
    array[1, 2] = np.nan
    Image.fromarray(array).save(tmp_path / "b.tif")
    with pytest.raises(InputError, match="1 of 600 values are NaN"):
        read_image(tmp_path / "b.tif")


@pytest.mark.parametrize(("mode", "channels"), [("LA", 1), ("RGBA", 3)])
def test_alpha_is_dropped_with_a_note(tmp_path, mode, channels):
    picture = Image.fromarray(GREY if channels == 1 else COLOUR)
    picture.putalpha(Image.fromarray(GREY))
    assert picture.mode == mode
    picture.save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.notes == ("alpha channel dropped",)
    assert np.array_equal(image.array, np.array(picture)[..., :channels].transpose(2, 0, 1))


def test_palette_images_become_colour_and_palette_labels_stay_indices(tmp_path):
    indices = GREY % 4
    picture = Image.fromarray(indices).convert("P")
    picture.putpalette([0, 0, 0, 250, 0, 0, 0, 240, 0, 0, 0, 230])
    for name in ("a.png", "a.tif", "a.bmp"):
        picture.save(tmp_path / name)
        assert np.array_equal(read_label(tmp_path / name), indices)
        image = read_image(tmp_path / name)
        assert image.notes == ("converted from a palette to RGB",)
        assert np.array_equal(image.array[0] > 0, indices == 1) and image.channels == 3


@pytest.mark.parametrize(("bits", "step"), [(2, 85), (4, 17)])
def test_labels_of_few_bits_are_not_stretched(tmp_path, bits, step):
    """Pillow stretches grey PNG of 2 and 4 bits. It cannot write them: the header of a palette is changed."""
    indices = GREY % 2**bits
    palette = Image.fromarray(indices).convert("P")
    palette.putpalette([0] * 768)
    palette.save(tmp_path / "a.png", bits=bits)
    data = (tmp_path / "a.png").read_bytes()
    start = data.index(b"IHDR")
    header = bytearray(data[start : start + 17])
    assert header[12] == bits
    header[13] = 0  # colour type: grey
    import zlib  # noqa: PLC0415

    crc = zlib.crc32(header).to_bytes(4, "big")
    cut = data.index(b"PLTE") - 4
    rest = data[data.index(b"IDAT") - 4 :]
    (tmp_path / "b.png").write_bytes(data[:start] + header + crc + data[start + 21 : cut] + rest)
    assert np.array_equal(np.array(Image.open(tmp_path / "b.png")), indices * step)
    assert np.array_equal(read_label(tmp_path / "b.png"), indices)


def test_one_bit_pictures_are_zero_and_one(tmp_path):
    Image.fromarray(GREY > 99).save(tmp_path / "a.png")
    assert np.array_equal(read_label(tmp_path / "a.png"), (GREY > 99).astype(np.uint8))
    assert np.array_equal(read_image(tmp_path / "a.png").array[0], GREY > 99)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
@pytest.mark.parametrize("read", [read_image, read_label])
def test_orientation_tags_are_refused(tmp_path, name, read):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(GREY).save(tmp_path / name, exif=exif)
    with pytest.raises(InputError, match="EXIF orientation"):
        read(tmp_path / name)
    exif[0x0112] = 1
    Image.fromarray(GREY).save(tmp_path / name, exif=exif)
    read_image(tmp_path / name)


def test_several_pages_are_refused(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.tif", save_all=True, append_images=[Image.fromarray(GREY)])
    with pytest.raises(InputError, match="2 pages"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("read", [read_image, read_label])
@pytest.mark.parametrize(("dtype", "imagej"), [("u1", True), ("u2", True), ("u1", False), ("u4", False)])
def test_pages_without_a_directory_of_their_own_are_refused(tmp_path, read, dtype, imagej):
    stack = np.stack([GREY, GREY, GREY]).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=imagej, truncate=True, photometric="minisblack")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert len(file.pages) == 1
    with pytest.raises(InputError, match="holds 3 pages"):
        read(tmp_path / "a.tif")


def test_one_page_may_keep_the_description_of_its_stack(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY, description="ImageJ=1.54f\nimages=3\n", metadata=None)
    assert np.array_equal(read_label(tmp_path / "a.tif"), GREY)


@pytest.mark.parametrize("width", [8, 27, 30])
def test_boolean_tiffs_of_tifffile(tmp_path, width):
    """They leave out the number of bits, which is one by the standard."""
    mask = GREY[:, :width] > 99
    tifffile.imwrite(tmp_path / "a.tif", mask)
    assert np.array_equal(read_label(tmp_path / "a.tif", num_classes=2), mask)
    assert np.array_equal(read_image(tmp_path / "a.tif").array[0], mask)
    tifffile.imwrite(tmp_path / "b.tif", GREY[:, :width], metadata=None)
    data, tag = (tmp_path / "b.tif").read_bytes(), b"\x02\x01\x03\0\x01\0\0\0\x08\0"
    assert data.count(tag) == 1
    (tmp_path / "b.tif").write_bytes(data.replace(tag, b"\xff\0\x03\0\x01\0\0\0\x01\0"))
    with pytest.raises(InputError, match="does not tell the bits"):
        read_label(tmp_path / "b.tif")


@pytest.mark.parametrize("cut", [10, 0.4])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.bmp"])
def test_truncated_pictures_are_refused(tmp_path, name, cut):
    Image.fromarray(GREY).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    length = len(data) - (cut if isinstance(cut, int) else int(len(data) * cut))
    (tmp_path / name).write_bytes(data[:length])
    with pytest.raises(InputError, match="damaged"):
        read_image(tmp_path / name)


def test_every_flipped_bit_of_a_png_is_noticed(tmp_path):
    """Pillow alone reads most of them without an error."""
    path = tmp_path / "a.png"
    Image.fromarray(GREY // 64).save(path)
    data = path.read_bytes()
    start = data.index(b"IDAT") + 4
    for position in range(start, start + 100, 3):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.raises(InputError):
            read_image(path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.bmp"])
def test_what_is_no_picture(tmp_path, name):
    (tmp_path / name).write_bytes(b"hello, I am text")
    with pytest.raises(InputError, match="not a picture"):
        read_image(tmp_path / name)


def test_cmyk_becomes_rgb_and_lab_is_refused(tmp_path):
    Image.fromarray(COLOUR).convert("CMYK").save(tmp_path / "a.jpg")
    image = read_image(tmp_path / "a.jpg")
    assert image.channels == 3 and image.notes == ("converted from CMYK to RGB",)
    Image.merge("LAB", [Image.fromarray(GREY)] * 3).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=r"holds 3 channels of 8 bits \(Lab\)"):
        read_image(tmp_path / "a.tif")


def test_label_pictures_that_could_mislead_are_refused(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.jpg")
    with pytest.raises(InputError, match="JPEG"):
        read_label(tmp_path / "a.jpg")
    Image.fromarray(COLOUR).save(tmp_path / "colour.png")
    with pytest.raises(InputError, match="colour picture"):
        read_label(tmp_path / "colour.png")
    Image.fromarray(np.stack([GREY] * 3, -1)).save(tmp_path / "grey.png")
    assert np.array_equal(read_label(tmp_path / "grey.png"), GREY)
    picture = Image.fromarray(GREY)
    picture.putalpha(255)
    picture.save(tmp_path / "solid.png")
    assert np.array_equal(read_label(tmp_path / "solid.png"), GREY)
    picture.putalpha(7)
    picture.save(tmp_path / "clear.png")
    with pytest.raises(InputError, match="transparent"):
        read_label(tmp_path / "clear.png")


GIF_CLASSES = [0, 0, 0, 255, 0, 0, 255, 255, 255]


@pytest.mark.parametrize(
    ("palette", "classes", "optimize"),
    [
        (GIF_CLASSES, (0, 1, 2), True),
        (GIF_CLASSES, (0, 1), True),  # white is dropped
        (GIF_CLASSES, (0, 2), False),  # the colours that are used are grey
        ([255, 255, 255, 255, 0, 0], (0,), False),
        ([255, 255, 255, 255, 0, 0], (0,), True),  # one white is left in the file
    ],
)
def test_label_gifs_whose_numbers_are_lost_are_refused(tmp_path, palette, classes, optimize):
    picture = Image.fromarray(np.array(classes, np.uint8)[GREY % len(classes)]).convert("P")
    picture.putpalette(palette)
    picture.save(tmp_path / "a.gif", optimize=optimize)
    with pytest.raises(InputError, match=r"GIF (with a colour palette|of one grey).*save label maps as PNG"):
        read_label(tmp_path / "a.gif", num_classes=3)
    colours = np.array(palette, np.uint8).reshape(-1, 3)[np.array(classes)[GREY % len(classes)]]
    image = read_image(tmp_path / "a.gif").array
    assert np.array_equal(np.broadcast_to(image, (3, *GREY.shape)), colours.transpose(2, 0, 1))


@pytest.mark.parametrize("optimize", [True, False])
def test_grey_label_gifs_keep_their_greys(tmp_path, optimize):
    Image.fromarray(GREY // 64).save(tmp_path / "a.gif", optimize=optimize)
    assert np.array_equal(read_label(tmp_path / "a.gif", num_classes=4), GREY // 64)
    for name, mask in (("b.gif", GREY > 99), ("c.gif", (GREY > 99).astype(np.uint8) * 255)):
        Image.fromarray(mask).save(tmp_path / name, optimize=optimize)
        assert np.array_equal(read_label(tmp_path / name, num_classes=2), GREY > 99)


@pytest.mark.skipif("SUPMIX_DATA" not in os.environ, reason="SUPMIX_DATA names no data folder")
def test_real_pictures_and_labels():
    data = Path(os.environ["SUPMIX_DATA"])
    image = read_image(data / "CHASE_DB1/Image_01L.jpg")
    label = read_label(data / "CHASE_DB1/Image_01L_1stHO.png", image, 2)
    assert image.array.shape == (3, 960, 999) and set(np.unique(label)) == {0, 1}
    image = read_image(data / "COVID_MedSeg98/images/060.jpg")
    label = read_label(data / "COVID_MedSeg98/labels/060.png", image, 3)
    assert image.channels == 1 and label.shape == image.label_shape and label.max() == 2
