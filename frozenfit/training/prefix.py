"""The frozen prefix of a network: where it ends, and its output computed once.

Where everything before the first trainable parameter is frozen, moving statistics included, the
features there are a function of the sample alone. They are computed once for the training data,
and the epochs run only the layers after them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from keras import layers as kl

from frozenfit.isolation import isolated
from frozenfit.layout import Step
from frozenfit.partial import PartialModel, weights_of
from frozenfit.selectors import forms
from frozenfit.training.backends import Predictor
from frozenfit.training.data import Data
from frozenfit.training.feature_file import FeatureFile
from frozenfit.utils.arrays import to_numpy

_SHARE_OF_MEMORY = 0.25
_DEFAULT_MEMORY = 8 * 2**30
_PART_BYTES = 64 * 2**20
# Functions of keras.ops that act on each element; others may depend on the whole batch.
_ELEMENTWISE = {
    *(
        "Add",
        "Subtract",
        "Multiply",
        "Divide",
        "TrueDivide",
        "Mod",
        "Negative",
        "Abs",
        "Square",
        "Sqrt",
    ),
    *("Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Gelu", "Silu", "Sigmoid", "Tanh", "Softplus"),
}


@dataclass(frozen=True, eq=False)
class Prefix:
    """A network cut in two where its frozen prefix ends.

    Attributes
    ----------
    cut : KerasTensor
        The tensor of the base at which it is cut.
    suffix : keras.Model
        From the cut to the outputs, made of the layers of the base.
    predictor : Predictor
        Computes the features at the cut.
    """

    cut: Any
    suffix: keras.Model
    predictor: Predictor

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a sample at the cut."""
        return tuple(int(size) for size in self.cut.shape[1:])

    @property
    def place(self) -> tuple[str, int, int]:
        """Operation whose output is the cut: its name, and which of its calls and outputs it is."""
        operation, call, output = self.cut._keras_history
        return operation.name, call, output

    def after(self, earlier: Prefix) -> Prefix | None:
        """Return the part that leads from the features of a shorter prefix to these.

        Parameters
        ----------
        earlier : Prefix
            A prefix of the same model, all of whose layers belong to this one.

        Returns
        -------
        Prefix or None
            Its features are computed from those of the shorter prefix; None where they are the
            same.
        """
        if self.place == earlier.place:
            return None
        with isolated(0):
            between = keras.Model(earlier.cut, self.cut)
        return replace(self, predictor=Predictor(self.predictor.model, network=between))

    def bytes(self, rows: int) -> int:
        """Return the number of bytes that the features of a number of samples take."""
        return 4 * rows * int(np.prod(self.shape))

    def values(self) -> Iterator[tuple[str, np.ndarray]]:
        """Iterate over the values that the features depend on.

        Yields
        ------
        path : str
            Path of a weight or state.
        value : ndarray
            Its whole value.
        """
        network: Any = self.predictor.network
        weights = weights_of(self.predictor.model)
        yield from weights.assembled(network)
        chosen = {id(variable) for variable in network.variables}
        for path, variable in weights.survey.frozen.items():
            if id(variable) in chosen:
                yield path, to_numpy(variable)

    def features(self, data: Data, on_disk: bool = False) -> Data:
        """Compute the features of samples.

        Parameters
        ----------
        data : Data
            Samples; only the rows that are used are computed.
        on_disk : bool, default=False
            Whether the features are stored in a `FeatureFile`, which the caller closes, rather than
            in memory.

        Returns
        -------
        Data
            The same targets and weights, with the features as inputs.
        """
        shape = (len(data), *self.shape)
        # Predictors compute batches of 512 rows, and return float32 under every policy.
        largest = max(int(np.prod(self.shape)), int(np.prod(data.X.shape[1:])))
        step = 512 * max(1, _PART_BYTES // (512 * 4 * largest))
        starts = range(0, len(data), step)
        parts = (self.predictor(data.X[data.rows[start : start + step]]) for start in starts)
        X: Any
        if on_disk:
            X = FeatureFile(shape, parts)
        else:
            X = np.empty(shape, np.float32)
            for start, part in zip(starts, parts, strict=True):
                X[start : start + len(part)] = part
        return replace(data, X=X, y=data.y[data.rows], rows=np.arange(len(data)), dtype=None)


def find(
    model: PartialModel,
    waiting: frozenset[str] = frozenset(),
    inference_layers: Sequence[keras.Layer] | None = None,
) -> Prefix | None:
    """Find the frozen prefix of a partial model.

    Parameters
    ----------
    model : PartialModel
        The model.
    waiting : frozenset of str, default=frozenset()
        Paths of trainable weights that are not updated.
    inference_layers : sequence of keras.Layer or None, default=None
        Layers that use their moving statistics in training; None takes those of the model.

    Returns
    -------
    Prefix or None
        Cut at the last tensor through which every path to the first active layer leads; None
        where no weight is before it, or where the base has no graph.
    """
    steps = weights_of(model).survey.steps
    cut = _last_cut(steps, _varying(model, waiting, inference_layers))
    if cut is None:
        return None
    with isolated(0):
        features = keras.Model(model.base.inputs, cut)
        # Caching the output of layers without weights would only copy the data.
        if not features.weights:
            return None
        suffix = keras.Model(cut, model.base.outputs[0])
    return Prefix(cut, suffix, Predictor(model, network=features))


def memory_limit() -> int:
    """Return the largest size of features that are cached in memory, in bytes.

    It is a fixed share of the machine's memory rather than of the free memory: whether features
    are cached decides the last bits of a fit, and two fits must agree.
    """
    ask = getattr(os, "sysconf", None)  # not available on Windows
    memory = ask("SC_PHYS_PAGES") * ask("SC_PAGE_SIZE") if ask else _DEFAULT_MEMORY
    return int(_SHARE_OF_MEMORY * memory)


def operations(model: Any) -> Iterator[Any]:
    """Yield the operations of a Functional or Sequential model.

    Parameters
    ----------
    model : keras.Model
        A built model.

    Yields
    ------
    keras.Operation
        Layers and functions, including those of nested models; a subclassed model as a whole.
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
    """Return whether an operation is a Keras layer that treats each row by itself.

    Parameters
    ----------
    operation : keras.Operation
        A layer, or a function of `keras.ops`, which may depend on the whole batch.

    Returns
    -------
    bool
        False for a function, a Lambda, a layer that is not part of Keras, or one with an
        activity loss.
    """
    return (
        isinstance(operation, keras.Layer)
        and type(operation).__module__.startswith("keras.")
        and not isinstance(operation, kl.Lambda)
        and operation.activity_regularizer is None
    )


def _varying(model: PartialModel, waiting: frozenset[str], inference_layers: Any) -> set[int]:
    """Collect the ids of variables that training changes or that make the output random."""
    weights = weights_of(model)
    survey, selection = weights.survey, weights.selection
    varying = {
        id(variable)
        for path, variable in survey.trainable.items()
        if path not in waiting and not isinstance(selection.forms[path], forms.Nothing)
    }
    chosen = inference_layers
    if chosen is None:
        chosen = weights.inference_layers
    for path, info in survey.state_infos.items():
        layer = survey.layers[info.layer]
        stored = info.kind == "statistic" and (
            not layer.trainable or any(layer is other for other in chosen)
        )
        if not stored and not isinstance(layer, kl.Normalization):
            varying.add(id(survey.states[path]))
    return varying


def _last_cut(steps: list[Step], varying: set[int]) -> Any:
    """Return the last tensor that separates the frozen prefix from all other layers."""
    after: set[int] = set()
    before = []
    for step in steps:
        if _varies(step.operation, varying) or any(id(t) in after for t in step.inputs):
            after |= {id(t) for t in step.outputs}
        else:
            before += [] if isinstance(step.operation, kl.InputLayer) else step.outputs
    return next((cut for cut in reversed(before) if _separates(steps, cut, after)), None)


def _varies(operation: Any, varying: set[int]) -> bool:
    if isinstance(operation, keras.Layer):
        if any(id(variable) in varying for variable in operation.variables):
            return True
    parts = operations(operation) if isinstance(operation, keras.Model) else [operation]
    return not all(is_plain(part) or type(part).__name__ in _ELEMENTWISE for part in parts)


def _separates(steps: list[Step], cut: Any, after: set[int]) -> bool:
    reached: set[int] = set()
    for step in steps:
        if step.inputs and not any(id(t) in reached for t in step.inputs):
            continue
        if any(id(t) in after for t in step.outputs):
            return False
        reached |= {id(t) for t in step.outputs if t is not cut}
    return True
