"""Lottery tickets: small networks found by iterative magnitude pruning with rewinding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from sklearn.base import clone
from sklearn.metrics import check_scoring

from frozenfit.analysis.fitted import check_kind, trained_values
from frozenfit.estimators.partial_base import PartialNet
from frozenfit.partial import weights_of
from frozenfit.selectors import Layout, Selector, mask
from frozenfit.training.base import Base
from frozenfit.utils.frames import frame

if TYPE_CHECKING:
    import pandas

    from frozenfit.types import ArrayLike, RandomState, SamplesLike


@dataclass(frozen=True, eq=False)
class LotteryRound:
    """One round of pruning.

    Parameters
    ----------
    selector : Selector
        The parameters that were trained in the round; all others were zero.
    remaining : float
        Fraction of the parameters of kernels that were trained.
    n_trainable : int
        Number of trained parameters, biases and normalizations included.
    score : float
        Score of the trained network on the validation data; nan where none are given.

    See Also
    --------
    LotteryTicket : All rounds.

    Examples
    --------
    >>> from frozenfit.analysis import LotteryRound
    >>> from frozenfit.selectors import everything
    >>> LotteryRound(everything(), remaining=1.0, n_trainable=58, score=0.9).remaining
    1.0
    """

    selector: Selector
    remaining: float
    n_trainable: int
    score: float


class LotteryTicket(list[LotteryRound]):
    """The rounds of iterative magnitude pruning; the first trains all parameters.

    Parameters
    ----------
    rounds : iterable of LotteryRound
        The rounds.
    estimator : PartialNet
        The unfitted estimator with the settings of all rounds.
    base : Base
        The network to which every round rewinds.

    Attributes
    ----------
    base : Base
        The network to which every round rewinds.

    See Also
    --------
    lottery_ticket : Search for a ticket.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from frozenfit import PartialNetClassifier
    >>> from frozenfit.analysis import lottery_ticket
    >>> X, y = load_iris(return_X_y=True)
    >>> settings = {"model_params": {"hidden_layer_sizes": (8,)}, "epochs": 2, "random_state": 0}
    >>> tickets = lottery_ticket(PartialNetClassifier("mlp", **settings), X, y, rounds=2)
    >>> [round(each.remaining, 2) for each in tickets]
    [1.0, 0.86, 0.73]
    >>> reinitialized = tickets.to_estimator(2, reinitialize=True, random_state=1).fit(X, y)
    >>> reinitialized.parameter_table().trainable == tickets[2].n_trainable
    True
    """

    def __init__(self, rounds: Any, estimator: PartialNet, base: Base):
        super().__init__(rounds)
        self._estimator, self.base = estimator, base

    def to_estimator(
        self, number: int = -1, *, reinitialize: bool = False, random_state: RandomState = None
    ) -> Any:
        """Return an unfitted estimator of the network that a round trained.

        Fit it to other data for the transfer of a ticket.

        Parameters
        ----------
        number : int, default=-1
            Number of the round, as an index of the list.
        reinitialize : bool, default=False
            Whether the remaining parameters start from new random values instead of those of
            `base`: the control experiment.
        random_state : int, RandomState or None, default=None
            `random_state` of the estimator; None keeps that of the search.

        Returns
        -------
        PartialNetClassifier or PartialNetRegressor
            An estimator with ``frozen="zero"``.

        Raises
        ------
        ValueError
            If a given network cannot be initialized anew.
        """
        ticket: Any = clone(self._estimator)
        if random_state is not None:
            ticket.set_params(random_state=random_state)
        selector = self[number].selector
        if reinitialize:
            if self.base.recipe is None:
                raise ValueError(
                    "`reinitialize=True` requires a model given by name or as a callable, got a "
                    "network with values. Pass the model as a callable."
                )
            return ticket.set_params(trainable=selector, frozen="zero")
        return _on(self.base, ticket, selector)

    def to_frame(self) -> pandas.DataFrame:
        """Return the rounds as a data frame.

        Returns
        -------
        pandas.DataFrame
            Columns ``remaining``, ``n_trainable`` and ``score``, indexed by ``round``.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        names = "remaining", "n_trainable", "score"
        rows = ({"round": i} | {n: getattr(r, n) for n in names} for i, r in enumerate(self))
        return frame(rows, "round")


def lottery_ticket(
    estimator: PartialNet,
    X: SamplesLike,
    y: ArrayLike,
    *,
    rounds: int = 7,
    rewind_to: int = 0,
    prune: float = 0.2,
    prune_head: float = 0.1,
    X_val: SamplesLike | None = None,
    y_val: ArrayLike | None = None,
    scoring: Any = None,
) -> LotteryTicket:
    """Search for a small part of a network that trains as well as the whole.

    All parameters are trained. In each round, the parameters of each kernel that are smallest in
    absolute value are set to zero for good, all others are rewound to the values that they had
    early in training, and the network is trained again.

    Parameters
    ----------
    estimator : PartialNetClassifier or PartialNetRegressor
        An unfitted estimator with the settings of every round. Its `trainable` and `frozen` are
        replaced. With an int as `random_state`, the result is reproducible.
    X : array-like of shape (n_samples, ...)
        Training samples.
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        Training targets.
    rounds : int, default=7
        Number of pruning rounds; 7 leave 21 % of a network of dense layers.
    rewind_to : int, default=0
        Number of epochs after which the values were taken that rounds rewind to. 0 means the
        initial values, which suffice for small networks.
    prune : float, default=0.2
        Fraction of the remaining parameters of a kernel that a round removes, as published.
    prune_head : float, default=0.1
        The same for the head.
    X_val, y_val : array-like or None, default=None
        Samples that are scored after each round, and their targets.
    scoring : str, callable or None, default=None
        A scorer of scikit-learn. None is the `score` of the estimator.

    Returns
    -------
    LotteryTicket
        The rounds, the first of which trains everything.

    Raises
    ------
    ValueError
        If an argument is invalid.
    TypeError
        If the estimator is of another kind.

    See Also
    --------
    frozenfit.selectors.magnitude : Select by absolute value once.

    Notes
    -----
    Biases and normalizations are not pruned. Where parameters are equal in absolute value, the
    first ones are removed.

    References
    ----------
    Frankle & Carbin 2018, "The lottery ticket hypothesis", arXiv 1803.03635; rewinding to a later
    epoch: Frankle et al. 2019, arXiv 1903.01611.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from frozenfit import PartialNetClassifier
    >>> from frozenfit.analysis import lottery_ticket
    >>> X, y = load_iris(return_X_y=True)
    >>> network = PartialNetClassifier("mlp", epochs=2, random_state=0)
    >>> tickets = lottery_ticket(network, X, y, rounds=1, X_val=X, y_val=y)
    >>> [each.n_trainable for each in tickets]
    [4099, 3535]
    """
    _check(estimator, rounds, rewind_to, {"prune": prune, "prune_head": prune_head})
    if (X_val is None) != (y_val is None):
        raise ValueError("`X_val` and `y_val` must be given together, got only one of them.")
    scorer: Any = check_scoring(estimator, scoring)
    fitted: Any = clone(estimator)
    fitted.set_params(trainable=1.0)
    snapshot = _Snapshot(rewind_to)
    if rewind_to:
        given = fitted.callbacks or []
        given = list(given) if isinstance(given, list | tuple) else [given]
        fitted.set_params(callbacks=[*given, snapshot])
    fitted.fit(X, y)
    base = fitted.base_
    if rewind_to:
        taken = fitted.callbacks_[-1].values
        if taken is None:
            raise ValueError(
                f"`rewind_to` must be at most the number of epochs, {fitted.n_iter_}, got "
                f"{rewind_to}."
            )
        base = base.with_values(taken)
    layout = fitted.part_.selection.layout
    kept = {info.path: np.ones(info.shape, bool) for info in layout.weights}
    tickets = LotteryTicket([], estimator, base)
    for number in range(rounds + 1):
        if number:
            kept = _pruned(kept, trained_values(fitted.part_), layout, prune, prune_head)
            fitted = _on(base, clone(estimator), mask(kept)).fit(X, y)
        score = np.nan if X_val is None else float(scorer(fitted, X_val, y_val))
        tickets.append(_round(kept, layout, score))
    return tickets


def _on(base: Base, estimator: Any, selector: Selector) -> Any:
    """Set an estimator to train some parameters of a base, all others of which are zero."""
    estimator.set_params(model=base, model_params=None, weight_init=None)
    return estimator.set_params(trainable=selector, frozen="zero")


class _Snapshot(keras.callbacks.Callback):
    """Keeps the values of a network after some epochs."""

    def __init__(self, epochs: int):
        super().__init__()
        self.epochs, self.values = epochs, None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch + 1 == self.epochs:
            model: Any = self.model
            self.values = dict(weights_of(model).assembled())


def _round(kept: Mapping[str, np.ndarray], layout: Layout, score: float) -> LotteryRound:
    kernels = [info.path for info in layout.weights if info.role == "kernel"]
    remaining = sum(kept[path].sum() for path in kernels) / sum(kept[p].size for p in kernels)
    n_trainable = sum(int(array.sum()) for array in kept.values())
    return LotteryRound(mask(kept), float(remaining), n_trainable, score)


def _pruned(
    kept: Mapping[str, np.ndarray],
    trained: Mapping[str, np.ndarray],
    layout: Layout,
    prune: float,
    prune_head: float,
) -> dict[str, np.ndarray]:
    """Remove the remaining parameters of each kernel that are smallest in absolute value."""
    fewer = dict(kept)
    for info in layout.weights:
        if info.role != "kernel":
            continue
        array = kept[info.path].copy()
        remaining = np.flatnonzero(array)
        share = prune_head if layout.in_head(info) else prune
        n_removed = round(share * len(remaining))
        order = np.argsort(np.abs(trained[info.path]).ravel()[remaining], kind="stable")
        array.flat[remaining[order[:n_removed]]] = False
        fewer[info.path] = array
    return fewer


def _check(estimator: Any, rounds: Any, rewind_to: Any, shares: Mapping[str, Any]) -> None:
    check_kind(estimator, "lottery_ticket")
    for name, value, least in (("rounds", rounds, 1), ("rewind_to", rewind_to, 0)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ValueError(f"`{name}` must be an int in [{least}, inf), got {value!r}.")
    for name, value in shares.items():
        if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < 1:
            raise ValueError(f"`{name}` must be a float in [0, 1), got {value!r}.")
