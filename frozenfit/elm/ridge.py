"""Ridge regression from sums over rows, with one decomposition for every value of alpha.

Features A (n, m) with weights w and targets T (n, k). The intercept is not penalized: both sides
are centered on their weighted means. With the centered Gram matrix ``G = V diag(d) V'`` each value
of alpha costs one product.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import linalg
from scipy.linalg import get_blas_funcs, get_lapack_funcs

from frozenfit.utils.size_limit import charge

__all__ = [
    "Features",
    "Solution",
    "Sums",
    "centered_features",
    "decompose",
    "decompose_rows",
    "solve_at",
]

_syrk: Any = get_blas_funcs("syrk", dtype=np.float64)
_cholesky: Any = get_lapack_funcs("potrf", dtype=np.float64)
_inverse: Any = get_lapack_funcs("trtri", dtype=np.float64)

# Relative to the mean eigenvalue; added where LAPACK's fast driver does not converge.
_JITTER = 1e-10

# Features of some rows, shape (n, m), or parts of them that lie side by side.
Features = np.ndarray | list[np.ndarray]


def centered_features(A: Features, center: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Write features minus a point into an array.

    Parameters
    ----------
    A : ndarray of shape (n, m), or list of ndarray
        Features, or parts of them that lie side by side.
    center : ndarray of shape (m,)
        The point.
    out : ndarray of shape (n, m)
        Receives the result, in its own dtype.

    Returns
    -------
    ndarray
        `out`.
    """
    start = 0
    for part in A if isinstance(A, list) else [A]:
        stop = start + part.shape[1]
        out[:, start:stop] = part
        start = stop
    out -= center.astype(out.dtype, copy=False)
    return out


@dataclass
class Sums:
    """Weighted sums of products over rows.

    The sums of two sets of rows add up to those of their union, which is what `partial_fit`,
    `unlearn` and distributed data rely on. They are float64 whatever the dtype of the features:
    eigenvalues of a Gram matrix span more digits than float32 has, and rows could not be
    subtracted again without a trace.

    Parameters
    ----------
    center : ndarray of float64 of shape (m,)
        A point near the mean of the features, subtracted before anything is summed.
    n_targets : int
        Number of columns k of the targets.

    Attributes
    ----------
    gram : ndarray of float64 of shape (m, m)
        Lower triangle of ``(A - center)' diag(w) (A - center)``, Fortran order.
    total : ndarray of shape (m,)
        Sum of w (a - center).
    cross : ndarray of shape (m, k)
        Sum of w (a - center) t'.
    targets : ndarray of shape (k,)
        Sum of w t.
    weight : float
        Sum of w.

    Examples
    --------
    >>> sums = Sums(np.zeros(2), 1)
    >>> sums.add(np.array([[1.0, 2.0]]), np.array([[3.0]]), np.array([1.0]))
    >>> sums.cross
    array([[3.],
           [6.]])
    """

    center: np.ndarray
    n_targets: int
    gram: np.ndarray = field(init=False, repr=False)
    total: np.ndarray = field(init=False, repr=False)
    cross: np.ndarray = field(init=False, repr=False)
    targets: np.ndarray = field(init=False, repr=False)
    weight: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        """Initialize the sums with zeros."""
        m = len(self.center)
        charge("the Gram matrix of the features", (m, m), 8, kept=False)
        self.gram = np.zeros((m, m), order="F")
        self.total = np.zeros(m)
        self.cross = np.zeros((m, self.n_targets))
        self.targets = np.zeros(self.n_targets)

    def add(self, A: Features, T: np.ndarray, w: np.ndarray) -> None:
        """Add rows.

        Parameters
        ----------
        A : ndarray of float32 or float64 of shape (n, m), or list of ndarray
            Features, or parts of them that lie side by side.
        T : ndarray of shape (n, k)
            Targets.
        w : ndarray of shape (n,)
            Weights.
        """
        A = centered_features(A, self.center, np.empty((len(T), len(self.center))))
        self.total += w @ A
        self.cross += A.T @ (w[:, None] * T)
        self.targets += w @ T
        self.weight += float(w.sum())
        if not np.all(w == 1):
            A *= np.sqrt(w)[:, None]
        # BLAS adds to the Gram matrix in place; a NumPy product would allocate a second one.
        self.gram = _syrk(1.0, A.T, beta=1.0, c=self.gram, lower=1, overwrite_c=1)

    def plus(self, other: Sums, sign: float = 1.0) -> Sums:
        """Return the sums over the rows of both, or over these rows without the other ones.

        Parameters
        ----------
        other : Sums
            With the same center.
        sign : float, default=1.0
            -1 removes the rows of the other.

        Returns
        -------
        Sums
            New sums; neither of the two changes.
        """
        joined = Sums.__new__(Sums)
        joined.center, joined.n_targets = self.center, self.n_targets
        for name in ("gram", "total", "cross", "targets", "weight"):
            setattr(joined, name, getattr(self, name) + sign * getattr(other, name))
        return joined

    def centered(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the Gram matrix (lower triangle) and cross products about the weighted means.

        Returns
        -------
        gram : ndarray of shape (m, m)
        cross : ndarray of shape (m, k)
        """
        gram = self.gram.copy(order="F")
        root = self.total / np.sqrt(self.weight)
        gram = _syrk(-1.0, root[:, None], beta=1.0, c=gram, lower=1, overwrite_c=1)
        cross = self.cross - np.outer(self.total, self.targets / self.weight)
        return gram, cross

    @property
    def mean(self) -> np.ndarray:
        """Weighted mean of the features."""
        return self.center + self.total / self.weight

    def is_positive(self) -> bool:
        """Return whether these can be sums over rows: no negative weight or eigenvalue."""
        if not self.weight > 0:
            return False
        gram, _ = self.centered()
        diagonal = np.einsum("ii->i", gram)
        scale = max(float(np.max(np.abs(np.diag(self.gram)))), 1e-300)
        diagonal += 1e-9 * scale
        _, info = _cholesky(gram, lower=1, overwrite_a=1)
        return info == 0


@dataclass
class Solution:
    """A decomposition that gives coefficients for any alpha.

    Attributes
    ----------
    values : ndarray of shape (r,)
        Eigenvalues d of the centered Gram matrix.
    vectors : ndarray of shape (m, r)
        Eigenvectors V.
    projected : ndarray of shape (r, k)
        V' times the centered cross products.
    mean, target_mean : ndarray of shape (m,) and (k,)
        Weighted means.
    weight : float
        Sum of the weights.
    unit : float
        The mean eigenvalue, which is the unit of alpha.
    triangular : bool
        Whether V is upper triangular, with its transpose in Fortran order.
    """

    values: np.ndarray
    vectors: np.ndarray
    projected: np.ndarray
    mean: np.ndarray
    target_mean: np.ndarray
    weight: float
    unit: float
    triangular: bool = False

    def head(self, alpha: float) -> tuple[np.ndarray, np.ndarray]:
        """Return coefficients (m, k) and intercept (k,) for an alpha."""
        shrunk = self.projected / (self.values + alpha * self.unit)[:, None]
        coef = self.vectors @ shrunk
        return coef, self.target_mean - self.mean @ coef


def decompose(sums: Sums) -> Solution:
    """Decompose the centered Gram matrix.

    Parameters
    ----------
    sums : Sums
        Over all rows.

    Returns
    -------
    Solution
        With r = m.
    """
    gram, cross = sums.centered()
    trace = float(np.trace(gram))
    try:
        values, vectors = _eigh(gram, "evd", overwrite=True)
    except linalg.LinAlgError:
        gram, _ = sums.centered()
        np.einsum("ii->i", gram)[...] += _JITTER * max(trace / len(gram), 1e-300)
        values, vectors = _eigh(gram, "ev", overwrite=True)
    return Solution(
        values=np.maximum(values, 0.0),
        vectors=vectors,
        projected=vectors.T @ cross,
        mean=sums.mean,
        target_mean=sums.targets / sums.weight,
        weight=sums.weight,
        unit=_unit(trace, len(gram)),
    )


def _eigh(gram: np.ndarray, driver: str, overwrite: bool):
    return linalg.eigh(gram, lower=True, overwrite_a=overwrite, check_finite=False, driver=driver)


def _unit(trace: float, m: int) -> float:
    return trace / m if trace > 0 else 1.0


def decompose_rows(A: np.ndarray, T: np.ndarray, w: np.ndarray) -> Solution:
    """Decompose the product of rows with rows, for fewer rows than features.

    Parameters
    ----------
    A : ndarray of shape (n, m)
        Features.
    T : ndarray of shape (n, k)
        Targets.
    w : ndarray of shape (n,)
        Weights.

    Returns
    -------
    Solution
        With r at most n: directions without variance are dropped.
    """
    total = w.sum()
    # Features may be float32; the smallest eigenvalues need float64, as in Sums.
    A = A.astype(np.float64)
    mean, target_mean = (w @ A) / total, (w @ T) / total
    root = np.sqrt(w)[:, None]
    A = (A - mean) * root
    kernel = A @ A.T
    trace = float(np.trace(kernel))
    values, U = _eigh(kernel, "evd", overwrite=True)
    kept = values > 1e-13 * max(float(values[-1]), 1e-300)
    values, U = values[kept], U[:, kept]
    vectors = (A.T @ U) / np.sqrt(values)
    return Solution(
        values=values,
        vectors=vectors,
        projected=np.sqrt(values)[:, None] * (U.T @ (root * (T - target_mean))),
        mean=mean,
        target_mean=target_mean,
        weight=float(total),
        unit=_unit(trace, A.shape[1]),
    )


def solve_at(sums: Sums, alpha: float) -> tuple[np.ndarray, np.ndarray, Solution | None]:
    """Solve for one alpha by Cholesky, and by `decompose` where that fails.

    A Cholesky factorization takes about a tenth of the time of an eigendecomposition.

    Parameters
    ----------
    sums : Sums
        Over all rows.
    alpha : float
        Regularization strength, relative to the mean eigenvalue.

    Returns
    -------
    coef, intercept : ndarray of shape (m, k) and (k,)
        Coefficients and intercept.
    whitened : Solution or None
        Gives leave-one-out scores at ``alphas=[0]``: its basis is the inverse Cholesky factor,
        in which alpha is contained. None where Cholesky fails.
    """
    gram, cross = sums.centered()
    unit = _unit(float(np.trace(gram)), len(gram))
    np.einsum("ii->i", gram)[...] += alpha * unit
    factor, info = _cholesky(gram, lower=1, clean=1, overwrite_a=1)
    if info != 0:
        solution = decompose(sums)
        return *solution.head(alpha), None
    inverse, _ = _inverse(factor, lower=1, overwrite_c=1)
    projected = inverse @ cross
    coef = inverse.T @ projected
    mean, target_mean = sums.mean, sums.targets / sums.weight
    whitened = Solution(
        np.ones(len(mean)), inverse.T, projected, mean, target_mean, sums.weight, 1.0, True
    )
    return coef, target_mean - mean @ coef, whitened
