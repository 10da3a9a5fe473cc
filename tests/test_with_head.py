"""A network with another number of outputs: only its last layer is new."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from contract_networks import array, build, values
from keras import layers as kl

from frozenfit import PartialNetClassifier, with_head


def ending(*last):
    layers = [kl.Dense(5, "tanh", name="hidden"), kl.BatchNormalization(name="norm"), *last]
    return keras.Sequential([keras.Input((4,)), *layers], name="net")


@pytest.mark.parametrize(
    "last",
    [
        [kl.Dense(7, name="top")],
        [kl.Dense(7, "softmax", use_bias=False, name="top")],
        [kl.Dense(7, name="top"), kl.Activation("sigmoid"), kl.Softmax()],
    ],
)
def test_the_head_is_replaced_and_all_else_is_kept(last):
    model = ending(*last)
    model.get_layer("hidden").trainable = False
    model.get_layer("norm").moving_mean.assign(np.arange(5))
    before = values(model)
    new = with_head(model, 3)
    assert new.output_shape == (None, 3)
    assert [layer.name for layer in new.layers[-3:]] == ["hidden", "norm", "top"]
    assert new.layers[-1].activation is keras.activations.linear
    assert new.layers[-1].use_bias is last[0].use_bias
    assert not new.get_layer("hidden").trainable
    for name in ("hidden", "norm"):
        ours, theirs = new.get_layer(name), model.get_layer(name)
        assert ours is not theirs
        for a, b in zip(ours.variables, theirs.variables, strict=True):
            np.testing.assert_array_equal(array(a), array(b))
    assert all((a == b).all() for a, b in zip(before, values(model), strict=True))


@pytest.mark.parametrize("kind", ["nested", "shared", "attention"])
def test_graphs_are_copied(kind):
    model = build(kind)
    new = with_head(model, 2)
    assert new.output_shape == (None, 2)
    for a, b in zip(values(new)[:-2], values(model)[:-2], strict=False):
        np.testing.assert_array_equal(a, b)


def two_outputs():
    inputs = keras.Input((4,))
    return keras.Model(inputs, [kl.Dense(2)(inputs), kl.Dense(2)(inputs)])


@pytest.mark.parametrize(
    ("make", "n_outputs", "error", "message"),
    [
        (lambda: 3, 2, TypeError, "`model` must be a keras.Model, got int"),
        (lambda: ending(), 2, ValueError, "ends in one Dense layer, got BatchNormalization"),
        (two_outputs, 2, ValueError, "ends in one Dense layer, got 2 outputs"),
        (lambda: build("subclassed"), 2, ValueError, "got a model without a graph of layers"),
        (lambda: ending(kl.Dense(2)), 0, ValueError, "`n_outputs` must be an int >= 1, got 0"),
    ],
)
def test_other_networks_are_refused(make, n_outputs, error, message):
    with pytest.raises(error, match=message):
        with_head(make(), n_outputs)


def test_an_estimator_suggests_it_and_trains_the_result():
    X, y = np.random.default_rng(0).normal(size=(12, 4)), np.arange(12) % 3
    model = ending(kl.Dense(7, name="top"))
    with pytest.raises(ValueError, match=r"must have 3 outputs.*frozenfit.with_head\(model, 3\)"):
        PartialNetClassifier(model, epochs=1).fit(X, y)
    clf = PartialNetClassifier(with_head(model, 3), trainable="head()", epochs=1).fit(X, y)
    assert [row.path for row in clf.parameter_table() if row.trainable] == [
        "top/kernel",
        "top/bias",
    ]
