import errno
import os
import resource
import stat
from pathlib import Path

import pytest

from monai_supmix.errors import InputError
from monai_supmix.files import atomic_write, make_directory, remove_leftovers, sha256, write_json, writing_error

# What the system may answer, and a word that the message must have for it.
REFUSALS = [
    (errno.ENOSPC, "disk is full"),
    (errno.EFBIG, "disk is full"),
    (errno.EROFS, "read-only"),
    (errno.EACCES, "read-only"),
    (errno.EIO, "refused"),
]


@pytest.mark.parametrize("text", [False, True])
def test_file_appears_whole_and_alone(tmp_path, text):
    target = tmp_path / "naïve résumé.txt"
    content = "a\r\nb é"
    with atomic_write(target, text=text) as file:
        file.write(content if text else content.encode())
        assert not target.exists()
    assert target.read_bytes() == content.encode()
    assert list(tmp_path.iterdir()) == [target]


def test_permissions_follow_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "a") as file:
            file.write(b"x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


@pytest.mark.parametrize("error", [RuntimeError("stop"), KeyboardInterrupt(), OSError(errno.EIO, "bad", "source.nii")])
def test_error_in_the_block_keeps_the_old_file_and_its_own_type(tmp_path, error):
    target = tmp_path / "a"
    target.write_bytes(b"old")
    with pytest.raises(type(error)) as caught, atomic_write(target) as file:
        file.write(b"new")
        raise error
    assert caught.value is error  # an error about another file is not blamed on this one
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(("number", "word"), REFUSALS)
@pytest.mark.parametrize("call", ["fsync", "open", "replace"])
def test_refusal_of_the_system_names_file_and_remedy(tmp_path, monkeypatch, number, word, call):
    target = tmp_path / "a"
    target.write_bytes(b"old")

    def refuse(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(*((os, "fsync") if call == "fsync" else (Path, call)), refuse)
    with pytest.raises(InputError, match=word) as caught, atomic_write(target) as file:
        file.write(b"new")
    monkeypatch.undo()
    assert caught.value.subject == str(target)
    assert "output_dir" in caught.value.remedy
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_real_write_beyond_the_limit(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(InputError, match="disk is full"), atomic_write(tmp_path / "a") as file:
            file.write(bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_folder_that_cannot_be_synchronised_is_no_error(tmp_path, monkeypatch):
    real, refused = os.fsync, []

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            refused.append(descriptor)
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_write(tmp_path / "a") as file:
        file.write(b"x")
    assert refused
    assert (tmp_path / "a").read_bytes() == b"x"


def test_missing_folder(tmp_path):
    with pytest.raises(InputError, match="folder does not exist"), atomic_write(tmp_path / "no" / "a"):
        pass


def test_make_directory(tmp_path):
    assert make_directory(tmp_path / "a" / "b").is_dir()
    assert make_directory(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="is a file"):
        make_directory(tmp_path / "file")
    with pytest.raises(InputError, match="folder does not exist"):
        make_directory(tmp_path / "file" / "below")


def test_leftovers_of_a_kill_are_removed_and_nothing_else(tmp_path):
    for name in ("checkpoint.pt", ".hidden", "a.tmp"):
        (tmp_path / name).write_bytes(b"x")

    class KilledError(BaseException):
        pass

    with pytest.MonkeyPatch.context() as patch:  # a killed process removes nothing
        patch.setattr(Path, "unlink", lambda self: None)
        with pytest.raises(KilledError), atomic_write(tmp_path / "checkpoint.pt") as file:
            file.write(b"half")
            raise KilledError
    assert len(list(tmp_path.iterdir())) == 4
    assert len(remove_leftovers(tmp_path)) == 1
    assert {p.name for p in tmp_path.iterdir()} == {"checkpoint.pt", ".hidden", "a.tmp"}
    assert remove_leftovers(tmp_path / "missing") == []


def test_sha256_refuses_what_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        sha256(tmp_path / "missing")
    with pytest.raises(InputError, match="is a folder"):
        sha256(tmp_path)


def test_every_refusal_has_a_message_of_three_parts():
    for number in (*errno.errorcode, None):
        error = writing_error("a", OSError(number, "why") if number else OSError("why"))
        assert "why" in error.problem
        assert error.remedy


@pytest.mark.parametrize(
    ("wrong", "error"), [(float("nan"), ValueError), (float("inf"), ValueError), (object(), TypeError)]
)
def test_what_is_no_json_is_refused_and_leaves_the_old_file(wrong, error, tmp_path):
    write_json({"x": 1}, tmp_path / "a.json", indent=None)
    with pytest.raises(error):
        write_json({"x": wrong}, tmp_path / "a.json")
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{"x": 1}\n'
