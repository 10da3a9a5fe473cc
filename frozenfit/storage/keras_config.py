"""Keras objects as Keras describes them, and back, with nothing in a file that names code to run.

Keras writes an object as a dictionary of class, module and configuration. Read here are its own
layers, optimizers, initializers and the like, and classes and functions registered with it; Keras
builds them in its safe mode.
"""

from __future__ import annotations

import types
from typing import Any

import keras

from frozenfit.isolation import isolated
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
# Where Keras's own objects of these kinds live; "keras.src" as far as Keras itself writes it.
_MODULES = (
    "keras.activations",
    "keras.constraints",
    "keras.dtype_policies",
    "keras.initializers",
    "keras.layers",
    "keras.losses",
    "keras.metrics",
    "keras.models",
    "keras.optimizers",
    "keras.random",
    "keras.regularizers",
    "keras.src.layers",
    "keras.src.models",
    "keras.src.ops",
)
# Keras's own, but they load code or other files.
_REFUSED_CLASSES = frozenset({"FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"})
_PLAIN_MARKS = frozenset(
    {"__bytes__", "__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__"}
)


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
        None for a function that Keras does not know by a name. Left out is how an object was
        compiled, and how one that is no network was built: it is a setting, copied for each fit.
    """
    if isinstance(value, types.FunctionType):
        return _function_config(value)
    if type(value) is keras.DTypePolicy:
        # Every file holds one, and Keras's serialization would import TensorFlow on any backend.
        return {**_POLICY, "config": value.get_config()}
    with keras_reads_variables():
        config = _portable(keras.saving.serialize_keras_object(value))
    config.pop("compile_config", None)
    if not isinstance(value, keras.Model):
        config.pop("build_config", None)
    return config


def build(config: Any) -> Any:
    """Make an object from its description.

    All random streams are left as found, and so are the counters behind Keras's names.

    Parameters
    ----------
    config : object
        What `describe` returned, from a source that need not be trusted.

    Returns
    -------
    object

    Raises
    ------
    ValueError
        If the description names anything else than Keras's own or registered objects, or Keras
        fails to build it.
    """
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        raise ValueError("the description of a Keras object has no class")
    _check_config(config)
    try:
        if {**config, "config": None} == {**_POLICY, "config": None}:
            return keras.DTypePolicy(**config["config"])
        with isolated(0):
            return keras.saving.deserialize_keras_object(config, safe_mode=True)
    except Exception as error:  # a description may make any of Keras's constructors fail in any way
        raise ValueError(
            f"Keras cannot build its {config['class_name']} ({first_line(error)})"
        ) from error


def check_registered(value: Any, where: str) -> None:
    """Refuse an object whose class Keras could not find again.

    Parameters
    ----------
    value : object
        One of `OBJECTS`, or a network.
    where : str
        What it is, for the error.

    Raises
    ------
    ValueError
        If the class is neither Keras's own nor registered with it.
    """
    kind = type(value)
    own = kind.__module__.partition(".")[0] in ("keras", "keras_hub")
    if not own and keras.saving.get_registered_name(kind) == kind.__name__:
        raise ValueError(
            f"{where} is a {kind.__name__}, a class that Keras does not know: "
            "register it with @keras.saving.register_keras_serializable()"
        )


def first_line(error: BaseException) -> str:
    """Return the first sentence of an error, with its type unless it is a ValueError.

    Parameters
    ----------
    error : BaseException
        Any error; Keras's own go on for many lines.

    Returns
    -------
    str

    Examples
    --------
    >>> first_line(KeyError("shape"))
    "KeyError: 'shape'"
    """
    lines = str(error).strip().splitlines()
    told = lines[0].strip().rstrip(".") if lines else ""
    told = told if len(told) <= 300 else told[:300] + "..."
    if isinstance(error, ValueError) and told:
        return told
    return f"{type(error).__name__}: {told}" if told else type(error).__name__


def _function_config(function: types.FunctionType) -> Any:
    if function.__name__ == "<lambda>":  # Keras would write its bytecode
        return None
    config = keras.saving.serialize_keras_object(function)
    try:
        return config if build(config) is function else None
    except ValueError:
        return None


def _portable(config: Any) -> Any:
    """Name optimizers by their public names: on some backends Keras names that backend's class."""
    if isinstance(config, (list, tuple)):
        return type(config)(_portable(item) for item in config)
    if not isinstance(config, dict):
        return config
    config = {key: _portable(item) for key, item in config.items()}
    if str(config.get("module")).startswith("keras.src.backend."):
        if hasattr(keras.optimizers, str(config.get("class_name"))):
            config |= {"module": "keras.optimizers", "registered_name": None}
    return config


def _check_config(config: Any) -> None:
    """Refuse a description that names anything else than Keras's own or registered objects."""
    if isinstance(config, (list, tuple)):
        for item in config:
            _check_config(item)
    elif isinstance(config, dict):
        name, module = config.get("class_name"), config.get("module")
        if isinstance(name, str):
            _check_class(name, module, config.get("registered_name"))
        elif module is not None and "config" in config:
            raise ValueError(f"no Keras object is called {name!r}")
        for item in config.values():
            _check_config(item)


def _check_class(name: str, module: Any, registered: Any) -> None:
    marked = name.startswith("__")
    if name in _REFUSED_CLASSES or (marked and name not in _PLAIN_MARKS):
        raise ValueError(f"a file may not hold the Keras object {name}")
    if marked or module in (None, "builtins", "keras"):
        return
    if isinstance(registered, str) and keras.saving.get_registered_object(registered) is not None:
        return
    own = isinstance(module, str) and any(
        module == known or module.startswith(known + ".") for known in _MODULES
    )
    if not own:
        raise ValueError(
            f"{name} of {module} is not registered with Keras here: import the module that "
            "registers it first"
        )
