"""How scores grow with the number of trained parameters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import stats
from sklearn.base import clone
from sklearn.metrics import check_scoring

from frozenfit.analysis.fitted import check_kind
from frozenfit.estimators.partial_base import PartialNet

if TYPE_CHECKING:
    from frozenfit.types import ArrayLike, SamplesLike


class ParameterEfficiency(NamedTuple):
    """The score that a number of trained parameters reaches.

    Parameters
    ----------
    trainable : object
        What was trained, as the parameter `trainable` of an estimator.
    n_trainable : int
        Number of trained parameters.
    score : float
        The score on the validation data.

    See Also
    --------
    parameter_efficiency : Compute them for several selectors.

    Examples
    --------
    >>> from frozenfit.analysis import ParameterEfficiency
    >>> ParameterEfficiency(0.1, n_trainable=500, score=0.9).n_trainable
    500
    """

    trainable: Any
    n_trainable: int
    score: float


class LogCountFit(NamedTuple):
    """A line fitted to scores over the decimal logarithm of the number of trained parameters.

    Parameters
    ----------
    slope : float
        Change of the score for ten times as many parameters.
    intercept : float
        Score of the line at one parameter.
    slope_interval : tuple of float
        Confidence interval of the slope.
    intercept_interval : tuple of float
        Confidence interval of the intercept.
    r2 : float
        Coefficient of determination; 1 where all scores are equal.

    See Also
    --------
    log_fit : Fit the line.

    Examples
    --------
    >>> from frozenfit.analysis import log_fit
    >>> line = log_fit([10, 100, 1000], [0.5, 0.7, 0.9])
    >>> round(line.slope, 6), round(line.r2, 6)
    (0.2, 1.0)
    """

    slope: float
    intercept: float
    slope_interval: tuple[float, float]
    intercept_interval: tuple[float, float]
    r2: float


def log_fit(
    counts: Sequence[float], scores: Sequence[float], *, confidence: float = 0.95
) -> LogCountFit:
    """Fit ``score = intercept + slope * log10(count)`` by least squares, with intervals.

    Parameters
    ----------
    counts : sequence of float of shape (n,)
        Numbers of trained parameters, at least 1.
    scores : sequence of float of shape (n,)
        Their scores, in the same order.
    confidence : float, default=0.95
        Level of the intervals, in (0, 1).

    Returns
    -------
    LogCountFit
        The line. The intervals are those of Student's t distribution with n - 2 degrees of
        freedom, which assumes independent errors of equal variance.

    Raises
    ------
    ValueError
        If there are fewer than 3 points or 2 different counts, the lengths differ, or a value is
        out of range.

    See Also
    --------
    parameter_efficiency : Compute counts and scores.
    frozenfit.plots.fit_log_fraction : The line of a search, over fractions and without intervals.

    References
    ----------
    Rosenfeld & Tsotsos 2018, "Intriguing properties of randomly weighted networks",
    arXiv 1802.00844: their Figure 3 shows such lines. Scores saturate, so that a line describes a
    range of counts and not all of them.

    Examples
    --------
    >>> from frozenfit.analysis import log_fit
    >>> line = log_fit([10, 100, 1000, 10000], [0.52, 0.68, 0.83, 0.97])
    >>> low, high = line.slope_interval
    >>> low < line.slope < high
    True
    """
    x, y = (np.asarray(values, dtype=np.float64) for values in (counts, scores))
    if x.ndim != 1 or x.shape != y.shape or len(x) < 3:
        raise ValueError(
            "`counts` and `scores` must be of one length, at least 3, got the shapes "
            f"{x.shape} and {y.shape}."
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all() and (x >= 1).all()):
        raise ValueError("`counts` must be finite and at least 1 and `scores` must be finite.")
    if len(np.unique(x)) < 2:
        raise ValueError(f"`counts` must have at least 2 different values, got {x[0]:g} alone.")
    if not isinstance(confidence, Real) or not 0 < confidence < 1:
        raise ValueError(f"`confidence` must be a float in (0, 1), got {confidence!r}.")
    line: Any = stats.linregress(np.log10(x), y)
    factor = stats.t.ppf((1 + confidence) / 2, len(x) - 2)
    spread = np.sum((y - y.mean()) ** 2)
    return LogCountFit(
        float(line.slope),
        float(line.intercept),
        _interval(line.slope, factor * line.stderr),
        _interval(line.intercept, factor * line.intercept_stderr),
        float(line.rvalue**2) if spread > 0 else 1.0,
    )


def parameter_efficiency(
    estimator: PartialNet,
    X: SamplesLike,
    y: ArrayLike,
    *,
    X_val: SamplesLike,
    y_val: ArrayLike,
    trainable: Iterable[Any] = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0),
    scoring: Any = None,
) -> list[ParameterEfficiency]:
    """Train a network with several numbers of trainable parameters, and score each.

    Parameters
    ----------
    estimator : PartialNetClassifier or PartialNetRegressor
        The settings of all fits; `trainable` is replaced. It does not change.
    X : array-like of shape (n_samples, ...)
        Training samples.
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        Their targets.
    X_val : array-like of shape (n_samples, ...)
        Samples to score on, which are not trained on.
    y_val : array-like of shape (n_samples,) or (n_samples, n_targets)
        Their targets.
    trainable : iterable of float, int, str or Selector, default=(0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
        What to train, one value for each fit.
    scoring : str, callable or None, default=None
        A scorer of scikit-learn. None is the `score` of the estimator.

    Returns
    -------
    list of ParameterEfficiency
        One row for each value, in their order.

    Raises
    ------
    ValueError
        If there is no value.
    TypeError
        If the estimator is of another kind.

    See Also
    --------
    log_fit : Fit a line to the scores over the logarithm of the counts.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from frozenfit import PartialNetClassifier
    >>> from frozenfit.analysis import parameter_efficiency
    >>> X, y = load_iris(return_X_y=True)
    >>> settings = PartialNetClassifier("mlp", epochs=2, random_state=0)
    >>> values = ("head()", 0.1, 1.0)
    >>> rows = parameter_efficiency(settings, X, y, X_val=X, y_val=y, trainable=values)
    >>> [row.n_trainable for row in rows]
    [1539, 1794, 4099]
    """
    check_kind(estimator, "parameter_efficiency")
    values = list(trainable)
    if not values:
        raise ValueError("`trainable` must have at least one value, got none.")
    scorer: Any = check_scoring(estimator, scoring)
    rows = []
    for value in values:
        fitted: Any = clone(estimator)
        fitted.set_params(trainable=value).fit(X, y)
        score = float(scorer(fitted, X_val, y_val))
        rows.append(ParameterEfficiency(value, fitted.part_.selection.n_trainable, score))
    return rows


def _interval(center: float, margin: float) -> tuple[float, float]:
    return float(center - margin), float(center + margin)
