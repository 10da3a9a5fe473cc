"""Paths and fingerprints of a network stay the same when it is saved and loaded by Keras."""

from __future__ import annotations

import glob

import keras
import numpy as np
import pytest
from contract_networks import chain
from keras import layers as kl
from keras import ops

import frozenfit
from frozenfit import PartialNetClassifier, clear_workspace
from frozenfit.layout import Survey
from frozenfit.selectors import Nothing, layers
from frozenfit.training.base import Base
from frozenfit.training.recipe import quick_initial_values

NOTHING = Nothing()
register = keras.saving.register_keras_serializable("test_paths")


def sequential(shape, *parts, dtype=None, name=None):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *parts], name=name)


@register
class Residual(keras.Layer):
    """A layer whose sublayers, lists and weights have no names."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.steps = [kl.Dense(units), kl.Dense(units)]
        self.gates = {"out": kl.Dense(units)}
        self.body = keras.Sequential([kl.Dense(units), kl.BatchNormalization()])
        self._drop = kl.Dropout(0.1)

    def build(self, shape):
        self.shift = self.add_weight(shape=(self.units,))
        self.gain = self.add_weight(shape=(self.units,))
        for step in (*self.steps, *self.gates.values(), self.body):
            step.build(shape)
        super().build(shape)

    def call(self, x, training=None):
        for step in self.steps:
            x = x + step(x)
        x = self.body(x, training=training) * self.gates["out"](x)
        return self._drop(x, training=training) * self.gain + self.shift

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@register
class Around(keras.Layer):
    """A layer that holds another one in its configuration."""

    def __init__(self, inner, **kwargs):
        super().__init__(**kwargs)
        is_layer = isinstance(inner, keras.Layer)
        self.inner = inner if is_layer else keras.saving.deserialize_keras_object(inner)

    def build(self, shape):
        if not self.inner.built:
            self.inner.build(shape)
        super().build(shape)

    def call(self, x):
        return self.inner(x)

    def get_config(self):
        inner = keras.saving.serialize_keras_object(self.inner)
        return {**super().get_config(), "inner": inner}


@register
class Subclassed(keras.Model):
    """A model with sublayers with and without names, and a recurrent one."""

    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.first = kl.Dense(units)
        self.recurrent = kl.Bidirectional(kl.LSTM(units))
        self.blocks = [Residual(2 * units), Residual(2 * units, name="second")]
        self.out = kl.Dense(2, name="out")

    def build(self, shape):
        self.scale = self.add_weight(shape=(2,), name="scale")
        self.first.build(shape)
        self.recurrent.build((*shape[:-1], self.units))
        for block in self.blocks:
            block.build((shape[0], 2 * self.units))
        self.out.build((shape[0], 2 * self.units))
        super().build(shape)

    def call(self, x, training=None):
        x = self.recurrent(self.first(x))
        for block in self.blocks:
            x = block(x, training=training)
        return self.out(x) * self.scale

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@register
class OwnFunctional(keras.Model):
    """A functional model that makes its graph, without names, in its constructor."""

    def __init__(self, units=3, **kwargs):
        x = inputs = keras.Input((4,))
        for _ in range(2):
            x = kl.Dense(units)(x)
        super().__init__(inputs, kl.Dense(2, name="out")(x), **kwargs)
        self.units = units

    def get_config(self):
        return {"units": self.units, "name": self.name}


def subclassed():
    model = Subclassed()
    model(np.zeros((1, 3, 4), "float32"))
    return model


def branches():
    x = keras.Input((4,))
    parts = [kl.Dense(3)(x), kl.Dense(3)(kl.Dense(5)(x))]
    return keras.Model(x, kl.Dense(2)(kl.Concatenate()([kl.Add()(parts), x])))


def shared_layer():
    x, twice = keras.Input((4,)), kl.Dense(4)
    return keras.Model(x, kl.Dense(2)(twice(twice(x))))


def two_inputs():
    a, b = keras.Input((4,), name="one"), keras.Input((3,), name="two")
    return keras.Model([a, b], kl.Dense(2)(kl.Concatenate()([kl.Dense(3)(a), kl.Dense(3)(b)])))


def twins():
    x = keras.Input((4,))
    towers = [chain((4,), kl.Dense(3, name="same")) for _ in range(2)]
    return keras.Model(x, kl.Dense(2)(kl.Add()([tower(x) for tower in towers])))


def shared_model():
    x, inner = keras.Input((4,)), sequential((4,), kl.Dense(4), kl.LayerNormalization())
    return keras.Model(x, kl.Dense(2)(inner(inner(x))))


def mha(grouped=False):
    x = keras.Input((3, 4))
    layer = (
        kl.GroupQueryAttention(2, 4, 2, dropout=0.1)
        if grouped
        else kl.MultiHeadAttention(2, 3, dropout=0.1)
    )
    return keras.Model(x, layer(x, x))


def attention(kind, **options):
    x = keras.Input((3, 4))
    return keras.Model(x, kind(**options)([x, x]))


def frozen_parts():
    frozen, norm = kl.LSTM(3), kl.BatchNormalization()
    model = sequential((3, 4), frozen, kl.Dense(3), norm)
    frozen.trainable = norm.trainable = False
    return model


def lazily_built():
    model = keras.Sequential(
        [kl.LSTM(3, return_sequences=True), keras.Sequential([kl.Dense(3), kl.GRU(2)])]
    )
    model(np.zeros((1, 3, 4), "float32"))
    return model


def lstm(**options):
    return kl.LSTM(2, **options)


IMAGE, SERIES, VOLUME, ROW = (4, 4, 2), (4, 3), (3, 3, 3, 1), (4,)
SINGLE = {
    "Dense": (ROW, lambda: kl.Dense(3)),
    "EinsumDense": (SERIES, lambda: kl.EinsumDense("abc,cd->abd", (4, 2), bias_axes="d")),
    "Conv1D": (SERIES, lambda: kl.Conv1D(2, 2)),
    "Conv2D": (IMAGE, lambda: kl.Conv2D(2, 2)),
    "Conv3D": (VOLUME, lambda: kl.Conv3D(2, 2)),
    "Conv1DTranspose": (SERIES, lambda: kl.Conv1DTranspose(2, 2)),
    "Conv2DTranspose": (IMAGE, lambda: kl.Conv2DTranspose(2, 2)),
    "Conv3DTranspose": (VOLUME, lambda: kl.Conv3DTranspose(2, 2)),
    "DepthwiseConv1D": (SERIES, lambda: kl.DepthwiseConv1D(2)),
    "DepthwiseConv2D": (IMAGE, lambda: kl.DepthwiseConv2D(2)),
    "SeparableConv1D": (SERIES, lambda: kl.SeparableConv1D(2, 2)),
    "SeparableConv2D": (IMAGE, lambda: kl.SeparableConv2D(2, 2)),
    "PReLU": (ROW, lambda: kl.PReLU()),
    "BatchNormalization": (ROW, lambda: kl.BatchNormalization()),
    "LayerNormalization": (ROW, lambda: kl.LayerNormalization()),
    "GroupNormalization": (ROW, lambda: kl.GroupNormalization(2)),
    "RMSNormalization": (ROW, lambda: kl.RMSNormalization()),
    "SpectralNormalization": (ROW, lambda: kl.SpectralNormalization(kl.Dense(3))),
    "LSTM": (SERIES, lstm),
    "GRU": (SERIES, lambda: kl.GRU(2)),
    "SimpleRNN": (SERIES, lambda: kl.SimpleRNN(2, recurrent_dropout=0.1, dropout=0.1)),
    "ConvLSTM1D": ((3, 4, 2), lambda: kl.ConvLSTM1D(2, 2)),
    "ConvLSTM2D": ((2, 4, 4, 1), lambda: kl.ConvLSTM2D(2, 2)),
    "RNN of a cell": (SERIES, lambda: kl.RNN(kl.GRUCell(2))),
    "RNN of stacked cells": (SERIES, lambda: kl.RNN([kl.LSTMCell(2), kl.GRUCell(2)])),
    "Bidirectional": (SERIES, lambda: kl.Bidirectional(lstm())),
    "Bidirectional of two kinds": (
        SERIES,
        lambda: kl.Bidirectional(lstm(), backward_layer=kl.GRU(2, go_backwards=True)),
    ),
    "TimeDistributed": (SERIES, lambda: kl.TimeDistributed(kl.Dense(2))),
    "TimeDistributed Sequential": (
        SERIES,
        lambda: kl.TimeDistributed(sequential((3,), kl.Dense(2), kl.BatchNormalization())),
    ),
    "sublayers without names": (ROW, lambda: Residual(4)),
    "a layer in a custom layer": (ROW, lambda: Around(kl.Dense(3))),
    "an odd name": (ROW, lambda: kl.Dense(3, name="a b,c-[d]*#2 é")),
}
NESTED = ("LSTM", "RNN of stacked cells", "Bidirectional", "TimeDistributed Sequential")
NETWORKS = {
    **{
        f"{kind}, {form.__name__}": (lambda form=form, shape=shape, make=make: form(shape, make()))
        for kind, (shape, make) in SINGLE.items()
        # Only in a Sequential model may Keras put further scopes around the weights.
        for form in (sequential, chain)[: 1 + (kind in NESTED)]
    },
    "Embedding": lambda: sequential((4,), kl.Embedding(5, 3), lstm(), dtype="int32"),
    "UnitNormalization": lambda: sequential(ROW, kl.Dense(3), kl.UnitNormalization()),
    "Normalization": lambda: sequential(ROW, kl.Normalization(), kl.Dense(3)),
    "Dropout": lambda: sequential(ROW, kl.Dropout(0.1), kl.Dense(3), kl.GaussianNoise(0.1)),
    "MultiHeadAttention": mha,
    "GroupQueryAttention": lambda: mha(grouped=True),
    "Attention": lambda: attention(kl.Attention, use_scale=True, score_mode="concat"),
    "AdditiveAttention": lambda: attention(kl.AdditiveAttention),
    "branches": branches,
    "a shared layer": shared_layer,
    "two inputs": two_inputs,
    "twin models": twins,
    "a shared model": shared_model,
    "Sequential in a functional model": lambda: chain(
        SERIES, sequential(SERIES, kl.Dense(3), lstm()), kl.Dense(2)
    ),
    "functional in a Sequential model": lambda: sequential(
        SERIES, chain(SERIES, kl.Dense(3), lstm()), kl.Dense(2)
    ),
    "Sequential in a Sequential model": lambda: sequential(
        SERIES, sequential(SERIES, kl.Dense(3), kl.GRU(2)), kl.Dense(2)
    ),
    "nested twice": lambda: sequential(
        SERIES, chain(SERIES, sequential(SERIES, kl.Bidirectional(lstm()))), kl.Dense(2)
    ),
    "nested twice in functional models": lambda: chain(
        ROW, chain(ROW, sequential(ROW, kl.Dense(3), Residual(3))), kl.Dense(2)
    ),
    "a model named like its layer": lambda: sequential(
        SERIES, kl.GRU(2, name="net"), kl.Dense(2, name="model"), name="net"
    ),
    "built at its first call": lazily_built,
    "frozen layers": frozen_parts,
    "a subclassed model": subclassed,
    "a functional model with a constructor": OwnFunctional,
    "a subclassed model in a functional one": lambda: chain(SERIES, Subclassed(), kl.Dense(2)),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return tmp_path_factory.mktemp("paths") / "model.keras"


@pytest.mark.parametrize("name", NETWORKS)
def test_paths_and_fingerprint_stay_when_a_model_is_loaded(name, saved):
    # What the process has built before decides the numbers of automatic names.
    with quick_initial_values():
        model = NETWORKS[name]()
        model.save(saved)
        loaded = keras.models.load_model(saved)
    ours = Survey(model)
    theirs = Survey(loaded)
    assert list(ours.trainable) == list(theirs.trainable)
    assert list(ours.frozen) == list(theirs.frozen)
    assert ours.state_infos == theirs.state_infos
    assert ours.layout == theirs.layout
    for layer in model.layers if type(model).__module__.startswith("keras.") else ():
        if layer.trainable_variables:
            chosen = layers(glob.escape(layer.name)).resolve(theirs.layout)
            selected = {
                id(ours.trainable[path]) for path, form in chosen.items() if form != NOTHING
            }
            assert selected == {id(variable) for variable in layer.trainable_variables}
    base = Base(model)
    assert base.fingerprint == Base(loaded).fingerprint
    values = base.values(theirs)
    for path, variable in theirs.weights.items():
        np.testing.assert_array_equal(values[path], ops.convert_to_numpy(variable))


@pytest.mark.parametrize("name", ["first", "second"])
def test_the_name_of_a_model_is_in_no_path(name):
    model = keras.Sequential([keras.Input((3, 4)), kl.LSTM(2, name="lstm")], name=name)
    kinds = ("kernel", "recurrent_kernel", "bias")
    assert list(Survey(model).trainable) == [f"lstm/lstm_cell/{kind}" for kind in kinds]


def test_attributes_stand_for_automatic_names_in_layers_of_the_users_own():
    kl.Dense(2), kl.Dropout(0.1)
    survey = Survey(subclassed())
    assert list(dict.fromkeys(path.rpartition("/")[0] for path in survey.weights)) == [
        "model",
        "first",
        "recurrent/forward_layer/cell",
        "recurrent/backward_layer/cell",
        "blocks_0",
        "blocks_0/steps_0",
        "blocks_0/steps_1",
        "blocks_0/gates_out",
        "blocks_0/body/0_Dense",
        "blocks_0/body/1_BatchNormalization",
        "second",
        "second/steps_0",
        "second/steps_1",
        "second/gates_out",
        "second/body/0_Dense",
        "second/body/1_BatchNormalization",
        "out",
    ]
    assert {"model/scale", "blocks_0/shift", "blocks_0/gain"} < set(survey.weights)
    assert "blocks_0/drop/seed_generator_state" in survey.states


def test_the_layers_of_a_functional_model_with_a_constructor_are_numbered():
    kl.Dense(2)
    assert list(Survey(OwnFunctional()).layers) == ["1_Dense", "2_Dense", "out"]


def recurrent_net(name):
    parts = [
        kl.Bidirectional(kl.LSTM(3, return_sequences=True)),
        kl.TimeDistributed(kl.Dense(4)),
        kl.GRU(3),
    ]
    return sequential((4, 3), *parts, kl.Dense(2), name=name)


def test_an_estimator_on_a_recurrent_model_is_saved_and_loaded(tmp_path, saved):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 4, 3)).astype("float32"), np.arange(30) % 2
    model = recurrent_net("by_code")
    model.save(saved)
    loaded = keras.models.load_model(saved)
    fitted = PartialNetClassifier(
        model, trainable="head() | layers('gru*')", epochs=2, random_state=0
    ).fit(X, y)
    expected = fitted.predict_proba(X)
    again = PartialNetClassifier(loaded, trainable=fitted.trainable, epochs=2, random_state=0).fit(
        X, y
    )
    np.testing.assert_array_equal(again.predict_proba(X), expected)
    part, whole = tmp_path / "part.frozenfit", tmp_path / "whole.frozenfit"
    frozenfit.save(fitted, part)
    frozenfit.save(fitted, whole, include_frozen=True)
    clear_workspace()
    for read in (frozenfit.load(whole), frozenfit.load(part, base=loaded)):
        np.testing.assert_array_equal(read.predict_proba(X), expected)
