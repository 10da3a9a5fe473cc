"""One network trained as a whole, with which an ensemble is compared."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from frozenfit.estimators.partial_base import PartialNet, part_seeds, train_part

if TYPE_CHECKING:
    from frozenfit.estimators.ensemble_base import CheapEnsemble

__all__ = ["train_one_network"]


def train_one_network(ensemble: CheapEnsemble, X: Any, y: Any) -> Any:
    """Train one network as a whole with the settings of an ensemble.

    Parameters
    ----------
    ensemble : CheapEnsemble
        The fitted ensemble.
    X, y : array-like or None
        Training data, or a source of batches as `X` alone.

    Returns
    -------
    PartialNet or None
        The fitted network; None without data.

    Raises
    ------
    ValueError
        If there are targets without samples, or the data do not match those of the ensemble.

    Notes
    -----
    The network starts from the values that the base of the ensemble started from. Where the base
    is trained before its members, the network gets the epochs of both, so that it differs from a
    member in what is trained and in nothing else.
    """
    if X is None:
        if y is not None:
            raise ValueError("`y_train` requires `X_train`, got None. Pass both, or neither.")
        return None
    one = _untrained(ensemble)
    one._validate_params()
    fit_data = one._fit_data(X, y, None, None, None, resume=False)
    _check_alike(ensemble, one)
    seed = ensemble._seeds["base"]
    train_part(one, replace(fit_data, seed=seed), part_seeds(seed))
    return one


def _untrained(ensemble: CheapEnsemble) -> PartialNet:
    settings = ensemble._settings
    one = type(settings)(**settings.get_params(deep=False))
    # A checkpoint is the file of the ensemble's own training.
    one.set_params(trainable=1.0, warm_start=False, checkpoint=None, verbose=ensemble.verbose)
    if ensemble.base == "trained" and one.epochs != "auto":
        one.set_params(epochs=int(one.epochs) + ensemble.base_epochs)
    return one


def _check_alike(ensemble: CheapEnsemble, one: PartialNet) -> None:
    """Raise an error where training data differ from those of the ensemble in shape or classes."""
    if one.input_shape_ != ensemble.input_shape_:
        raise ValueError(
            f"`X_train` must have samples of shape {ensemble.input_shape_}, as in `fit`, got "
            f"{one.input_shape_}."
        )
    now: Any = getattr(one, "classes_", None)
    then: Any = getattr(ensemble, "classes_", None)
    if not np.array_equal(now, then):
        raise ValueError(
            f"`y_train` must have the classes of `fit`, {_listed(then)}, got {_listed(now)}. Pass "
            "the training data of the ensemble."
        )


def _listed(classes: Any) -> list:
    return np.asarray(classes).tolist()
