"""Memory that is left is what the machine and the container leave."""

import sys

import pytest

from monai_supmix.memory import available_memory

GIB = 1 << 30


@pytest.fixture
def system(tmp_path):
    """A machine with 8 GiB available, and a group of processes in it."""
    proc, group = tmp_path / "proc", tmp_path / "cgroup/user/job"
    (proc / "self").mkdir(parents=True)
    group.mkdir(parents=True)
    (proc / "meminfo").write_text(f"MemTotal: 99 kB\nMemAvailable:   {8 * GIB // 1024} kB\n", encoding="utf-8")
    (proc / "self/cgroup").write_text("0::/user/job\n", encoding="utf-8")
    return proc, group


def left(system) -> int:
    return available_memory(system[0], system[1].parents[1])


@pytest.mark.parametrize(
    ("limit", "used", "cached", "expected"),
    [(4 * GIB, GIB, GIB // 2, 3.5), (4 * GIB, 5 * GIB, 0, 0), (64 * GIB, GIB, 0, 8), ("max", GIB, 0, 8)],
)
def test_the_smaller_of_machine_and_container(system, limit, used, cached, expected):
    for name, value in (("max", limit), ("current", used), ("stat", f"anon 1\ninactive_file {cached}")):
        (system[1] / f"memory.{name}").write_text(f"{value}\n", encoding="utf-8")
    assert left(system) == expected * GIB


def test_without_a_group_the_machine_counts(system):
    assert left(system) == 8 * GIB


@pytest.mark.parametrize("file", ["meminfo", "self/cgroup"])
def test_a_system_that_does_not_tell_has_none(system, file):
    (system[0] / file).write_text("nothing\n", encoding="utf-8")
    assert left(system) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells")
def test_this_machine_has_some():
    assert available_memory() > 1 << 20
