"""Exact leave-one-out scores for many values of alpha from one decomposition.

Without row i, its share in the means included, the score of the row changes from s to
``t - (t - s) / (1 - h)`` with the leverage ``h = w (q' diag(1 / (d + alpha)) q + 1 / sum(w))`` and
``q = V' (a - mean)``, where ``G = V diag(d) V'`` is the centered Gram matrix. The formula needs the
features of the row itself, which sums do not contain: hence a sample of rows is kept. A sample that
was summed as two views, each with half of its weight, is left out with both: with the residuals r
of the views and their leverages H, a 2 x 2 matrix, the score is ``t - ((I - H)^-1 r)_1``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.linalg import get_blas_funcs

from frozenfit.elm.ridge import Features, Solution, centered_features

__all__ = ["race", "scores"]

# Lower limit of 1 - leverage: a row that is alone in its direction has a leverage of 1.
_MIN_REST = 1e-9
_ROWS = 2048

# Features of some rows, or a tuple of the features of their two views.
FeatureBlocks = Callable[[], Iterator[Features | tuple[Features, ...]]]
# From the scores of the first rows, shape (n_alphas, n_rows, k), to the indices of alphas to keep.
Narrow = Callable[[np.ndarray], np.ndarray]


def scores(
    solution: Solution,
    blocks: FeatureBlocks,
    T: np.ndarray,
    w: np.ndarray,
    alphas: np.ndarray,
    dtype: str = "float64",
) -> np.ndarray:
    """Compute the scores of rows by heads that are fitted without them.

    Parameters
    ----------
    solution : Solution
        Of a fit that includes the rows.
    blocks : callable
        Returns an iterator over the features of these rows, in order, or over pairs of the
        features of their two views.
    T : ndarray of shape (n, k)
        Targets of the rows.
    w : ndarray of shape (n,)
        Weights of the rows in the fit.
    alphas : ndarray of shape (n_alphas,)
        Regularization strengths, relative to the mean eigenvalue.
    dtype : {"float64", "float32"}, default="float64"
        Of the products. In float32, scores are accurate to about 1e-6.

    Returns
    -------
    ndarray of shape (n_alphas, n, k)
        Scores of the first view, equal to those of a head that is fitted again without the row.
    """
    return race(solution, blocks, T, w, alphas, dtype, None)[1]


def race(
    solution: Solution,
    blocks: FeatureBlocks,
    T: np.ndarray,
    w: np.ndarray,
    alphas: np.ndarray,
    dtype: str,
    narrow: Narrow | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute leave-one-out scores, and drop values of alpha after the first rows.

    Parameters
    ----------
    solution, blocks, T, w, alphas, dtype
        As in `scores`.
    narrow : callable or None
        Returns the alphas to keep. Called once, if there are more than twice as many rows as it
        receives.

    Returns
    -------
    kept : ndarray of int of shape (n_kept,)
        Indices of the alphas that were kept.
    scores : ndarray of shape (n_kept, n, k)
        Their scores for all rows.
    """
    kept = np.arange(len(alphas))
    score = _Scorer(solution, alphas, T.shape[1], dtype)
    parts: list[np.ndarray] = []
    start = 0
    narrowed = narrow is None or len(T) <= 2 * _ROWS
    for views in _pieces(blocks):
        stop = start + len(views[0][0])
        parts.append(score(views, T[start:stop], w[start:stop]))
        start = stop
        if narrow is not None and not narrowed and start >= _ROWS:
            kept, narrowed = narrow(np.concatenate(parts, axis=1)), True
            parts = [part[kept] for part in parts]
            score = _Scorer(solution, alphas[kept], T.shape[1], dtype)
    return kept, parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _pieces(blocks: FeatureBlocks) -> Iterator[list[list[np.ndarray]]]:
    for block in blocks():
        views = block if isinstance(block, tuple) else (block,)
        whole = [view if isinstance(view, list) else [view] for view in views]
        for first in range(0, len(whole[0][0]), _ROWS):
            yield [[part[first : first + _ROWS] for part in view] for view in whole]


class _Scorer:
    """Scores of a few rows at a time, in arrays that are allocated once."""

    def __init__(self, solution: Solution, alphas: np.ndarray, k: int, dtype: str):
        inverse = 1.0 / (solution.values[:, None] + np.asarray(alphas) * solution.unit)
        # (r, n_alphas * k): the coefficients in the basis V, for all alphas side by side.
        coef = inverse[:, :, None] * solution.projected[:, None, :]
        self.coef = coef.reshape(len(inverse), len(alphas) * k).astype(dtype)
        self.inverse = inverse.astype(dtype)
        self.solution, self.dtype = solution, dtype
        self.vectors = solution.vectors.astype(dtype, copy=False)
        self.target_mean = solution.target_mean.astype(dtype)
        self.shape = (len(alphas), k)
        self.trmm: Any = get_blas_funcs("trmm", dtype=np.dtype(dtype))
        # One array for the features of a view and one for their products.
        self.buffers: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __call__(self, views: list[list[np.ndarray]], T: np.ndarray, w: np.ndarray) -> np.ndarray:
        t = T.astype(self.dtype)[:, None, :]
        share = (w / len(views)).astype(self.dtype)[:, None]
        Q = self._in_basis(views[0], 0)
        residual = self._residuals(Q, t)
        if len(views) == 1:
            rest = 1 - self._leverage(np.multiply(Q, Q, out=Q), share)
        else:
            Z = self._in_basis(views[1], 1)
            twin = self._residuals(Z, t)
            between = self._leverage(Q * Z, share)
            own = 1 - self._leverage(np.multiply(Q, Q, out=Q), share)
            other = 1 - self._leverage(np.multiply(Z, Z, out=Z), share)
            residual *= other[:, :, None]
            residual += between[:, :, None] * twin
            rest = own * other - between * between
        np.maximum(rest, Q.dtype.type(_MIN_REST), out=rest)
        residual /= rest[:, :, None]
        residual += t
        return np.ascontiguousarray(residual.transpose(1, 0, 2))

    def _residuals(self, Q: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Return scores minus targets, shape (n, n_alphas, k)."""
        s = (Q @ self.coef).reshape(len(Q), *self.shape)
        s += self.target_mean
        s -= t
        return s

    def _leverage(self, products: np.ndarray, share: np.ndarray) -> np.ndarray:
        h = products @ self.inverse
        h += products.dtype.type(1.0 / self.solution.weight)
        h *= share
        return h

    def _in_basis(self, parts: list[np.ndarray], view: int) -> np.ndarray:
        n, (m, r) = len(parts[0]), self.vectors.shape
        buffers = self.buffers.get(view)
        if buffers is None or len(buffers[0]) < n:
            buffers = np.empty((n, m), self.dtype), np.empty((n, r), self.dtype)
            self.buffers[view] = buffers
        A = centered_features(parts, self.solution.mean, buffers[0][:n])
        if self.solution.triangular:
            # Half the work of a general product, in place.
            return self.trmm(1.0, self.vectors.T, A.T, lower=1, overwrite_b=1).T
        return np.matmul(A, self.vectors, out=buffers[1][:n])
