"""Estimators that train scales of frozen kernels in place of their entries."""

from __future__ import annotations

import copy
import pickle

import keras
import numpy as np
import pytest
from keras import layers as kl
from sklearn.base import clone
from sklearn.datasets import load_iris

import frozenfit
from frozenfit import PartialNetClassifier

X, Y = load_iris(return_X_y=True)
X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype("float32")
PART = "scales(signs=1) | biases() | head()"


def network(**kernel):
    inputs = keras.Input((4,))
    x = kl.Dense(16, "relu", name="first", **kernel)(inputs)
    x = kl.Dense(16, "relu", name="second", **kernel)(x)
    return keras.Model(inputs, kl.Dense(3, name="head")(x))


@pytest.fixture(scope="module")
def fitted():
    keras.utils.set_random_seed(0)
    model = PartialNetClassifier(
        network(), trainable=PART, learning_rate=0.02, epochs=20, random_state=0
    )
    return model.fit(X, Y)


def test_it_learns_with_frozen_kernels(fitted):
    assert fitted.score(X, Y) > 0.9
    trained = fitted.part_.delta.trained
    assert trained["first/kernel"].shape == (20,) and trained["second/kernel"].shape == (32,)
    assert trained["head/kernel"].shape == (16, 3)
    assert np.mean(trained["first/kernel"][:4] < 0) > 0


def test_scales_are_counted(fitted):
    trainable = 20 + 16 + 32 + 16 + 51
    rows = {row.path: row for row in fitted.parameter_table()}
    assert rows["first/kernel"].form == "scales of 4 inputs and 16 outputs"
    assert sum(row.trainable for row in rows.values()) == trainable
    assert fitted.freeze_fraction_ == pytest.approx(1 - trainable / (80 + 272 + 51))


def test_the_exported_network_has_scaled_kernels(fitted):
    exported = fitted.to_keras()
    logits = fitted.part_.outputs(X)
    np.testing.assert_allclose(exported.predict(X, verbose=0), logits, rtol=1e-5, atol=1e-6)
    frozen = fitted.base_.to_keras().get_layer("first").get_weights()[0]
    scales = fitted.part_.delta.trained["first/kernel"]
    expected = frozen * scales[:4, None] * scales[4:]
    found = exported.get_layer("first").get_weights()[0]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("copied", ["pickle", "deepcopy", "file"])
def test_a_copy_predicts_the_same(fitted, copied, tmp_path):
    if copied == "pickle":
        again = pickle.loads(pickle.dumps(fitted))
    elif copied == "deepcopy":
        again = copy.deepcopy(fitted)
    else:
        frozenfit.save(fitted, tmp_path / "model.frozenfit", include_frozen=True)
        again = frozenfit.load(tmp_path / "model.frozenfit")
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    assert again.part_.selection == fitted.part_.selection


def test_a_clone_fits_the_same(fitted):
    again = clone(fitted).fit(X, Y)
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))


def test_a_file_of_a_drawn_network_has_the_scales_alone(tmp_path):
    sizes, layers = {}, {"hidden_layer_sizes": (128, 128)}
    for part in (PART, 1.0):
        model = PartialNetClassifier(
            "mlp", model_params=layers, trainable=part, epochs=1, random_state=0
        ).fit(X, Y)
        path = tmp_path / "model.frozenfit"
        frozenfit.save(model, path)
        sizes[part] = path.stat().st_size
        again = frozenfit.load(path)
        np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert sizes[PART] < sizes[1.0] / 4


def test_a_file_has_the_scales_of_a_selector_that_depends_on_the_data(tmp_path):
    part = "scales(signs=2) | fisher(5, within=biases())"
    model = PartialNetClassifier("mlp", trainable=part, epochs=1, random_state=0).fit(X, Y)
    frozenfit.save(model, tmp_path / "model.frozenfit")
    again = frozenfit.load(tmp_path / "model.frozenfit")
    assert again.part_.selection == model.part_.selection
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_training_goes_on_from_the_scales(fitted):
    longer = copy.deepcopy(fitted).set_params(warm_start=True, epochs=3).fit(X, Y)
    assert longer.part_.selection == fitted.part_.selection
    before, after = (each.part_.delta.trained["second/kernel"] for each in (fitted, longer))
    assert (before != after).any() and np.abs(before - after).max() < 0.5
    # Another part continues from the network with its scales, whose kernels are frozen then.
    other = copy.deepcopy(fitted).set_params(warm_start=True, epochs=1, trainable="head()")
    other.fit(X, Y)
    kernels = [dict(each.model_.assembled())["second/kernel"] for each in (fitted, other)]
    np.testing.assert_array_equal(*kernels)


def test_random_kernels_under_a_given_network_are_scaled():
    keras.utils.set_random_seed(0)
    settings = {"frozen": "random", "epochs": 2, "random_state": 0}
    # Keras alone draws this initializer, so that the values become those of another base.
    for kernel in ({}, {"kernel_initializer": keras.initializers.RandomUniform(-0.2, 0.2)}):
        given = network(**kernel)
        model = PartialNetClassifier(given, trainable="scales() | head()", **settings).fit(X, Y)
        found = model.to_keras().get_layer("second").get_weights()[0]
        plain = found / np.outer(*np.split(model.part_.delta.trained["second/kernel"], 2))
        own = given.get_layer("second").get_weights()[0]
        assert np.abs(plain - own).max() > 0.05


def test_a_part_of_a_scaled_kernel_is_refused():
    model = PartialNetClassifier("mlp", trainable="scales() | filters(0.1)", epochs=1)
    with pytest.raises(ValueError, match="cannot be combined with a part of the same kernel"):
        model.fit(X, Y)


def test_a_fit_that_continues_with_other_parameters_applies_the_signs_once():
    settings = {"learning_rate": 1e-6, "optimizer": "sgd", "lr_schedule": None, "epochs": 1}
    keras.utils.set_random_seed(0)
    model = PartialNetClassifier(
        network(), trainable=PART, warm_start=True, random_state=0, **settings
    )
    before = model.fit(X, Y).predict_proba(X)
    assert np.any(model.part_.delta.trained["first/kernel"] < 0)
    model.set_params(trainable="scales(signs=1) | head()").fit(X, Y)
    np.testing.assert_allclose(model.predict_proba(X), before, atol=1e-3)
    assert np.all(model.part_.delta.trained["first/kernel"] > 0)
    again = pickle.loads(pickle.dumps(model)).fit(X, Y)
    np.testing.assert_allclose(again.predict_proba(X), before, atol=1e-3)
