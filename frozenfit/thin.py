"""The thin network: a network without its dead units.

`ThinNetwork` is trained in place of the whole network. Trainable parameters and states remain those
of the whole network: each call takes the parts that belong to living units, and writes the states
back. Everything else (the optimizer, files, checkpoints) is therefore the same with and without it,
and so are the values, to float tolerance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
from keras import layers as kl
from keras import ops

from frozenfit.dead_units import DROPOUTS, Kept, LivingUnits, living_units
from frozenfit.export import NO_CONFIG
from frozenfit.isolation import full_precision, isolated
from frozenfit.layout import Survey

_SIZES = ("units", "filters")


class ThinNetwork:
    """The living units of a network, run on the weights of the whole network.

    It is called, like a network made of layers of the base, in a `keras.StatelessScope` in which
    the variables of the network have the values to compute with.

    Parameters
    ----------
    survey : Survey
        Survey of the whole network.
    living : LivingUnits
        Its living units.

    Attributes
    ----------
    model : keras.Model
        The thin network; its variables have arbitrary values.
    assumes_still : bool
        That of `living`.
    """

    _call_has_training_arg = True

    def __init__(self, survey: Survey, living: LivingUnits):
        self.model, self._copies = _build(survey.model, living.outputs, full_dropout=True)
        self.assumes_still = living.assumes_still
        self._layers = {id(a): b for pair in self._copies for a, b in _flat(*pair)}
        self._taken = [
            (whole, thin, cuts) for _, whole, thin, cuts in _pairs(survey, self._copies, living)
        ]
        states = {id(variable) for variable in survey.states.values()}
        momenta = {
            id(v): copy for layer, copy in self._copies for v in layer.variables if id(v) in states
        }
        self._states = [
            (whole, thin, _order(cuts, whole), momenta[id(whole)])
            for whole, thin, cuts in self._taken
            if id(whole) in states
        ]

    @property
    def inputs(self) -> list[Any]:
        """The inputs of the network."""
        return self.model.inputs

    def copies(self, layers: Iterable[Any]) -> list[Any]:
        """Return the layers of the thin network in the places of some of the whole network."""
        return [self._layers[id(layer)] for layer in layers]

    def __call__(self, inputs: Any, training: bool | None = None) -> Any:
        """Compute the outputs of the network.

        Parameters
        ----------
        inputs : tensor
            Inputs of the network.
        training : bool or None, default=None
            Whether layers run in training mode.

        Returns
        -------
        tensor
            The outputs. The states of the whole network have their new values in the scope.
        """
        # Layers cast their weights themselves.
        with full_precision():
            for whole, thin, cuts in self._taken:
                thin.assign(_take(whole.value, cuts))
            before = [thin.value for _, thin, *_ in self._states]
        outputs = self.model(inputs, training=training)
        with full_precision():
            for (whole, thin, order, layer), old in zip(self._states, before, strict=True):
                new = thin.value
                if new is not old:
                    whole.assign(_with_dead(new, whole.value, order, layer))
        return outputs


def thin_model(survey: Survey, values: Mapping[str, np.ndarray], seed: int) -> keras.Model | None:
    """Create a plain Keras model of the units of a network that are not dead.

    Parameters
    ----------
    survey : Survey
        Survey of the network.
    values : mapping of str to ndarray
        All weights and states by path.
    seed : int
        Seed of the initializers that run while the model is built.

    Returns
    -------
    keras.Model or None
        A new model; None where no unit can be left out.
    """
    living = living_units(survey, values)
    if living is None:
        return None
    with isolated(seed):
        try:
            model, copies = _build(survey.model, living.outputs)
        except NO_CONFIG:
            return None
    for path, _, thin, cuts in _pairs(survey, copies, living):
        value = values[path]
        for axis, positions in cuts.items():
            value = value.take(positions, axis)
        thin.assign(value.astype(thin.dtype))
    return model


class _FullDropout(keras.layers.Layer):
    """A dropout that drops the units that it would drop in the whole network.

    Random numbers are drawn for dead units too.
    """

    def __init__(self, dropout: Any, kept: Kept):
        super().__init__(name=dropout.name, dtype=dropout.dtype_policy)
        self.dropout, self.kept = dropout, kept

    def call(self, inputs, training=False):
        if not training:
            return inputs
        shape: Any = ops.shape(inputs)
        shape = list(shape)
        shape[self.kept.axis] = self.kept.size
        factors = self.dropout(ops.ones(shape, inputs.dtype), training=True)
        return inputs * ops.take(factors, self.kept.positions, axis=self.kept.axis)


def _build(
    model: keras.Model, outputs: Mapping[str, Kept], full_dropout: bool = False
) -> tuple[keras.Model, list[tuple[Any, Any]]]:
    """Build a network with some units, and list its layers beside those of the whole one."""
    copies: list[tuple[Any, Any]] = []

    def copy(operation: Any) -> Any:
        made = operation.__class__.from_config(_config(operation, outputs.get(operation.name)))
        if not isinstance(operation, keras.Layer):
            return made
        copies.append((operation, made))
        kept = outputs.get(operation.name)
        if full_dropout and kept is not None and isinstance(operation, DROPOUTS):
            return _FullDropout(made, kept)
        return made

    built = keras.models.clone_model(model, clone_function=copy)
    for pair in copies:
        for source, target in _flat(*pair):
            # A frozen batch normalization runs in inference mode.
            if not source.trainable:
                target.trainable = False
    return built, copies


def _flat(layer: Any, copy: Any) -> list[tuple[Any, Any]]:
    """Return pairs of a layer and its copy, and of the layers inside them."""
    return list(zip(layer._flatten_layers(), copy._flatten_layers(), strict=True))


def _config(operation: Any, kept: Kept | None) -> dict[str, Any]:
    config = operation.get_config()
    if kept is None:
        return config
    for name in _SIZES:
        if name in config:
            config[name] = len(kept.positions)
    if isinstance(operation, kl.Reshape):
        output: Any = operation.output
        shape = list(output.shape[1:])
        shape[kept.axis - 1] = len(kept.positions)
        config["target_shape"] = tuple(shape)
    return config


def _pairs(survey: Survey, copies: list[tuple[Any, Any]], living: LivingUnits) -> list[tuple]:
    """Return path, variable, thin variable and cuts of every variable of a network."""
    paths = {id(v): path for path, v in (survey.weights | survey.states).items()}
    pairs = {}
    for layer, copy in copies:
        for whole, thin in zip(layer.variables, copy.variables, strict=True):
            path = paths[id(whole)]
            pairs[id(thin)] = path, whole, thin, living.cuts.get(path, {})
    return list(pairs.values())


def _take(value: Any, cuts: Mapping[int, np.ndarray]) -> Any:
    """Return a part of a weight."""
    for axis, positions in cuts.items():
        if positions[-1] == len(positions) - 1:
            first = [slice(None)] * len(value.shape)
            first[axis] = slice(len(positions))
            value = value[tuple(first)]
        else:
            value = ops.take(value, positions, axis=axis)
    return value


def _order(cuts: Mapping[int, np.ndarray], whole: Any) -> np.ndarray | None:
    """Return the places of all units of a state among the living ones, then all old values."""
    if not cuts:
        return None
    ((_, positions),) = cuts.items()
    order = len(positions) + np.arange(whole.shape[0])
    order[positions] = np.arange(len(positions))
    return order


def _with_dead(new: Any, old: Any, order: np.ndarray | None, layer: Any) -> Any:
    """Return the moving statistic of all units; mean and variance of a dead one are zero."""
    if order is None:
        return new
    return ops.take(ops.concatenate([new, old * layer.momentum]), order)
