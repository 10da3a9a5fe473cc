"""Writers that are killed, live writers, and links."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from frozenfit.utils import atomic_write

KILLED = """
import os, signal, sys
from frozenfit.utils import atomic_write
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
atomic_write.write(b"x" * 1000, sys.argv[1])
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.frozenfit"


def killed_while_writing(path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)])
    assert done.returncode == -9


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_the_next_write_removes_the_files_of_a_killed_writer(path):
    killed_while_writing(path)
    assert len(list(path.parent.iterdir())) == 1
    other = path.with_name("other")
    atomic_write.write(b"other", other)
    assert len(list(path.parent.iterdir())) == 2  # that of another path stays
    atomic_write.write(b"whole", path)
    assert sorted(path.parent.iterdir()) == [path, other]
    assert path.read_bytes() == b"whole"


def test_the_file_of_a_live_writer_stays(path):
    target, temporary, descriptor = atomic_write._open_temporary(path)
    try:
        atomic_write.write(b"first", path)
        assert temporary.exists()
    finally:
        os.close(descriptor)
    atomic_write.write(b"second", path)
    assert list(path.parent.iterdir()) == [target]


def test_many_writers_of_one_path_do_not_disturb_each_other(path):
    errors, contents = [], [bytes([i]) * 1000 for i in range(8)]

    def writer(content):
        try:
            for _ in range(25):
                atomic_write.write(content, path)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=writer, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert path.read_bytes() in contents
    assert list(path.parent.iterdir()) == [path]


def test_a_writer_whose_file_was_removed_before_it_was_locked_opens_another(path, monkeypatch):
    if atomic_write.fcntl is None:
        pytest.skip("no locks")
    flock, opened = atomic_write.fcntl.flock, []

    def removed_first(descriptor, operation):
        if not opened:
            opened.extend(path.parent.iterdir())
            opened[0].unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(atomic_write.fcntl, "flock", removed_first)
    atomic_write.write(b"whole", path)
    assert path.read_bytes() == b"whole"


def test_a_file_is_written_where_there_are_no_locks(path, monkeypatch):
    stale = path.parent / f"{atomic_write._prefix(path)}0.tmp"
    stale.touch()

    def no_locks(descriptor, operation):
        raise OSError(37, "No locks available")

    if atomic_write.fcntl is not None:
        monkeypatch.setattr(atomic_write.fcntl, "flock", no_locks)
    atomic_write.write(b"whole", path)
    assert path.read_bytes() == b"whole"
    assert stale.exists()  # whether it has a writer is unknown


def test_a_pipe_and_a_link_with_the_name_of_a_temporary_file_are_not_opened(path):
    pipe = path.parent / f"{atomic_write._prefix(path)}0.tmp"
    link = path.parent / f"{atomic_write._prefix(path)}1.tmp"
    os.mkfifo(pipe)
    link.symlink_to(path.with_name("other"))
    path.with_name("other").write_bytes(b"other")
    atomic_write.write(b"whole", path)
    assert path.with_name("other").read_bytes() == b"other"
    assert link.is_symlink()


def test_a_link_is_written_through(path):
    link, chain = path.with_name("link"), path.with_name("chain")
    link.symlink_to(path.name)
    chain.symlink_to(link.name)
    for target in (link, chain):
        atomic_write.write(target.name.encode(), target)
        assert target.is_symlink()
        assert not path.is_symlink()
        assert path.read_bytes() == target.name.encode()


def test_a_link_to_itself_is_not_replaced(path):
    other = path.with_name("other")
    path.symlink_to(path.name)
    other.symlink_to("third")
    path.with_name("third").symlink_to("other")
    for link in (path, other):
        with pytest.raises(ValueError, match="symbolic link that leads to itself"):
            atomic_write.write(b"", link)
        assert link.is_symlink()
    assert len(list(path.parent.iterdir())) == 3
