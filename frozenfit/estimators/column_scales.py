"""Warnings about columns whose scales betray a missing transformation."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

# Enough to know the ranges of columns without reading a memory map as a whole.
_ROWS = 2000
_NUMBERS = 2**22
_WIDENED = 10
_RATIO = 100


def warn_of_other_scales(X: np.ndarray, X_val: np.ndarray, names: Sequence[str] | None) -> None:
    """Warn where validation data look as if only the training data had been transformed.

    That is, where in a column more than half of the validation values, and at least two, are
    further from the training values than ten times the range of these.

    Parameters
    ----------
    X, X_val : ndarray of shape (n_samples, n_features)
        Training and validation samples.
    names : sequence of str or None
        Names of the columns.
    """
    train, held_out = _sample(X), _sample(X_val)
    low, high = train.min(axis=0), train.max(axis=0)
    margin = _WIDENED * (high - low)
    outside = (held_out < low - margin) | (held_out > high + margin)
    other = (outside.mean(axis=0) > 0.5) & (margin > 0) & (len(held_out) > 1)
    if other.any():
        column = int(other.argmax())
        warnings.warn(
            f"X_val has another scale than X in {other.sum()} of {len(other)} columns, as if only "
            f"X had been transformed: column {_name(column, names)} has values from "
            f"{low[column]:.3g} to {high[column]:.3g} in X, and from "
            f"{held_out[:, column].min():.3g} to {held_out[:, column].max():.3g} in X_val. A "
            "pipeline transforms X_val only if it is created by Pipeline(..., "
            "transform_input=['X_val']), with sklearn.set_config(enable_metadata_routing=True) "
            "and set_fit_request(X_val=True, y_val=True) on the estimator.",
            UserWarning,
            stacklevel=2,
        )


def warn_of_unscaled(
    X: np.ndarray, names: Sequence[str] | None, used: np.ndarray | None = None
) -> None:
    """Warn where the scale of one column is more than a hundred times that of another.

    That is, where the central 90 % of the values of a column span more than a hundred times the
    whole range of another one, which is not almost constant. Standardized and one-hot columns never
    do: the former span at most 4.5 and have a range of at least 2, the latter one of 1.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Training samples.
    names : sequence of str or None
        Names of the columns.
    used : ndarray of int or None, default=None
        Indices of the rows that are trained on; None means all.
    """
    used = np.arange(len(X)) if used is None else used
    rows = np.asarray(X[used[:: _step(X)]], np.float64)
    central = np.subtract(*np.percentile(rows, [95, 5], axis=0))
    extent = np.where(central > 0, np.ptp(rows, axis=0), np.inf)
    large, small = int(central.argmax()), int(extent.argmin())
    if central[large] > _RATIO * extent[small]:
        warnings.warn(
            f"The columns of X have very different scales: most values of column "
            f"{_name(large, names)} span {central[large]:.3g}, all of column "
            f"{_name(small, names)} {extent[small]:.3g}. Networks train poorly on such data. Put "
            "StandardScaler before the estimator: make_pipeline(StandardScaler(), estimator).",
            UserWarning,
            stacklevel=2,
        )


def _sample(X: np.ndarray) -> np.ndarray:
    """Return rows spread evenly over an array."""
    return np.asarray(X[:: _step(X)], np.float64)


def _step(X: np.ndarray) -> int:
    """Return the distance of rows that are enough, and few where there are many columns."""
    wanted = min(_ROWS, max(100, _NUMBERS // X.shape[1]))
    return -(-len(X) // wanted)


def _name(column: int, names: Sequence[str] | None) -> str:
    return str(column) if names is None else repr(names[column])
