"""One temperature for the probabilities of an ensemble, fitted on samples no member saw."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp

__all__ = ["pooled", "temperature"]

# exp(-3) to exp(3); where held-out samples are all right, the coldest temperature would be best.
_RANGE = (-3.0, 3.0)


def pooled(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Return the logarithm of the mean of the members' probabilities.

    Parameters
    ----------
    logits : ndarray of shape (members, n, n_classes)
        Outputs of each member.
    temperature : float, default=1.0
        What the outputs are divided by.

    Returns
    -------
    ndarray of shape (n, n_classes)
        Their softmax is the mean of the members' softmaxes.

    Examples
    --------
    >>> np.exp(pooled(np.log([[[0.5, 0.5]], [[0.9, 0.1]]])))
    array([[0.7, 0.3]])
    """
    each = log_softmax(logits / temperature, axis=2)
    return logsumexp(each, axis=0) - np.log(len(logits))


def temperature(logits: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    """Find the temperature at which the ensemble's mean log loss is least.

    Parameters
    ----------
    logits : ndarray of shape (members, n, n_classes)
        Outputs of each member for held-out samples.
    y : ndarray of int, shape (n,)
        Their classes.
    weight : ndarray of shape (n,)
        Their weights.

    Returns
    -------
    float
        Above 1 where the ensemble is too sure, below where it is not sure enough; between
        0.05 and 20.

    Notes
    -----
    Guo, Pleiss, Sun and Weinberger (2017), "On Calibration of Modern Neural Networks",
    arXiv:1706.04599. It is fitted for the ensemble's own probabilities and not member by member,
    since the mean of calibrated members is not sure enough: Rahaman and Thiery (2021),
    "Uncertainty Quantification and Deep Ensembles", arXiv:2007.08792.

    Examples
    --------
    >>> logits = np.array([[[9.0, 0.0]] * 9 + [[0.0, 9.0]]])
    >>> temperature(logits, np.zeros(10, int), np.ones(10)) > 1
    True
    """
    rows = np.arange(len(y))

    def loss(log_temperature: float) -> float:
        chosen = pooled(logits, np.exp(log_temperature))[rows, y]
        return -float(np.average(chosen, weights=weight))

    found = minimize_scalar(loss, bounds=_RANGE, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))
