"""The ridge output: sums over rows, and one decomposition that gives every strength.

Features A (n, m) with weights w and targets T (n, k). The intercept is not penalized: both sides
are centered on their weighted means. With the centered Gram ``G = V diag(d) V'`` every strength
alpha costs one product.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import linalg
from scipy.linalg import get_blas_funcs, get_lapack_funcs

__all__ = [
    "Features",
    "Solution",
    "Sums",
    "decompose",
    "decompose_rows",
    "filled",
    "solve_at",
]

_syrk: Any = get_blas_funcs("syrk", dtype=np.float64)
_cholesky: Any = get_lapack_funcs("potrf", dtype=np.float64)
_inverse: Any = get_lapack_funcs("trtri", dtype=np.float64)

_JITTER = 1e-10

# Features of some rows, (n, m), or parts of them that lie side by side.
Features = np.ndarray | list[np.ndarray]


def filled(A: Features, center: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Write features less a point into an array of the type wanted.

    Parameters
    ----------
    A : ndarray, shape (n, m), or list of ndarray
        Features, or parts of them that lie side by side.
    center : ndarray, shape (m,)
        The point.
    out : ndarray, shape (n, m)
        Where to.

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
    """Weighted sums of products over rows; those of two sets of rows add up.

    Parameters
    ----------
    center : ndarray of float64, shape (m,)
        A point near the mean of the features, subtracted before anything is summed.
    n_targets : int
        Number of columns k of the targets.

    Attributes
    ----------
    gram : ndarray of float64, shape (m, m)
        Lower triangle of ``(A - center)' diag(w) (A - center)``, Fortran order.
    total : ndarray, shape (m,)
        Sum of w (a - center).
    cross : ndarray, shape (m, k)
        Sum of w (a - center) t'.
    targets : ndarray, shape (k,)
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
        """Start from nothing."""
        m = len(self.center)
        self.gram = np.zeros((m, m), order="F")
        self.total = np.zeros(m)
        self.cross = np.zeros((m, self.n_targets))
        self.targets = np.zeros(self.n_targets)

    def add(self, A: Features, T: np.ndarray, w: np.ndarray) -> None:
        """Add rows.

        Parameters
        ----------
        A : ndarray of float32 or float64, shape (n, m), or list of ndarray
            Features, or parts of them that lie side by side.
        T : ndarray, shape (n, k)
            Targets.
        w : ndarray, shape (n,)
            Weights.
        """
        A = filled(A, self.center, np.empty((len(T), len(self.center))))
        self.total += w @ A
        self.cross += A.T @ (w[:, None] * T)
        self.targets += w @ T
        self.weight += float(w.sum())
        if not np.all(w == 1):
            A *= np.sqrt(w)[:, None]
        # SciPy's call adds to the Gram in place; NumPy's product would make another one first.
        self.gram = _syrk(1.0, A.T, beta=1.0, c=self.gram, lower=1, overwrite_c=1)

    def plus(self, other: Sums, sign: float = 1.0) -> Sums:
        """Return the sums over the rows of both, or over these without the other's.

        Parameters
        ----------
        other : Sums
            With the same center.
        sign : float, default=1.0
            -1 takes the other's rows out.

        Returns
        -------
        Sums
            New sums; neither of the two is changed.
        """
        joined = Sums.__new__(Sums)
        joined.center, joined.n_targets = self.center, self.n_targets
        for name in ("gram", "total", "cross", "targets", "weight"):
            setattr(joined, name, getattr(self, name) + sign * getattr(other, name))
        return joined

    def centered(self) -> tuple[np.ndarray, np.ndarray]:
        """Return Gram (lower triangle) and cross products about the weighted means.

        Returns
        -------
        gram : ndarray, shape (m, m)
        cross : ndarray, shape (m, k)
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
        """Tell whether these can be sums over rows: weight and Gram are not negative."""
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
    """A decomposition that gives the head for any ridge strength.

    Attributes
    ----------
    values : ndarray, shape (r,)
        Eigenvalues d of the centered Gram.
    vectors : ndarray, shape (m, r)
        Eigenvectors V.
    projected : ndarray, shape (r, k)
        V' times the centered cross products.
    mean, target_mean : ndarray, shapes (m,) and (k,)
        Weighted means.
    weight : float
        Sum of the weights.
    unit : float
        What a ridge strength of 1 stands for: the mean eigenvalue.
    triangular : bool
        Whether V is an upper triangle, Fortran order in its transpose.
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
        """Return coefficients (m, k) and intercept (k,) for a relative ridge strength."""
        shrunk = self.projected / (self.values + alpha * self.unit)[:, None]
        coef = self.vectors @ shrunk
        return coef, self.target_mean - self.mean @ coef


def decompose(sums: Sums) -> Solution:
    """Decompose the centered Gram.

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
    """Decompose by the product of rows with rows, for fewer rows than features.

    Parameters
    ----------
    A : ndarray, shape (n, m)
        Features.
    T : ndarray, shape (n, k)
        Targets.
    w : ndarray, shape (n,)
        Weights.

    Returns
    -------
    Solution
        With r at most n: directions without any variance are left out.
    """
    total = w.sum()
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
    """Solve for one ridge strength by Cholesky, and by `decompose` where that fails.

    Parameters
    ----------
    sums : Sums
        Over all rows.
    alpha : float
        Relative ridge strength.

    Returns
    -------
    coef, intercept : ndarray, shapes (m, k) and (k,)
        The head.
    whitened : Solution or None
        Gives leave-one-out scores at ``alphas=[0]``: its basis is the inverse Cholesky factor.
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
