"""The base that an estimator is trained on: drawn from a recipe, given, or a fitted estimator's."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from sklearn.frozen import FrozenEstimator

from frozenfit.estimators.base import FitData, NetworkEstimator
from frozenfit.training.base import Base
from frozenfit.training.recipe import Recipe, initializer_json

if TYPE_CHECKING:
    from frozenfit.estimators.partial_base import PartialNet

# Enough to see the range of pixels without reading a memory map as a whole.
_ROWS_LOOKED_AT = 64


def make_base(estimator: PartialNet, fit_data: FitData, seed: int) -> Base:
    """Return the base that an estimator is trained on.

    Parameters
    ----------
    estimator : PartialNet
        The estimator, with the attributes of the data set.
    fit_data : FitData
        Training data.
    seed : int
        Seed of the base.

    Returns
    -------
    Base
        That of the last fit where training continues.

    Raises
    ------
    ValueError
        If a parameter has no effect on a given model, or the network has changed since the last
        fit.
    """
    if fit_data.resume:
        estimator._check_same_network()
        return estimator.base_
    model = estimator.model
    n_logits = None if fit_data.task == "regression" else fit_data.n_outputs
    if isinstance(model, NetworkEstimator | FrozenEstimator):
        model = trained_base(model)
    if isinstance(model, Base | keras.Model):
        for name in ("model_params", "weight_init"):
            if getattr(estimator, name) is not None:
                raise ValueError(
                    f"`{name}` has no effect on a given network. Use {name}=None, or pass "
                    "the model as a name or a callable."
                )
        if isinstance(model, Base):
            return model.with_outputs(fit_data.n_outputs)
        return Base(model, seed=seed, n_logits=n_logits)
    if model == "application":
        _warn_of_odd_application(estimator, fit_data)
    recipe = Recipe(
        model,
        estimator.input_shape_,
        fit_data.n_outputs,
        dict(estimator.model_params or {}),
        initializer_json(estimator.weight_init),
        drawn=estimator.frozen != "keep",
    )
    return Base(recipe, seed=seed, n_logits=n_logits)


def _warn_of_odd_application(estimator: PartialNet, fit_data: FitData) -> None:
    """Warn where a network of keras.applications would be trained on useless features."""
    params = estimator.model_params or {}
    if estimator.frozen == "keep" and params.get("weights") is None:
        warnings.warn(
            "The frozen parameters of `application` are random, because weights=None. Use "
            "model_params={'weights': 'imagenet'} or the path of a weights file for pretrained "
            "ones, or frozen='auto' for random ones.",
            UserWarning,
            stacklevel=2,
        )
    data, high = fit_data.data.first, max(params.get("value_range", (0, 1)))
    largest = float(np.max(data.X[data.rows[:_ROWS_LOOKED_AT]], initial=0))
    if largest > 2 * high:
        warnings.warn(
            f"The pixels of X should have values in value_range={params.get('value_range', (0, 1))}"
            f", got {largest:g}. Scale X, or use model_params={{'value_range': (0, 255)}}.",
            UserWarning,
            stacklevel=2,
        )


def trained_base(model: NetworkEstimator | FrozenEstimator) -> Base:
    """Return the trained network of a fitted estimator as a base.

    Parameters
    ----------
    model : PartialNet or FrozenEstimator
        A fitted estimator.

    Returns
    -------
    Base
        The same object for the same fit.

    Raises
    ------
    ValueError
        If the estimator is of another kind, or not fitted.
    """
    inner: Any = model.estimator if isinstance(model, FrozenEstimator) else model
    if not hasattr(inner, "_as_base"):  # that of another library, of a least-squares model, ...
        raise ValueError(
            "`model` must be the name of a network, a callable, a keras.Model, or a fitted "
            f"PartialNetClassifier or PartialNetRegressor, got {type(inner).__name__}."
        )
    return inner._as_base()
