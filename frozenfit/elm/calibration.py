"""Probabilities from ridge scores: two numbers, fitted on leave-one-out scores.

The logits of scores s on targets +1 and -1 are ``beta * s + gamma * log(max((1 + s) / 2, .01))``:
`beta` alone is a temperature, the second term reads the score as the probability that least
squares estimates. Both numbers are at least 0, so that logits grow with s and the predicted class
stays the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["calibrate", "log_loss_at_best_temperature", "logits", "row_losses"]

FLOOR = 0.01
_LEAST_BETA = 1e-3
# Worth a hundredth of a row: keeps the numbers finite where the scores separate all classes.
_PRIOR = 0.01
_STEPS = 30


def logits(scores: np.ndarray, beta: float, gamma: float) -> np.ndarray:
    """Turn scores into logits.

    Parameters
    ----------
    scores : ndarray, shape (n, n_classes)
        Ridge outputs for targets of 1 for the class and -1 for the others.
    beta, gamma : float
        The two numbers of `calibrate`.

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


def _log_share(scores: np.ndarray) -> np.ndarray:
    return np.log(np.maximum((1 + scores) / 2, FLOOR))


def log_loss_at_best_temperature(
    scores: np.ndarray, y: np.ndarray, weight: np.ndarray, beta: float = 1.0
) -> tuple[float, float]:
    """Compute the log loss of scores after the temperature that suits them.

    Parameters
    ----------
    scores : ndarray, shape (n, n_classes)
        Scores.
    y : ndarray of int, shape (n,)
        Classes.
    weight : ndarray, shape (n,)
        Weights, of mean 1.
    beta : float, default=1.0
        Where the search starts.

    Returns
    -------
    loss, beta : float
        Mean log loss, and the inverse temperature.
    """
    return _fit([scores.astype(np.float32)], y, weight, [max(beta, _LEAST_BETA)])


def row_losses(logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Compute each row's log loss.

    Parameters
    ----------
    logits : ndarray, shape (n, n_classes)
        Logits.
    y : ndarray of int, shape (n,)
        Classes.

    Returns
    -------
    ndarray of float64, shape (n,)

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
    scores : ndarray, shape (n, n_classes)
        Scores of rows that the head has not seen, such as leave-one-out scores.
    y : ndarray of int, shape (n,)
        Classes.
    weight : ndarray, shape (n,)
        Weights, of mean 1.

    Returns
    -------
    beta, gamma : float
        For `logits`.
    """
    terms = [scores, _log_share(scores)]
    _, (beta, gamma) = _newton(terms, y, weight, np.array([1.0, 0.5]))
    if beta >= _LEAST_BETA and gamma >= 0:
        return float(beta), float(gamma)
    # Convex: where the best point lies outside, the best point inside lies on an edge.
    edges = [(*_fit(terms[:1], y, weight, [1.0]), 0)]
    offset = _LEAST_BETA * scores
    edges.append((*_fit(terms[1:], y, weight, [1.0], offset), 1))
    _, value, edge = min(edges, key=lambda found: found[0])
    return (value, 0.0) if edge == 0 else (_LEAST_BETA, value)


def _fit(terms, y, weight, start, offset: Any = 0.0) -> tuple[float, float]:
    loss, value = _newton(terms, y, weight, np.asarray(start, float), offset)
    if value[0] < _LEAST_BETA:
        at = np.array([_LEAST_BETA])
        return float(_loss(terms, y, weight, at, offset)[0]), _LEAST_BETA
    return float(loss), float(value[0])


def _newton(terms, y, weight, at, offset=0.0) -> tuple[float, np.ndarray]:
    loss, slope, curve = _loss(terms, y, weight, at, offset)
    for _ in range(_STEPS):
        step = np.linalg.solve(curve, slope)
        gained = float(slope @ step)
        if gained < 1e-9:
            break
        size = 1.0
        while True:
            found = _loss(terms, y, weight, at - size * step, offset)
            if found[0] <= loss - 0.1 * size * gained or size < 1e-4:
                break
            size /= 2
        if not found[0] < loss:
            break
        at = at - size * step
        loss, slope, curve = found
    return loss, at


def _loss(terms, y, weight, at, offset=0.0):
    """Return mean loss, gradient and Hessian."""
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
