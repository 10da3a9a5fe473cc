"""What a search measures and asks for: metrics, directions, constraints."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from sklearn.metrics import check_scoring, get_scorer_names

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
        One of the metrics.
    sign : {"<=", ">="}
        Which side of the bound is allowed.
    bound : float
        The bound.
    """

    metric: str
    sign: str
    bound: float

    def violation(self, values: Mapping[str, float]) -> float:
        """Say by what share of the bound a trial misses it.

        Parameters
        ----------
        values : mapping of str to float
            The metrics of a trial.

        Returns
        -------
        float
            Not above 0 where it is met. A share, so that bounds on accuracies and on counts
            weigh alike in Optuna's samplers.
        """
        excess = values[self.metric] - self.bound
        return (excess if self.sign == "<=" else -excess) / (abs(self.bound) or 1.0)

    def __str__(self) -> str:
        """Write it as it is read."""
        return f"{self.metric} {self.sign} {self.bound:g}"


def read_constraints(constraints: Sequence[str] | str | None) -> tuple[Constraint, ...]:
    """Read constraints such as ``"trainable <= 750"``.

    Parameters
    ----------
    constraints : sequence of str, str or None
        As the user wrote them.

    Returns
    -------
    tuple of Constraint
        In their order.

    Raises
    ------
    ValueError
        If one cannot be read, or there is no such metric.

    Examples
    --------
    >>> [str(c) for c in read_constraints("trainable <= 750")]
    ['trainable <= 750']
    """
    texts = [constraints] if isinstance(constraints, str) else list(constraints or ())
    return tuple(_read_constraint(text) for text in texts)


def _read_constraint(text: Any) -> Constraint:
    match = _CONSTRAINT.fullmatch(text) if isinstance(text, str) else None
    try:
        bound = float(match[3]) if match else None
    except ValueError:
        bound = None
    if match is None or bound is None:
        raise ValueError(
            f"a constraint is a metric, <= or >=, and a number, such as 'trainable <= 750', found "
            f"{text!r}"
        )
    _check_metric(match[1])
    return Constraint(match[1], match[2], bound)


def read_directions(directions: Mapping[str, str] | None) -> dict[str, str]:
    """Check the directions of a search.

    Parameters
    ----------
    directions : mapping of str to str, or None
        Metric to ``"maximize"`` or ``"minimize"``; None maximizes the score.

    Returns
    -------
    dict of str to str
        A copy.

    Raises
    ------
    ValueError
        If there is no such metric or direction.

    Examples
    --------
    >>> read_directions(None)
    {'score': 'maximize'}
    """
    if directions is None:
        return {"score": "maximize"}
    if not isinstance(directions, Mapping) or not directions:
        raise ValueError(
            "directions maps metrics to 'maximize' or 'minimize', such as {'score': 'maximize', "
            f"'trainable': 'minimize'}}, found {directions!r}"
        )
    for name, direction in directions.items():
        _check_metric(name)
        if direction not in ("maximize", "minimize"):
            raise ValueError(
                f"the direction of {name!r} is 'maximize' or 'minimize', found {direction!r}"
            )
    return dict(directions)


def _check_metric(name: str) -> None:
    if name not in METRICS:
        near = get_close_matches(str(name), METRICS, 1, 0.4)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"there is no metric {name!r}, only {', '.join(METRICS)}{hint}")


def make_scorer(estimator: Any, scoring: Any) -> Any:
    """Make the scorer behind the metric ``"score"``.

    Parameters
    ----------
    estimator : estimator
        Whose ``score`` is taken with ``scoring=None``.
    scoring : str, callable or None
        As in scikit-learn's searches, one metric.

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
        near = get_close_matches(scoring, get_scorer_names(), 3, 0.4)
        raise ValueError(
            f"scoring={scoring!r} is no metric of scikit-learn; write one of "
            f"sklearn.metrics.get_scorer_names(), such as {', '.join(near or ['accuracy'])}"
        )
    if scoring is not None and not isinstance(scoring, str) and not callable(scoring):
        raise ValueError(
            f"scoring is one name or one callable, found {scoring!r}; further objectives are "
            f"given by directions, of {', '.join(METRICS)}"
        )
    return check_scoring(estimator, scoring)
