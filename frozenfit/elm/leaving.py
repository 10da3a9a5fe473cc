"""Exact leave-one-out scores for many ridge strengths from one decomposition.

Leaving out row i with its weight, its share in the means included, changes its score from s to
``t - (t - s) / (1 - h)`` with the leverage ``h = w (q' diag(1 / (d + alpha)) q + 1 / sum(w))``,
``q = V' (a - mean)``, where ``G = V diag(d) V'`` is the centred Gram.
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

FeatureBlocks = Callable[[], Iterator[Features]]
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
        Returns an iterator over the features of these rows, in order.
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
        Scores; exact for every row, as if the head were fitted again without it.
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
    for A in _pieces(blocks):
        stop = start + len(A[0])
        parts.append(left(A, T[start:stop], w[start:stop]))
        start = stop
        if narrow is not None and not shown and start >= _ROWS:
            kept, shown = narrow(np.concatenate(parts, axis=1)), True
            parts = [part[kept] for part in parts]
            left = _Left(solution, alphas[kept], T.shape[1], dtype)
    return kept, parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _pieces(blocks: FeatureBlocks) -> Iterator[list[np.ndarray]]:
    for block in blocks():
        whole = block if isinstance(block, list) else [block]
        for first in range(0, len(whole[0]), _ROWS):
            yield [part[first : first + _ROWS] for part in whole]


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
        self.A = self.Q = np.empty((0, 0), dtype)

    def __call__(self, parts: list[np.ndarray], T: np.ndarray, w: np.ndarray) -> np.ndarray:
        Q = self._in_basis(parts)
        s = (Q @ self.coef).reshape(len(Q), *self.shape)
        s += self.target_mean
        np.multiply(Q, Q, out=Q)
        rest = Q @ self.inverse
        rest += Q.dtype.type(1.0 / self.solution.weight)
        rest *= -w.astype(self.dtype)[:, None]
        rest += 1
        np.maximum(rest, Q.dtype.type(_LEAST_REST), out=rest)
        t = T.astype(self.dtype)[:, None, :]
        s -= t
        s /= rest[:, :, None]
        s += t
        return np.ascontiguousarray(s.transpose(1, 0, 2))

    def _in_basis(self, parts: list[np.ndarray]) -> np.ndarray:
        n, (m, r) = len(parts[0]), self.vectors.shape
        if len(self.A) < n:
            self.A, self.Q = np.empty((n, m), self.dtype), np.empty((n, r), self.dtype)
        A = filled(parts, self.solution.mean, self.A[:n])
        if self.solution.triangular:
            # Half the work of a general product, in place.
            return self.trmm(1.0, self.vectors.T, A.T, lower=1, overwrite_b=1).T
        return np.matmul(A, self.vectors, out=self.Q[:n])
