"""The stage of a scikit-learn transformer."""

from __future__ import annotations

from typing import Any, cast

import keras
import numpy as np
from sklearn.base import clone

from frozenfit.elm.stages.base import FeatureStage, register_wrapper
from frozenfit.types import Samples

__all__ = ["Transformer"]


@register_wrapper
class Transformer(FeatureStage):
    """Features of a scikit-learn transformer, cloned and fitted on the rows that are kept.

    Parameters
    ----------
    transformer : transformer
        Any object with `fit` and `transform`.
    """

    def __init__(self, transformer: Any):
        self.transformer = transformer

    @classmethod
    def wrap(cls, features: Any) -> FeatureStage | None:
        """Return the stage for an object with `fit` and `transform`."""
        known = hasattr(features, "fit") and hasattr(features, "transform")
        return cls(features) if known else None

    def fit(self, X: Samples, y: np.ndarray, rng: np.random.Generator) -> Transformer:
        """Fit a clone of the transformer."""
        # One regression target is passed as scikit-learn's own estimators pass it, with one axis.
        y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
        self.transformer_ = cast(Any, clone(self.transformer)).fit(X, y)
        return self

    def __call__(self, X: Samples) -> Samples:
        """Transform the samples."""
        return self.transformer_.transform(X)

    def to_keras(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Refuse: a scikit-learn transformer has no Keras form."""
        raise ValueError(self._refusal("has no Keras form"))

    @property
    def has_keras_form(self) -> bool:
        """False."""
        return False

    def state(self) -> dict[str, Any]:
        """Refuse: a file never contains pickled objects."""
        raise ValueError(self._refusal("cannot be stored in a file"))

    def _refusal(self, reason: str) -> str:
        name = type(self.transformer).__name__
        return (
            f"features={name} is a scikit-learn transformer, which {reason}; put the transformer "
            "before the estimator in a Pipeline"
        )
