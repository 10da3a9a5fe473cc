"""Fast estimators with the attributes of a partially trained network."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from frozenfit.selectors import Selector

TOTAL = 1000


class Quick(ClassifierMixin, BaseEstimator):
    """Predicts the nearest class mean; noise shrinks with the trained fraction."""

    def __init__(
        self,
        trainable=0.1,
        frozen="auto",
        learning_rate="auto",
        epochs=1,
        model=None,
        random_state=None,
    ):
        self.trainable = trainable
        self.frozen = frozen
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.model = model
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None):
        X, y = np.asarray(X), np.asarray(y)
        self.n_rows_ = len(X)
        self.weight_ = None if sample_weight is None else np.asarray(sample_weight)
        self.classes_ = np.unique(y)
        self.n_features_in_ = X.shape[1]
        self.means_ = np.array([X[y == label].mean(axis=0) for label in self.classes_])
        return self

    @property
    def fraction(self):
        if isinstance(self.trainable, float):
            return self.trainable
        text = str(self.trainable) if isinstance(self.trainable, Selector) else self.trainable
        return float(text.partition("(")[2].partition(")")[0])

    def predict(self, X):
        rng = np.random.default_rng(0)
        X = np.asarray(X) + rng.normal(size=np.shape(X)) * 2 * (1 - self.fraction)
        distance = ((X[:, None] - self.means_[None]) ** 2).sum(axis=2)
        return self.classes_[distance.argmin(axis=1)]

    def parameter_table(self):
        return [("dense/kernel", (TOTAL,), "leading", round(TOTAL * self.fraction), TOTAL)]

    def _fitted_state(self, include_frozen):
        return {}, {"trainable/dense": np.zeros(round(TOTAL * self.fraction), np.float32)}


class Failing(Quick):
    """Fails with a small trained fraction."""

    def fit(self, X, y, sample_weight=None):
        if self.fraction < 0.5:
            raise ValueError(f"no training with {self.trainable}")
        return super().fit(X, y, sample_weight)


class Hopeless(Quick):
    """Always fails."""

    def fit(self, X, y, sample_weight=None):
        raise ValueError("no memory left")


class Waiting(Quick):
    """Is never fitted; while it waits, its process holds the lock of a file in a folder."""

    def __init__(self, trainable=0.1, frozen="auto", learning_rate="auto", place=None):
        super().__init__(trainable, frozen, learning_rate)
        self.place = place

    def fit(self, X, y, sample_weight=None):
        import fcntl  # not available on Windows

        with open(Path(self.place) / f"{os.getpid()}.pid", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            while True:
                time.sleep(60)

    @staticmethod
    def running(place):
        """The numbers of the processes that wait; the lock of a dead process is free."""
        import fcntl

        found = []
        for path in Path(place).glob("*.pid"):
            with open(path) as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    found.append(int(path.stem))
        return found
