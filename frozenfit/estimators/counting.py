"""What one pass over a source finds out before training: labels, or the scale of targets."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Counter(Protocol):
    """Collects figures over batches of targets."""

    def add(self, y: np.ndarray, weight: np.ndarray | None) -> None:
        """Take in the targets and the weights, or None, of a batch."""


class LabelCounts:
    """The distinct labels, and the sum of the weights of each.

    Examples
    --------
    >>> import numpy as np
    >>> from frozenfit.estimators.counting import LabelCounts
    >>> counts = LabelCounts()
    >>> counts.add(np.array(["b", "a", "b"]), None)
    >>> counts.labels.tolist(), counts.weights.tolist()
    (['a', 'b'], [1.0, 2.0])
    """

    def __init__(self):
        self.labels: np.ndarray = np.zeros(0)
        self.weights: np.ndarray = np.zeros(0)

    def add(self, y: np.ndarray, weight: np.ndarray | None) -> None:
        """Take in a batch; samples of weight 0 are left out."""
        if weight is not None:
            y, weight = y[weight > 0], weight[weight > 0]
        found, index = np.unique(y, return_inverse=True)
        sums = np.bincount(index, weight, minlength=len(found)).astype(np.float64)
        if not len(self.labels):
            self.labels, self.weights = found, sums
            return
        both = np.concatenate([self.labels, found])
        self.labels, index = np.unique(both, return_inverse=True)
        self.weights = np.bincount(index, np.concatenate([self.weights, sums]))


class TargetMoments:
    """The weighted mean and variance of targets.

    Attributes
    ----------
    total : float
        Sum of the weights.
    mean, variance : ndarray of shape (n_targets,)
        Over all samples.

    Notes
    -----
    Chan, Golub and LeVeque (1979), "Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances". Sums of squares would cancel for targets that are large against their spread.

    Examples
    --------
    >>> import numpy as np
    >>> from frozenfit.estimators.counting import TargetMoments
    >>> moments = TargetMoments()
    >>> for batch in ([1.0, 2.0], [6.0]):
    ...     moments.add(np.array(batch), None)
    >>> moments.mean.tolist(), moments.variance.round(6).tolist()
    ([3.0], [4.666667])
    """

    def __init__(self):
        self.total = 0.0
        self.mean: np.ndarray = np.zeros(1)
        self.variance: np.ndarray = np.zeros(1)

    def add(self, y: np.ndarray, weight: np.ndarray | None) -> None:
        """Take in a batch."""
        y = np.asarray(y, np.float64).reshape(len(y), -1)
        weight = np.ones(len(y)) if weight is None else weight
        own = float(weight.sum())
        if not own:
            return
        mean = np.average(y, axis=0, weights=weight)
        variance = np.average((y - mean) ** 2, axis=0, weights=weight)
        before, self.total = self.total, self.total + own
        share = own / self.total
        difference = mean - self.mean if before else np.zeros_like(mean)
        self.variance = (
            self.variance * (1 - share) + variance * share + difference**2 * share * (1 - share)
        )
        self.mean = mean if not before else self.mean + difference * share
