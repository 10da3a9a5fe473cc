"""A small stand-in for an estimator, so that tests of the file format are about the format."""

from __future__ import annotations

import math

import numpy as np
from sklearn.base import BaseEstimator


class Fake(BaseEstimator):
    def __init__(
        self, model="mlp", trainable=0.1, optimizer="adam", callbacks=None, random_state=None
    ):
        self.model = model
        self.trainable = trainable
        self.optimizer = optimizer
        self.callbacks = callbacks
        self.random_state = random_state

    def fit(self):
        rng = np.random.default_rng(0)
        self.classes_ = np.array(["no", "yes"])
        self.arrays_ = {
            "dense/kernel": rng.normal(size=(3, 4)).astype("float32"),
            "seed_state": np.array([1, 2], "uint32"),
            "step": np.array(7, "int64"),
            "none": np.zeros((0, 5), "float32"),
        }
        return self

    def _fitted_state(self, include_frozen, include_optimizer=False):
        meta = {"classes": self.classes_, "history": [0.5, math.nan], "whole": include_frozen}
        return meta, self.arrays_

    def _restore(self, meta, arrays, base=None):
        if arrays["dense/kernel"].shape != (3, 4):
            raise ValueError("the kernel has another shape")
        self.classes_, self.arrays_ = meta["classes"], arrays
        self.meta_, self.base_ = meta, base


def same(a, b):
    """Whether two values are of the same types and equal all the way down; NaN equals itself."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same(list(a.items()), list(b.items()))
    if isinstance(a, (np.ndarray, np.generic)):
        return (
            a.dtype == b.dtype
            and a.shape == b.shape
            and all(map(same, a.ravel().tolist(), b.ravel().tolist()))
        )
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


def same_estimator(a, b):
    return same(
        [a.get_params(), a.classes_, dict(sorted(a.arrays_.items()))],
        [b.get_params(), b.classes_, dict(sorted(b.arrays_.items()))],
    )
