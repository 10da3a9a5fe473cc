"""Fast estimators with the attributes of a partially trained network."""

from __future__ import annotations

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
