"""How much memory is free."""

from __future__ import annotations

from pathlib import Path

import pytest

from frozenfit.utils import memory

MEMINFO = "MemTotal: 4000 kB\nMemFree: 1000 kB\nMemAvailable: 3000 kB\n"


@pytest.fixture
def files(monkeypatch):
    """The files of the system, by path."""
    found = {"/proc/meminfo": MEMINFO}

    def read_text(self):
        if str(self) not in found:
            raise FileNotFoundError(self)
        return found[str(self)]

    monkeypatch.setattr(Path, "read_text", read_text)
    return found


def test_the_available_memory_of_the_machine(files):
    assert memory.available_memory() == 3000 * 1024


def test_the_limit_of_a_container_counts_where_it_is_lower(files):
    files["/sys/fs/cgroup/memory.max"] = "1000000\n"
    files["/sys/fs/cgroup/memory.current"] = "900000\n"
    files["/sys/fs/cgroup/memory.stat"] = "anon 5\ninactive_file 200000\n"
    assert memory.available_memory() == 300_000
    files["/sys/fs/cgroup/memory.max"] = "max\n"
    assert memory.available_memory() == 3000 * 1024


def test_the_first_version_of_control_groups(files):
    files["/sys/fs/cgroup/memory/memory.limit_in_bytes"] = "1000000\n"
    files["/sys/fs/cgroup/memory/memory.usage_in_bytes"] = "1900000\n"
    files["/sys/fs/cgroup/memory/memory.stat"] = "inactive_file 1\ntotal_inactive_file 5\n"
    assert memory.available_memory() == 0


def test_other_systems_have_all_their_memory(files, monkeypatch):
    del files["/proc/meminfo"]
    names = {"SC_PHYS_PAGES": 10, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(memory.os, "sysconf", names.__getitem__, raising=False)
    assert memory.available_memory() == 40960
    monkeypatch.delattr(memory.os, "sysconf")
    assert memory.available_memory() == float("inf")
