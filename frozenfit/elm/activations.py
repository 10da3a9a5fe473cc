"""Activations on NumPy arrays, in place and in pieces that fit into the processor's cache.

The common ones are implemented here: they support float64 and are equal on every backend. All
others are those of Keras, computed by the backend.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from scipy.special import expit

from frozenfit.utils.arrays import to_numpy

__all__ = ["apply", "check", "gain"]

_ops: Any = keras.ops
_PIECE = 2**15  # values
_GAINS = {"gelu": 2.0, "sigmoid": 2.0}


def _relu(x: np.ndarray) -> None:
    np.maximum(x, 0, out=x)


def _tanh(x: np.ndarray) -> None:
    np.tanh(x, out=x)


def _sigmoid(x: np.ndarray) -> None:
    expit(x, out=x)


def _square(x: np.ndarray) -> None:
    np.multiply(x, x, out=x)


def _linear(x: np.ndarray) -> None:
    pass


# Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: |error| < 1.5e-7. SciPy's erf
# takes five times as long.
_ERF = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
_ERF_P = 0.3275911


def _gelu(x: np.ndarray) -> None:
    size = np.abs(x)
    size *= x.dtype.type(0.5**0.5)
    t = size * x.dtype.type(_ERF_P)
    t += 1
    np.reciprocal(t, out=t)
    tail = t * x.dtype.type(_ERF[0])
    for factor in _ERF[1:]:
        tail += x.dtype.type(factor)
        tail *= t
    size *= size
    np.negative(size, out=size)
    np.exp(size, out=size)
    tail *= size  # 1 - erf(|x| / sqrt(2))
    # x * Phi(x) is max(x, 0) - |x| * tail / 2
    tail *= x.dtype.type(0.5)
    tail *= np.abs(x)
    np.maximum(x, 0, out=x)
    x -= tail


_IN_PLACE: dict[str, Callable[[np.ndarray], None]] = {
    "gelu": _gelu,
    "linear": _linear,
    "relu": _relu,
    "sigmoid": _sigmoid,
    "square": _square,
    "tanh": _tanh,
}


def check(activation: str | Callable) -> None:
    """Check `activation` of an estimator.

    Parameters
    ----------
    activation : str or callable
        "square", the name of a Keras activation, or a function of one tensor.

    Raises
    ------
    ValueError
        If Keras has no activation of this name.

    Examples
    --------
    >>> check("square")
    """
    if activation in _IN_PLACE or callable(activation):
        return
    try:
        keras.activations.get(activation)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"`activation` must be 'square', the name of a Keras activation or a function, got "
            f"{activation!r}."
        ) from error


def gain(activation: str | Callable) -> float:
    """Return the standard deviation of a unit's input that suits an activation.

    Parameters
    ----------
    activation : str or callable
        As in `check`.

    Returns
    -------
    float
        2 for GELU and the logistic function, which are nearly linear at smaller inputs, else 1.

    Examples
    --------
    >>> gain("gelu"), gain("relu")
    (2.0, 1.0)
    """
    return _GAINS.get(activation, 1.0) if isinstance(activation, str) else 1.0


def apply(activation: str | Callable, x: np.ndarray) -> np.ndarray:
    """Apply an activation.

    Parameters
    ----------
    activation : str or callable
        As in `check`.
    x : ndarray of float32 or float64 of shape (n, units)
        Inputs of the units, C order; may be overwritten.

    Returns
    -------
    ndarray of the same shape and type

    Examples
    --------
    >>> apply("square", np.array([[2.0, -3.0]]))
    array([[4., 9.]])
    """
    in_place = _IN_PLACE.get(activation) if isinstance(activation, str) else None
    if in_place is None:
        return _on_backend(activation, x)
    flat = x.reshape(-1)
    for start in range(0, flat.size, _PIECE):
        in_place(flat[start : start + _PIECE])
    return x


def _on_backend(activation: Any, x: np.ndarray) -> np.ndarray:
    function = keras.activations.get(activation)
    out = to_numpy(function(_ops.convert_to_tensor(x)))
    if out.shape != x.shape:
        raise ValueError(
            f"activation={activation!r} must return an array of the shape of its input "
            f"{x.shape}, got shape {out.shape}."
        )
    return np.ascontiguousarray(out, x.dtype)
