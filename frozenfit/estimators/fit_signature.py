"""What a fit with a checkpoint depends on, so that only the same fit continues from its file."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from numbers import Integral
from types import FunctionType
from typing import TYPE_CHECKING, Any

import keras

import frozenfit
from frozenfit.training.checkpoint import Checkpoint, as_checkpoint
from frozenfit.utils import losses
from frozenfit.utils.arrays import keras_reads_variables
from frozenfit.utils.describe import class_name, describe, digest
from frozenfit.utils.scikit_learn import has_callbacks

if TYPE_CHECKING:
    from frozenfit.estimators.base import FitData
    from frozenfit.estimators.fitted_part import FittedPart
    from frozenfit.training.optimizers import OptimizerState
    from frozenfit.training.streamed import AnyData

__all__ = ["checkpoint_of", "signature"]

# Parameters that change no weight, and those that are described in another way.
_WITHOUT_EFFECT = ("checkpoint", "verbose", "random_state", "model")


def checkpoint_of(estimator: Any) -> Checkpoint | None:
    """Return the checkpoint of a fit.

    Parameters
    ----------
    estimator : NetworkEstimator
        The estimator that is being fitted.

    Returns
    -------
    Checkpoint or None
        None where the fit writes none.

    Raises
    ------
    ValueError
        If the fit could not continue from a checkpoint.
    """
    settings = estimator._settings
    checkpoint = as_checkpoint(getattr(settings, "checkpoint", None))
    if checkpoint is None:
        return None
    if estimator.random_state is None:
        raise ValueError(
            "`checkpoint` requires an int as `random_state`, got None: the fit run again would "
            "draw another seed, and could not continue."
        )
    if settings.callbacks or has_callbacks(estimator) or has_callbacks(settings):
        raise ValueError(
            "`checkpoint` cannot be combined with callbacks, whose state is unknown and would be "
            "lost. Use early_stopping, lr_schedule and verbose, or checkpoint=None."
        )
    return checkpoint


def signature(
    estimator: Any, fit_data: FitData, part: FittedPart, optimizer_state: OptimizerState | None
) -> dict[str, dict[str, str]]:
    """Describe everything that the trained weights depend on.

    Parameters
    ----------
    estimator : PartialNet
        The estimator that is being fitted.
    fit_data : FitData
        Its training data.
    part : FittedPart
        The part that training starts from.
    optimizer_state : OptimizerState or None
        The optimizer that training continues with.

    Returns
    -------
    dict of str to dict of str to str
        For `CheckpointFile`.
    """
    backend = keras.config.backend()
    return {
        "class": {"estimator": class_name(estimator)},
        "parameter": _parameter_texts(estimator, fit_data.seed),
        "data": {
            **fit_data.data.digests(),
            **_validation_digests(fit_data.validation),
            "network": f"{part.base.fingerprint} {part.base.policy.name}",
            "parameters at the start": digest([part.delta.trained, part.delta.states]),
            "optimizer at the start": _optimizer_digest(optimizer_state),
        },
        "version": {
            "frozenfit": frozenfit.__version__,
            "keras": keras.__version__,
            "backend": f"{backend} {sys.modules[backend].__version__}",
        },
    }


def _parameter_texts(estimator: Any, seed: int) -> dict[str, str]:
    params = estimator.get_params(deep=False)
    with keras_reads_variables():
        texts = {
            name: describe(_plain(value, with_seeds=name != "augment"))
            for name, value in sorted(params.items())
            if name not in _WITHOUT_EFFECT
        }
    # The values of a network are in its fingerprint.
    model, state = estimator.model, estimator.random_state
    is_text = isinstance(model, str | FunctionType)
    texts["model"] = describe(model) if is_text else class_name(model)
    texts["random_state"] = describe(state) if isinstance(state, Integral) else f"seed {seed}"
    return texts


def _validation_digests(data: AnyData | None) -> dict[str, str]:
    held = {} if data is None else data.digests()
    return {"X_val": held.get("X", ""), "y_val": held.get("y", "")}


def _optimizer_digest(state: OptimizerState | None) -> str:
    return "" if state is None else digest([state.variables, state.steps])


def _plain(value: Any, with_seeds: bool) -> Any:
    """Return Keras objects as class and configuration, without what differs between processes.

    Keras numbers the names of objects, and draws the seed of a layer that is given none.
    """
    if isinstance(value, list | tuple):
        return [_plain(item, with_seeds) for item in value]
    if hasattr(value, "get_config") and not isinstance(value, type):
        dropped = {"name"} if with_seeds else {"name", "seed"}
        complete = losses.is_of_keras(value)
        config = losses.arguments(value) if complete else value.get_config()
        return [class_name(value), _without(config, dropped)]
    return value


def _without(config: Any, dropped: set[str]) -> Any:
    if isinstance(config, list | tuple):
        return [_without(item, dropped) for item in config]
    if isinstance(config, Mapping):
        return {k: _without(item, dropped) for k, item in config.items() if k not in dropped}
    return config
