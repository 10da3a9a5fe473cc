"""Metrics, directions and constraints of a search."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sklearn.base import BaseEstimator
from sklearn.metrics import check_scoring, get_scorer_names

from frozenfit.utils.names import did_you_mean

# Each metric and the direction that is better.
METRICS = {
    "score": "maximize",
    "trainable": "minimize",
    "bytes": "minimize",
    "fit_time": "minimize",
    "predict_time": "minimize",
}
_CONSTRAINT = re.compile(r"\s*(\w+)\s*(<=|>=)\s*(\S+)\s*")


@dataclass(frozen=True)
class Constraint:
    """A bound on a metric.

    Attributes
    ----------
    metric : str
        The metric.
    sign : {"<=", ">="}
        Which side of the bound is feasible.
    bound : float
        The bound.
    """

    metric: str
    sign: str
    bound: float

    def violation(self, values: Mapping[str, float]) -> float:
        """Compute by what fraction of the bound a trial violates it.

        Parameters
        ----------
        values : mapping of str to float
            The metrics of a trial.

        Returns
        -------
        float
            At most 0 if the constraint is met. Relative to the bound, because Optuna's samplers
            add the violations of all constraints: an excess of 100 parameters must not outweigh
            one of 0.1 in accuracy.
        """
        excess = values[self.metric] - self.bound
        return (excess if self.sign == "<=" else -excess) / (abs(self.bound) or 1.0)

    def __str__(self) -> str:
        """Return the text that `read_constraints` reads."""
        return f"{self.metric} {self.sign} {self.bound:g}"


def read_constraints(constraints: Sequence[str] | str | None) -> tuple[Constraint, ...]:
    """Parse constraints such as ``"trainable <= 750"``.

    Parameters
    ----------
    constraints : sequence of str, str or None
        The constraints as text.

    Returns
    -------
    tuple of Constraint
        The constraints in the given order.

    Raises
    ------
    ValueError
        If a text cannot be parsed, or names an unknown metric.

    Examples
    --------
    >>> [str(c) for c in read_constraints("trainable <= 750")]
    ['trainable <= 750']
    """
    texts = [constraints] if isinstance(constraints, str) else list(constraints or ())
    return tuple(_read_constraint(text) for text in texts)


def _read_constraint(text: object) -> Constraint:
    match = _CONSTRAINT.fullmatch(text) if isinstance(text, str) else None
    try:
        bound = float(match[3]) if match else None
    except ValueError:
        bound = None
    if match is None or bound is None or math.isnan(bound):
        raise ValueError(
            "A constraint must be a metric, '<=' or '>=', and a number, such as "
            f"'trainable <= 750', got {text!r}."
        )
    _check_metric(match[1])
    return Constraint(match[1], match[2], bound)


def read_directions(directions: Mapping[str, str] | None) -> dict[str, str]:
    """Validate the directions of a search.

    Parameters
    ----------
    directions : mapping of str to str, or None
        Metric to ``"maximize"`` or ``"minimize"``. None is ``{"score": "maximize"}``.

    Returns
    -------
    dict of str to str
        A copy.

    Raises
    ------
    ValueError
        If a metric or direction is unknown.

    Examples
    --------
    >>> read_directions(None)
    {'score': 'maximize'}
    """
    if directions is None:
        return {"score": "maximize"}
    if not isinstance(directions, Mapping) or not directions:
        raise ValueError(
            "`directions` must be a dict from metric to 'maximize' or 'minimize', such as "
            f"{{'score': 'maximize', 'trainable': 'minimize'}}, got {directions!r}."
        )
    for name, direction in directions.items():
        _check_metric(name)
        if direction not in ("maximize", "minimize"):
            raise ValueError(
                f"The direction of {name!r} must be 'maximize' or 'minimize', got {direction!r}."
            )
    return dict(directions)


def _check_metric(name: str) -> None:
    if name not in METRICS:
        raise ValueError(f"Unknown metric {name!r}. {did_you_mean(name, METRICS)}")


def make_scorer(estimator: BaseEstimator, scoring: Any) -> Callable[..., float]:
    """Make the scorer that computes the metric ``"score"``.

    Parameters
    ----------
    estimator : estimator
        Its ``score`` is used with ``scoring=None``.
    scoring : str, callable or None
        As in scikit-learn's searches, but one metric only.

    Returns
    -------
    callable
        ``f(estimator, X, y) -> float``.

    Raises
    ------
    ValueError
        If there is no scorer of that name.
    """
    if isinstance(scoring, str) and scoring not in get_scorer_names():
        raise ValueError(
            f"`scoring` must be one of sklearn.metrics.get_scorer_names(), a callable or None, got "
            f"{scoring!r}. {did_you_mean(scoring, get_scorer_names())}"
        )
    if scoring is not None and not isinstance(scoring, str) and not callable(scoring):
        raise ValueError(
            f"`scoring` must be one name or one callable, got {scoring!r}. Further objectives are "
            f"given by `directions`, from {', '.join(METRICS)}."
        )
    return cast("Callable[..., float]", check_scoring(estimator, scoring))
