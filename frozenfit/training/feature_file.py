"""Features that do not fit into memory, in a temporary file that no other process sees."""

from __future__ import annotations

import math
import mmap
import shutil
import tempfile
from collections.abc import Iterable

import numpy as np

_DTYPE = np.dtype(np.float32)
# Rows are read in the order of the file, and this much of it is mapped at a time.
_WINDOW_BYTES = 32 * 2**20


class FeatureFile:
    """Rows of float32 in a temporary file, read through a memory map.

    The file has no name from the moment on that it is open (on Windows, the system deletes it with
    the last handle), so that nothing of it is left, however the process ends. It is in the folder
    of `tempfile.gettempdir`, which the environment variable TMPDIR sets.

    Parameters
    ----------
    shape : tuple of int
        Number of rows, then the shape of one row.
    parts : iterable of ndarray
        The rows in parts, each of which is written before the next is made.

    Attributes
    ----------
    shape : tuple of int
        The same.
    dtype : numpy.dtype
        float32.
    closed : bool
        Whether the file is deleted.

    Raises
    ------
    OSError
        If the folder of temporary files has less free space than the rows take.

    Examples
    --------
    >>> import numpy as np
    >>> from frozenfit.training.feature_file import FeatureFile
    >>> rows = FeatureFile((3, 2), [np.eye(2), np.zeros((1, 2))])
    >>> rows[np.array([1, 0])].tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    >>> rows.close()
    """

    def __init__(self, shape: tuple[int, ...], parts: Iterable[np.ndarray]):
        self.shape, self.dtype, self.closed = tuple(shape), _DTYPE, False
        size = _DTYPE.itemsize * math.prod(shape)
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
        if size > free:
            raise OSError(
                f"`cache_features='disk'` requires {size / 2**30:.1f} GiB in {folder!r} for the "
                f"features of {len(self)} samples, where {free / 2**30:.1f} GiB are free. Set the "
                "environment variable TMPDIR to a folder on a larger disk, use "
                "cache_features='auto', or fewer samples."
            )
        self._map: mmap.mmap | None = None
        self._file = tempfile.TemporaryFile(prefix="frozenfit-")
        try:
            for part in parts:
                # Not through the map: where another process fills the disk meanwhile, a write is
                # an OSError, and an assignment the end of the process.
                self._file.write(np.ascontiguousarray(part, _DTYPE).data)
            self._file.flush()
            self._map = mmap.mmap(self._file.fileno(), size, access=mmap.ACCESS_READ)
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Return a copy of the rows of an index array."""
        if self._map is None:
            raise ValueError("The file of cached features is closed.")
        stored = np.frombuffer(self._map, _DTYPE).reshape(self.shape)
        found = np.empty((len(rows), *self.shape[1:]), _DTYPE)
        order = np.argsort(rows, kind="stable")
        windows = rows[order] // max(1, _WINDOW_BYTES // stored[0].nbytes)
        for places in np.split(order, np.flatnonzero(np.diff(windows)) + 1):
            found[places] = stored[rows[places]]
            # Otherwise all that was ever read, and up to 2 MiB around each row, counts as memory of
            # this process until the system needs it. The pages stay in the cache of the system.
            if hasattr(mmap, "MADV_DONTNEED"):
                self._map.madvise(mmap.MADV_DONTNEED)
        return found

    def close(self) -> None:
        """Delete the file; its rows can no longer be read."""
        if self._map is not None:
            self._map.close()
            self._map = None
        self._file.close()
        self.closed = True

    def __del__(self) -> None:
        """Delete a file that several fits share, and that none of them closes."""
        if hasattr(self, "_file"):
            self.close()
