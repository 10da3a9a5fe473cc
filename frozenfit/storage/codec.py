"""Parameters and fitted values to JSON and back.

JSON values are written directly; every other value is an object ``{"$": kind, ...}`` of one of
the kinds in `_READERS`. A file cannot name code to run: an object is part of Keras or registered
with it, a function is registered with Keras or as an architecture, and Keras reads in its safe
mode. A value without a representation raises an error when it is written.
"""

from __future__ import annotations

import base64
import dataclasses
import math
import types
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from frozenfit.architectures import registry
from frozenfit.elm.stages import FeatureStage, registered_stages
from frozenfit.selectors import Selector
from frozenfit.storage import keras_config
from frozenfit.storage.keras_config import first_line
from frozenfit.training.schedules import FreezeSchedule, schedule_classes
from frozenfit.utils.size_limit import charge

__all__ = ["decode", "encode", "encode_network", "is_architecture", "lacks_network"]

_KIND = "$"
_DEEPEST = 100
_LARGEST_ARRAY = 2**24  # bytes; fitted arrays are stored as arrays of the file, not in JSON
_LONGEST_INTEGER = 4096  # bits; Python refuses to read decimal texts of more than 4300 digits
_NUMBERS = frozenset(
    np.dtype(code).str for code in "? i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8 c8 c16".split()
)


def encode(value: Any, where: str) -> Any:
    """Convert a value to JSON.

    Parameters
    ----------
    value : object
        The value.
    where : str
        Name of the value for errors, such as ``"parameter 'optimizer'"``.

    Returns
    -------
    object
        JSON: None, bool, int, finite float, str, list, and dict with str keys.

    Raises
    ------
    ValueError
        If the value has no representation in a file.

    See Also
    --------
    decode : The inverse.

    Examples
    --------
    >>> encode({"width": 4, "sizes": (2, 3)}, "parameter 'model_params'")
    {'width': 4, 'sizes': {'$': 'tuple', 'items': [2, 3]}}
    """
    return _encode(value, where, 0)


def encode_network(network: keras.Model, where: str, *, described: bool) -> Any:
    """Convert a network that an estimator was given to JSON, without its weights.

    Parameters
    ----------
    network : keras.Model
        The network.
    where : str
        Name of the value, for errors.
    described : bool
        Whether to store the configuration, from which Keras builds the network again. Otherwise
        the network must be given again when the file is read.

    Returns
    -------
    dict
        JSON.

    Raises
    ------
    ValueError
        If `described` and Keras cannot build the network from its configuration.
    """
    config = _encode_described(network, where) if described else None
    return {_KIND: "network", "config": config}


def lacks_network(node: Any) -> bool:
    """Return whether JSON has a network that `encode_network` did not describe.

    Parameters
    ----------
    node : object
        JSON.

    Returns
    -------
    bool
        Whether the network must be given again when the file is read.
    """
    if isinstance(node, dict):
        if node.get(_KIND) == "network":
            return node["config"] is None
        node = list(node.values())
    return isinstance(node, list) and any(map(lacks_network, node))


def decode(node: Any, where: str, *, base: Any = None) -> Any:
    """Convert JSON to the value that `encode` received.

    Parameters
    ----------
    node : object
        JSON from an untrusted source.
    where : str
        Name of the value, for errors.
    base : keras.Model, optional
        The network that the estimator was given.

    Returns
    -------
    object
        A value equal to the original one, of the same type.

    Raises
    ------
    ValueError
        If the JSON does not represent a value, or names an object that is not registered.

    See Also
    --------
    encode : The inverse.

    Examples
    --------
    >>> decode({"$": "tuple", "items": [2, 3]}, "parameter 'sizes'")
    (2, 3)
    """
    return _decode(node, where, base, 0)


def is_architecture(node: Any) -> bool:
    """Return whether JSON describes a function registered as an architecture."""
    return isinstance(node, dict) and node.get(_KIND) == "architecture"


def _encode(value: Any, where: str, depth: int) -> Any:
    if depth > _DEEPEST:
        raise ValueError(f"{where} is nested more than {_DEEPEST} deep, or contains itself")

    def inner(child: Any, place: str = "") -> Any:
        return _encode(child, where + place, depth + 1)

    kind = type(value)
    if value is None or kind in (bool, str):
        return value
    if kind is int:
        return _encode_integer(value, where)
    if kind is float:
        return value if math.isfinite(value) else {_KIND: "float", "value": str(value)}
    if kind is list:
        return [inner(child) for child in value]
    if kind is tuple:
        return {_KIND: "tuple", "items": [inner(child) for child in value]}
    if kind is dict:
        return _encode_dict(value, inner)
    if kind is bytes:
        return {_KIND: "bytes", "value": _text_of(value)}
    if kind is np.ndarray or isinstance(value, np.generic):
        return _encode_array(value, where, inner)
    if isinstance(value, Selector):
        return {_KIND: "selector", "value": _encode_selector(value, where)}
    if isinstance(value, FreezeSchedule):
        return _encode_freeze_schedule(value, where, inner)
    if isinstance(value, FeatureStage):
        return _encode_feature_stage(value, where, inner)
    if isinstance(value, keras_config.OBJECTS):
        return {_KIND: "keras", "config": _encode_object(value, where)}
    return _encode_named(value, where)


def _encode_freeze_schedule(value: FreezeSchedule, where: str, inner: Callable) -> Any:
    kind = type(value)
    if not dataclasses.is_dataclass(value) or schedule_classes().get(kind.__name__) is not kind:
        raise ValueError(
            f"{where} is a {kind.__name__}, which a file cannot store: make the schedule a "
            "dataclass with a name that no other schedule has"
        )
    fields = {key: inner(item) for key, item in dataclasses.asdict(value).items()}
    return {_KIND: "freeze_schedule", "name": kind.__name__, "fields": fields}


def _encode_feature_stage(value: FeatureStage, where: str, inner: Callable) -> Any:
    kind = type(value)
    if registered_stages().get(kind.name) is not kind:
        raise ValueError(
            f"{where} is a {kind.__name__}, which a file cannot store: decorate the class with "
            "@frozenfit.elm.register_stage('name')"
        )
    params = {key: inner(item, f".{key}") for key, item in value.get_params(deep=False).items()}
    return {_KIND: "feature_stage", "name": kind.name, "params": params}


def _encode_integer(value: int, where: str) -> int:
    if value.bit_length() > _LONGEST_INTEGER:
        raise ValueError(f"{where} is an integer of more than {_LONGEST_INTEGER} bits")
    return value


def _encode_dict(value: dict, inner: Callable[..., Any]) -> Any:
    if all(type(key) is str for key in value) and _KIND not in value:
        return {key: inner(child, f"[{key!r}]") for key, child in value.items()}
    return {
        _KIND: "dict",
        "items": [[inner(key), inner(child, f"[{key!r}]")] for key, child in value.items()],
    }


def _encode_array(value: Any, where: str, inner: Callable[..., Any]) -> dict[str, Any]:
    """Encode an array, or a NumPy scalar as an array without axes."""
    array = np.asarray(value)
    kind = "array" if isinstance(value, np.ndarray) else "scalar"
    if array.nbytes > _LARGEST_ARRAY:
        raise ValueError(
            f"{where} must be an array of at most {_LARGEST_ARRAY} bytes to be stored, got "
            f"{array.nbytes} bytes"
        )
    node: dict[str, Any] = {_KIND: kind, "dtype": array.dtype.str, "shape": list(array.shape)}
    if array.dtype.kind in "OU":
        return {**node, "items": [inner(item) for item in array.ravel().tolist()]}
    if array.dtype.kind in "biufc":
        array = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
    if array.dtype.str not in _NUMBERS:
        raise ValueError(
            f"{where} has NumPy's type {array.dtype}, which a file cannot store: "
            "use numbers, booleans or strings"
        )
    return {**node, "dtype": array.dtype.str, "value": _text_of(array.tobytes())}


def _encode_selector(value: Selector, where: str) -> Any:
    try:
        return value.to_json()
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _encode_named(value: Any, where: str) -> dict[str, Any]:
    """Encode a function by its registered name, or raise an error that explains the value."""
    for name, builder in registry._BUILDERS.items():
        if builder is value:
            return {_KIND: "architecture", "name": name}
    if isinstance(value, types.FunctionType):
        config = keras_config.describe(value)
        if config is not None:
            return {_KIND: "keras", "config": config}
        raise ValueError(
            f"{where} is the function {value.__qualname__}, which a file cannot store: decorate it "
            f"with @frozenfit.architectures.register('name') if it builds a network, or with "
            f"@keras.saving.register_keras_serializable() if Keras calls it"
        )
    if isinstance(value, (np.random.RandomState, np.random.Generator)):
        raise ValueError(
            f"{where} is a {type(value).__name__}, whose state a file does not store: pass an int"
        )
    if isinstance(value, keras.callbacks.Callback):
        raise ValueError(
            f"{where} is a callback, which a file cannot store: "
            "save copy.copy(estimator).set_params(callbacks=None)"
        )
    raise ValueError(
        f"{where} is a {type(value).__module__}.{type(value).__qualname__}, which a file cannot "
        "store: use None, booleans, numbers, strings, lists, tuples, dicts, small arrays, "
        "selectors or Keras objects"
    )


def _encode_object(value: Any, where: str) -> Any:
    keras_config.check_registered(value, where)
    if isinstance(value, keras.layers.Layer) and value.weights:
        raise ValueError(
            f"{where} is a layer that has weights, which a file does not store: "
            "pass a new layer without weights, or make it part of the network"
        )
    return _encode_and_try(value, where)[0]


def _encode_described(value: keras.Model, where: str) -> Any:
    advice = "or save with include_frozen=False and give the network to frozenfit.load as base"
    try:
        keras_config.check_registered(value, where)
        written, again = _encode_and_try(value, where)
    except ValueError as error:
        raise ValueError(f"{error}, {advice}") from error
    if [w.shape for w in again.weights] != [w.shape for w in value.weights]:
        raise ValueError(
            f"{where} is a network whose get_config() does not determine its weights: correct it, "
            f"{advice}"
        )
    return written


def _encode_and_try(value: Any, where: str) -> tuple[Any, Any]:
    """Return the JSON of the description of an object, and the object that it gives."""
    try:
        written = _encode(keras_config.describe(value), where, 0)
        return written, keras_config.build(_decode(written, where, None, 0))
    except Exception as error:  # a user's get_config and from_config may raise anything
        raise ValueError(
            f"{where} is a {type(value).__name__} that cannot be built again from its "
            f"get_config() ({first_line(error)}): "
            "decorate its classes and functions with @keras.saving.register_keras_serializable()"
        ) from error


def _decode(node: Any, where: str, base: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise ValueError(f"{where} is nested more than {_DEEPEST} deep")

    def inner(child: Any) -> Any:
        return _decode(child, where, base, depth + 1)

    if isinstance(node, list):
        return [inner(child) for child in node]
    if not isinstance(node, dict):
        return node
    if _KIND not in node:
        return {key: inner(child) for key, child in node.items()}
    reader = _READERS.get(node[_KIND]) if isinstance(node[_KIND], str) else None
    if reader is None:
        raise ValueError(f"{where} is of the unknown kind {node[_KIND]!r}")
    try:
        return reader(node, inner, base)
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(
            f"{where} is not a well-formed {node[_KIND]} ({first_line(error)})"
        ) from error
    except ValueError as error:
        text = str(error)
        raise ValueError(text if text.startswith(where) else f"{where}: {text}") from error


def _read_float(node: dict, inner: Callable[[Any], Any], base: Any) -> float:
    return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[node["value"]]


def _read_dict(node: dict, inner: Callable[[Any], Any], base: Any) -> dict:
    return {inner(key): inner(child) for key, child in node["items"]}


def _read_array(node: dict, inner: Callable[[Any], Any], base: Any) -> np.ndarray:
    shape, name = node["shape"], node["dtype"]
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"an array cannot have the shape {shape!r}")
    if name in _NUMBERS:
        data = base64.b64decode(node["value"], validate=True)
        return np.frombuffer(data, np.dtype(name)).reshape(shape).copy()
    items = [inner(item) for item in node["items"]]
    if len(items) != math.prod(shape):
        raise ValueError(f"an array of shape {shape!r} cannot have {len(items)} items")
    if name == "|O":
        array = np.empty(len(items), object)
        for index, item in enumerate(items):  # array[:] = items would convert nested sequences
            array[index] = item
        return array.reshape(shape)
    width = int(name[2:]) if name[:2] in ("<U", ">U") else -1
    if not 0 <= width * 4 * max(1, len(items)) <= _LARGEST_ARRAY:
        raise ValueError(f"a file cannot contain an array of NumPy's type {name!r}")
    charge("an array of strings", (len(items), width))
    if not all(type(item) is str and len(item) <= width for item in items):
        raise ValueError(f"an array of NumPy's type {name!r} contains other items")
    return np.array(items, np.dtype(f"<U{width}")).reshape(shape)


def _read_selector(node: dict, inner: Callable[[Any], Any], base: Any) -> Selector:
    return Selector.from_json(node["value"])


def _read_architecture(node: dict, inner: Callable[[Any], Any], base: Any) -> Any:
    found = registry._BUILDERS.get(node["name"])
    if found is None:
        raise ValueError(
            f"the architecture {node['name']!r} is not registered: import the module that "
            "registers it first"
        )
    return found


def _read_feature_stage(node: dict, inner: Callable[[Any], Any], base: Any) -> Any:
    kind = registered_stages().get(node["name"])
    if kind is None:
        raise ValueError(
            f"the feature stage {node['name']!r} is not registered: import the module that "
            "registers it first"
        )
    return kind(**{str(key): inner(item) for key, item in node["params"].items()})


def _read_freeze_schedule(node: dict, inner: Callable[[Any], Any], base: Any) -> Any:
    kind = schedule_classes().get(node["name"])
    if kind is None or not dataclasses.is_dataclass(kind):
        raise ValueError(
            f"the freeze schedule {node['name']!r} is not defined: import the module that defines "
            "it first"
        )
    return kind(**{str(key): inner(item) for key, item in node["fields"].items()})


def _read_keras(node: dict, inner: Callable[[Any], Any], base: Any) -> Any:
    return keras_config.build(inner(node["config"]))


def _read_network(node: dict, inner: Callable[[Any], Any], base: Any) -> Any:
    if base is not None:
        return base
    if node["config"] is None:
        raise ValueError(
            "the estimator was given a network that the file does not contain: pass it as "
            "frozenfit.load(path, base=network), or save the estimator with include_frozen=True"
        )
    network = keras_config.build(inner(node["config"]))
    if not isinstance(network, keras.Model):
        raise ValueError(f"a {type(network).__name__} is not a network")
    return network


def _text_of(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


_READERS: dict[str, Callable[[dict, Callable[[Any], Any], Any], Any]] = {
    "array": _read_array,
    "architecture": _read_architecture,
    "bytes": lambda node, inner, base: base64.b64decode(node["value"], validate=True),
    "dict": _read_dict,
    "feature_stage": _read_feature_stage,
    "float": _read_float,
    "freeze_schedule": _read_freeze_schedule,
    "keras": _read_keras,
    "network": _read_network,
    "scalar": lambda node, inner, base: _read_array(node, inner, base)[()],
    "selector": _read_selector,
    "tuple": lambda node, inner, base: tuple(map(inner, node["items"])),
}
