"""The allow-list of Keras objects that a file may name.

Keras resolves a description by importing modules and looking up names, and its safe mode only
refuses marshaled lambdas. A description is therefore checked before Keras sees it: every object
that it names is looked up here by its exact name in one of a few public namespaces, and the object
that is found must belong to the family of that namespace.
"""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Mapping
from typing import Any

import keras

__all__ = ["check_config"]

# The namespaces of Keras's classes, each with the base class of its family.
_CLASSES: dict[str, tuple[types.ModuleType, tuple[type, ...]]] = {
    "keras": (keras, (keras.Model, keras.DTypePolicy)),
    "keras.constraints": (keras.constraints, (keras.constraints.Constraint,)),
    "keras.initializers": (keras.initializers, (keras.Initializer,)),
    "keras.layers": (keras.layers, (keras.Layer,)),
    "keras.losses": (keras.losses, (keras.Loss,)),
    "keras.metrics": (keras.metrics, (keras.Metric,)),
    "keras.models": (keras.models, (keras.Model,)),
    "keras.optimizers": (keras.optimizers, (keras.Optimizer,)),
    "keras.optimizers.schedules": (
        keras.optimizers.schedules,
        (keras.optimizers.schedules.LearningRateSchedule,),
    ),
    "keras.random": (keras.random, (keras.random.SeedGenerator,)),
    "keras.regularizers": (keras.regularizers, (keras.Regularizer,)),
}
# Keras writes classes that it does not export under the private module that defines them.
_FUNCTIONAL = "keras.src.models.functional"
_OPERATIONS = "keras.src.ops."
_FUNCTIONS = {
    "keras.activations": keras.activations,
    "keras.losses": keras.losses,
    "keras.metrics": keras.metrics,
}
# Functions of these namespaces that look up other objects.
_LOOKUPS = frozenset({"deserialize", "get", "serialize"})
# Layers whose configuration is code (Lambda), a path that is read, or a pickle.
_REFUSED = (
    keras.layers.Lambda,
    keras.layers.TFSMLayer,
    keras.layers.FlaxLayer,
    keras.layers.JaxLayer,
    keras.layers.TorchModuleWrapper,
    keras.layers.StringLookup,
    keras.layers.IntegerLookup,
    keras.layers.TextVectorization,
)
# What the running program may register with Keras for a file to name.
_REGISTRABLE = (
    *(base for _, bases in _CLASSES.values() for base in bases),
    keras.Operation,
)
_DTYPES = frozenset(
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 bfloat16 float32 float64 "
    "complex64 complex128 string".split()
)
_POLICIES = _DTYPES | {"mixed_float16", "mixed_bfloat16"}
_DEEPEST = 16  # objects within objects: Bidirectional doubles the work at each level


def check_config(config: Any) -> None:
    """Check that a description names nothing but objects on the allow-list.

    Parameters
    ----------
    config : object
        A description as `keras.saving.serialize_keras_object` returns it, from an untrusted
        source.

    Raises
    ------
    ValueError
        If the description names anything else, or an object in a form that Keras resolves by
        other rules than those that are checked here.

    Examples
    --------
    >>> import keras
    >>> check_config(keras.saving.serialize_keras_object(keras.layers.ReLU()))
    >>> check_config({"class_name": "get_file", "module": "keras.utils", "config": {}})
    Traceback (most recent call last):
    ValueError: A file must not name get_file of keras.utils: it is neither on the allow-list of \
Keras objects nor registered with keras.saving.register_keras_serializable; import the module that \
registers it first.
    """
    _check(config, 0)


def _check(config: Any, depth: int) -> None:
    if isinstance(config, list | tuple):
        for item in config:
            _check(item, depth)
    elif isinstance(config, dict):
        if "class_name" in config:
            _check_object(config, depth)
        # Keras compiles a nested model while it reads it, which needs no file of an estimator.
        if config.get("compile_config"):
            raise ValueError("A file must not contain how a Keras model was compiled.")
        if "dtype" in config:
            _check_dtype(config["dtype"])
        for node in config.get("inbound_nodes") or ():
            _check_node(node)
        for key, item in config.items():
            if key != "inbound_nodes":
                _check(item, depth + 1 if "class_name" in config else depth)


def _check_object(config: dict[str, Any], depth: int) -> None:
    name = config["class_name"]
    if not isinstance(name, str) or "config" not in config:
        raise ValueError(f"A Keras object must have a name and a configuration, got {name!r}.")
    if depth > _DEEPEST:
        raise ValueError(f"Keras objects must not be nested more than {_DEEPEST} deep.")
    if name.startswith("__"):
        _check_marked(name, config["config"])
        return
    # Without a module Keras reads the description as one of an older version, by other rules.
    if not isinstance(config.get("module"), str):
        raise ValueError(f"The description of the Keras object {name} has no module.")
    if name == "function":
        _check_function(config)
    else:
        _check_class(name, config)


def _check_class(name: str, config: dict[str, Any]) -> None:
    module, inner = config["module"], config["config"]
    # Keras looks among the registered objects first, whatever the module is.
    registered = config.get("registered_name", name)
    if not isinstance(registered, str | None):
        raise ValueError(f"The registered name of the Keras object {name} must be a string.")
    found = keras.saving.get_registered_object(registered) if registered else None
    bases = _REGISTRABLE
    if found is None:
        found, bases = _exported(module, name)
    if not isinstance(found, type) or not issubclass(found, bases):
        raise ValueError(_unknown(name, module))
    if issubclass(found, _REFUSED):
        raise ValueError(
            f"A file must not contain the layer {name}, because reading it would run code or read "
            "other files."
        )
    if issubclass(found, keras.DTypePolicy):
        _check_dtype(config)
    if (
        found is keras.Model
        or found.__module__ == _FUNCTIONAL
        or issubclass(found, keras.Sequential)
    ):
        layers = inner.get("layers", []) if isinstance(inner, dict) else None
        if not isinstance(layers, list | tuple) or not all(
            isinstance(layer, dict) and "class_name" in layer for layer in layers
        ):
            raise ValueError(f"The layers of the Keras object {name} must be Keras objects.")


def _exported(module: str, name: str) -> tuple[Any, tuple[type, ...]]:
    """Return the object that Keras exports under an exact name, and the bases it must have."""
    if module in _CLASSES:
        namespace, bases = _CLASSES[module]
        return vars(namespace).get(name), bases
    if module == _FUNCTIONAL and name == "Functional":
        return vars(sys.modules[module])[name], (keras.Model,)
    # Keras has imported its own operations; nothing is imported because a file names it.
    if module.startswith(_OPERATIONS) and module in sys.modules:
        found = vars(sys.modules[module]).get(name)
        if getattr(found, "__module__", None) == module:
            return found, (keras.Operation,)
    return None, ()


def _check_function(config: dict[str, Any]) -> None:
    name, module = config["config"], config["module"]
    if not isinstance(name, str):
        raise ValueError("The description of a Keras function has no name.")
    if isinstance(keras.saving.get_registered_object(name), types.FunctionType):
        return
    if module == "builtins":  # Keras searches its namespaces itself
        spaces = list(_FUNCTIONS.values())
    else:
        spaces = [_FUNCTIONS[module]] if module in _FUNCTIONS else []
    found = [vars(space)[name] for space in spaces if name in vars(space)]
    if name in _LOOKUPS or not found or not all(map(inspect.isfunction, found)):
        raise ValueError(_unknown(name, module))


def _unknown(name: str, module: str) -> str:
    return (
        f"A file must not name {name} of {module}: it is neither on the allow-list of Keras "
        "objects nor registered with keras.saving.register_keras_serializable; import the module "
        "that registers it first."
    )


def _check_marked(name: str, inner: Any) -> None:
    """Check one of Keras's marked values, which are no objects of a class."""
    keys = {
        "__keras_tensor__": {"shape", "dtype", "keras_history"},
        "__numpy__": {"value", "dtype"},
        "__tensor__": {"value", "dtype"},
        "__bytes__": {"value"},
        "__slice__": {"start", "stop", "step"},
        "__ellipsis__": set(),
    }.get(name)
    if keys is None:
        raise ValueError(f"A file must not contain the Keras object {name}.")
    if not isinstance(inner, dict | None) or not set(inner or {}) <= keys:
        raise ValueError(f"The description of the Keras object {name} is malformed.")


def _check_dtype(value: Any) -> None:
    """Check a data type or a policy by its value; quantized policies have other constructors."""
    if isinstance(value, dict):
        inner = value.get("config")
        plain = (value.get("module"), value.get("class_name")) == ("keras", "DTypePolicy")
        value = inner.get("name") if plain and isinstance(inner, dict) and len(inner) == 1 else ""
    if value is not None and not (isinstance(value, str) and value in _POLICIES):
        raise ValueError(f"A file must not name the data type or policy {value!r}.")


def _check_node(node: Any) -> None:
    """Check the arguments of one call of a layer: tensors of the network, and plain numbers.

    A call with a string would hand a name or a path to whatever the layer does with it.
    """
    if not isinstance(node, dict) or set(node) != {"args", "kwargs"}:
        raise ValueError("The inbound nodes of a layer must have `args` and `kwargs`.")
    if not isinstance(node["args"], list | tuple) or not isinstance(node["kwargs"], dict):
        raise ValueError("The `args` and `kwargs` of an inbound node must be a list and a dict.")
    _check_argument([*node["args"], *node["kwargs"].values()])


def _check_argument(value: Any) -> None:
    if isinstance(value, list | tuple):
        for item in value:
            _check_argument(item)
    elif isinstance(value, dict):
        _check_argument_dict(value)
    elif isinstance(value, str):
        raise ValueError(f"An argument of an inbound node must not be a string, got {value!r}.")
    elif value is not None and not isinstance(value, bool | int | float):
        raise ValueError(f"An argument of an inbound node is a {type(value).__name__}.")


def _check_argument_dict(value: Mapping[str, Any]) -> None:
    if "class_name" not in value:
        _check_argument(list(value.values()))
        return
    name, inner = value["class_name"], value.get("config")
    if name not in ("__keras_tensor__", "__numpy__", "__tensor__", "__slice__", "__ellipsis__"):
        raise ValueError(f"An argument of an inbound node must not be the Keras object {name!r}.")
    _check_marked(name, inner)
    inner = inner or {}
    if "dtype" in inner:
        _check_dtype(inner["dtype"])
    # A history is the name of a layer and two numbers, looked up among the layers of the network.
    _check_argument([v for k, v in inner.items() if k not in ("dtype", "keras_history")])
