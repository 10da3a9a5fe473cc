"""Probabilities from ridge scores by two numbers, fitted on leave-one-out scores.

The logits of scores s on targets +1 and -1 are ``beta * s + gamma * log(max((1 + s) / 2, .01))``:
`beta` alone is an inverse temperature, and the second term treats ``(1 + s) / 2`` as the
probability that least squares estimates. Both numbers are at least 0, so that logits increase with
s and the predicted class does not change. Several labels per sample are as many problems of two
classes with the scores -s and s, and each label has its own two numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = [
    "as_two_classes",
    "calibrate",
    "label_logits",
    "log_loss_at_best_temperature",
    "logits",
    "row_losses",
]

FLOOR = 0.01
_MIN_BETA = 1e-3
# Weighs as much as a hundredth of a row: bounds the numbers where scores separate all classes.
_PRIOR = 0.01
_STEPS = 30


def logits(scores: np.ndarray, beta: float, gamma: float) -> np.ndarray:
    """Compute logits from scores.

    Parameters
    ----------
    scores : ndarray of shape (n, n_classes)
        Ridge outputs for targets of 1 for the class and -1 for the others.
    beta, gamma : float
        The result of `calibrate`.

    Returns
    -------
    ndarray of the same shape

    Examples
    --------
    >>> logits(np.array([[1.0, -1.0]]), 2.0, 0.0)
    array([[ 2., -2.]])
    """
    if gamma == 0:
        return beta * scores
    return beta * scores + gamma * _log_share(scores)


def label_logits(scores: np.ndarray, beta: np.ndarray, gamma: np.ndarray) -> np.ndarray:
    """Compute the logits of labels from scores.

    Parameters
    ----------
    scores : ndarray of shape (n, n_labels)
        Ridge outputs for targets of 1 where a sample has the label and -1 where it does not.
    beta, gamma : ndarray of shape (n_labels,)
        The results of `calibrate` for the two classes of each label.

    Returns
    -------
    ndarray of the same shape
        Positive where the label is more likely than not.

    Examples
    --------
    >>> label_logits(np.array([[0.5, -1.0]]), np.array([1.0, 2.0]), np.zeros(2))
    array([[ 1., -4.]])
    """
    return 2 * beta * scores + gamma * (_log_share(scores) - _log_share(-scores))


def as_two_classes(
    scores: np.ndarray, y: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels as problems of two classes, one below the other.

    Parameters
    ----------
    scores : ndarray of shape (n, n_labels)
        Scores of each label.
    y : ndarray of shape (n, n_labels)
        1 where a sample has the label, else 0.
    weight : ndarray of shape (n,)
        Weights of the samples.

    Returns
    -------
    scores : ndarray of shape (n * n_labels, 2)
        The labels of a sample follow each other.
    y : ndarray of int of shape (n * n_labels,)
        Classes.
    weight : ndarray of shape (n * n_labels,)
        Weights.

    Examples
    --------
    >>> as_two_classes(np.array([[0.5, -1.0]]), np.array([[1, 0]]), np.ones(1))[0]
    array([[-0.5,  0.5],
           [ 1. , -1. ]])
    """
    both = np.stack([-scores.ravel(), scores.ravel()], axis=1)
    return both, y.ravel().astype(np.int32), np.repeat(weight, y.shape[1])


def _log_share(scores: np.ndarray) -> np.ndarray:
    return np.log(np.maximum((1 + scores) / 2, FLOOR))


def log_loss_at_best_temperature(
    scores: np.ndarray, y: np.ndarray, weight: np.ndarray, beta: float = 1.0
) -> tuple[float, float]:
    """Compute the log loss of scores at the temperature that minimizes it.

    Parameters
    ----------
    scores : ndarray of shape (n, n_classes)
        Scores.
    y : ndarray of int of shape (n,)
        Classes.
    weight : ndarray of shape (n,)
        Weights, of mean 1.
    beta : float, default=1.0
        Start of the search.

    Returns
    -------
    loss, beta : float
        Mean log loss, and the inverse temperature.
    """
    return _fit([scores.astype(np.float32)], y, weight, [max(beta, _MIN_BETA)])


def row_losses(logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Compute the log loss of each row.

    Parameters
    ----------
    logits : ndarray of shape (n, n_classes)
        Logits.
    y : ndarray of int of shape (n,)
        Classes.

    Returns
    -------
    ndarray of float64 of shape (n,)

    Examples
    --------
    >>> row_losses(np.zeros((1, 2)), np.array([0])).round(3)
    array([0.693])
    """
    z = logits - logits.max(axis=1, keepdims=True)
    chosen = z[np.arange(len(y)), y].astype(np.float64)
    return np.log(np.exp(z, out=z).sum(axis=1, dtype=np.float64)) - chosen


def calibrate(scores: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Fit the two numbers by maximum likelihood, a convex problem.

    Parameters
    ----------
    scores : ndarray of shape (n, n_classes)
        Scores of rows that were not in the fit, such as leave-one-out scores.
    y : ndarray of int of shape (n,)
        Classes.
    weight : ndarray of shape (n,)
        Weights, of mean 1.

    Returns
    -------
    beta, gamma : float
        For `logits`.
    """
    terms = [scores, _log_share(scores)]
    _, (beta, gamma) = _newton(terms, y, weight, np.array([1.0, 0.5]))
    if beta >= _MIN_BETA and gamma >= 0:
        return float(beta), float(gamma)
    # Convex: if the minimum is outside the allowed region, the best allowed point is on an edge.
    edges = [(*_fit(terms[:1], y, weight, [1.0]), 0)]
    offset = _MIN_BETA * scores
    edges.append((*_fit(terms[1:], y, weight, [1.0], offset), 1))
    _, value, edge = min(edges, key=lambda edge: edge[0])
    return (value, 0.0) if edge == 0 else (_MIN_BETA, value)


def _fit(terms, y, weight, start, offset: Any = 0.0) -> tuple[float, float]:
    loss, value = _newton(terms, y, weight, np.asarray(start, float), offset)
    if value[0] < _MIN_BETA:
        at = np.array([_MIN_BETA])
        return float(_loss(terms, y, weight, at, offset)[0]), _MIN_BETA
    return float(loss), float(value[0])


def _newton(terms, y, weight, at, offset=0.0) -> tuple[float, np.ndarray]:
    loss, slope, curve = _loss(terms, y, weight, at, offset)
    for _ in range(_STEPS):
        step = np.linalg.solve(curve, slope)
        decrease = float(slope @ step)
        if decrease < 1e-9:
            break
        size = 1.0
        while True:
            new = _loss(terms, y, weight, at - size * step, offset)
            if new[0] <= loss - 0.1 * size * decrease or size < 1e-4:
                break
            size /= 2
        if not new[0] < loss:
            break
        at = at - size * step
        loss, slope, curve = new
    return loss, at


def _loss(terms, y, weight, at, offset=0.0):
    """Return mean loss, gradient and Hessian matrix."""
    rows = np.arange(len(y))
    z = np.zeros_like(terms[0]) + offset
    for value, term in zip(at.astype(terms[0].dtype), terms, strict=True):
        z += value * term
    z -= z.max(axis=1, keepdims=True)
    chosen = z[rows, y].astype(np.float64)
    p = np.exp(z, out=z)
    total = p.sum(axis=1, keepdims=True)
    p /= total
    share = weight / len(y)
    prior = _PRIOR / len(y)
    loss = float(share @ (np.log(total[:, 0].astype(np.float64)) - chosen)) + prior * (at @ at) / 2
    means = [np.einsum("ij,ij->i", p, term) for term in terms]
    slope = np.array(
        [share @ (mean - term[rows, y]) for mean, term in zip(means, terms, strict=True)]
    )
    curve = np.empty((len(terms), len(terms)))
    for i, left in enumerate(terms):
        for j, right in enumerate(terms):
            both = np.einsum("ij,ij,ij->i", p, left, right)
            curve[i, j] = share @ (both - means[i] * means[j])
    curve += (prior + 1e-12) * np.eye(len(terms))
    return loss, slope + prior * at, curve
