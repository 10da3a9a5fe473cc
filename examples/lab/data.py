"""Data sets: the training sample is drawn by the seed, the test part is the same for all."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

import frozenfit


class Data(NamedTuple):
    """Training and test part of a data set."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray

    def flat(self) -> Data:
        """Return the samples as rows."""
        X, X_test = (part.reshape(len(part), -1) for part in (self.X, self.X_test))
        return self._replace(X=X, X_test=X_test)


def drawn(y: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw the indices of `count` samples, stratified by class, without replacement."""
    everything = np.arange(len(y))
    if count >= len(y):
        return everything
    return train_test_split(everything, train_size=count, stratify=y, random_state=seed)[0]


def images(
    name: str, seed: int, train: int, test: int, shrink: int = 1, folder: Path | None = None
) -> Data:
    """Draw a training sample; the test part is the first `test` images.

    `shrink` is the side of the squares of pixels that are averaged.
    """
    whole = _loaded(name, folder)
    chosen = drawn(whole.y, train, seed)
    X, X_test = whole.X[chosen], whole.X_test[:test]
    return Data(shrunk(X, shrink), whole.y[chosen], shrunk(X_test, shrink), whole.y_test[:test])


def shrunk(images: np.ndarray, side: int) -> np.ndarray:
    """Average the images over squares of `side` by `side` pixels."""
    n, height, width, channels = images.shape
    blocks = images.reshape(n, height // side, side, width // side, side, channels)
    return blocks.mean(axis=(2, 4)) if side > 1 else images


@lru_cache(maxsize=3)
def _loaded(name: str, folder: Path | None) -> Data:
    data = frozenfit.datasets.load(name, data_dir=folder)
    return Data(data.X_train, data.y_train, data.X_test, data.y_test)


def table(name: str, seed: int, train: float, folder: Path | None) -> Data:
    """Draw a fraction of the training part of FOLDER/NAME.npz.

    The file has X, y and, where there is an official split, `split` (0 train, 1 test). Otherwise a
    third is the test part, the same for all seeds.
    """
    if folder is None:
        raise ValueError(f"--tabular, the folder with {name}.npz, is required for this budget.")
    with np.load(folder / f"{name}.npz") as file:
        X, y = file["X"], file["y"]
        official = file["split"] == 0 if "split" in file else None
    if official is None:
        X, X_test, y, y_test = train_test_split(X, y, test_size=1 / 3, random_state=0, stratify=y)
    else:
        X, X_test, y, y_test = X[official], X[~official], y[official], y[~official]
    chosen = drawn(y, round(train * len(y)), seed)
    return Data(X[chosen], y[chosen], X_test, y_test)
