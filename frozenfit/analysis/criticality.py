"""How much the score of a trained network depends on each of its layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from sklearn.metrics import check_scoring
from sklearn.utils import check_random_state

from frozenfit.analysis import fitted
from frozenfit.frozen_values import draw_weight, is_drawable
from frozenfit.isolation import SEED_LIMIT
from frozenfit.selectors import Selector, layers
from frozenfit.utils.frames import frame

if TYPE_CHECKING:
    import pandas

    from frozenfit.estimators.partial_base import PartialNet
    from frozenfit.types import ArrayLike, RandomState, SamplesLike

_HOW = ("reinitialize", "rerandomize")


class LayerScore(NamedTuple):
    """The score of a network in which one layer has other values.

    Parameters
    ----------
    layer : str
        Path of the layer.
    score : float
        The score, as a mean over the repetitions.
    std : float
        Standard deviation over the repetitions (``ddof=1``); 0 for a single one.
    drop : float
        The score of the trained network minus `score`: large for a critical layer.

    See Also
    --------
    layer_criticality : Compute them for all layers.

    Examples
    --------
    >>> from frozenfit.analysis import LayerScore
    >>> LayerScore("hidden", score=0.5, std=0.0, drop=0.25).drop
    0.25
    """

    layer: str
    score: float
    std: float
    drop: float


class LayerCriticality(list[LayerScore]):
    """One row for each layer of a network, from the input to the output.

    A list of named tuples ``(layer, score, std, drop)``. ``print`` shows it as text.

    Parameters
    ----------
    rows : iterable of LayerScore
        The rows.
    score : float
        The score of the trained network.
    how : {"reinitialize", "rerandomize"}
        Which values the layers had.

    Attributes
    ----------
    score, how
        The parameters.

    See Also
    --------
    layer_criticality : Compute the table.

    Examples
    --------
    >>> from frozenfit.analysis import LayerCriticality, LayerScore
    >>> rows = [LayerScore("hidden", 0.5, 0.0, 0.4), LayerScore("head", 0.8, 0.0, 0.1)]
    >>> table = LayerCriticality(rows, score=0.9, how="reinitialize")
    >>> print(table)
    layer   score   std     drop
    hidden  0.5000  0.0000  0.4000
    head    0.8000  0.0000  0.1000
    none    0.9000          0.0000
    >>> table.most_critical(1)
    layers("hidden")
    """

    def __init__(self, rows: Any = (), score: float = np.nan, how: str = "reinitialize"):
        super().__init__(rows)
        self.score, self.how = score, how

    def most_critical(self, n: int) -> Selector:
        """Return a selector of the layers whose values matter most.

        Parameters
        ----------
        n : int
            Number of layers.

        Returns
        -------
        Selector
            ``layers(...)`` with the names of the `n` layers of the largest drop.

        Raises
        ------
        ValueError
            If `n` is not between 1 and the number of layers.
        """
        if not 1 <= n <= len(self):
            raise ValueError(f"`n` must be an int in [1, {len(self)}], got {n!r}.")
        ranked = sorted(self, key=lambda row: -row.drop)[:n]
        return layers(*(row.layer for row in ranked))

    def to_frame(self) -> pandas.DataFrame:
        """Return the table as a data frame.

        Returns
        -------
        pandas.DataFrame
            Columns ``score``, ``std`` and ``drop``, indexed by ``layer``.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        return frame([row._asdict() for row in self], "layer", LayerScore._fields)

    def __str__(self) -> str:
        """Return one line per layer, and one with the score of the trained network."""
        cells = [LayerScore._fields]
        cells += [(r.layer, f"{r.score:.4f}", f"{r.std:.4f}", f"{r.drop:.4f}") for r in self]
        cells.append(("none", f"{self.score:.4f}", "", f"{0:.4f}"))
        widths = [max(len(row[i]) for row in cells) for i in range(4)]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells]
        return "\n".join(line.rstrip() for line in lines)


def layer_criticality(
    estimator: PartialNet,
    X: SamplesLike,
    y: ArrayLike,
    *,
    how: Literal["reinitialize", "rerandomize"] = "reinitialize",
    values: Mapping[str, np.ndarray] | None = None,
    n_repeats: int = 5,
    scoring: Any = None,
    random_state: RandomState = None,
) -> LayerCriticality:
    """Score a trained network with one layer after the other put back to other values.

    A layer is critical where the score drops, and robust where it does not.

    Parameters
    ----------
    estimator : PartialNetClassifier or PartialNetRegressor
        A fitted estimator. It does not change.
    X : array-like of shape (n_samples, ...)
        Samples to score on, which were not trained on.
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        Their targets.
    how : {"reinitialize", "rerandomize"}, default="reinitialize"
        "reinitialize" puts a layer back to the values from which the fit started, or to `values`;
        "rerandomize" draws new values from the distribution of its initializer. Moving statistics
        of the layer are put back to their initial values in both cases.
    values : mapping of str to ndarray or None, default=None
        Whole weights by path, for example those after some epochs, in place of the initial ones.
        Only with ``how="reinitialize"``.
    n_repeats : int, default=5
        Number of draws for "rerandomize".
    scoring : str, callable or None, default=None
        A scorer of scikit-learn. None is the `score` of the estimator.
    random_state : int, RandomState or None, default=None
        Seed of the draws.

    Returns
    -------
    LayerCriticality
        One row per layer with trainable weights, in topological order.

    Raises
    ------
    ValueError
        If an argument is invalid, or a layer has an initializer that cannot be drawn from.
    TypeError
        If the estimator is of another kind.

    See Also
    --------
    weight_magnitudes : How far the weights have moved.

    References
    ----------
    Zhang, Bengio & Singer 2019, "Are all layers created equal?", arXiv 1902.01996.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from frozenfit import PartialNetClassifier
    >>> from frozenfit.analysis import layer_criticality
    >>> X, y = load_iris(return_X_y=True)
    >>> settings = {"trainable": 1.0, "epochs": 3, "random_state": 0}
    >>> classifier = PartialNetClassifier("mlp", **settings).fit(X, y)
    >>> [row.layer for row in layer_criticality(classifier, X, y)]
    ['dense1', 'head']
    """
    estimator = fitted.check_network(estimator, "layer_criticality")
    _check(how, values, n_repeats)
    scorer: Any = check_scoring(estimator, scoring)
    part = estimator.part_
    layout, states = part.selection.layout, part.delta.states
    rng = check_random_state(random_state)
    start = fitted.initial_values(part)
    if values is not None:
        start |= _checked(values, {info.path: info.shape for info in layout.weights})
    trained = float(scorer(estimator, X, y))
    rows = []
    for layer in layout.layers:
        infos = [info for info in layout.weights if info.layer == layer]
        statistics = {p: start[p] for p in states if p.rpartition("/")[0] == layer}
        scores = []
        for _ in range(n_repeats if how == "rerandomize" else 1):
            if how == "rerandomize":
                seed = int(rng.randint(SEED_LIMIT))
                new = {info.path: _drawn(info, seed) for info in infos}
            else:
                new = {info.path: start[info.path] for info in infos}
            scores.append(float(scorer(fitted.with_values(estimator, new | statistics), X, y)))
        mean = float(np.mean(scores))
        std = float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0
        rows.append(LayerScore(layer, mean, std, trained - mean))
    return LayerCriticality(rows, trained, how)


def _check(how: Any, values: Any, n_repeats: Any) -> None:
    if how not in _HOW:
        raise ValueError(f"`how` must be one of 'reinitialize', 'rerandomize', got {how!r}.")
    if values is not None and how == "rerandomize":
        raise ValueError("`values` has no effect with how='rerandomize'. Use values=None.")
    if isinstance(n_repeats, bool) or not isinstance(n_repeats, int) or n_repeats < 1:
        raise ValueError(f"`n_repeats` must be an int in [1, inf), got {n_repeats!r}.")


def _checked(
    values: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    for path, value in values.items():
        if path in shapes and np.shape(value) != tuple(shapes[path]):
            raise ValueError(
                f"The value of {path!r} in `values` must have shape {shapes[path]}, got "
                f"{np.shape(value)}."
            )
    if missing := [path for path in shapes if path not in values]:
        raise ValueError(
            f"`values` must have the value of every trainable weight, got none for {missing[0]!r}."
        )
    return {path: np.asarray(value) for path, value in values.items()}


def _drawn(info: Any, seed: int) -> np.ndarray:
    if not is_drawable(info):
        raise ValueError(
            f"`how='rerandomize'` requires initializers that can be drawn from, but that of "
            f"{info.path!r} is not. Use how='reinitialize'."
        )
    return draw_weight(info, seed)
