"""A sample of the rows seen: all of them while they are few, else a random choice.

Each row has a key, a hash of its values and the seed, and the rows with the smallest keys are kept,
sorted by key. So the sample depends on neither the order nor the batches of the rows, the samples
of two parts of the data determine the sample of both, and rows can be removed again. Sorting also
puts the rows in a random order that every pass shares, so that floating-point sums are equal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from frozenfit.training.data import row_keys

__all__ = ["Sample"]


@dataclass(frozen=True)
class Sample:
    """Distinct rows with the sum of their weights, sorted by key.

    Attributes
    ----------
    X : ndarray of shape (n, ...) or CSR
        Rows.
    y : ndarray of shape (n,) or (n, k)
        Class indices or targets.
    weight : ndarray of float64 of shape (n,)
        Sum of the weights of equal rows.
    keys : ndarray of uint64 of shape (n,)
        Hashes of (x, y), ascending.
    limit : int or None
        Number of rows that `trimmed` keeps.
    complete : bool
        Whether these are all rows that have been seen.
    """

    X: Any
    y: np.ndarray
    weight: np.ndarray
    keys: np.ndarray
    limit: int | None
    complete: bool = True

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.keys)

    @classmethod
    def of(cls, X: Any, y: np.ndarray, w: np.ndarray, limit: int | None, seed: int) -> Sample:
        """Return the sample of all rows of a block.

        Parameters
        ----------
        X : ndarray of shape (n, ...) or CSR
            Rows.
        y : ndarray of shape (n,) or (n, k)
            Class indices or targets.
        w : ndarray of shape (n,)
            Weights.
        limit : int or None
            For `trimmed`.
        seed : int
            Determines which rows are kept.

        Returns
        -------
        Sample
        """
        keys = _mixed(_sparse_keys(X, y) if sparse.issparse(X) else row_keys(X, y), seed)
        return cls(X, y, np.asarray(w, np.float64), keys, limit)._merged()

    def _merged(self) -> Sample:
        order = np.argsort(self.keys, kind="stable")
        keys = self.keys[order]
        first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))[: len(keys)]
        weight = np.add.reduceat(self.weight[order], first) if len(keys) else self.weight
        kept = order[first]
        return replace(self, X=self.X[kept], y=self.y[kept], weight=weight, keys=keys[first])

    def plus(self, other: Sample) -> Sample:
        """Return the sample of the rows of both, not trimmed."""
        X = _stacked(self.X, other.X)
        joined = replace(
            self,
            X=X,
            y=np.concatenate([self.y, other.y]),
            weight=np.concatenate([self.weight, other.weight]),
            keys=np.concatenate([self.keys, other.keys]),
            complete=self.complete and other.complete,
        )
        return joined._merged()

    def trimmed(self) -> Sample:
        """Keep the `limit` rows of the smallest keys."""
        if self.limit is None or len(self) <= self.limit:
            return self
        part = slice(0, self.limit)
        return replace(
            self,
            X=self.X[part],
            y=self.y[part],
            weight=self.weight[part],
            keys=self.keys[part],
            complete=False,
        )

    def below_last(self, other: Sample) -> Sample:
        """Return the rows of another sample that `trimmed` could keep after a union."""
        if self.limit is None or len(self) < self.limit:
            return other
        return other._taken(np.flatnonzero(other.keys <= self.keys[-1]))

    def nothing(self) -> Sample:
        """Return a sample of no rows."""
        return self._taken(np.zeros(0, int))

    def _taken(self, rows: np.ndarray) -> Sample:
        return replace(
            self,
            X=self.X[rows],
            y=self.y[rows],
            weight=self.weight[rows],
            keys=self.keys[rows],
        )

    def without(self, other: Sample) -> tuple[Sample, int]:
        """Remove rows.

        Parameters
        ----------
        other : Sample
            Rows, and the weight to subtract from each.

        Returns
        -------
        sample : Sample
            The remaining rows.
        missing : int
            Number of rows of `other` that are not in the sample, or not with this weight.
        """
        at = np.searchsorted(self.keys, other.keys)
        present = at < len(self)
        present[present] = self.keys[at[present]] == other.keys[present]
        weight = self.weight.copy()
        weight[at[present]] -= other.weight[present]
        slack = 1e-9 * self.weight
        missing = int(np.count_nonzero(~present) + np.count_nonzero(weight < -slack))
        rest = np.flatnonzero(weight > slack)
        return replace(self, weight=weight)._taken(rest), missing


def _stacked(left: Any, right: Any) -> Any:
    if sparse.issparse(left) or sparse.issparse(right):
        return sparse.csr_array(sparse.vstack([left, right]))
    return np.concatenate([left, right])


def _sparse_keys(X: Any, y: np.ndarray) -> np.ndarray:
    """Return the keys that `row_keys` gives the same rows when they are dense.

    Zeros add nothing to a hash, so the sums over the stored values of a row are enough.
    """
    words = np.ascontiguousarray(X.data, np.float32).view(np.uint32).astype(np.uint64)
    words *= np.uint64(0x9E3779B97F4A7C15)
    words ^= words >> np.uint64(29)
    width = X.shape[1]
    factors = np.random.Philox(key=width).random_raw(width) | np.uint64(1)
    sums = np.concatenate([[np.uint64(0)], np.cumsum(words * factors[X.indices], dtype=np.uint64)])
    keys = (sums[X.indptr[1:]] - sums[X.indptr[:-1]]) * np.uint64(3)
    return keys ^ _target_keys(y)


def _target_keys(y: np.ndarray) -> np.ndarray:
    return row_keys(np.zeros((len(y), 1), np.float32), y)


def _mixed(keys: np.ndarray, seed: int) -> np.ndarray:
    """Spread keys evenly, so that the smallest ones are a random choice (splitmix64)."""
    z = keys + np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
