"""Atomic and durable writing of a file.

The bytes are written to a temporary file in the same folder, which is renamed at the end: renaming
within a file system is atomic. The writer locks its temporary file. The operating system releases
the lock when a process ends in any way, so a temporary file without a lock has no writer, and the
next write to the same path removes it.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows refuses to delete a file that is open, which serves as the lock
    fcntl = None

__all__ = ["check_target", "write"]


def check_target(path: str | os.PathLike[str]) -> None:
    """Check that `write` can write to a path, by creating and removing a temporary file.

    Parameters
    ----------
    path : str or path-like
        The file to be written later.

    Raises
    ------
    ValueError
        If it is not the path of a file, or no file can be created in its folder.

    See Also
    --------
    write : Write the file.

    Examples
    --------
    >>> check_target("no-such-folder/model")
    Traceback (most recent call last):
    ValueError: cannot write 'no-such-folder/model': No such file or directory; give the path of a \
file in a folder that exists and can be written
    """
    _, temporary, descriptor = _open_temporary(path)
    os.close(descriptor)
    temporary.unlink()


def write(data: bytes, path: str | os.PathLike[str]) -> None:
    """Write a complete file or nothing, and flush it to the disk.

    Parameters
    ----------
    data : bytes
        Content of the file.
    path : str or path-like
        The file. An existing file is replaced and its mode is kept; a symbolic link is followed.

    Raises
    ------
    ValueError
        As `check_target`.
    OSError
        If the operating system cannot write.

    See Also
    --------
    check_target : Check the path before a long computation.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(b"content", os.path.join(folder, "file"))
    ...     os.listdir(folder)
    ['file']
    """
    target, temporary, descriptor = _open_temporary(path)
    try:
        with open(descriptor, "wb") as file:
            if target.exists():
                os.chmod(temporary, stat.S_IMODE(target.stat().st_mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            # Closing the file releases its lock, after which another writer may remove it.
            if fcntl is not None:
                os.replace(temporary, target)
        if fcntl is None:
            os.replace(temporary, target)
    except BaseException:  # an interrupt must not leave a temporary file either
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)
    _remove_stale(target)


def _open_temporary(path: str | os.PathLike[str]) -> tuple[Path, Path, int]:
    """Open and lock a new file beside the target; return both paths and the descriptor."""
    shown = os.fsdecode(path)
    target = Path(os.path.realpath(shown))
    if target.is_symlink():  # realpath stops at a link that leads back to itself
        raise ValueError(f"cannot write {shown!r}: it is a symbolic link that leads to itself")
    if target.exists() and not target.is_file():
        what = "a folder" if target.is_dir() else "not an ordinary file"
        raise ValueError(
            f"cannot write {shown!r}: it is {what}; give the path of a file, such as "
            "model.frozenfit"
        )
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        temporary = target.parent / f"{_prefix(target)}{secrets.token_hex(8)}.tmp"
        try:
            descriptor = os.open(temporary, flags, 0o666)
        except OSError as error:
            raise ValueError(
                f"cannot write {shown!r}: {error.strerror or error}; give the path of a file in a "
                "folder that exists and can be written"
            ) from error
        if _lock(descriptor, wait=True) and not _is_open_as(temporary, descriptor):
            os.close(descriptor)  # another writer removed the file before it was locked
            continue
        return target, temporary, descriptor


def _prefix(target: Path) -> str:
    """Return the beginning of the names of the temporary files of one target."""
    return f".frozenfit-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}-"


def _lock(descriptor: int, *, wait: bool) -> bool:
    """Lock a file, and return whether it is locked; some network file systems have no locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _is_open_as(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _remove_stale(target: Path) -> None:
    """Remove the temporary files of writers of the same target that ended before they were done."""
    for path in target.parent.glob(f"{_prefix(target)}*.tmp"):
        with suppress(OSError):  # another user's file, or removed by another writer
            _remove_if_unlocked(path)


def _remove_if_unlocked(path: Path) -> None:
    if fcntl is None:
        path.unlink()
        return
    # Neither follow a link nor wait for the other end of a pipe of that name.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if _lock(descriptor, wait=False) and _is_open_as(path, descriptor):
            path.unlink()
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Flush a folder so that a renaming is durable; only POSIX systems can open folders."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
