"""The structure of a Keras model without its values: a key to compare it by, and empty copies."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import keras
import numpy as np

from frozenfit.export import NO_CONFIG
from frozenfit.layout import Survey


def structure_key(model: keras.Model) -> Any:
    """Return a key of what the computation of a model depends on.

    Parameters
    ----------
    model : keras.Model
        A built model.

    Returns
    -------
    hashable
        Equal for models that may share compiled code. Where the configuration is unknown it is
        the identity of the object.
    """
    if not _has_graph(model):
        return id(model)
    try:
        config = model.get_config()
    except NO_CONFIG:
        return id(model)
    flags = tuple(v.trainable for v in model.variables)
    return json.dumps(config, sort_keys=True, default=_as_text), flags


def empty_copy(model: keras.Model) -> keras.Model | None:
    """Create a network with the structure of a model; its values are arbitrary.

    Parameters
    ----------
    model : keras.Model
        A built model.

    Returns
    -------
    keras.Model or None
        A network with the paths and flags of the model; None where its configuration does not
        give the same weights.
    """
    if not _has_graph(model):
        return None
    try:
        copy = keras.models.clone_model(model)
    except NO_CONFIG:
        return None
    if not copy.built:
        return None
    for layer, source in zip(copy._flatten_layers(), model._flatten_layers(), strict=True):
        if not source.trainable:
            layer.trainable = False
    ours, theirs = Survey(copy).weights, Survey(model).weights
    same = [(p, tuple(v.shape)) for p, v in ours.items()] == [
        (p, tuple(v.shape)) for p, v in theirs.items()
    ]
    return copy if same else None


def _has_graph(model: keras.Model) -> bool:
    return isinstance(model, keras.Sequential) or type(model).__name__ == "Functional"


def _as_text(value: Any) -> str:
    # The printed form of a long array leaves its middle out, so two arrays could look equal.
    if hasattr(value, "__array__"):
        array = np.asarray(value)
        return f"{array.dtype}{array.shape}{hashlib.sha256(array.tobytes()).hexdigest()}"
    return repr(value)
