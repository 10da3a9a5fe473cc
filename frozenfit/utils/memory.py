"""How much memory this process can still use."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["available_memory"]

# Root of a container: limit, usage, and the entry of the statistics with the part of the usage that
# is given back on demand. Version 2 of control groups, then version 1.
_CONTROL_GROUPS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)


def available_memory() -> float:
    """Return how many bytes can be allocated before memory is full.

    Returns
    -------
    float
        On Linux the available memory of the machine, or what the limit of a container leaves if
        that is less. On other POSIX systems all memory of the machine. Infinite on Windows.

    Examples
    --------
    >>> available_memory() > 0
    True
    """
    found = [_available_on_machine(), *map(_left_in_group, *zip(*_CONTROL_GROUPS, strict=True))]
    return max(0.0, min(found))


def _available_on_machine() -> float:
    try:
        return _entry(Path("/proc/meminfo"), "MemAvailable:") * 1024
    except (OSError, ValueError):
        ask = getattr(os, "sysconf", None)  # not available on Windows
        return float(ask("SC_PHYS_PAGES") * ask("SC_PAGE_SIZE")) if ask else float("inf")


def _left_in_group(limit: str, usage: str, reclaimable: str) -> float:
    root = Path("/sys/fs/cgroup")
    try:
        most = float((root / limit).read_text())
        used = float((root / usage).read_text())
        return most - used + _entry((root / limit).with_name("memory.stat"), reclaimable)
    except (OSError, ValueError):  # there is no such file, or the limit is "max"
        return float("inf")


def _entry(path: Path, name: str) -> float:
    for line in path.read_text().splitlines():
        words = line.split()
        if words and words[0] == name:
            return float(words[1])
    raise ValueError(f"{path} has no entry {name}")
