"""The stage of a Keras model."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from frozenfit.elm.stages.base import FeatureStage, frozen_row, register_wrapper
from frozenfit.parameter_table import TableRow
from frozenfit.utils.arrays import to_numpy
from frozenfit.utils.processes import check_not_forked

__all__ = ["KerasFeatures"]

_BATCH_SIZE = 256


@register_wrapper
class KerasFeatures(FeatureStage):
    """Outputs of a frozen Keras model, in inference mode.

    Parameters
    ----------
    model : keras.Model
        The model; it is neither copied nor changed.
    """

    # A pretrained network is expensive per row, and a sample is enough for means and variances.
    statistics_rows = 4096

    def __init__(self, model: keras.Model):
        self.model = model

    @classmethod
    def wrap(cls, features: Any) -> FeatureStage | None:
        """Return the stage for a Keras model."""
        return cls(features) if isinstance(features, keras.Model) else None

    def fit(self, X: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> KerasFeatures:
        """Return the stage: the model is not trained."""
        return self

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Compute the outputs of the model."""
        check_not_forked()
        parts = [
            np.asarray(to_numpy(self.model(X[i : i + _BATCH_SIZE], training=False)))
            for i in range(0, X.shape[0], _BATCH_SIZE)
        ]
        return np.concatenate(parts)

    def to_keras(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Apply the model."""
        return self.model(inputs, training=False)

    def parameter_table(self) -> list[TableRow]:
        """Return one row per weight of the model."""
        return [frozen_row(f"features/{w.path}", w) for w in self.model.weights]

    def state(self) -> dict[str, Any]:
        """Return an empty state: the file describes or omits the model like any base network."""
        return {}
