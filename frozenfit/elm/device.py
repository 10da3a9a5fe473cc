"""Where features are computed: by the backend on an accelerator, else by BLAS on the CPU.

The products of the backends on a CPU are not faster than BLAS, and some lack float64.
"""

from __future__ import annotations

from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import keras
import numpy as np
from scipy import sparse

from frozenfit.elm.dense import layer_path
from frozenfit.elm.frozen import Frozen
from frozenfit.isolation import isolated
from frozenfit.utils.arrays import to_numpy

__all__ = ["accelerated", "dense_layer", "features", "groups", "symbolic_features"]

ops: Any = keras.ops

# Keyed by identity, and weak: a model lives as long as the frozen part it was built from.
_models: WeakKeyDictionary[Frozen, keras.Model] = WeakKeyDictionary()


@cache
def accelerated() -> bool:
    """Return whether the backend puts its tensors on a device other than the CPU."""
    tensor: Any = ops.convert_to_tensor(0.0)
    return "cpu" not in str(getattr(tensor, "device")).lower()  # noqa: B009 - not all have one


def groups(frozen: Frozen, X: Any) -> list[list[np.ndarray]]:
    """Compute features as `Frozen.groups` does, in float32 on an accelerator if there is one.

    Parameters
    ----------
    frozen : Frozen
        The frozen part.
    X : ndarray of shape (n_samples, ...) or CSR array
        Samples.

    Returns
    -------
    list of list of ndarray
        For each ridge its features, as parts that lie side by side.
    """
    possible = frozen.dtype == "float32" and not sparse.issparse(X) and frozen.stage.has_keras_form
    if not possible or not accelerated():
        return frozen.groups(X)
    if frozen not in _models:
        with isolated(0):  # building a Keras model draws from Python's global random stream
            _models[frozen] = keras.Model(*symbolic_features(frozen), name="elm_features")
    outputs = _models[frozen](np.asarray(X, np.float32), training=False)
    outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
    return [[np.array(to_numpy(part), np.float32)] for part in outputs]


def features(frozen: Frozen, X: Any) -> list[np.ndarray]:
    """Compute the features of samples, one new array for each ridge."""
    return [parts[0] if len(parts) == 1 else np.hstack(parts) for parts in groups(frozen, X)]


def symbolic_features(frozen: Frozen) -> tuple[Any, list[Any]]:
    """Compute features from a symbolic Keras tensor.

    Parameters
    ----------
    frozen : Frozen
        The frozen part; its stage has a Keras form.

    Returns
    -------
    inputs : keras.KerasTensor
        Samples as float32.
    features : list of keras.KerasTensor
        The features of each ridge.
    """
    inputs = keras.Input(frozen.config.input_shape, dtype="float32")
    x: Any = frozen.stage.to_keras(inputs)  # pyright: ignore
    x = x if len(x.shape) == 2 else keras.layers.Flatten()(x)
    scaler = frozen.scaler
    x = (x - scaler.mean.astype("f4")) * scaler.factor.astype("f4")
    x = x if scaler.clip is None else ops.clip(x, -scaler.clip, scaler.clip)
    parts = frozen.read_out(_hidden_outputs(frozen, x), x)
    return inputs, [p[0] if len(p) == 1 else ops.concatenate(p, axis=1) for p in parts]


def _hidden_outputs(frozen: Frozen, x: Any) -> list[Any]:
    outputs: list[Any] = []
    activation = frozen.config.activation
    for i, layer in enumerate(frozen.layers):
        inputs = x
        if outputs:
            before = frozen.layers[i - 1]
            inputs = (outputs[-1] - before.shift) * before.factor
            inputs = ops.concatenate([inputs, x], axis=1) if frozen.direct else inputs
        u = dense_layer(inputs, layer.kernel, layer.bias, layer_path(i), trainable=False)
        square = isinstance(activation, str) and activation == "square"  # Keras has no such name
        outputs.append(ops.square(u) if square else keras.layers.Activation(activation)(u))
    return outputs


def dense_layer(x: Any, kernel: Any, bias: Any, name: str, trainable: bool) -> Any:
    """Apply a Keras layer with given weights."""
    layer = keras.layers.Dense(kernel.shape[1], name=name, trainable=trainable)
    out = layer(x)
    layer.set_weights([np.asarray(kernel, "f4"), np.asarray(bias, "f4")])
    return out
