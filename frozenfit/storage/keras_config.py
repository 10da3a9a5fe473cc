"""Keras objects as JSON descriptions, and back.

Keras writes an object as a dictionary of class, module and configuration. Before Keras builds an
object from a description of a file, `allow_list` checks everything that the description names.
"""

from __future__ import annotations

import re
import types
from typing import Any

import keras

from frozenfit.isolation import isolated
from frozenfit.storage.allow_list import check_config
from frozenfit.utils import losses
from frozenfit.utils.arrays import keras_reads_variables

__all__ = ["OBJECTS", "build", "check_registered", "describe", "first_line"]

OBJECTS = (
    keras.optimizers.Optimizer,
    keras.optimizers.schedules.LearningRateSchedule,
    keras.initializers.Initializer,
    keras.layers.Layer,
    keras.regularizers.Regularizer,
    keras.constraints.Constraint,
    keras.losses.Loss,
    keras.metrics.Metric,
    keras.dtype_policies.DTypePolicy,
)
_COLORS = re.compile("\x1b\\[[0-9;]*m")
_POLICY = {
    "module": "keras",
    "class_name": "DTypePolicy",
    "config": None,
    "registered_name": None,
}


def describe(value: Any) -> Any:
    """Return Keras's description of an object or a function, the same on every backend.

    Parameters
    ----------
    value : object
        One of `OBJECTS`, a network, or a function.

    Returns
    -------
    dict or None
        None for a function that Keras cannot find by name. How an object was compiled is left out,
        and so is how a layer was built: a layer is a parameter that every fit copies.
    """
    if isinstance(value, types.FunctionType):
        return _function_config(value)
    if type(value) is keras.DTypePolicy:
        # Every file contains one, and Keras's serialization imports TensorFlow on any backend.
        return {**_POLICY, "config": value.get_config()}
    with keras_reads_variables():
        config = _portable(keras.saving.serialize_keras_object(value))
    if losses.is_of_keras(value):
        config["config"] = losses.arguments(value)
    if not isinstance(value, keras.Model):
        config.pop("build_config", None)
    return config


def build(config: Any) -> Any:
    """Build an object from its description.

    Neither random streams nor the counters of automatic layer names are changed.

    Parameters
    ----------
    config : object
        A description as `describe` returns it, from an untrusted source.

    Returns
    -------
    object

    Raises
    ------
    ValueError
        If the description names an object that is not on the allow-list, or Keras cannot build it.
    """
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        raise ValueError("the description of a Keras object must contain the name of a class")
    check_config(config)
    try:
        if {**config, "config": None} == {**_POLICY, "config": None}:
            return keras.DTypePolicy(**config["config"])
        with isolated(0):
            return keras.saving.deserialize_keras_object(config, safe_mode=True)
    except Exception as error:  # constructors of Keras raise any error for invalid arguments
        raise ValueError(
            f"Keras cannot build the {config['class_name']} ({first_line(error)})"
        ) from error


def check_registered(value: Any, where: str) -> None:
    """Check that Keras can find the class of an object again.

    Parameters
    ----------
    value : object
        One of `OBJECTS`, or a network.
    where : str
        Name of the value, for the error.

    Raises
    ------
    ValueError
        If the class is neither part of Keras nor registered with it.
    """
    kind = type(value)
    if (
        kind.__module__.partition(".")[0] != "keras"
        and keras.saving.get_registered_name(kind) == kind.__name__
    ):
        raise ValueError(
            f"{where} is a {kind.__name__}, a class that is not registered with Keras: "
            "decorate it with @keras.saving.register_keras_serializable()"
        )


def first_line(error: BaseException) -> str:
    """Return the first sentence of an error, with its type unless it is a ValueError.

    Parameters
    ----------
    error : BaseException
        Any error; those of Keras have many lines.

    Returns
    -------
    str

    Examples
    --------
    >>> first_line(KeyError("shape"))
    "KeyError: 'shape'"
    """
    lines = [line.strip() for line in _COLORS.sub("", str(error)).splitlines() if line.strip()]
    # Keras puts the layer in front of the error that the layer raised.
    text = next((line for line in lines if not line.startswith("Exception encountered")), "")
    text = (text or "".join(lines[:1])).rstrip(".")
    text = text if len(text) <= 300 else text[:300] + "..."
    if isinstance(error, ValueError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _function_config(function: types.FunctionType) -> Any:
    if function.__name__ == "<lambda>":  # Keras would write its bytecode
        return None
    config = keras.saving.serialize_keras_object(function)
    try:
        return config if build(config) is function else None
    except ValueError:
        return None


def _portable(config: Any) -> Any:
    """Return a description that is the same on every backend, and without how it was compiled.

    On some backends Keras names the optimizer class of that backend.
    """
    if isinstance(config, (list, tuple)):
        return type(config)(_portable(item) for item in config)
    if not isinstance(config, dict):
        return config
    is_object = "class_name" in config
    config = {
        key: _portable(item)
        for key, item in config.items()
        if not (is_object and key == "compile_config")
    }
    if str(config.get("module")).startswith("keras.src.backend."):
        if hasattr(keras.optimizers, str(config.get("class_name"))):
            config |= {"module": "keras.optimizers", "registered_name": None}
    return config
