"""Readers of one part of a data set: the images and labels of any of its rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from frozenfit.datasets.images import pixels

__all__ = ["ArrayReader", "FolderReader", "Reader", "RecordReader"]

_ROWS = 1024


class Reader(ABC):
    """The images and labels of one part of a data set; a subclass reads those of any rows."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of images."""

    @abstractmethod
    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read the images as stored, and their labels as int64.

        Parameters
        ----------
        rows : ndarray of int
            Indices.

        Returns
        -------
        images, labels : ndarray
            In the order of `rows`.
        """

    @abstractmethod
    def labels(self) -> np.ndarray:
        """Return all labels."""

    def part(self, rows: np.ndarray) -> Reader:
        """Return a reader of some of the rows, in their order."""
        return _Part(self, rows)

    def everything(self) -> tuple[np.ndarray, np.ndarray]:
        """Read all images and labels into memory."""
        return self.read(np.arange(len(self)))


class _Part(Reader):
    def __init__(self, whole: Reader, rows: np.ndarray):
        self._whole, self._rows = whole, rows

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._whole.read(self._rows[rows])

    def labels(self) -> np.ndarray:
        return self._whole.labels()[self._rows]


class ArrayReader(Reader):
    """Images and labels that are in memory."""

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        self._images, self._labels = images, labels

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._labels)

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read the images and labels of rows."""
        return self._images[rows], self._labels[rows]

    def labels(self) -> np.ndarray:
        """Return all labels."""
        return self._labels


class FolderReader(Reader):
    """Images in files, all of which have one mode and one shape or are resized to it."""

    def __init__(
        self, paths: Sequence[Path], labels: Sequence[int], mode: str, size: tuple[int, int] | None
    ):
        self._paths, self._labels = paths, np.array(labels, np.int64)
        self._mode, self._size = mode, size

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._paths)

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read the images and labels of rows."""
        images = pixels([self._paths[row] for row in rows], self._mode, self._size, "")
        return images, self._labels[rows]

    def labels(self) -> np.ndarray:
        """Return all labels."""
        return self._labels


class RecordReader(Reader):
    """Examples of tensorflow-datasets.

    Parameters
    ----------
    examples : object
        Has a length and ``__getitems__(rows)``, which returns dictionaries.
    image, label : str
        Their keys.
    n_classes : int
        Number of classes.
    decode : callable
        Returns the array of a list of images.
    damaged : callable
        Returns the error for a data set that cannot be read, for a reason.
    """

    def __init__(
        self,
        examples: Any,
        image: str,
        label: str,
        n_classes: int,
        decode: Callable[[list[Any]], np.ndarray],
        damaged: Callable[[Any], ValueError],
    ):
        self._examples, self._image, self._label = examples, image, label
        self._n_classes, self._decode, self._damaged = n_classes, decode, damaged

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._examples)

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read the images and labels of rows."""
        examples = self._read(rows)
        return self._decode([example[self._image] for example in examples]), self._labels(examples)

    def labels(self) -> np.ndarray:
        """Return all labels; every record is read for them, but not decoded."""
        starts = range(0, len(self), _ROWS)
        parts = [np.arange(start, min(start + _ROWS, len(self))) for start in starts]
        return np.concatenate([self._labels(self._read(rows)) for rows in parts])

    def _read(self, rows: np.ndarray) -> list[Any]:
        try:
            examples = self._examples.__getitems__([int(row) for row in rows])
        except Exception as error:
            raise self._damaged(error) from error
        # The reader of array_record files returns empty examples where a file is truncated.
        if any(example[key] is None for example in examples for key in (self._image, self._label)):
            raise self._damaged("empty examples")
        return examples

    def _labels(self, examples: list[Any]) -> np.ndarray:
        labels = np.array([example[self._label] for example in examples], np.int64)
        if labels.max() >= self._n_classes:
            raise self._damaged(f"label {labels.max()} of {self._n_classes} classes")
        return labels
