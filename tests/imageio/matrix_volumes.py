"""Rows of the matrix of readers for volumes."""

import gzip
import zlib

import itk
import nibabel as nib
import numpy as np
import pydicom
from pydicom.uid import DeflatedExplicitVRLittleEndian as Deflated
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from tests.imageio.dicom_series import edit, write_series

RNG = np.random.default_rng(1)
SHAPE = (7, 6, 5)
AFFINE = np.diag([-0.7, -0.8, 2.5, 1.0])
WORDS = {"i": "signed", "u": "unsigned", "f": "floating-point"}
METAIO = {"i1": "CHAR", "u1": "UCHAR", "i2": "SHORT", "u2": "USHORT", "i4": "INT", "u4": "UINT", "f4": "FLOAT"}
METAIO |= {"i8": "LONG_LONG", "u8": "ULONG_LONG", "f8": "DOUBLE"}
NRRD = {"i1": "int8", "u1": "uint8", "i2": "int16", "u2": "uint16", "i4": "int32", "u4": "uint32", "i8": "int64"}
NRRD |= {"u8": "uint64", "f4": "float", "f8": "double"}


def numbers(dtype):
    """Whole numbers that every type holds and float32 keeps."""
    kind = np.dtype(dtype).kind
    low, high = (0, 200) if dtype == "u1" else (-100, 100) if kind != "u" else (0, 60000)
    return RNG.integers(low, high, SHAPE).astype(dtype)


def words(dtype):
    """A data type in words."""
    return f"{8 * int(dtype[-1])} bits, {WORDS[dtype[-2]]}"


def rows():
    """Type of file, storage, name, writer."""
    for dtype in METAIO:
        for order in "<>":
            if dtype[1] != "1" or order == "<":
                end = f", {'little' if order == '<' else 'big'}-endian" if dtype[1] != "1" else ""
                yield "NIfTI", words(dtype) + end, "a.nii", _nifti(dtype, order)
                yield "NRRD", f"raw, {words(dtype)}{end}", "a.nrrd", _nrrd(dtype, order, "raw")
                yield "MetaImage", f"raw, {words(dtype)}{end}", "a.mha", _meta(dtype, order, False)
    yield "NIfTI", "gzip, 16 bits, signed", "a.nii.gz", _nifti("i2", "<")
    yield "NIfTI", "16 bits with slope and intercept", "a.nii.gz", _nifti("i2", "<", scaled=True)
    yield "NIfTI", "version 2", "a.nii", _nifti("i2", "<", kind=nib.Nifti2Image)
    yield "NIfTI", "complex", "a.nii", _nifti("c8", "<")
    yield "NIfTI", "colour", "a.nii", _nifti([("R", "u1"), ("G", "u1"), ("B", "u1")], "<")
    for kind, name in ((nib.Nifti1Pair, "NIfTI-1"), (nib.Nifti2Pair, "NIfTI-2"), (nib.AnalyzeImage, "Analyze 7.5")):
        for dtype in ("u1", "i2", "f4"):
            yield ".hdr/.img", f"{name}, {words(dtype)}", "a.img", _nifti(dtype, "<", kind=kind)
    yield ".hdr/.img", "NIfTI-1, gzip", "a.img.gz", _nifti("i2", "<", kind=nib.Nifti1Pair)
    yield ".hdr/.img", "SPM with a scale factor", "a.img", _spm
    yield ".hdr/.img", "SPM with an affine in a .mat file", "a.img", _spm_with_mat
    for dtype in ("u1", "i2", "i4", "f4"):
        yield "FreeSurfer", words(dtype), "a.mgh", _mgh(dtype)
    yield "FreeSurfer", "gzip", "a.mgz", _mgh("i2")
    yield "NRRD", "gzip, 16 bits, signed", "a.nrrd", _nrrd("i2", "<", "gzip")
    for encoding in ("ascii", "bzip2"):
        yield "NRRD", encoding, "a.nrrd", _nrrd("i2", "<", encoding)
    yield "NRRD", "raw, 16 bits, no byte order given", "a.nrrd", _nrrd("i2", "<", "raw", tell=False)
    yield "MetaImage", "zlib, 16 bits, signed", "a.mha", _meta("i2", "<", True)
    yield "MetaImage", "header and voxels in two files", "a.mhd", _meta("i2", "<", False)
    yield (
        "MetaImage",
        "with slope and intercept",
        "a.mha",
        _meta("i2", "<", False, "ElementToIntensityFunctionSlope = 2\n"),
    )
    yield "NRRD, MetaImage", "several values a voxel", "a.mha", _vector
    for syntax, name in ((ExplicitVRLittleEndian, "explicit"), (ImplicitVRLittleEndian, "implicit")):
        for bits, signed in ((8, False), (12, False), (12, True), (16, False), (16, True)):
            for photometric in ("MONOCHROME2", "MONOCHROME1"):
                sign = "signed" if signed else "unsigned"
                told = f"{name}, {bits} bits, {sign}, {photometric}"
                yield "DICOM", told, "a.dcm", _dicom(bits, signed, photometric, syntax)
    for syntax, name in ((ExplicitVRBigEndian, "big-endian"), (Deflated, "deflated"), (RLELossless, "RLE")):
        yield "DICOM", f"{name}, 12 bits, signed, MONOCHROME1", "a.dcm", _dicom(12, True, "MONOCHROME1", syntax)
    for kind in ("JPEG", "JPEG2000"):
        yield "DICOM", f"lossless {kind}, 16 bits, unsigned", "a.dcm", _compressed(kind, "MONOCHROME2")
        yield "DICOM", f"lossless {kind}, 16 bits, unsigned, MONOCHROME1", "a.dcm", _compressed(kind, "MONOCHROME1")
    yield "DICOM", "12 bits not beginning at the lowest", "a.dcm", _refused(BitsStored=12)
    yield "DICOM", "several frames in one file", "a.dcm", _refused(NumberOfFrames="2", PixelData=bytes(2 * 84))
    yield "DICOM", "a table instead of slope and intercept", "a.dcm", _refused(ModalityLUTSequence=[pydicom.Dataset()])


def _nifti(dtype, order, kind=nib.Nifti1Image, scaled=False):
    def write(path):
        plain = isinstance(dtype, str) and dtype != "c8"
        array = numbers(dtype) if plain else np.zeros(SHAPE, np.dtype(dtype))
        header = kind.header_class(endianness=order)
        image = kind(array, AFFINE, header)
        image.set_data_dtype(array.dtype)
        if scaled:
            image.header.set_slope_inter(2.0, -3.0)
            array = array * 2 - 3
            image = kind(array, AFFINE, image.header)
        nib.save(image, path)
        return (array, array) if plain else (None, None)

    return write


def _spm(path):
    array = numbers("i2")
    image = nib.Spm99AnalyzeImage(array * 0.5, AFFINE)
    image.set_data_dtype(np.int16)
    nib.save(image, path)
    path.with_suffix(".mat").unlink(missing_ok=True)
    return None, None


def _spm_with_mat(path):
    nib.save(nib.Spm99AnalyzeImage(numbers("i2"), AFFINE[[1, 0, 2, 3]]), path)
    assert path.with_suffix(".mat").exists()
    return None, None


def _mgh(dtype):
    def write(path):
        array = numbers(dtype)
        nib.save(nib.MGHImage(array, AFFINE), path)
        return array, array

    return write


def _nrrd(dtype, order, encoding, tell=True):
    def write(path):
        array = numbers(dtype)
        head = f"NRRD0004\ntype: {NRRD[dtype]}\ndimension: 3\nsizes: {' '.join(map(str, SHAPE))}\nspace: RAS\n"
        head += "space directions: (1,0,0) (0,1,0) (0,0,2)\nspace origin: (0,0,0)\n"
        head += f"endian: {'little' if order == '<' else 'big'}\n" if tell else ""
        data = array.astype(order + dtype).tobytes(order="F")
        data = gzip.compress(data) if encoding == "gzip" else data
        path.write_bytes(f"{head}encoding: {encoding}\n\n".encode() + data)
        expected = array if encoding in ("raw", "gzip") and tell else None
        return expected, expected

    return write


def _meta(dtype, order, packed, more=""):
    def write(path):
        array = numbers(dtype)
        data = array.astype(order + dtype).tobytes(order="F")
        data = zlib.compress(data) if packed else data
        place = "LOCAL" if path.suffix == ".mha" else "a.raw"
        head = f"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = {order == '>'}\n"
        head += f"CompressedData = {packed}\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\n"
        head += f"ElementSpacing = 1 1 2\nDimSize = {' '.join(map(str, SHAPE))}\n{more}"
        head += f"ElementType = MET_{METAIO[dtype]}\nElementDataFile = {place}\n"
        path.write_bytes(head.encode() + (data if place == "LOCAL" else b""))
        if place != "LOCAL":
            path.with_name(place).write_bytes(data)
        return (None, None) if more else (array, array)

    return write


def _vector(path):
    itk.imwrite(itk.image_from_array(np.zeros((4, 5, 6, 3), np.uint8), is_vector=True), str(path))
    return None, None


def _stored(bits, signed):
    low = -(1 << bits - 1) if signed else 0
    return RNG.integers(low, low + (1 << bits), SHAPE)


def _dicom(bits, signed, photometric, syntax):
    def write(path):
        stored = _stored(bits, signed)
        for file in write_series(path.parent, np.zeros(SHAPE), AFFINE, 2.0, -7.0):
            data = pydicom.dcmread(file)
            index = round(float(data.ImagePositionPatient[2]) / 2.5)
            data.BitsStored, data.HighBit, data.PixelRepresentation = bits, bits - 1, int(signed)
            data.PhotometricInterpretation = photometric
            order = ">" if syntax == ExplicitVRBigEndian else "<"
            values = stored[:, :, index].T & ((1 << bits) - 1)
            data.PixelData = np.ascontiguousarray(values).astype(f"{order}u2").tobytes()
            data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == RLELossless else syntax
            if syntax == RLELossless:
                data.compress(RLELossless, encoding_plugin="pydicom")
            whole = pydicom.Dataset(data)
            whole.file_meta = data.file_meta
            whole.save_as(file, enforce_file_format=True)
        return stored * 2 - 7, None

    return write


def _compressed(kind, photometric):
    """Compressed by GDCM as MONOCHROME2; the tag is changed afterwards."""

    def write(path):
        stored = np.kron(_stored(16, False)[..., :2], np.ones((10, 10, 1), int))  # GDCM crashes at tiny JPEG2000
        for file in write_series(path.parent, stored, AFFINE, 1.0, 0.0):
            reader = itk.ImageFileReader[itk.Image[itk.US, 3]].New(FileName=str(file))
            reader.SetImageIO(itk.GDCMImageIO.New())
            reader.Update()
            output = itk.GDCMImageIO.New()
            output.SetCompressionType(getattr(itk.GDCMImageIOEnums, f"Compression_{kind}"))
            output.SetKeepOriginalUID(True)
            output.SetMetaDataDictionary(reader.GetImageIO().GetMetaDataDictionary())
            writer = itk.ImageFileWriter[itk.Image[itk.US, 3]].New(reader.GetOutput(), FileName=str(file))
            writer.SetImageIO(output)
            writer.UseCompressionOn()
            writer.Update()
            edit(file, PhotometricInterpretation=photometric)
        return stored, None

    return write


def _refused(**changes):
    def write(path):
        (file,) = write_series(path.parent, numbers("u2")[..., :1], AFFINE)
        edit(file, **changes)
        return None, None

    return write
