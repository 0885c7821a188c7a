import errno
import hashlib
import io
import pickle
import resource
import zipfile

import numpy as np
import pytest
import torch

from monai_supmix.errors import InputError
from monai_supmix.weights.tensor_files import (
    damage_of,
    nonfinite_tensor,
    plain,
    read_tensors,
    write_state_dict,
    write_tensors,
)
from tests.devices import DEVICES


def content():
    return {
        "model": {"weight": torch.arange(60.0).reshape(3, 20), "steps": torch.tensor(7)},
        "history": [(1, 0.5), (2, 0.25)],
        "name": "naïve",
        "done": False,
        "none": None,
    }


def assert_equal(a, b):
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    else:
        assert a == b
        assert type(a) is type(b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool])
def test_round_trip(tmp_path, dtype):
    original = content() | {"typed": torch.ones(2, 3).to(dtype), "empty": torch.zeros(0, dtype=dtype)}
    write_tensors(tmp_path / "a.pt", original)
    assert_equal(read_tensors(tmp_path / "a.pt"), original)


@pytest.mark.parametrize("device", DEVICES)
def test_equal_content_gives_equal_bytes(tmp_path, device):
    name = "a name with spaces"
    shared = {"weight": torch.ones(4, 4, device=device), "names": [name, name]}
    apart = {
        "weight": torch.ones(8, 4)[:4],  # a view of a larger storage
        "names": [name, " ".join(["a name", "with spaces"])],  # equal, and another object
    }
    digests = set()
    for i, value in enumerate([shared, apart, plain(shared), pickle.loads(pickle.dumps(shared))]):
        write_tensors(tmp_path / f"{i}.pt", value)
        digests.add(hashlib.sha256((tmp_path / f"{i}.pt").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_strides_survive(tmp_path):
    weight = torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last)
    write_tensors(tmp_path / "a.pt", {"weight": weight})
    assert read_tensors(tmp_path / "a.pt")["weight"].stride() == weight.stride()


def test_views_are_written_without_their_storage(tmp_path):
    write_tensors(tmp_path / "a.pt", {"x": torch.zeros(1_000_000)[:3]})
    assert (tmp_path / "a.pt").stat().st_size < 10_000


def test_numpy_numbers_become_plain(tmp_path):
    write_tensors(tmp_path / "a.pt", {"x": np.float64(0.5), "n": int(np.int64(3))})
    assert_equal(read_tensors(tmp_path / "a.pt"), {"x": 0.5, "n": 3})


def test_other_objects_are_refused_with_their_place():
    with pytest.raises(ValueError, match=r"content\['a'\]\[1\] is a set"):
        plain({"a": [1, {2}]})


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_nonfinite_content_is_never_written(tmp_path, device, dtype, value):
    bad = torch.zeros(3, 2, 2, dtype=dtype, device=device)
    bad[1, 0, 1] = value
    state = {
        "net": {"good": torch.ones(2, device=device), "n": torch.tensor([1])},
        "optimizer": [{"momentum": bad}],
    }
    assert nonfinite_tensor(state) == "optimizer.0.momentum"
    (tmp_path / "a.pt").write_bytes(b"old")
    with pytest.raises(InputError, match=r"optimizer\.0\.momentum.*NaN"):
        write_tensors(tmp_path / "a.pt", state)
    assert (tmp_path / "a.pt").read_bytes() == b"old"


def test_full_disk_is_told_as_such(tmp_path):
    # torch.save by itself says "unexpected pos 768 vs 662".
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        with pytest.raises(InputError, match="disk is full") as caught:
            write_tensors(tmp_path / "a.pt", {"x": torch.randn(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.__cause__.errno == errno.EFBIG
    assert not list(tmp_path.iterdir())


def test_every_single_bit_flip_is_seen(tmp_path):
    path = tmp_path / "a.pt"
    write_tensors(path, {"weight": torch.arange(8.0), "name": "vessel"})
    intact = path.read_bytes()
    assert damage_of(path) is None
    for position in range(len(intact)):
        flipped = bytearray(intact)
        flipped[position] ^= 1 << (position % 8)
        path.write_bytes(flipped)
        assert damage_of(path), position


def test_flips_in_the_data_are_seen_where_torch_is_silent(tmp_path):
    path = tmp_path / "a.pt"
    write_tensors(path, {"weight": torch.ones(1000)})
    raw = bytearray(path.read_bytes())
    raw[raw.find(b"\x00\x00\x80\x3f" * 100) + 50] ^= 1
    path.write_bytes(raw)
    assert not torch.equal(torch.load(path, weights_only=True)["weight"], torch.ones(1000))
    assert "wrong checksum" in damage_of(path)
    with pytest.raises(InputError, match="checksum"):
        read_tensors(path)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_truncation_is_seen(tmp_path, share):
    path = tmp_path / "a.pt"
    write_tensors(path, {"weight": torch.ones(1000)})
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(InputError, match="truncated" if share else "empty"):
        read_tensors(path)


def test_last_byte_missing_is_seen(tmp_path):
    path = tmp_path / "a.pt"
    write_tensors(path, {"weight": torch.ones(1000)})
    path.write_bytes(path.read_bytes()[:-1])
    assert damage_of(path)


class Evil:
    def __reduce__(self):
        return (print, ("ran",))


def sealed(path, raw):
    """Give any bytes the seal that `write_tensors` gives."""
    path.write_bytes(raw + b"sha256:" + hashlib.sha256(raw).hexdigest().encode())


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_is_unpickled_even_under_a_seal(tmp_path, capsys, zipped):
    buffer = io.BytesIO()
    torch.save({"model": Evil()}, buffer, _use_new_zipfile_serialization=zipped)
    sealed(tmp_path / "a.pt", buffer.getvalue()[:-2] + b"\x47\x00" if zipped else buffer.getvalue())
    with pytest.raises(InputError, match="could run code"):
        read_tensors(tmp_path / "a.pt")
    assert "ran" not in capsys.readouterr().out


def test_other_files_are_refused(tmp_path):
    torch.save({"x": torch.ones(3)}, tmp_path / "a.pt")
    with pytest.raises(InputError, match="not written by monai_supmix"):
        read_tensors(tmp_path / "a.pt")
    sealed(tmp_path / "a.pt", b"no archive")
    with pytest.raises(InputError, match="something other than tensors and plain values"):
        read_tensors(tmp_path / "a.pt")
    with pytest.raises(InputError, match="does not exist"):
        read_tensors(tmp_path / "missing.pt")
    with pytest.raises(InputError, match="is a folder"):
        read_tensors(tmp_path)


def test_a_sealed_file_is_an_ordinary_file_of_pytorch(tmp_path):
    write_tensors(tmp_path / "a.pt", content())
    assert_equal(torch.load(tmp_path / "a.pt", weights_only=True), content())
    assert_equal(torch.load(tmp_path / "a.pt", weights_only=True, mmap=True), content())
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        assert archive.testzip() is None


def test_a_state_dictionary_carries_its_record(tmp_path):
    tensors, record = content()["model"], {"names": ("a", "b"), "scale": 0.5}
    write_state_dict(tmp_path / "a.pt", tensors, record)
    write_state_dict(tmp_path / "b.pt", dict(reversed(list(tensors.items()))), record)
    for name in ("a.pt", "b.pt"):
        read = read_tensors(tmp_path / name)
        assert_equal(dict(read), tensors)
        assert read.record == record
    with pytest.raises(InputError, match="'weight' has NaN"):
        write_state_dict(tmp_path / "c.pt", {"weight": torch.tensor(float("nan"))}, record)
    assert not (tmp_path / "c.pt").exists()
