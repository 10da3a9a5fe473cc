"""The intrinsic dimension of a task: how many directions of a random subspace solve it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.metrics import check_scoring
from sklearn.utils import check_random_state

from frozenfit.analysis.fitted import check_kind
from frozenfit.estimators.partial_base import PartialNet
from frozenfit.isolation import SEED_LIMIT
from frozenfit.selectors import subspace
from frozenfit.training.optimizers import automatic_rate
from frozenfit.utils.frames import frame

if TYPE_CHECKING:
    import pandas

    from frozenfit.types import ArrayLike, RandomState, SamplesLike


class DimensionScore(NamedTuple):
    """The score of a network that was trained in a subspace of one dimension.

    Parameters
    ----------
    dimension : int
        Number of trained coordinates.
    score : float
        The score on the validation data, as a mean over the repetitions.
    std : float
        Standard deviation over the repetitions (``ddof=1``); 0 for a single one.
    fraction : float
        `score` divided by the score of the network with all parameters trained.

    See Also
    --------
    intrinsic_dimension : Compute them for several dimensions.

    Examples
    --------
    >>> from frozenfit.analysis import DimensionScore
    >>> DimensionScore(100, score=0.81, std=0.0, fraction=0.9).fraction
    0.9
    """

    dimension: int
    score: float
    std: float
    fraction: float


class IntrinsicDimension(list[DimensionScore]):
    """One row for each dimension, in increasing order.

    A list of named tuples ``(dimension, score, std, fraction)``. ``print`` shows it as text.

    Parameters
    ----------
    rows : iterable of DimensionScore
        The rows.
    score : float
        The score of the network with all parameters trained.
    threshold : float
        The fraction of `score` that has to be reached.
    n_parameters : int
        Number of parameters of the network.

    Attributes
    ----------
    score, threshold, n_parameters
        The parameters.

    See Also
    --------
    intrinsic_dimension : Compute the table.

    Examples
    --------
    >>> from frozenfit.analysis import DimensionScore, IntrinsicDimension
    >>> rows = [DimensionScore(10, 0.5, 0.0, 0.625), DimensionScore(100, 0.76, 0.0, 0.95)]
    >>> table = IntrinsicDimension(rows, score=0.8, threshold=0.9, n_parameters=5000)
    >>> table.dimension
    100
    >>> print(table)
    dimension  score   std     fraction
    10         0.5000  0.0000  0.6250
    100        0.7600  0.0000  0.9500
    5000       0.8000          1.0000
    """

    def __init__(self, rows: Any, score: float, threshold: float, n_parameters: int):
        super().__init__(rows)
        self.score, self.threshold, self.n_parameters = score, threshold, n_parameters

    @property
    def dimension(self) -> int | None:
        """The smallest dimension that reaches the threshold; None where none does."""
        reached = (row.dimension for row in self if row.fraction >= self.threshold)
        return next(reached, None)

    @property
    def interpolated(self) -> float | None:
        """Where the line between two rows, over the logarithm of the dimension, crosses it.

        None where no row reaches the threshold; the first dimension where that one does.
        """
        before = None
        for row in self:
            if row.fraction >= self.threshold:
                if before is None:
                    return float(row.dimension)
                share = (self.threshold - before.fraction) / (row.fraction - before.fraction)
                return float(before.dimension * (row.dimension / before.dimension) ** share)
            before = row
        return None

    def to_frame(self) -> pandas.DataFrame:
        """Return the table as a data frame.

        Returns
        -------
        pandas.DataFrame
            Columns ``score``, ``std`` and ``fraction``, indexed by ``dimension``.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        return frame([row._asdict() for row in self], "dimension", DimensionScore._fields)

    def __str__(self) -> str:
        """Return one line per dimension, and one of the network with all parameters trained."""
        cells = [DimensionScore._fields]
        cells += [
            (str(r.dimension), f"{r.score:.4f}", f"{r.std:.4f}", f"{r.fraction:.4f}") for r in self
        ]
        cells.append((str(self.n_parameters), f"{self.score:.4f}", "", f"{1:.4f}"))
        widths = [max(len(row[i]) for row in cells) for i in range(4)]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells]
        return "\n".join(line.rstrip() for line in lines)


def intrinsic_dimension(
    estimator: PartialNet,
    X: SamplesLike,
    y: ArrayLike,
    *,
    X_val: SamplesLike,
    y_val: ArrayLike,
    threshold: float = 0.9,
    dimensions: Iterable[int] = (10, 30, 100, 300, 1000),
    projection: Literal["fastfood", "sparse", "dense"] = "fastfood",
    learning_rate: float | None = None,
    n_repeats: int = 1,
    scoring: Any = None,
    random_state: RandomState = 0,
) -> IntrinsicDimension:
    """Train a network in random subspaces of increasing dimension.

    The intrinsic dimension of a task, for a network and a way to train it, is the smallest
    dimension that reaches a fraction of the score of the network with all parameters trained.

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
    threshold : float, default=0.9
        Fraction of the score of the whole network, as in the publication.
    dimensions : iterable of int, default=(10, 30, 100, 300, 1000)
        Dimensions to train; those above the number of parameters are left out.
    projection : {"fastfood", "sparse", "dense"}, default="fastfood"
        Kind of the random matrix, see `frozenfit.selectors.subspace`.
    learning_rate : float or None, default=None
        Learning rate of the fits in subspaces. None is that of `estimator` times sqrt(D / d) with
        D parameters and d dimensions: a step of Adam changes every coordinate by the learning
        rate, and is then as long as in the whole network. Optimizers whose steps are proportional
        to the gradient need no factor.
    n_repeats : int, default=1
        Number of fits for each dimension and for the whole network, with different seeds.
    scoring : str, callable or None, default=None
        A scorer of scikit-learn whose values are not negative. None is the `score` of the
        estimator.
    random_state : int, RandomState or None, default=0
        Seed of the fits; the same ones are used for every dimension.

    Returns
    -------
    IntrinsicDimension
        One row for each dimension. ``.dimension`` is the first one that reaches the threshold.

    Raises
    ------
    ValueError
        If an argument is invalid, the whole network has no positive score, or `learning_rate` is
        missing where that of the estimator is part of an optimizer.
    TypeError
        If the estimator is of another kind.

    See Also
    --------
    frozenfit.selectors.subspace : The selector that trains in a subspace.

    References
    ----------
    Li, Farkhoor, Liu & Yosinski 2018, "Measuring the intrinsic dimension of objective landscapes",
    arXiv 1804.08838.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from frozenfit import PartialNetClassifier
    >>> from frozenfit.analysis import intrinsic_dimension
    >>> X, y = load_iris(return_X_y=True)
    >>> settings = PartialNetClassifier("mlp", epochs=10)
    >>> table = intrinsic_dimension(settings, X, y, X_val=X, y_val=y, dimensions=(2, 20))
    >>> [row.dimension for row in table], table.n_parameters
    ([2, 20], 4099)
    """
    dimensions = _check(estimator, threshold, dimensions, learning_rate, n_repeats)
    settings = _settings(estimator, learning_rate)
    scorer: Any = check_scoring(estimator, scoring)
    rng = check_random_state(random_state)
    seeds = [int(seed) for seed in rng.randint(SEED_LIMIT, size=n_repeats)]

    def scores(**params: Any) -> tuple[list[float], Any]:
        found = []
        for seed in seeds:
            fitted: Any = clone(estimator)
            fitted.set_params(random_state=seed, **params).fit(X, y)
            found.append(float(scorer(fitted, X_val, y_val)))
        return found, fitted

    whole, fitted = scores(trainable=1.0)
    score, total = float(np.mean(whole)), fitted.part_.selection.total
    if score <= 0:
        raise ValueError(
            f"`scoring` must give the trained network a positive score, got {score}. Use a score "
            "such as the accuracy, or train longer."
        )
    limit = sum(info.size for info in fitted.part_.selection.layout.weights)
    rows = []
    for d in dimensions:
        if d > limit:
            continue
        own = settings if learning_rate is not None else _scaled(settings, math.sqrt(limit / d))
        found, _ = scores(trainable=subspace(d, projection), **own)
        spread = float(np.std(found, ddof=1)) if n_repeats > 1 else 0.0
        mean = float(np.mean(found))
        rows.append(DimensionScore(d, mean, spread, mean / score))
    return IntrinsicDimension(rows, score, float(threshold), total)


def _settings(estimator: Any, learning_rate: float | None) -> dict[str, Any]:
    """Return learning rate and schedule of the fits in subspaces, before the rate is scaled."""
    rate, schedule = estimator.learning_rate, estimator.lr_schedule
    automatic = rate == "auto"
    if learning_rate is None and automatic and not isinstance(estimator.optimizer, str):
        raise ValueError(
            "`learning_rate` must be given where that of the estimator is part of its optimizer, "
            "got None. Pass a number."
        )
    if schedule == "auto":  # decides by whether the rate is automatic
        schedule = "cosine" if automatic else None
    if automatic:
        rate = automatic_rate(schedule is not None)
    return {
        "learning_rate": float(rate if learning_rate is None else learning_rate),
        "lr_schedule": schedule,
    }


def _scaled(settings: dict[str, Any], factor: float) -> dict[str, Any]:
    return settings | {"learning_rate": factor * settings["learning_rate"]}


def _check(
    estimator: Any, threshold: Any, dimensions: Any, learning_rate: Any, n_repeats: Any
) -> list[int]:
    check_kind(estimator, "intrinsic_dimension")
    if not _is(Real, threshold) or not 0 < threshold <= 1:
        raise ValueError(f"`threshold` must be a float in (0, 1], got {threshold!r}.")
    if learning_rate is not None and (not _is(Real, learning_rate) or learning_rate <= 0):
        raise ValueError(f"`learning_rate` must be a float > 0 or None, got {learning_rate!r}.")
    if not _is(Integral, n_repeats) or n_repeats < 1:
        raise ValueError(f"`n_repeats` must be an int in [1, inf), got {n_repeats!r}.")
    found = list(dimensions) if isinstance(dimensions, Iterable) else []
    if not found or not all(_is(Integral, d) and d >= 1 for d in found):
        raise ValueError(f"`dimensions` must be ints >= 1, got {dimensions!r}.")
    return sorted({int(d) for d in found})


def _is(kind: type, value: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
