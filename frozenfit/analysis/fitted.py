"""The fitted networks that an analysis reads, and variants of them with other values."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from frozenfit.delta import Delta
from frozenfit.estimators.fitted_part import FittedPart
from frozenfit.estimators.partial_base import PartialNet
from frozenfit.selectors import Selection, forms
from frozenfit.training.workspace import workspace


def check_network(estimator: Any, function: str) -> PartialNet:
    """Return a fitted estimator with a single network.

    Parameters
    ----------
    estimator : object
        What a caller passed.
    function : str
        Name of the function, for the message.

    Returns
    -------
    PartialNet
        The estimator.

    Raises
    ------
    TypeError
        If it is of another kind.
    NotFittedError
        If it is not fitted.
    """
    check_kind(estimator, function)
    check_is_fitted(estimator)
    return estimator


def check_kind(estimator: Any, function: str) -> None:
    """Raise an error where an estimator has not a single network.

    Parameters
    ----------
    estimator : object
        What a caller passed.
    function : str
        Name of the function, for the message.

    Raises
    ------
    TypeError
        If it is of another kind.
    """
    if not isinstance(estimator, PartialNet):
        raise TypeError(
            f"`estimator` of `{function}` must be a PartialNetClassifier or PartialNetRegressor, "
            f"got {type(estimator).__name__}."
        )


def initial_values(part: FittedPart) -> dict[str, np.ndarray]:
    """Return the weights and states from which the training of a network started.

    Parameters
    ----------
    part : FittedPart
        The trained part.

    Returns
    -------
    dict of str to ndarray
        Values by path, frozen parameters included.
    """
    base = part.base
    with workspace.check_out(base) as network:
        compiled = network.compiled(base, part.selection, part.frozen, part.statistics)
        states = network.initial_states(base, part.seeds["states"])
        start = compiled.weights.initial_delta(part.selection, network.values(base), states)
        compiled.load(base, part.selection, start)
        return dict(compiled.model.assembled())


def trained_values(part: FittedPart) -> dict[str, np.ndarray]:
    """Return the weights and states of a trained network.

    Parameters
    ----------
    part : FittedPart
        The trained part.

    Returns
    -------
    dict of str to ndarray
        Values by path, frozen parameters included.
    """
    with workspace.check_out(part.base) as network:
        return dict(part.load(network).model.assembled())


def with_values(estimator: PartialNet, values: Mapping[str, np.ndarray]) -> Any:
    """Return a fitted estimator whose network has other values of some weights and states.

    Parameters
    ----------
    estimator : PartialNet
        A fitted estimator, which does not change.
    values : mapping of str to ndarray
        Whole weights and states by path; others are as trained.

    Returns
    -------
    PartialNet
        A copy that predicts with these values.
    """
    part: FittedPart = estimator.part_
    layout = part.selection.layout
    # Everything is in the base and nothing in the delta, so that all variants share compiled code.
    nothing = Selection({path: forms.Nothing() for path in layout.paths}, layout)
    states = {path: values.get(path, state) for path, state in part.delta.states.items()}
    changed = copy.copy(estimator)
    base = part.trained_base.with_values(values)
    changed.part_ = FittedPart(base, nothing, "keep", False, part.seeds, Delta({}, states))
    return changed
