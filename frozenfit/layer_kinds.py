"""The table of layer kinds: what each axis of each weight of a Keras layer means.

A weight is looked up by the Keras class of its layer, or of the nearest one its layer derives from,
and by its name in that layer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers as kl

from frozenfit.fixed_head import FixedHead

__all__ = ["Axes", "axes", "has_fixed_kernel", "initializer", "is_normalization", "type_name"]


@dataclass(frozen=True)
class Axes:
    """The role of a weight and its axes, as `frozenfit.selectors.WeightInfo` has them."""

    role: str
    output: tuple[int, ...]
    input: tuple[int, ...] = ()
    spatial: tuple[int, ...] = ()
    gates: int = 1
    groups: int = 1


def axes(layer: Any, parent: Any, name: str, rank: int) -> Axes:
    """Return the role and the axes of a weight.

    Parameters
    ----------
    layer, parent : keras.Layer
        The layer that owns the weight, and the layer or model that holds this layer.
    name : str
        Name of the weight in its layer, such as ``"kernel"``.
    rank : int
        Number of its axes.

    Returns
    -------
    Axes
        A weight of an unknown layer has the role ``"other"`` and its outputs on the last axis,
        unless it is called as Keras calls them: ``kernel``, with two axes or more, or ``bias``.

    Examples
    --------
    >>> axes(kl.Conv2D(8, 3), None, "kernel", 4)
    Axes(role='kernel', output=(3,), input=(2,), spatial=(0, 1), gates=1, groups=1)
    """
    is_projection = isinstance(parent, _ATTENTION) and layer.name in _PROJECTIONS
    if is_projection and name in ("kernel", "bias"):
        # (dim, heads, size) and (heads, size): an output of a projection is a whole head.
        return Axes(name, (rank - 2,), (rank - 3,) if name == "kernel" else ())
    rules = (_TABLE[kind] for kind in _keras_kinds(layer) if kind in _TABLE)
    rule = next(rules, _norm if is_normalization(layer) else _by_name)
    return rule(layer, name, rank) or _by_name(layer, name, rank)


def type_name(layer: Any) -> str:
    """Return the type of a layer: the Keras class that it is or derives from, else its own class.

    Parameters
    ----------
    layer : keras.Layer
        Any layer.

    Returns
    -------
    str

    Examples
    --------
    >>> class Mine(kl.Conv2D):
    ...     pass
    >>> type_name(Mine(8, 3))
    'Conv2D'
    """
    kinds = [kind for kind in _keras_kinds(layer) if kind in _TABLE or "Norm" in kind]
    return kinds[0] if kinds else type(layer).__name__


def is_normalization(layer: Any) -> bool:
    """Return whether a layer is a normalization, by the name of its class or of a base class.

    Parameters
    ----------
    layer : keras.Layer
        Any layer.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_normalization(kl.RMSNormalization()), is_normalization(kl.Dense(2))
    (True, False)
    """
    return any("Norm" in kind.__name__ for kind in type(layer).__mro__)


def has_fixed_kernel(layer: Any) -> bool:
    """Return whether a layer multiplies by a kernel that is a constant and no weight.

    Parameters
    ----------
    layer : keras.Layer
        Any layer.

    Returns
    -------
    bool

    Examples
    --------
    >>> has_fixed_kernel(FixedHead(3)), has_fixed_kernel(kl.Dense(3))
    (True, False)
    """
    return isinstance(layer, FixedHead)


def initializer_config(initializer: keras.Initializer) -> dict[str, Any] | None:
    """Return the class name and the configuration of an initializer of Keras.

    `keras.initializers.serialize` would import TensorFlow wherever it is installed, on any
    backend, which costs seconds and hundreds of megabytes.

    Parameters
    ----------
    initializer : keras.Initializer
        An initializer.

    Returns
    -------
    dict or None
        ``class_name`` and ``config``; None for a class that is not part of Keras.

    Examples
    --------
    >>> initializer_config(keras.initializers.Constant(2.0))
    {'class_name': 'Constant', 'config': {'value': 2.0}}
    """
    kind = type(initializer)
    if getattr(keras.initializers, kind.__name__, None) is not kind:
        return None
    return {"class_name": kind.__name__, "config": initializer.get_config()}


def initializer(layer: Any, name: str) -> str | None:
    """Return the initializer of a weight as JSON.

    Parameters
    ----------
    layer : keras.Layer
        The layer that owns the weight.
    name : str
        Name of the weight in its layer.

    Returns
    -------
    str or None
        ``{"class_name": ..., "config": ...}`` with any seed set to null; None where the layer does
        not say which one it used, or where it is not one of Keras's own.

    Examples
    --------
    >>> initializer(kl.Dense(2), "bias")
    '{"class_name": "Zeros", "config": {}}'
    """
    if name == "bias" and getattr(layer, "unit_forget_bias", False):
        # These biases are ones for the forget gate, whatever bias_initializer is.
        return None
    attribute = _INITIALIZER_NAMES.get(name, f"{name}_initializer")
    if name == "kernel" and hasattr(layer, "depthwise_initializer"):
        attribute = "depthwise_initializer"
    used = getattr(layer, attribute, None)
    if not isinstance(used, keras.initializers.Initializer):
        return None
    found = initializer_config(used)
    if found is None:
        return None
    config = dict(found["config"])
    if "seed" in config:
        config["seed"] = None
    # Keras before 3.15 has no axes of fans. The values drawn must not depend on its version.
    if isinstance(layer, kl.EinsumDense) and name == "kernel" and isinstance(used, _WITH_FANS):
        config.update(_fan_axes(layer, config))
    try:
        return json.dumps({**found, "config": config})
    except TypeError:
        return None


_WITH_FANS = keras.initializers.VarianceScaling


def _fan_axes(layer: Any, config: dict[str, Any]) -> dict[str, list[int]]:
    """Return the axes that EinsumDense counts fans on, unless its initializer names its own."""
    if config.get("input_axes") is not None and config.get("output_axes") is not None:
        return {}
    kernel, output = _einsum_letters(layer.equation)
    inside = [i for i, letter in enumerate(kernel) if letter not in output]
    return {
        "input_axes": inside,
        "output_axes": [i for i in range(len(kernel)) if i not in inside],
    }


def _keras_kinds(layer: Any) -> list[str]:
    """Return the Keras classes that a layer derives from, the nearest first."""
    return [kind.__name__ for kind in type(layer).__mro__ if kind.__module__.startswith("keras.")]


def _by_name(layer: Any, name: str, rank: int) -> Axes:
    """Return the axes of a weight of an unknown layer, by its Keras name or on the last axis."""
    if name == "kernel" and rank >= 2:
        return Axes("kernel", (rank - 1,), (rank - 2,))
    if name == "bias" and rank == 1:
        return Axes("bias", (0,))
    return Axes("other", (rank - 1,) if rank else ())


def _conv(layer: Any, name: str, rank: int) -> Axes | None:
    if name != "kernel":
        return None
    space = tuple(range(rank - 2))
    groups = int(getattr(layer, "groups", 1))
    return Axes("kernel", (rank - 1,), (rank - 2,), space, groups=groups)


def _conv_transpose(layer: Any, name: str, rank: int) -> Axes | None:
    if name != "kernel":
        return None
    return Axes("kernel", (rank - 2,), (rank - 1,), tuple(range(rank - 2)))


def _depthwise(layer: Any, name: str, rank: int) -> Axes | None:
    if name != "kernel":
        return None
    return Axes("kernel", (rank - 2, rank - 1), (rank - 2,), tuple(range(rank - 2)))


def _separable(layer: Any, name: str, rank: int) -> Axes | None:
    space = tuple(range(rank - 2))
    if name == "depthwise_kernel":
        # Its outputs are not outputs of the layer, so it is counted by the channels that it reads.
        return Axes("kernel", (rank - 2,), (rank - 2,), space)
    if name == "pointwise_kernel":
        return Axes("kernel", (rank - 1,), (rank - 2,), space)
    return None


def _embedding(layer: Any, name: str, rank: int) -> Axes | None:
    if name == "embeddings":
        return Axes("embedding", (1,), (0,))
    if name == "reverse_embeddings":
        return Axes("embedding", (0,), (1,))
    return None


def _cell(gates: int) -> Callable[[Any, str, int], Axes | None]:
    def rule(layer: Any, name: str, rank: int) -> Axes | None:
        if name in ("kernel", "recurrent_kernel"):
            space = tuple(range(rank - 2))
            return Axes("kernel", (rank - 1,), (rank - 2,), space, gates=gates)
        # GRU with reset_after keeps two rows of biases, (2, 3 * units).
        return Axes("bias", (rank - 1,), gates=gates) if name == "bias" else None

    return rule


def _einsum(layer: Any, name: str, rank: int) -> Axes | None:
    if name not in ("kernel", "bias"):
        return None
    kernel, output = _einsum_letters(layer.equation)
    if name == "kernel":
        outputs = tuple(i for i, letter in enumerate(kernel) if letter in output)
        inputs = tuple(i for i, letter in enumerate(kernel) if letter not in output)
        return Axes("kernel", outputs, inputs)
    biased = layer.bias_axes
    letters = output[min(output.index(letter) for letter in biased) :]
    own = (i for i, letter in enumerate(letters) if letter in biased and letter in kernel)
    return Axes("bias", tuple(own))


def _einsum_letters(equation: str) -> tuple[str, str]:
    """Return the letters of the kernel and of the output, "bc" and "ac" of "ab,bc->ac"."""
    _, kernel, output = re.split(",|->", equation.replace(".", "").replace(" ", ""))
    return kernel, output


def _norm(layer: Any, name: str, rank: int) -> Axes | None:
    role = _NORM_ROLES.get(name)
    return Axes(role, (rank - 1,) if rank else ()) if role else None


_NORM_ROLES = {
    "gamma": "scale",
    "scale": "scale",
    "weight": "scale",
    "beta": "offset",
    "bias": "offset",
}
_ATTENTION = (kl.MultiHeadAttention, kl.GroupQueryAttention)
_PROJECTIONS = ("query", "key", "value", "gate")

_Rule = Callable[[Any, str, int], Axes | None]
_TABLE: dict[str, _Rule] = {
    "Dense": _by_name,
    "EinsumDense": _einsum,
    "Conv1D": _conv,
    "Conv2D": _conv,
    "Conv3D": _conv,
    "Conv1DTranspose": _conv_transpose,
    "Conv2DTranspose": _conv_transpose,
    "Conv3DTranspose": _conv_transpose,
    "DepthwiseConv1D": _depthwise,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv1D": _separable,
    "SeparableConv2D": _separable,
    "Embedding": _embedding,
    "LSTMCell": _cell(4),
    "GRUCell": _cell(3),
    "SimpleRNNCell": _cell(1),
    "ConvLSTMCell": _cell(4),
}
_INITIALIZER_NAMES = {
    "recurrent_kernel": "recurrent_initializer",
    "depthwise_kernel": "depthwise_initializer",
    "pointwise_kernel": "pointwise_initializer",
    "reverse_embeddings": "embeddings_initializer",
}
