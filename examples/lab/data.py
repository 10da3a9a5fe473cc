"""Data sets: the training sample is drawn by the seed, the test part is the same for all."""

from __future__ import annotations

import csv
import gzip
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

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
    """Draw a fraction of the training part of FOLDER/NAME.npz, rows of a table or time series.

    The file has X, y and, where there is an official split, `split` (0 train, 1 test). Otherwise a
    third is the test part, the same for all seeds.
    """
    path = _file(folder, f"{name}.npz")
    with np.load(path) as file:
        X, y = file["X"], file["y"]
        official = file["split"] == 0 if "split" in file else None
    return _drawn_of(X, y, official, seed, train)


def texts(name: str, seed: int, train: float, folder: Path | None) -> Data:
    """Draw a fraction of the training part of FOLDER/NAME.csv.gz.

    The file has the columns `split`, `label` and `text`. Where no row has another split than
    "train", a third is the test part, the same for all seeds.
    """
    path = _file(folder, f"{name}.csv.gz")
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    X = np.array([row["text"] for row in rows], dtype=object)
    y = np.array([row["label"] for row in rows])
    # A part for validation, where there is one, is left out: rates are chosen on training samples.
    splits = np.array([row["split"] for row in rows])
    chosen = np.isin(splits, ("train", "test"))
    official = (splits == "train")[chosen] if (splits == "test").any() else None
    return _drawn_of(X[chosen], y[chosen], official, seed, train)


def _file(folder: Path | None, name: str) -> Path:
    if folder is None:
        raise ValueError(f"--tabular, the folder with {name}, is required for this budget.")
    return folder / name


def _drawn_of(X: np.ndarray, y: np.ndarray, official: Any, seed: int, train: float) -> Data:
    """Split samples into training and test part, and draw a fraction of the former."""
    if official is None:
        X, X_test, y, y_test = train_test_split(X, y, test_size=1 / 3, random_state=0, stratify=y)
    else:
        X, X_test, y, y_test = X[official], X[~official], y[official], y[~official]
    chosen = drawn(y, round(train * len(y)), seed)
    return Data(X[chosen], y[chosen], X_test, y_test)
