"""Outputs of all members in one call: those of each member alone, bit for bit."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from ensembles import cheap_ensemble
from keras import layers as kl
from sklearn.datasets import load_digits

from frozenfit.estimators import fitted_part, member_outputs
from frozenfit.training.backends import Predictor

X, Y = load_digits(return_X_y=True)
X, Y = (X[:90] / 16).astype("float32"), Y[:90]
IMAGES = X.reshape(-1, 8, 8, 1)


def convolutions(input_shape, n_outputs):
    x = inputs = keras.Input(input_shape)
    x = kl.BatchNormalization()(kl.Conv2D(4, 3, use_bias=False)(x))
    x = kl.GlobalAveragePooling2D()(kl.ReLU()(x))
    return keras.Model(inputs, kl.Dense(n_outputs)(x))


NETWORKS = {
    "adapters": (X, {"base": "frozen", "members": "adapters"}),
    "joint": (X, {"base": "joint", "members": "adapters"}),
    "disjoint": (X, {"trainable": 0.2, "members": "disjoint"}),
    "prefix": (X, {"trainable": "head()"}),
    "convolutions": (IMAGES, {"model": convolutions, "base": "frozen", "members": "adapters"}),
    # Each member has another form, so that they have no compiled model in common.
    "different": (X, {"members": ["head()", "head() | biases()", 0.5], "trainable": 0.5}),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_do_not_depend_on_the_other_members(name):
    x, params = NETWORKS[name]
    settings = {"n_estimators": 3, "epochs": 1, "random_state": 0} | params
    if "model" not in settings:
        settings["model_params"] = {"hidden_layer_sizes": (16, 12)}
    fitted = cheap_ensemble(**settings).fit(x, Y)
    whole = fitted._member_logits(x)
    for member, outputs in zip(fitted.estimators_, whole, strict=True):
        np.testing.assert_array_equal(member.part_.outputs(x), outputs)
    np.testing.assert_array_equal(fitted._member_logits(x, 1), whole[:1])
    # Others are loaded now; 65 rows are a batch of as many rows as 90.
    np.testing.assert_array_equal(fitted._member_logits(x[:65]), whole[:, :65])
    fitted.estimators_ = fitted.estimators_[::-1]
    np.testing.assert_array_equal(fitted._member_logits(x), whole[::-1])


@pytest.fixture(scope="module")
def fitted():
    settings = {"base": "frozen", "members": "adapters", "epochs": 1, "random_state": 0}
    return cheap_ensemble(n_estimators=3, **settings).fit(X, Y)


def test_values_are_converted_once(fitted, monkeypatch):
    kept, keep = [], Predictor._keep

    def counting(self, values):
        kept.append(len(values))
        return keep(self, values)

    monkeypatch.setattr(Predictor, "_keep", counting)
    whole = fitted._member_logits(X)
    kept.clear()
    fitted.predict(X)
    assert kept == []
    np.testing.assert_array_equal(fitted._member_logits(X, 2), whole[:2])
    assert kept == [2]
    # More values than are kept: a group for each member, with the same outputs.
    monkeypatch.setattr(member_outputs, "_KEPT_BYTES", 1)
    np.testing.assert_array_equal(fitted._member_logits(X), whole)
    assert kept == [2, 1, 1, 1]


def test_members_are_not_loaded_one_after_the_other(fitted, monkeypatch):
    loaded, load = [], fitted_part.FittedPart.load

    def counting(self, network):
        loaded.append(self)
        return load(self, network)

    monkeypatch.setattr(fitted_part.FittedPart, "load", counting)
    fitted.predict(X)
    assert loaded == [fitted.estimators_[0].part_]
