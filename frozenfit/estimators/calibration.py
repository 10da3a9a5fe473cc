"""Temperature scaling of an ensemble on held-out samples."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp

__all__ = ["label_logits", "pooled", "temperature"]

# Of the logarithm of the temperature.
_RANGE = (-3.0, 3.0)
_PRIOR_SCALE = 0.5
_SMALLEST = 1e-290


def label_logits(logits: np.ndarray) -> np.ndarray:
    """Turn each label of each sample into a problem of two classes.

    Parameters
    ----------
    logits : ndarray of shape (members, n, n_labels)
        Outputs of each member.

    Returns
    -------
    ndarray of shape (members, n * n_labels, 2)
        Logits of absence and presence, whose softmax is the sigmoid of the outputs.

    Examples
    --------
    >>> label_logits(np.ones((1, 1, 2))).tolist()
    [[[0.0, 1.0], [0.0, 1.0]]]
    """
    present = logits.reshape(len(logits), -1)
    return np.stack([np.zeros_like(present), present], axis=-1)


def pooled(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Compute the logarithms of the mean probabilities of the members.

    Parameters
    ----------
    logits : ndarray of shape (members, n, n_classes)
        Outputs of each member.
    temperature : float, default=1.0
        Divisor of the outputs.

    Returns
    -------
    ndarray of shape (n, n_classes)
        Logarithms of probabilities; their softmax is the mean of the members' softmaxes.

    Examples
    --------
    >>> np.exp(pooled(np.log([[[0.5, 0.5]], [[0.9, 0.1]]])))
    array([[0.7, 0.3]])
    """
    # Classes first: sums over the first axis are several times as fast as over a short last one.
    each = np.divide(np.moveaxis(logits, 2, 0), temperature, order="C", dtype=np.float64)
    each -= each.max(axis=0)
    np.exp(each, out=each)
    each /= each.sum(axis=0)
    mean = each.mean(axis=1).T
    # Where all members are so sure that a probability is no longer a normal number.
    rows = ~(mean >= _SMALLEST).all(axis=1)
    if rows.any():
        mean[rows] = 1
    result = np.log(mean)
    if rows.any():
        sure = log_softmax(logits[:, rows] / temperature, axis=2)
        result[rows] = logsumexp(sure, axis=0) - np.log(len(logits))
    return result


def temperature(logits: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    """Compute the temperature with which held-out samples are most probable.

    Parameters
    ----------
    logits : ndarray of shape (members, n, n_classes)
        Outputs of each member for held-out samples.
    y : ndarray of int, shape (n,)
        True classes.
    weight : ndarray of shape (n,)
        Sample weights.

    Returns
    -------
    float
        A value between 0.05 and 20: above 1 where the ensemble is overconfident, below 1 where
        it is underconfident.

    Notes
    -----
    Guo, Pleiss, Sun and Weinberger (2017), "On Calibration of Modern Neural Networks",
    arXiv:1706.04599, with a normal prior of the logarithm (mean 0, standard deviation 0.5): where
    all held-out samples are correct, the log loss alone has no minimum, and a temperature at the
    bound would make each error on new samples very expensive. One temperature is fitted to the
    probabilities of the ensemble instead of one per member, because the mean of calibrated members
    is underconfident: Rahaman and Thiery (2021), "Uncertainty Quantification and Deep Ensembles",
    arXiv:2007.08792.

    Examples
    --------
    >>> logits = np.array([[[9.0, 0.0]] * 9 + [[0.0, 9.0]]])
    >>> temperature(logits, np.zeros(10, int), np.ones(10)) > 1
    True
    """
    rows = np.arange(len(y))

    def loss(log_temperature: float) -> float:
        chosen = pooled(logits, np.exp(log_temperature))[rows, y]
        prior = 0.5 * (log_temperature / _PRIOR_SCALE) ** 2
        return (prior - float(chosen @ weight)) / weight.sum()

    # Over the logarithm, in which the loss is smooth and the temperature stays positive.
    result = minimize_scalar(loss, bounds=_RANGE, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(result.x))
