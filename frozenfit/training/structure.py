"""The structure of a given model: a copy of it without its values, and what tells it apart."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import keras
import numpy as np

from frozenfit import layout as _layout
from frozenfit.isolation import keep_paths


def all_weights(model: keras.Model) -> dict[str, Any]:
    """Return every variable of a model that is no state, by path.

    Parameters
    ----------
    model : keras.Model
        A built model.

    Returns
    -------
    dict of str to keras.Variable
        Trainable weights, then those frozen by ``trainable=False`` as ``frozen:0`` and so on.
    """
    weights = dict(_layout.trainable(model))
    known = {id(v) for v in weights.values()}
    known |= {id(v) for _, v in _layout.states(model).values()}
    rest = [v for v in model.variables if id(v) not in known]
    return weights | {f"frozen:{i}": v for i, v in enumerate(rest)}


def identity(model: keras.Model) -> Any:
    """Say what a given model's computation depends on, or its identity where that is unknown.

    Parameters
    ----------
    model : keras.Model
        A built model.

    Returns
    -------
    hashable
        Equal for models that may share compiled code.
    """
    if not _copyable(model):
        return id(model)
    try:
        config = model.get_config()
    except (NotImplementedError, TypeError, ValueError):  # a layer inside tells none
        return id(model)
    flags = tuple(v.trainable for v in model.variables)
    return json.dumps(config, sort_keys=True, default=_written), flags


def _written(value: Any) -> str:
    """Write what JSON cannot say; the printed form of an array leaves its middle out."""
    if hasattr(value, "__array__"):
        array = np.asarray(value)
        return f"{array.dtype}{array.shape}{hashlib.sha256(array.tobytes()).hexdigest()}"
    return repr(value)


def _copyable(model: keras.Model) -> bool:
    return isinstance(model, keras.Sequential) or type(model).__name__ == "Functional"


def copied(model: keras.Model) -> keras.Model | None:
    """Make an empty network of a given model's structure.

    Parameters
    ----------
    model : keras.Model
        A built model.

    Returns
    -------
    keras.Model or None
        With the paths and flags of the model; None where it cannot be made from its configuration.
    """
    if not _copyable(model):
        return None
    try:
        copy = keras.models.clone_model(model)
    except (NotImplementedError, TypeError, ValueError):
        return None
    if not copy.built:
        return None
    keep_paths(copy, model)
    for layer, source in zip(copy._flatten_layers(), model._flatten_layers(), strict=True):
        if not source.trainable:
            layer.trainable = False
    ours, theirs = all_weights(copy), all_weights(model)
    same = [(p, tuple(v.shape)) for p, v in ours.items()] == [
        (p, tuple(v.shape)) for p, v in theirs.items()
    ]
    return copy if same else None
