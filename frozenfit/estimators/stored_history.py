"""Histories of the members of an ensemble as arrays, a third of their size as text."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["NAME", "read", "write"]

NAME = "history"
_DTYPE = np.dtype(np.float64)


def write(history: dict[str, list[float]]) -> tuple[Any, dict[str, np.ndarray]]:
    """Return what a file needs for a history.

    Parameters
    ----------
    history : dict of str to list of float
        Metrics of each epoch.

    Returns
    -------
    meta : list of str, or dict
        The names of the metrics; or the history itself, where it is no matrix of floats.
    arrays : dict of str to ndarray
        The matrix of shape (metrics, epochs) as `NAME`, or nothing.

    Examples
    --------
    >>> write({"loss": [0.5, 0.25], "accuracy": [0.5, 1.0]})[0]
    ['loss', 'accuracy']
    """
    lengths = {len(values) for values in history.values()}
    floats = all(type(value) is float for values in history.values() for value in values)
    if len(lengths) != 1 or 0 in lengths or not floats:
        return history, {}
    return list(history), {NAME: np.array(list(history.values()), _DTYPE)}


def read(meta: Any, arrays: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """Return a history from the contents of a file.

    Parameters
    ----------
    meta, arrays
        The result of `write`, among other arrays.

    Returns
    -------
    dict of str to list of float
        Metrics of each epoch.

    Raises
    ------
    ValueError
        If names and matrix do not match.

    Examples
    --------
    >>> read(*write({"loss": [0.5, 0.25]}))
    {'loss': [0.5, 0.25]}
    """
    if isinstance(meta, dict):
        return meta
    matrix = arrays.get(NAME)
    if matrix is None or matrix.dtype != _DTYPE or matrix.ndim != 2 or len(matrix) != len(meta):
        raise ValueError("the history of a member does not match the names of its metrics")
    return dict(zip(meta, matrix.tolist(), strict=True))
