"""Scaling of columns, so that random weights suit columns of any unit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import sparse

__all__ = ["Moments", "Scaler", "fit_scaler", "rows_of"]

_MODES = ("columns", "common", None)


@dataclass
class Moments:
    """Weighted mean and variance of columns, summed block by block.

    Blocks are joined by the formula of Chan, Golub and LeVeque (1979): sums of plain squares would
    lose the variance of columns with a large mean.

    Parameters
    ----------
    n_columns : int
        Width of the blocks.
    """

    n_columns: int
    weight: float = 0.0
    mean: np.ndarray = field(init=False)
    square: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        """Initialize the sums with zeros."""
        self.mean = np.zeros(self.n_columns)
        self.square = np.zeros(self.n_columns)

    def add(self, X: Any, w: np.ndarray) -> None:
        """Add a block of rows, dense or CSR, with their weights."""
        weight = float(w.sum())
        if weight <= 0:
            return
        if sparse.issparse(X):
            mean = np.asarray(X.T @ w).ravel() / weight
            square = np.asarray(X.multiply(X).T @ w).ravel() - weight * mean**2
        else:
            X = np.asarray(X, np.float64)
            mean = (w @ X) / weight
            deviation = X - mean
            deviation *= deviation
            square = w @ deviation
        self._join(weight, mean, np.maximum(square, 0.0))

    def _join(self, weight: float, mean: np.ndarray, square: np.ndarray) -> None:
        total = self.weight + weight
        shift = mean - self.mean
        self.square += square + shift**2 * (self.weight * weight / total)
        self.mean += shift * (weight / total)
        self.weight = total

    def plus(self, other: Moments) -> Moments:
        """Return the moments over the rows of both."""
        joined = Moments(self.n_columns, self.weight)
        joined.mean, joined.square = self.mean.copy(), self.square.copy()
        if other.weight > 0:
            joined._join(other.weight, other.mean, other.square)
        return joined


@dataclass(frozen=True)
class Scaler:
    """Subtract a mean, multiply by a factor, clip.

    Attributes
    ----------
    mean, factor : ndarray of float64 of shape (d,)
        One per column.
    clip : float or None
        Largest absolute value of the result.
    """

    mean: np.ndarray
    factor: np.ndarray
    clip: float | None

    def dense(self, X: Any, dtype: str) -> np.ndarray:
        """Scale rows into a new dense array.

        Parameters
        ----------
        X : ndarray or CSR of shape (n, d)
            Rows.
        dtype : str
            Of the result.

        Returns
        -------
        ndarray of shape (n, d)
        """
        rows = X.toarray() if sparse.issparse(X) else X
        Z = np.subtract(rows, self.mean.astype(dtype), dtype=dtype)
        Z *= self.factor.astype(dtype)
        if self.clip is not None:
            np.clip(Z, -self.clip, self.clip, out=Z)
        return Z

    def product(self, X: Any, W: np.ndarray) -> np.ndarray:
        """Compute the scaled CSR rows times W without densifying the rows.

        Parameters
        ----------
        X : CSR of shape (n, d)
            Rows.
        W : ndarray of shape (d, m)
            Weights.

        Returns
        -------
        ndarray of shape (n, m)
        """
        zero = self._clipped(-self.mean * self.factor)
        data = self._clipped((X.data - self.mean[X.indices]) * self.factor[X.indices])
        rest = sparse.csr_array(
            ((data - zero[X.indices]).astype(W.dtype), X.indices, X.indptr), shape=X.shape
        )
        return np.ascontiguousarray(rest @ W + zero.astype(W.dtype) @ W)

    def _clipped(self, values: np.ndarray) -> np.ndarray:
        return values if self.clip is None else np.clip(values, -self.clip, self.clip)


def fit_scaler(moments: Moments, mode: str | None, clip: float | None) -> Scaler:
    """Return the scaler for given moments.

    Parameters
    ----------
    moments : Moments
        Of the columns.
    mode : {"columns", "common", None}
        One factor per column, one for all columns (for pixels: one that is rarely lit would be
        scaled to huge values), or no scaling.
    clip : float or None
        Limit of absolute values, in standard deviations.

    Returns
    -------
    Scaler
        Constant columns become 0.

    Examples
    --------
    >>> moments = Moments(1)
    >>> moments.add(np.array([[1.0], [3.0]]), np.ones(2))
    >>> fit_scaler(moments, "columns", 3.0).dense(np.array([[1.0], [100.0]]), "float64")
    array([[-1.],
           [ 3.]])
    """
    d = moments.n_columns
    if mode is None:
        return Scaler(np.zeros(d), np.ones(d), clip)
    variance = moments.square / max(moments.weight, 1e-300)
    # A smaller variance is the rounding error of a constant column.
    variance = np.where(variance > 1e-13 * moments.mean**2, variance, 0.0)
    if mode == "common":
        variance = np.full(d, variance.mean())
    factor = np.divide(1.0, np.sqrt(variance), out=np.zeros(d), where=variance > 0)
    return Scaler(moments.mean.copy(), factor, clip)


def rows_of(X: Any) -> Any:
    """Return samples as rows: arrays with more axes are flattened, CSR arrays are not changed."""
    return X if sparse.issparse(X) or X.ndim == 2 else X.reshape(len(X), -1)
