"""Exact leave-one-out scores for many ridge strengths from one decomposition.

Leaving out row i with its weight, its share in the means included, changes its score from s to
``t - (t - s) / (1 - h)`` with the leverage ``h = w (q' diag(1 / (d + alpha)) q + 1 / sum(w))``,
``q = V' (a - mean)``, where ``G = V diag(d) V'`` is the centered Gram. A row that was summed as two
views of one sample, each with half of its weight, is left out with both: with the two views'
residuals r and their leverages H, 2 x 2, the score is ``t - ((I - H)^-1 r)_1``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.linalg import get_blas_funcs

from frozenfit.elm.ridge import Features, Solution, filled

__all__ = ["leave_one_out", "race"]

# 1 - leverage is kept above this: a row alone in its direction has a leverage of 1.
_LEAST_REST = 1e-9
_ROWS = 2048

# Features of some rows; or a tuple of those of their two views.
FeatureBlocks = Callable[[], Iterator[Features | tuple[Features, ...]]]
# Is shown the scores of the first rows, shape (n_alphas, rows, k); says which strengths stay.
Narrow = Callable[[np.ndarray], np.ndarray]


def leave_one_out(
    solution: Solution,
    blocks: FeatureBlocks,
    T: np.ndarray,
    w: np.ndarray,
    alphas: np.ndarray,
    dtype: str = "float64",
) -> np.ndarray:
    """Compute the scores of rows by the head that has not seen them.

    Parameters
    ----------
    solution : Solution
        Of a fit in which the rows took part.
    blocks : callable
        Returns an iterator over the features of these rows, in order, or over pairs of those of
        their two views.
    T : ndarray, shape (n, k)
        Their targets.
    w : ndarray, shape (n,)
        Their weights in the fit.
    alphas : ndarray, shape (n_alphas,)
        Relative ridge strengths.
    dtype : {"float64", "float32"}, default="float64"
        Of the products; in float32 scores are right to about 1e-6.

    Returns
    -------
    ndarray, shape (n_alphas, n, k)
        Scores, of the first view; exact for every row, as if the head were fitted again without
        it.
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
    """Compute the same for the strengths that are still in question after the first rows.

    Parameters
    ----------
    solution, blocks, T, w, alphas, dtype
        As in `leave_one_out`.
    narrow : callable or None
        Called once, where there are more than twice as many rows as it is shown.

    Returns
    -------
    kept : ndarray of int, shape (n_kept,)
        Positions of the strengths that stayed.
    scores : ndarray, shape (n_kept, n, k)
        Their scores for all rows.
    """
    kept = np.arange(len(alphas))
    left = _Left(solution, alphas, T.shape[1], dtype)
    parts: list[np.ndarray] = []
    start = 0
    shown = narrow is None or len(T) <= 2 * _ROWS
    for views in _pieces(blocks):
        stop = start + len(views[0][0])
        parts.append(left(views, T[start:stop], w[start:stop]))
        start = stop
        if narrow is not None and not shown and start >= _ROWS:
            kept, shown = narrow(np.concatenate(parts, axis=1)), True
            parts = [part[kept] for part in parts]
            left = _Left(solution, alphas[kept], T.shape[1], dtype)
    return kept, parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _pieces(blocks: FeatureBlocks) -> Iterator[list[list[np.ndarray]]]:
    for block in blocks():
        views = block if isinstance(block, tuple) else (block,)
        whole = [view if isinstance(view, list) else [view] for view in views]
        for first in range(0, len(whole[0][0]), _ROWS):
            yield [[part[first : first + _ROWS] for part in view] for view in whole]


class _Left:
    """Scores of a few rows at a time, in arrays that are used again."""

    def __init__(self, solution: Solution, alphas: np.ndarray, k: int, dtype: str):
        inverse = 1.0 / (solution.values[:, None] + np.asarray(alphas) * solution.unit)
        # (r, n_alphas * k): the coefficients in the basis V, for all strengths side by side.
        coef = inverse[:, :, None] * solution.projected[:, None, :]
        self.coef = coef.reshape(len(inverse), len(alphas) * k).astype(dtype)
        self.inverse = inverse.astype(dtype)
        self.solution, self.dtype = solution, dtype
        self.vectors = solution.vectors.astype(dtype, copy=False)
        self.target_mean = solution.target_mean.astype(dtype)
        self.shape = (len(alphas), k)
        self.trmm: Any = get_blas_funcs("trmm", dtype=np.dtype(dtype))
        # For each view one array for the features and one for their products.
        self.room: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __call__(self, views: list[list[np.ndarray]], T: np.ndarray, w: np.ndarray) -> np.ndarray:
        t = T.astype(self.dtype)[:, None, :]
        share = (w / len(views)).astype(self.dtype)[:, None]
        Q = self._in_basis(views[0], 0)
        off = self._scores(Q, t)
        if len(views) == 1:
            rest = 1 - self._leverage(np.multiply(Q, Q, out=Q), share)
        else:
            Z = self._in_basis(views[1], 1)
            twin = self._scores(Z, t)
            between = self._leverage(Q * Z, share)
            own = 1 - self._leverage(np.multiply(Q, Q, out=Q), share)
            other = 1 - self._leverage(np.multiply(Z, Z, out=Z), share)
            off *= other[:, :, None]
            off += between[:, :, None] * twin
            rest = own * other - between * between
        np.maximum(rest, Q.dtype.type(_LEAST_REST), out=rest)
        off /= rest[:, :, None]
        off += t
        return np.ascontiguousarray(off.transpose(1, 0, 2))

    def _scores(self, Q: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Return scores less targets, shape (n, n_alphas, k)."""
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
        room = self.room.get(view)
        if room is None or len(room[0]) < n:
            room = self.room[view] = np.empty((n, m), self.dtype), np.empty((n, r), self.dtype)
        A = filled(parts, self.solution.mean, room[0][:n])
        if self.solution.triangular:
            # Half the work of a general product, in place.
            return self.trmm(1.0, self.vectors.T, A.T, lower=1, overwrite_b=1).T
        return np.matmul(A, self.vectors, out=room[1][:n])
