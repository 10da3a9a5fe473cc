"""Plain Keras models with the structure of a network and given values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from frozenfit.isolation import isolated
from frozenfit.layout import Survey
from frozenfit.utils.arrays import to_numpy

# What Keras raises for a model, or a layer inside it, that has no complete configuration.
NO_CONFIG = (NotImplementedError, TypeError, ValueError)
_ACTIVATIONS = (keras.layers.Activation, keras.layers.Softmax)


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


def with_head(model: keras.Model, n_outputs: int) -> keras.Model:
    """Return a copy of a network with a new last layer of the right size.

    The last Dense layer, and the activation after it, are replaced by a Dense layer of the same
    name and settings with `n_outputs` units and no activation, so that the copy returns logits or
    values of a regression. All other weights and states are those of the model.

    Parameters
    ----------
    model : keras.Model
        A built Functional or Sequential model that ends in a Dense layer, such as a pretrained
        classifier of other classes. It is not changed.
    n_outputs : int
        Number of classes or targets.

    Returns
    -------
    keras.Model
        A new model. The values of its last layer are drawn by that layer's initializers.

    Raises
    ------
    TypeError
        If `model` is not a Keras model.
    ValueError
        If `model` does not end in a Dense layer, or `n_outputs` is not an int of at least 1.

    See Also
    --------
    PartialNetClassifier : Takes such a network as `model`; ``trainable="head()"`` trains its head.

    Examples
    --------
    >>> import keras
    >>> from frozenfit import with_head
    >>> layers = [keras.layers.Dense(8), keras.layers.Dense(1000, "softmax")]
    >>> with_head(keras.Sequential([keras.Input((4,)), *layers]), 3).output_shape
    (None, 3)
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a keras.Model, got {type(model).__name__}.")
    if isinstance(n_outputs, bool) or not hasattr(n_outputs, "__index__") or n_outputs < 1:
        raise ValueError(f"`n_outputs` must be an int >= 1, got {n_outputs!r}.")
    _last_dense(model)  # before anything is copied
    survey = Survey(model)
    copy = plain_copy(survey, [to_numpy(v) for v in survey.variables], 0)
    dense, features = _last_dense(copy)
    head = keras.layers.Dense.from_config(
        {**dense.get_config(), "units": int(n_outputs), "activation": None}
    )
    inputs: Any = copy.inputs[0] if isinstance(copy, keras.Sequential) else copy.input
    return keras.Model(inputs, head(features), name=model.name)


def _last_dense(model: keras.Model) -> tuple[keras.layers.Dense, Any]:
    """Return the Dense layer that a model ends in, and the tensor it is applied to."""
    outputs = getattr(model, "outputs", None) or []
    operation = tensor = None
    if len(outputs) == 1:
        tensor = outputs[0]
        operation, node, _ = tensor._keras_history
        while isinstance(operation, _ACTIVATIONS):
            tensor = operation._inbound_nodes[node].input_tensors[0]
            operation, node, _ = tensor._keras_history
        if type(operation) is keras.layers.Dense:
            return operation, operation._inbound_nodes[node].input_tensors[0]
    found = f"{len(outputs)} outputs" if len(outputs) != 1 else type(operation).__name__
    found = found if outputs else "a model without a graph of layers"
    raise ValueError(
        "`model` must be a Functional or Sequential model that ends in one Dense layer, got "
        f"{found}. "
        "Build the head yourself: keras.Model(model.inputs, Dense(n_outputs)(features))."
    )


def _clone(model: keras.Model) -> keras.Model:
    try:
        return keras.models.clone_model(model)
    except Exception as error:  # Keras lets whatever the configuration of a layer raises pass
        raise ValueError(
            f"`base` {model.name!r} cannot be built again from its configuration. Pass "
            "PartialModel a rebuild=... that builds an empty network of the same structure."
        ) from error
