"""The stage of ``features=None``: samples as they are."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from frozenfit.elm.scaling import rows_of
from frozenfit.elm.stages.base import FeatureStage, register_wrapper
from frozenfit.types import Samples

__all__ = ["Identity"]


@register_wrapper
class Identity(FeatureStage):
    """Pass the samples on, with all axes of a sample flattened."""

    passes_samples = True
    shares_scale = True

    @classmethod
    def wrap(cls, features: Any) -> FeatureStage | None:
        """Return the stage for None."""
        return cls() if features is None else None

    def fit(self, X: Samples, y: np.ndarray, rng: np.random.Generator) -> Identity:
        """Return the stage: there is nothing to fit."""
        return self

    def __call__(self, X: Samples) -> Samples:
        """Return the samples as rows."""
        return rows_of(X)

    def to_keras(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Return the samples."""
        return inputs

    def state(self) -> dict[str, Any]:
        """Return an empty state."""
        return {}
