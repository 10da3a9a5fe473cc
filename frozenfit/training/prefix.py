"""The frozen beginning of a network: where it ends, and its output computed once.

Where everything before the first learned entry is frozen, statistics included, the output there
is a function of the sample alone. It is computed once for the training data, and the epochs run
the rest of the network only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from keras import layers as kl

from frozenfit import layout as _layout
from frozenfit.isolation import isolated
from frozenfit.partial import PartialModel, Route
from frozenfit.selectors import forms
from frozenfit.training.backends import Predictor
from frozenfit.training.data import Data

_SHARE_OF_MEMORY = 0.25
_MEMORY_UNTOLD = 8 * 2**30
_ROWS = 4096
# Functions of keras.ops that work on each number; others may look at the whole batch.
_ENTRY_BY_ENTRY = {
    *("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Negative", "Abs", "Square", "Sqrt"),
    *("Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Gelu", "Silu", "Sigmoid", "Tanh", "Softplus"),
}


@dataclass(frozen=True, eq=False)
class Prefix:
    """A network cut in two where its frozen beginning ends.

    Attributes
    ----------
    rest : keras.Model
        From the cut to the outputs, made of the base's own layers.
    shape : tuple of int
        Shape of a sample at the cut.
    predictor : Predictor
        Computes the frozen beginning.
    """

    rest: keras.Model
    shape: tuple[int, ...]
    predictor: Predictor

    def bytes(self, rows: int) -> int:
        """Return how much memory the outputs of so many samples take."""
        return 4 * rows * int(np.prod(self.shape))

    def outputs(self, data: Data) -> Data:
        """Compute the frozen beginning for samples.

        Parameters
        ----------
        data : Data
            Samples; only the rows that take part are computed.

        Returns
        -------
        Data
            The same targets and weights, with the outputs at the cut as inputs.
        """
        X = np.empty((len(data), *self.shape), np.float32)
        for start in range(0, len(data), _ROWS):
            rows = data.rows[start : start + _ROWS]
            X[start : start + len(rows)] = self.predictor(data.X[rows])
        return replace(data, X=X, y=data.y[data.rows], rows=np.arange(len(data)))


def find(model: PartialModel, route: Route) -> Prefix | None:
    """Find the frozen beginning of a partial model.

    Parameters
    ----------
    model : PartialModel
        The model.
    route : Route
        Which trainable weights do not move, and which layers compute as at inference.

    Returns
    -------
    Prefix or None
        Cut at the last tensor that all data to the first moving layer passes; None where there is
        no weight before it, or where the base shows no graph.
    """
    steps = _layout.steps(model.base)
    cut = _last_cut(steps, _moving_variables(model, route))
    if cut is None:
        return None
    with isolated(0):
        features = keras.Model(model.base.inputs, cut)
        if not features.weights:
            return None
        rest = keras.Model(cut, model.base.outputs[0])
    shape = tuple(int(size) for size in cut.shape[1:])
    return Prefix(rest, shape, Predictor(model, replace(route, network=features)))


def memory_limit() -> int:
    """Return how many bytes of outputs are kept at most.

    A fixed share of the machine's memory, not of what is free just now: whether outputs are kept
    decides the last bits of a fit, which must repeat.
    """
    ask = getattr(os, "sysconf", None)  # Windows has none
    memory = ask("SC_PHYS_PAGES") * ask("SC_PAGE_SIZE") if ask else _MEMORY_UNTOLD
    return int(_SHARE_OF_MEMORY * memory)


def operations(model: Any) -> Iterator[Any]:
    """Yield what a Functional or Sequential model is made of.

    Parameters
    ----------
    model : keras.Model
        A built model.

    Yields
    ------
    keras.Operation
        Layers and functions, those of nested models one by one; a subclassed model whole.
    """
    if not hasattr(model, "operations") and not isinstance(model, keras.Sequential):
        yield model
        return
    parts = model.layers if isinstance(model, keras.Sequential) else model.operations
    for part in parts:
        if isinstance(part, keras.Model):
            yield from operations(part)
        else:
            yield part


def is_plain(operation: Any) -> bool:
    """Say whether an operation is one of Keras's own that does what its name says, row by row.

    Parameters
    ----------
    operation : keras.Operation
        A layer, or a function of `keras.ops`, which may look at the whole batch.

    Returns
    -------
    bool
        False for a function, a Lambda, a layer from elsewhere, or one with an activity loss.
    """
    return (
        isinstance(operation, keras.Layer)
        and type(operation).__module__.startswith("keras.")
        and not isinstance(operation, kl.Lambda)
        and operation.activity_regularizer is None
    )


def _moving_variables(model: PartialModel, route: Route) -> set[int]:
    """Collect the variables that training changes or that make the output random, by identity."""
    base, selection = model.base, model.selection
    moving = {
        id(variable)
        for path, variable in _layout.trainable(base).items()
        if path not in route.still and not isinstance(selection.forms[path], forms.Nothing)
    }
    chosen = model.layers_with_stored_statistics() if route.inference is None else route.inference
    layers = dict(_layout.leaf_layers(base))
    for info, variable in _layout.states(base).values():
        layer = layers[info.layer]
        stored = info.kind == "statistic" and (
            not layer.trainable or any(layer is other for other in chosen)
        )
        if not stored and not isinstance(layer, kl.Normalization):
            moving.add(id(variable))
    return moving


def _last_cut(steps: list[_layout.Step], moving: set[int]) -> Any:
    """Return the last tensor of the frozen beginning through which all the rest hangs on it."""
    after: set[int] = set()
    before = []
    for step in steps:
        if _moves(step.operation, moving) or any(id(t) in after for t in step.inputs):
            after |= {id(t) for t in step.outputs}
        else:
            before += [] if isinstance(step.operation, kl.InputLayer) else step.outputs
    return next((cut for cut in reversed(before) if _separates(steps, cut, after)), None)


def _moves(operation: Any, moving: set[int]) -> bool:
    if isinstance(operation, keras.Layer):
        if any(id(variable) in moving for variable in operation.variables):
            return True
    parts = operations(operation) if isinstance(operation, keras.Model) else [operation]
    return not all(is_plain(part) or type(part).__name__ in _ENTRY_BY_ENTRY for part in parts)


def _separates(steps: list[_layout.Step], cut: Any, after: set[int]) -> bool:
    reached: set[int] = set()
    for step in steps:
        if step.inputs and not any(id(t) in reached for t in step.inputs):
            continue
        if any(id(t) in after for t in step.outputs):
            return False
        reached |= {id(t) for t in step.outputs if t is not cut}
    return True
