"""How much memory is left, for work that is worth doing only where there is plenty."""

from __future__ import annotations

from pathlib import Path


def available_memory(proc: str | Path = "/proc", cgroups: str | Path = "/sys/fs/cgroup") -> int:
    """Bytes that this process can still take without anything being swapped or killed.

    Args:
        proc: the kernel's folder of processes.
        cgroups: the kernel's folder of control groups (version 2), whose limit is that of a container.

    Returns:
        the number of bytes; 0 where the system does not say (other than Linux).

    Example:
        >>> available_memory("/nowhere")
        0
    """
    try:
        lines = (Path(proc) / "meminfo").read_text(encoding="utf-8").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
        group = next(
            line[3:]
            for line in (Path(proc) / "self/cgroup").read_text(encoding="utf-8").splitlines()
            if line[:3] == "0::"
        )
    except (OSError, StopIteration, ValueError, IndexError):
        return 0
    folder = Path(cgroups) / group.lstrip("/")
    try:
        limit, used = ((folder / f"memory.{name}").read_text(encoding="utf-8").strip() for name in ("max", "current"))
        cached = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="utf-8").splitlines())[
            "inactive_file"
        ]
        return max(0, min(free, int(limit) - int(used) + int(cached)))
    except (OSError, ValueError, KeyError):  # no such group, or "max": without a limit
        return free
