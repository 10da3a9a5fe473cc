"""Outputs of a partial model, in batches of fixed sizes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from frozenfit.partial import PartialModel, Route

_SMALL_PREDICT, _LARGE_PREDICT = 64, 512


def lengthen(stack: np.ndarray, room: int) -> np.ndarray:
    """Pad the first axis with zeros, so that few shapes are compiled.

    Parameters
    ----------
    stack : ndarray, shape (n, ...)
        Rows or steps.
    room : int
        Length to reach.

    Returns
    -------
    ndarray, shape (room, ...)
        The stack and zeros.
    """
    return np.concatenate([stack, np.zeros((room - len(stack), *stack.shape[1:]), stack.dtype)])


class Predictor:
    """Outputs of a partial model, computed in batches of two fixed sizes.

    The sizes are fixed so that little is compiled and so that a row's outputs do not depend on
    how many rows it came with.

    Parameters
    ----------
    model : PartialModel
        The model.
    route : Route or None, default=None
        Network to run in place of the base.
    """

    def __init__(self, model: PartialModel, route: Route | None = None):
        self.model = model
        self._route = route
        backend = keras.config.backend()
        if backend == "jax":
            import jax

            self._compiled = jax.jit(self._stateless)
        else:
            self._traces: dict[tuple, Any] = {}

    def _outputs(self, x):
        outputs, _, _ = self.model.apply_base(x, training=False, route=self._route)
        return outputs

    def _stateless(self, values, x):
        with keras.StatelessScope(list(zip(self._variables, values, strict=True))):
            return self._outputs(x)

    @property
    def _variables(self) -> list:
        return [*self.model.trainable_variables, *self.model.non_trainable_variables]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Compute the outputs of some rows.

        Parameters
        ----------
        x : ndarray, shape (n, ...)
            Inputs.

        Returns
        -------
        ndarray of float32, shape (n, n_outputs)
            Outputs, or what the route's network gives.
        """
        size = _SMALL_PREDICT if len(x) <= _SMALL_PREDICT else _LARGE_PREDICT
        parts = []
        for start in range(0, len(x), size):
            rows = np.asarray(x[start : start + size], keras.config.floatx())
            parts.append(self._batch(lengthen(rows, size))[: len(rows)])
        return np.concatenate(parts)

    def _trace(self, x: np.ndarray) -> Any:
        """Return TensorFlow's graph for rows of a shape, their number left open."""
        import tensorflow as tf

        key = (x.shape[1:], x.dtype)
        if key not in self._traces:
            function = tf.function(self._outputs, autograph=False)
            spec = tf.TensorSpec((None, *x.shape[1:]), x.dtype)
            self._traces[key] = function.get_concrete_function(spec)
        return self._traces[key]

    def _batch(self, x: np.ndarray) -> np.ndarray:
        backend = keras.config.backend()
        if backend == "jax":
            outputs = self._compiled([v.value for v in self._variables], x)
        elif backend == "tensorflow":
            outputs = self._trace(x)(ops.convert_to_tensor(x))
        else:
            import torch

            with torch.no_grad():
                outputs = self._outputs(ops.convert_to_tensor(x))
        return np.asarray(ops.convert_to_numpy(outputs), np.float32)
