"""Journal files that survive a write that was cut short.

A journal is a text file with one JSON record per line. A killed process, a full disk or a power cut
can leave a last line without its end. Optuna ignores such a line while it is the last one, but the
next record would be appended to it, and a damaged line inside the file makes all of it unreadable.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

_FIRST = b'{"op_code"'
_BLOCK = 4096


def open_journal(path: Path) -> BaseStorage:
    """Open a journal file, or create it.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    optuna.storages.JournalStorage
        The storage.

    Raises
    ------
    ValueError
        If the path is not that of a regular file, or the file is not a readable journal.
    """
    if not path.parent.is_dir():
        raise ValueError(f"the folder {str(path.parent)!r} does not exist")
    # Opening a named pipe waits for a writer, and a device may never end.
    if path.exists() and not path.is_file():
        raise ValueError("it is not a regular file")
    _check_start(path)
    return JournalStorage(_Journal(path))


def _check_start(path: Path) -> None:
    if not path.exists():
        return
    with path.open("rb") as file:
        start = file.read(len(_FIRST))
    # A file that ends within its first record is a journal too.
    if not _FIRST.startswith(start):
        raise ValueError("the file is not a journal of Optuna")


class _Journal(JournalFileBackend):
    """A journal that removes an incomplete last line before anything is appended."""

    def __init__(self, path: Path):
        self._name = str(path)
        self._own_lock = JournalFileSymlinkLock(self._name)
        super().__init__(self._name, self._own_lock)
        self.append_logs([])

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append records, after the end of the last complete line."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._own_lock.acquire()
        try:
            # All writers have the lock, so a line without an end is never one that another process
            # is writing.
            with open(self._name, "r+b") as file:
                _cut_incomplete_line(file)
                file.write(lines.encode())
                file.flush()
                os.fsync(file.fileno())
        finally:
            self._own_lock.release()

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any]]:
        """Read the records from a number on."""
        try:
            yield from super().read_logs(log_number_from)
        except ValueError as error:
            raise ValueError(
                f"the journal {self._name!r} is damaged before its last line ({error}). Restore it "
                "from a copy, or give another `storage`"
            ) from error


def _cut_incomplete_line(file: BinaryIO) -> None:
    """Cut what follows the last end of a line, and move to the end of the file."""
    end = position = file.seek(0, os.SEEK_END)
    while position:
        start = max(0, position - _BLOCK)
        file.seek(start)
        newline = file.read(position - start).rfind(b"\n")
        if newline >= 0:
            position = start + newline + 1
            break
        position = start
    if position < end:
        file.truncate(position)
    file.seek(position)
