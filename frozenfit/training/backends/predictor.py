"""What the predictors of all backends promise and share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import keras
import numpy as np

from frozenfit.partial import PartialModel, weights_of
from frozenfit.training.data import as_inputs, input_dtype
from frozenfit.utils.arrays import to_numpy

_SMALL, _LARGE = 64, 512


class Predictor(ABC):
    """Computes the outputs of a partial model in batches of two fixed sizes.

    Few shapes are compiled, and the outputs of a row do not depend on how many rows it is
    predicted with: scikit-learn's checks compare them bit for bit. A backend implements
    `_compute`.

    Parameters
    ----------
    model : PartialModel
        The model.
    network : keras.Model or None, default=None
        Network to run in place of the base.
    """

    def __init__(self, model: PartialModel, network: keras.Model | None = None):
        self.model = model
        self.network = network
        self._dtype = input_dtype(model.base if network is None else network)
        self._compile()

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Compute outputs.

        Parameters
        ----------
        x : ndarray of shape (n, ...)
            Inputs.

        Returns
        -------
        ndarray of float32, shape (n, n_outputs)
            Outputs of the network.
        """
        # Two sizes of batches, so that predictions for any number of rows need two compilations,
        # and a row gets the same bits whatever rows come with it.
        size = _SMALL if len(x) <= _SMALL else _LARGE
        parts = []
        for start in range(0, len(x), size):
            rows = as_inputs(x[start : start + size], self._dtype)
            outputs = self._compute(pad_rows(rows, size))
            parts.append(np.asarray(to_numpy(outputs), np.float32)[: len(rows)])
        return np.concatenate(parts)

    def _compile(self) -> None:  # noqa: B027
        """Prepare compiled functions; called once."""

    @abstractmethod
    def _compute(self, x: np.ndarray) -> Any:
        """Return the outputs of one batch as a tensor."""

    def _outputs(self, x: Any) -> Any:
        outputs, _, _ = weights_of(self.model).apply(x, training=False, network=self.network)
        return outputs


def pad_rows(stack: np.ndarray, length: int) -> np.ndarray:
    """Append rows of zeros along the first axis.

    Parameters
    ----------
    stack : ndarray of shape (n, ...)
        The array.
    length : int
        Length of the result, at least n.

    Returns
    -------
    ndarray of shape (length, ...)
        The rows, then zeros.
    """
    return np.concatenate([stack, np.zeros((length - len(stack), *stack.shape[1:]), stack.dtype)])
