"""The dead units of a network whose frozen parameters are zero.

A unit (a channel, or an element of a flat layer) is dead where it is zero for every sample, in
training and in inference, and remains so while the network is trained. Whatever it is multiplied by
then has neither effect nor gradient, so that the network without it computes, and is trained, in
the same way.

A unit is followed as long as it is exactly zero. A trainable offset that is zero counts as zero
only where no gradient reaches it, because every way from it to the output leads through a ReLU
that it does not pass. Where a layer is unknown, its inputs and outputs are alive.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers as kl

from frozenfit.layout import Step, Survey
from frozenfit.unit_rules import Channelwise, Offset, Opaque, Product, Units

_act = keras.activations
# Activations of single elements that map zero to zero.
_ZERO_AT_ZERO = (
    *(_act.linear, _act.relu, _act.relu6, _act.leaky_relu, _act.elu, _act.selu, _act.celu),
    *(_act.gelu, _act.silu, _act.mish, _act.tanh, _act.softsign),
    *(_act.hard_tanh, _act.hard_silu, _act.hard_shrink, _act.soft_shrink, _act.tanh_shrink),
)
_PRODUCTS = (
    *(kl.Dense, kl.Conv1D, kl.Conv2D, kl.Conv3D),
    *(kl.Conv1DTranspose, kl.Conv2DTranspose, kl.Conv3DTranspose),
)
_DEPTHWISE = (kl.DepthwiseConv1D, kl.DepthwiseConv2D)
DROPOUTS = (
    *(kl.Dropout, kl.GaussianDropout),
    *(kl.SpatialDropout1D, kl.SpatialDropout2D, kl.SpatialDropout3D),
)
# Layers that compute each channel from the same channel, and zeros from zeros.
_SPATIAL = (
    *(kl.MaxPooling1D, kl.MaxPooling2D, kl.MaxPooling3D),
    *(kl.AveragePooling1D, kl.AveragePooling2D, kl.AveragePooling3D),
    *(kl.GlobalMaxPooling1D, kl.GlobalMaxPooling2D, kl.GlobalMaxPooling3D),
    *(kl.GlobalAveragePooling1D, kl.GlobalAveragePooling2D, kl.GlobalAveragePooling3D),
    *(kl.UpSampling1D, kl.UpSampling2D, kl.UpSampling3D),
    *(kl.ZeroPadding1D, kl.ZeroPadding2D, kl.ZeroPadding3D),
    *(kl.Cropping1D, kl.Cropping2D, kl.Cropping3D),
)
_MERGES = (kl.Add, kl.Subtract, kl.Average, kl.Maximum, kl.Minimum, kl.Multiply)
# Functions of keras.ops that compute each element from the same elements, and zero from zeros.
_FUNCTIONS = {"Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Gelu", "Silu", "Tanh"}
_MERGING_FUNCTIONS = {"Add", "Subtract", "Maximum", "Minimum", "Multiply"}


@dataclass(frozen=True, eq=False)
class Kept:
    """The units of the output of an operation that are kept.

    Attributes
    ----------
    axis : int
        Axis of the units.
    positions : ndarray of int
        Positions of the units that are kept, sorted.
    size : int
        Number of all units.
    """

    axis: int
    positions: np.ndarray
    size: int


@dataclass(frozen=True, eq=False)
class LivingUnits:
    """What is left of a network without its dead units.

    Attributes
    ----------
    outputs : dict of str to Kept
        By name of the operation, where units of its output are left out.
    cuts : dict of str to dict of int to ndarray
        By path of the weight or state: positions that are kept along an axis, where others are
        left out.
    assumes_still : bool
        Whether trainable offsets count as zero, because no gradient reaches them. The optimizer
        must leave a parameter alone that is zero and has no gradient.
    """

    outputs: dict[str, Kept]
    cuts: dict[str, dict[int, np.ndarray]]
    assumes_still: bool

    @property
    def key(self) -> tuple:
        """What the thin network depends on besides the structure of the whole one."""
        return tuple((name, kept.positions.tobytes()) for name, kept in self.outputs.items())


def living_units(
    survey: Survey,
    values: Mapping[str, np.ndarray],
    trainable: Mapping[str, np.ndarray] | None = None,
) -> LivingUnits | None:
    """Find the units of a network that are not dead.

    Parameters
    ----------
    survey : Survey
        Survey of the network.
    values : mapping of str to ndarray
        Its weights and states by path.
    trainable : mapping of str to ndarray of bool or None, default=None
        The parameters that training may change, by path of the weight; none for a network that is
        not trained further.

    Returns
    -------
    LivingUnits or None
        None where no unit can be left out, as in a network without a graph of layers.
    """
    graph = _Graph(survey, values, trainable or {})
    if not survey.steps:
        return None
    graph.follow()
    return graph.found()


class _Graph:
    """The operations of a network, and the units of the tensors between them."""

    def __init__(
        self,
        survey: Survey,
        values: Mapping[str, np.ndarray],
        trainable: Mapping[str, np.ndarray],
    ):
        self.survey, self.values, self.trainable = survey, values, trainable
        variables = survey.weights | survey.states
        self._paths = {id(variable): path for path, variable in variables.items()}
        self._variables = variables
        self._units: dict[int, Units] = {}
        self._whole: list[Units] = []
        self._rules: list[Any] = []
        self._outputs: dict[str, Units] = {}
        self._offsets: dict[str, Offset] = {}
        # Units that are kept along an axis of a weight or state.
        self._cuts: dict[str, dict[int, Units]] = {}
        # Inputs and outputs of the calls of an operation, which has one set of weights.
        self._calls: dict[str, list[list[Units]]] = {}
        names = [step.operation.name for step in survey.steps]
        for step in survey.steps:
            rule = self._rule(step, names.count(step.operation.name) > 1)
            self._rules.append(rule or self._opaque(step))
        self._whole += [self._units[id(t)] for t in getattr(survey.model, "outputs", ())]

    def follow(self) -> None:
        """Mark the units until no rule changes anything."""
        while True:
            for rule in self._rules:
                rule.forward()
            for units in self._whole:
                units.reached[:] = True
            for rule in reversed(self._rules):
                rule.backward()
            if not any([offset.wake() for offset in self._offsets.values()]):
                break
        before = -1
        while before != (before := self._count()):
            for units in self._whole:
                units.kept[:] = True
            for rule in (*self._rules, *reversed(self._rules)):
                rule.keep()
            for calls in self._calls.values():
                _share_kept(calls)

    def _count(self) -> int:
        return sum(int(units.kept.sum()) for units in self._units.values())

    def found(self) -> LivingUnits | None:
        """Return what is kept; None where that is everything."""
        outputs = {
            name: Kept(units.axis, np.flatnonzero(units.kept), len(units.kept))
            for name, units in self._outputs.items()
            if units.axis is not None and not units.kept.all()
        }
        cuts = {
            path: {a: np.flatnonzero(u.kept) for a, u in axes.items() if not u.kept.all()}
            for path, axes in self._cuts.items()
        }
        still = any(bool(offset.still.any()) for offset in self._offsets.values())
        cuts = {path: axes for path, axes in cuts.items() if axes}
        return LivingUnits(outputs, cuts, still) if outputs else None

    def _rule(self, step: Step, is_shared: bool) -> Any:
        """Return the rule of an operation that is followed, else None."""
        operation = step.operation
        if len(step.outputs) != 1 or not _is_plain(operation, step):
            return None
        kind = type(operation)
        make = _MAKERS.get(kind)
        if make is None and not isinstance(operation, keras.Layer):
            name = kind.__name__ if kind.__module__.startswith("keras.src.ops.") else ""
            make = _MAKERS.get(name)
        if make is None or (is_shared and kind in _NOT_SHARED):
            return None
        return make(self, step)

    def _opaque(self, step: Step) -> Opaque:
        name = step.operation.name
        self._outputs.pop(name, None)
        outputs = [Units(None, 1) for _ in step.outputs]
        self._units.update((id(t), u) for t, u in zip(step.outputs, outputs, strict=True))
        return Opaque([self._units[id(t)] for t in step.inputs], outputs)

    def axis(self, tensor: Any) -> int | None:
        """Return the axis of a tensor along which its units are followed."""
        return self._units[id(tensor)].axis

    def read(self, tensor: Any, axis: int) -> Units:
        """Return the units of a tensor along an axis; all stay where others are followed."""
        units = self._units[id(tensor)]
        axis %= len(tensor.shape)
        if units.axis == axis:
            return units
        self._whole.append(units)
        whole = Units(axis, tensor.shape[axis])
        whole.all_stay()
        return whole

    def write(self, step: Step, axis: int, size: int) -> Units:
        """Return new units for the output of an operation."""
        tensor = step.outputs[0]
        units = Units(axis % len(tensor.shape), size)
        self._units[id(tensor)] = self._outputs[step.operation.name] = units
        return units

    def path(self, layer: Any, name: str) -> str | None:
        """Return the path of a variable of a layer."""
        found = (self._paths[id(v)] for v in layer.variables if v.name == name)
        return next(found, None)

    def may_be_other(self, path: str) -> np.ndarray:
        """Return where a weight is other than zero, or may become so."""
        other = np.not_equal(self.values[path], 0)
        return other | self.trainable[path] if path in self.trainable else other

    def offset(self, path: str | None, size: int) -> Offset:
        """Return the offset of a layer; one object for all its calls."""
        if path is None:
            return Offset(size)
        if path not in self._offsets:
            offset = Offset(size)
            trained = self.trainable.get(path, np.zeros(size, bool))
            if _rests_at_zero(self._variables[path]):
                offset.still = trained & (self.values[path] == 0)
            offset.alive = self.may_be_other(path) & ~offset.still
            self._offsets[path] = offset
        return self._offsets[path]

    def cut(self, path: str | None, axes: Mapping[int, Units]) -> None:
        """Let a weight or state have only the units that are kept."""
        if path is not None:
            # The calls of a shared layer keep the same units.
            self._cuts.setdefault(path, dict(axes))

    def called(self, step: Step, *units: Units) -> None:
        """Let all calls of a layer keep the same units."""
        self._calls.setdefault(step.operation.name, []).append(list(units))


def _rests_at_zero(variable: Any) -> bool:
    """Return whether nothing but a gradient of the loss moves a parameter that is zero."""
    known = (keras.regularizers.L1, keras.regularizers.L2, keras.regularizers.L1L2)
    return variable.constraint is None and type(variable.regularizer) in (*known, type(None))


def _share_kept(calls: list[list[Units]]) -> None:
    for same in zip(*calls, strict=True):
        together = np.logical_or.reduce([units.kept for units in same])
        for units in same:
            units.kept |= together


def _is_plain(operation: Any, step: Step) -> bool:
    """Return whether an operation computes as its class does, and is called with tensors alone."""
    if not isinstance(operation, keras.Layer):
        return True
    return (
        "call" not in operation.__dict__
        and not getattr(operation, "lora_enabled", False)
        and not getattr(operation, "quantization_mode", None)
        and operation.activity_regularizer is None
        and not step.has_options
    )


def _channels(layer: Any, tensor: Any) -> int:
    last = getattr(layer, "data_format", None) != "channels_first"
    return len(tensor.shape) - 1 if last else 1


def _set_activation(rule: Channelwise | Product, activation: Any) -> None:
    rule.passes_zero = any(activation is known for known in (None, *_ZERO_AT_ZERO))
    rule.stops_at_zero = activation is _act.relu


def _product(graph: _Graph, step: Step) -> Any:
    layer, (x,) = step.operation, step.inputs
    kernel, bias = graph.path(layer, "kernel"), graph.path(layer, "bias")
    if kernel is None or getattr(layer, "groups", 1) != 1:
        return None
    rank = len(graph.values[kernel].shape)
    inside, outside = rank - 2, rank - 1
    if type(layer).__name__.endswith("Transpose"):
        inside, outside = outside, inside
    other = np.moveaxis(graph.may_be_other(kernel), (inside, outside), (0, 1))
    reads: Any = np.any(other, axis=tuple(range(2, rank)))
    axis = len(x.shape) - 1 if isinstance(layer, kl.Dense) else _channels(layer, x)
    units = graph.read(x, axis)
    output = graph.write(step, axis, reads.shape[1])
    graph.cut(kernel, {inside: units, outside: output})
    graph.cut(bias, {0: output})
    graph.called(step, units, output)
    rule = Product(units, output, reads, graph.offset(bias, reads.shape[1]))
    _set_activation(rule, layer.activation)
    return rule


def _depthwise(graph: _Graph, step: Step) -> Any:
    layer, (x,) = step.operation, step.inputs
    kernel, bias = graph.path(layer, "kernel"), graph.path(layer, "bias")
    if kernel is None:
        return None
    *space, size, multiplier = graph.values[kernel].shape
    axis = _channels(layer, x)
    units = graph.read(x, axis)
    output = graph.write(step, axis, size * multiplier)
    graph.cut(kernel, {len(space): units})
    graph.cut(bias, {0: output})
    graph.called(step, units, output)
    places = np.repeat(np.arange(size), multiplier)
    rule = Channelwise([units], output, [places], graph.offset(bias, size * multiplier))
    _set_activation(rule, layer.activation)
    return rule


def _batch_norm(graph: _Graph, step: Step) -> Any:
    layer, (x,) = step.operation, step.inputs
    if not isinstance(layer.axis, int) or getattr(layer, "renorm", False):
        return None
    if graph.axis(x) != layer.axis % len(x.shape):
        return None
    paths = [graph.path(layer, n) for n in ("gamma", "beta", "moving_mean", "moving_variance")]
    mean = graph.values[paths[2]] != 0  # pyright: ignore
    rule = _same_places(graph, step, layer.axis, graph.offset(paths[1], len(mean)))
    # In inference, a unit that is zero is moved by the moving mean.
    rule.offset.alive |= mean
    rule.offset.still &= ~mean
    for path in paths:
        graph.cut(path, {0: rule.output})
    return rule


def _same_places(graph: _Graph, step: Step, axis: int, offset: Offset | None = None) -> Any:
    """Return the rule of an operation that computes each unit from those at the same place."""
    axis %= len(step.inputs[0].shape)
    if all(graph.axis(x) != axis for x in step.inputs):
        return None
    size = step.inputs[0].shape[axis]
    inputs = [graph.read(x, axis) for x in step.inputs]
    rank = len(step.outputs[0].shape)
    output = graph.write(step, axis if rank == len(step.inputs[0].shape) else rank - 1, size)
    places = [np.arange(size)] * len(inputs)
    return Channelwise(inputs, output, places, offset or Offset(size))


def _spatial(graph: _Graph, step: Step) -> Any:
    return _same_places(graph, step, _channels(step.operation, step.inputs[0]))


def _elementwise(graph: _Graph, step: Step) -> Any:
    axis = graph.axis(step.inputs[0])
    return None if axis is None else _same_places(graph, step, axis)


def _activation(graph: _Graph, step: Step) -> Any:
    layer, rule = step.operation, _elementwise(graph, step)
    if rule is not None:
        _set_activation(rule, layer.activation)
    return rule


def _relu(graph: _Graph, step: Step) -> Any:
    layer, rule = step.operation, _elementwise(graph, step)
    if rule is not None and isinstance(layer, kl.ReLU):
        rule.passes_zero = layer.threshold == 0
        # A maximum computes its gradient at zero in another way on some backends.
        plain = layer.max_value is None and layer.negative_slope == 0
        rule.stops_at_zero = rule.passes_zero and plain
    elif rule is not None:
        rule.stops_at_zero = True
    return rule


def _merge(graph: _Graph, step: Step) -> Any:
    found = [graph.axis(x) for x in step.inputs]
    axis = next((axis for axis in found if axis is not None), None)
    ranks = {len(x.shape) for x in (*step.inputs, *step.outputs)}
    # `x + 1` has a single tensor.
    if axis is None or len(ranks) > 1 or len(step.inputs) < 2:
        return None
    if len({x.shape[axis] for x in step.inputs}) > 1:
        return None
    return _same_places(graph, step, axis)


def _concatenate(graph: _Graph, step: Step) -> Any:
    rank = len(step.outputs[0].shape)
    along = step.operation.axis % rank
    found = [graph.axis(x) for x in step.inputs]
    axis = next((axis for axis in found if axis is not None), None)
    if axis is None or along == 0:
        return None
    if axis != along:
        return _same_places(graph, step, axis)
    sizes = [x.shape[axis] for x in step.inputs]
    ends, total = np.cumsum(sizes), sum(sizes)
    places = [np.full(total, -1) for _ in sizes]
    for each, end, size in zip(places, ends, sizes, strict=True):
        each[end - size : end] = np.arange(size)
    inputs = [graph.read(x, axis) for x in step.inputs]
    return Channelwise(inputs, graph.write(step, axis, total), places, Offset(total))


def _reshape(graph: _Graph, step: Step) -> Any:
    (x,), shape = step.inputs, step.outputs[0].shape[1:]
    sizes, axis = x.shape[1:], graph.axis(x)
    if axis is None or None in (*sizes, *shape):
        return None
    along = np.ones(len(sizes), int)
    along[axis - 1] = -1
    place = np.broadcast_to(np.arange(sizes[axis - 1]).reshape(along), sizes)
    if isinstance(step.operation, kl.Flatten) and step.operation.data_format == "channels_first":
        place = np.moveaxis(place, 0, -1)
    place = place.reshape(shape)
    for i, size in enumerate(shape):
        lines = np.moveaxis(place, i, 0).reshape(size, -1)
        if (lines == lines[:, :1]).all():
            units, output = graph.read(x, axis), graph.write(step, i + 1, size)
            return Channelwise([units], output, [lines[:, 0]], Offset(size))
    return None


_Maker = Callable[[_Graph, Step], Any]
_MAKERS: dict[Any, _Maker] = {
    **dict.fromkeys(_PRODUCTS, _product),
    **dict.fromkeys(_DEPTHWISE, _depthwise),
    **dict.fromkeys(_SPATIAL, _spatial),
    **dict.fromkeys((*DROPOUTS, kl.Identity, kl.LeakyReLU, kl.ELU, *_FUNCTIONS), _elementwise),
    **dict.fromkeys((*_MERGES, *_MERGING_FUNCTIONS), _merge),
    **dict.fromkeys((kl.Flatten, kl.Reshape), _reshape),
    kl.BatchNormalization: _batch_norm,
    kl.Activation: _activation,
    kl.ReLU: _relu,
    "Relu": _relu,
    kl.Concatenate: _concatenate,
}
# The statistics of a batch normalization are updated once in each call, and the others are built
# for one size.
_NOT_SHARED = (kl.BatchNormalization, kl.Reshape, *DROPOUTS)
