"""Frozen weights of a dense layer.

"random", "signs" and "orthogonal" depend on the seed alone, so files do not store them; the others
depend on the data and are stored.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from frozenfit.draws import draw

__all__ = ["SEEDED", "check", "from_data", "generator", "parts", "seeded"]

SEEDED = ("random", "signs", "orthogonal")
_FROM_DATA = ("ciw", "differences")
_SCALE_ROWS = 2048


def check(weight_init: Any) -> None:
    """Check `weight_init` of an estimator.

    Parameters
    ----------
    weight_init : str, callable, or list or tuple of them
        The parameter.

    Raises
    ------
    ValueError
        If a kind of weights is unknown.

    Examples
    --------
    >>> check(("ciw", "differences"))
    """
    kinds = weight_init if isinstance(weight_init, list | tuple) else (weight_init,)
    known = (*SEEDED, *_FROM_DATA)
    if not kinds or not all(callable(k) or (isinstance(k, str) and k in known) for k in kinds):
        raise ValueError(
            f"`weight_init` must be one of {', '.join(map(repr, known))}, a callable, or a tuple "
            f"of these, got {weight_init!r}."
        )


def parts(weight_init: Any, units: int) -> list[tuple[Any, int]]:
    """Divide units among the kinds of a union; the first kinds get the remainder."""
    kinds = weight_init if isinstance(weight_init, list | tuple) else (weight_init,)
    each, rest = divmod(units, len(kinds))
    return [(kind, each + (i < rest)) for i, kind in enumerate(kinds)]


def seeded(
    kind: str,
    shape: tuple[int, int],
    mask: np.ndarray | None,
    gain: float,
    seed: int,
    path: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw weights and biases from a seed.

    Parameters
    ----------
    kind : {"random", "signs", "orthogonal"}
        Gaussian weights, equally likely signs, or Gaussian weights made orthogonal in blocks of
        as many units as there are inputs.
    shape : tuple of int
        Number of inputs and of units.
    mask : ndarray of bool of shape `shape`, or None
        Which inputs each unit is connected to; None means all.
    gain : float
        Standard deviation of the input of a unit on scaled columns; biases are uniform in +-gain.
    seed : int
        The seed.
    path : str
        Name of the layer.

    Returns
    -------
    kernel : ndarray of float64, shape `shape`
    bias : ndarray of float64 of shape (units,)
    """
    d, m = shape
    fan_in = np.full(m, float(d)) if mask is None else mask.sum(axis=0).astype(np.float64)
    if kind == "random":
        kernel = _normal((d, m), seed, f"{path}/kernel")
    elif kind == "signs":
        kernel = np.sign(_uniform((d, m), seed, f"{path}/kernel"))
    else:
        kernel = _orthogonal(d, m, seed, path)
    kernel = kernel * (gain / np.sqrt(fan_in))
    bias = gain * _uniform((m,), seed, f"{path}/bias")
    return (kernel if mask is None else kernel * mask), bias


def _normal(shape: tuple[int, ...], seed: int, path: str) -> np.ndarray:
    return _drawn("RandomNormal", {"mean": 0.0, "stddev": 1.0}, shape, seed, path)


def _uniform(shape: tuple[int, ...], seed: int, path: str) -> np.ndarray:
    return _drawn("RandomUniform", {"minval": -1.0, "maxval": 1.0}, shape, seed, path)


def _drawn(name: str, config: dict, shape: tuple[int, ...], seed: int, path: str) -> np.ndarray:
    text = json.dumps({"class_name": name, "config": config})
    return draw(text, shape, seed, path).astype(np.float64)


def _orthogonal(d: int, m: int, seed: int, path: str) -> np.ndarray:
    # Columns keep the lengths of Gaussian columns: with unit columns all units of a block would
    # have the same scale.
    kernel = _normal((d, m), seed, f"{path}/kernel")
    lengths = np.linalg.norm(kernel, axis=0)
    for start in range(0, m, d):
        block = slice(start, min(start + d, m))
        q, r = np.linalg.qr(kernel[:, block])
        kernel[:, block] = q * np.sign(np.diag(r))
    return kernel * lengths


def from_data(
    kind: str | Callable,
    X: np.ndarray,
    y: np.ndarray,
    mask: np.ndarray | None,
    units: int,
    gain: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute weights and biases from samples.

    Parameters
    ----------
    kind : {"ciw", "differences"} or callable
        "ciw": sums of all samples of one class with random signs. "differences": differences of
        two samples of different classes, with the bias that puts zero halfway between them. Both
        are by McDonnell et al. 2015, arXiv 1412.8307. A callable is
        ``f(X, y, units, rng) -> (kernel, bias)``.
    X : ndarray of shape (n, d)
        Inputs of the layer.
    y : ndarray of shape (n,) or (n, k)
        Class indices or targets.
    mask : ndarray of bool of shape (d, units), or None
        Which inputs each unit is connected to; None means all.
    units : int
        Number of units.
    gain : float
        Root mean square of the inputs of the units over the samples.
    rng : numpy.random.Generator
        Chooses samples and signs.

    Returns
    -------
    kernel : ndarray of float64 of shape (d, units)
    bias : ndarray of float64 of shape (units,)
    """
    if callable(kind):
        return _checked(kind, kind(X, y, units, rng), X.shape[1], units)
    classes = y if y.ndim == 1 else np.zeros(len(y), int)
    make = _ciw if kind == "ciw" else _differences
    kernel, middle = make(np.asarray(X, np.float64), classes, units, rng)
    if mask is not None:
        kernel *= mask
    length = np.linalg.norm(kernel, axis=0)
    kernel /= np.where(length > 0, length, 1.0)
    bias = -np.einsum("ij,ij->j", middle, kernel) if middle is not None else np.zeros(units)
    u = np.asarray(X[:_SCALE_ROWS], np.float64) @ kernel + bias
    factor = gain / max(float(np.sqrt(np.mean(u**2))), 1e-12)
    return kernel * factor, bias * factor


def _ciw(X, y, units, rng):
    present, counts = np.unique(y, return_counts=True)
    share = np.floor(np.cumsum(counts) / len(y) * units + 0.5).astype(int)
    kernel = np.empty((X.shape[1], units))
    for c, start, stop in zip(present, [0, *share[:-1]], share, strict=True):
        signs = rng.integers(0, 2, (np.count_nonzero(y == c), stop - start)) * 2.0 - 1.0
        kernel[:, start:stop] = X[y == c].T @ signs
    return kernel, None


def _differences(X, y, units, rng):
    a = rng.integers(0, len(X), units)
    b = rng.integers(0, len(X), units)
    several = len(np.unique(y)) > 1
    for _ in range(100):
        same = (y[a] == y[b]) if several else (a == b)
        if not same.any():
            break
        b[same] = rng.integers(0, len(X), np.count_nonzero(same))
    return (X[a] - X[b]).T.copy(), (X[a] + X[b]).T / 2


def _checked(function, made, d, units):
    try:
        kernel, bias = made
        kernel, bias = np.asarray(kernel, np.float64), np.asarray(bias, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"weight_init={function!r} must return (kernel, bias), got {type(made).__name__}."
        ) from error
    if kernel.shape != (d, units) or bias.shape != (units,):
        raise ValueError(
            f"weight_init={function!r} must return a kernel of shape {(d, units)} and a bias of "
            f"shape {(units,)}, got {kernel.shape} and {bias.shape}."
        )
    return kernel, bias


def generator(seed: int, path: str) -> np.random.Generator:
    """Return a random generator for one purpose.

    Only for results that are stored: NumPy may change its streams between versions, whereas
    `frozenfit.draws` does not.
    """
    digest = hashlib.sha256(f"{seed}\0{path}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))
