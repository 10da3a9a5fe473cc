"""Metrics of each member of an ensemble and of the ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import xlogy

__all__ = [
    "ClassifierRow",
    "RegressorRow",
    "calibration_error",
    "classifier_report",
    "disagreements",
    "entropy",
    "regressor_report",
    "report_text",
]

ONE_NETWORK = "one network"
_BINS = 15
_TINY = np.finfo(np.float64).tiny


class ClassifierRow(NamedTuple):
    """One row of a classifier's report; the disagreement of a single network is NaN."""

    member: str
    accuracy: float
    nll: float
    brier: float
    ece: float
    disagreement: float


class RegressorRow(NamedTuple):
    """One row of a regressor's report, in the unit of the targets, as `ClassifierRow`."""

    member: str
    rmse: float
    disagreement: float


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Compute the entropy, in nats, of distributions along the last axis.

    Parameters
    ----------
    probabilities : ndarray of shape (..., n_classes)
        Probabilities; each distribution sums to 1.

    Returns
    -------
    ndarray of shape (...)
        Entropies, between 0 and ``log(n_classes)``.

    Examples
    --------
    >>> entropy(np.array([[0.5, 0.5], [1.0, 0.0]])) / np.log(2)
    array([1., 0.])
    """
    return np.maximum(-xlogy(probabilities, probabilities).sum(axis=-1), 0.0)


def calibration_error(probabilities: np.ndarray, y: np.ndarray, bins: int = _BINS) -> float:
    """Compute the expected calibration error of the predicted classes.

    Parameters
    ----------
    probabilities : ndarray of shape (n, n_classes)
        Predicted probabilities.
    y : ndarray of int, shape (n,)
        True classes.
    bins : int, default=15
        Number of bins of equal width, without their left ends; empty bins are ignored.

    Returns
    -------
    float
        Mean absolute difference of accuracy and confidence over the bins, weighted by their
        numbers of samples.

    Notes
    -----
    Naeini, Cooper and Hauskrecht (2015), "Obtaining Well Calibrated Probabilities Using Bayesian
    Binning", AAAI.

    Examples
    --------
    >>> calibration_error(np.array([[0.75, 0.25]] * 4), np.array([0, 0, 0, 1]))
    0.0
    """
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == y
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    surplus = np.bincount(place, correct - confidence, minlength=bins)
    return float(np.abs(surplus).sum() / len(y))


def disagreements(distances: np.ndarray) -> np.ndarray:
    """Compute the mean distance of each member from the others.

    Parameters
    ----------
    distances : ndarray of shape (members, members)
        Symmetric matrix with a zero diagonal.

    Returns
    -------
    ndarray of shape (members,)
        Mean distances; NaN for a single member.
    """
    others = len(distances) - 1
    return distances.sum(axis=1) / others if others else np.full(1, np.nan)


def classifier_report(
    probabilities: np.ndarray, y: np.ndarray, one_network: np.ndarray | None = None
) -> list[ClassifierRow]:
    """Compute the report of a classifier.

    Parameters
    ----------
    probabilities : ndarray of shape (members, n, n_classes)
        Probabilities of each member.
    y : ndarray of int, shape (n,)
        True classes.
    one_network : ndarray of shape (n, n_classes) or None, default=None
        Probabilities of a network to compare the ensemble with.

    Returns
    -------
    list of ClassifierRow
        One row for each member, for their mean, for the ensemble of mean probabilities, and for
        the one network where there is one.
    """
    labels = probabilities.argmax(axis=2)
    apart = disagreements((labels[:, None] != labels[None]).mean(axis=2))
    each = [_figures(p, y) for p in probabilities]
    mean = tuple(np.mean(each, axis=0).tolist())
    members = [
        ClassifierRow(str(i), r[0], r[1], r[2], r[3], float(d))
        for i, (r, d) in enumerate(_zip(each, apart))
    ]
    together = _figures(probabilities.mean(axis=0), y)
    rows = [
        *members,
        ClassifierRow("mean", mean[0], mean[1], mean[2], mean[3], float(apart.mean())),
        ClassifierRow("ensemble", *together, float(apart.mean())),
    ]
    if one_network is not None:
        rows.append(ClassifierRow(ONE_NETWORK, *_figures(one_network, y), np.nan))
    return rows


def _figures(probabilities: np.ndarray, y: np.ndarray) -> tuple[float, float, float, float]:
    chosen = probabilities[np.arange(len(y)), y]
    # Equals the sum over classes of (p - [c = y])^2, without an array of one-hot labels.
    brier = (probabilities**2).sum(axis=1) - 2 * chosen + 1
    return (
        float((probabilities.argmax(axis=1) == y).mean()),
        float(-np.log(np.maximum(chosen, _TINY)).mean()),
        float(brier.mean()),
        calibration_error(probabilities, y),
    )


def regressor_report(
    predictions: np.ndarray, y: np.ndarray, one_network: np.ndarray | None = None
) -> list[RegressorRow]:
    """Compute the report of a regressor.

    Parameters
    ----------
    predictions : ndarray of shape (members, n, n_targets)
        Predictions of each member.
    y : ndarray of shape (n, n_targets)
        True targets.
    one_network : ndarray of shape (n, n_targets) or None, default=None
        Predictions of a network to compare the ensemble with.

    Returns
    -------
    list of RegressorRow
        One row for each member, for their mean, for the ensemble of mean predictions, and for the
        one network where there is one. The disagreement is the root mean square difference of two
        members.
    """
    apart = [[_rms(a - b) for b in predictions] for a in predictions]
    distances = disagreements(np.array(apart))
    errors = [_rms(p - y) for p in predictions]
    members = [
        RegressorRow(str(i), e, float(d)) for i, (e, d) in enumerate(_zip(errors, distances))
    ]
    mean = float(distances.mean())
    rows = [
        *members,
        RegressorRow("mean", float(np.mean(errors)), mean),
        RegressorRow("ensemble", _rms(predictions.mean(axis=0) - y), mean),
    ]
    if one_network is not None:
        rows.append(RegressorRow(ONE_NETWORK, _rms(one_network - y), np.nan))
    return rows


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _zip(a, b):
    return zip(a, b, strict=True)


def report_text(rows: Sequence[NamedTuple]) -> str:
    """Format a report as text.

    Parameters
    ----------
    rows : sequence of ClassifierRow or RegressorRow
        The result of `ensemble_report`.

    Returns
    -------
    str
        The names of the columns and one line per row.

    See Also
    --------
    CheapEnsembleClassifier.ensemble_report : Compute the report of a classifier.
    CheapEnsembleRegressor.ensemble_report : Compute the report of a regressor.

    Examples
    --------
    >>> print(report_text([RegressorRow("0", 0.5, 0.25), RegressorRow("ensemble", 0.25, 0.25)]))
    member      rmse  disagreement
    0         0.5000        0.2500
    ensemble  0.2500        0.2500
    """
    names = rows[0]._fields
    cells = [list(names)]
    cells += [[str(row[0]), *(f"{value:.4f}" for value in row[1:])] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    )
