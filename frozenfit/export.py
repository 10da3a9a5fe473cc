"""Plain Keras models with the structure of a network and given values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np

from frozenfit.isolation import isolated
from frozenfit.layout import Survey


def plain_copy(
    survey: Survey,
    values: Sequence[np.ndarray],
    seed: int,
    rebuild: Callable[[], keras.Model] | None = None,
) -> keras.Model:
    """Create a Keras model with the structure of a network and given values.

    Parameters
    ----------
    survey : Survey
        Survey of the network.
    values : sequence of ndarray
        One for each of `survey.variables`, in their order.
    seed : int
        Seed of the initializers that run while the model is built.
    rebuild : callable or None, default=None
        Builds an empty network of the same structure; None uses the configuration.

    Returns
    -------
    keras.Model
        A new model.

    Raises
    ------
    ValueError
        If the network cannot be built from its configuration, or `rebuild` returns another one.
    """
    with isolated(seed):
        model = _clone(survey.model) if rebuild is None else rebuild()
    # By order, because a function may give its layers other names at each call.
    targets, originals = Survey(model).variables, survey.variables
    ours, theirs = ([(v.name, tuple(v.shape)) for v in group] for group in (targets, originals))
    if ours != theirs:
        odd = [f"{name} {shape}" for name, shape in ours if (name, shape) not in theirs]
        raise ValueError(
            f"`rebuild` must return a network with the {len(theirs)} weights and states of the "
            f"base in the same order, got {len(ours)}, among them "
            f"{', '.join(odd[:3]) or 'the same in another order'}."
        )
    for variable, value in zip(targets, values, strict=True):
        variable.assign(value.astype(variable.dtype))
    return model


def _clone(model: keras.Model) -> keras.Model:
    try:
        return keras.models.clone_model(model)
    except Exception as error:  # Keras lets whatever the configuration of a layer raises pass
        raise ValueError(
            f"`base` {model.name!r} cannot be built again from its configuration. Pass "
            "PartialModel a rebuild=... that builds an empty network of the same structure."
        ) from error
