"""The base: its public attributes, what it shares, and what a pickle of it holds."""

from __future__ import annotations

import pickle

import keras
import numpy as np
import pytest
from contract_networks import build
from estimator_data import classifier, given_net, table
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from frozenfit import PartialNetClassifier, clear_workspace
from frozenfit.layout import Survey
from frozenfit.training.base import Base
from frozenfit.training.recipe import Recipe
from frozenfit.training.workspace import workspace


def lenet(seed=0, n_outputs=10):
    return Base(Recipe("lenet5", (28, 28, 1), n_outputs), seed=seed)


def test_repr_names_the_source():
    assert repr(lenet(3)) == "Base('lenet5', input_shape=(28, 28, 1), n_outputs=10, seed=3)"
    model = build("dense")
    assert repr(Base(model)) == f"Base(<{type(model).__name__} {model.name!r}>)"
    assert repr(lenet().with_values({})).endswith("seed=0, trained)")


def test_the_fingerprint_identifies_structure_and_values():
    assert lenet().fingerprint == lenet().fingerprint
    prints = {lenet(0).fingerprint, lenet(1).fingerprint, lenet(0, n_outputs=4).fingerprint}
    assert len(prints) == 3
    changed = lenet().with_values({"conv1/bias": np.ones(6, "float32")})
    assert changed.fingerprint not in prints


def test_to_keras_gives_the_values_of_the_base():
    model = given_net()
    exported = Base(model).to_keras()
    x = np.random.default_rng(0).normal(size=(5, *model.input_shape[1:])).astype("float32")
    np.testing.assert_array_equal(exported.predict(x, verbose=0), model.predict(x, verbose=0))
    drawn = lenet()
    values = drawn.values(Survey(drawn.build()[0]))
    for path, variable in Survey(drawn.to_keras()).trainable.items():
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), values[path])


def test_the_fitted_attribute_is_the_untrained_base():
    X, y = table()
    estimator = classifier(trainable=1.0).fit(X, y)
    same = classifier(trainable=1.0).fit(X, y)
    assert isinstance(estimator.base_, Base)
    assert estimator.base_.fingerprint == same.base_.fingerprint
    exported = estimator.to_keras().get_weights()
    base = estimator.base_.to_keras().get_weights()
    assert any((a != b).any() for a, b in zip(exported, base, strict=True))


def test_a_network_is_surveyed_once(monkeypatch):
    counts = {"surveys": 0}
    init = Survey.__init__

    def counted(self, model):
        counts["surveys"] += 1
        init(self, model)

    monkeypatch.setattr(Survey, "__init__", counted)
    X, y = table()
    clear_workspace()
    estimator = classifier().fit(X, y)
    assert counts["surveys"] == 1
    estimator.predict(X)
    classifier().fit(X, y)
    assert counts["surveys"] == 1


def test_heads_of_different_size_share_all_other_values():
    base = lenet()
    other = base.with_outputs(4)
    assert other is base.with_outputs(4) and other.with_outputs(10) is base
    with workspace.check_out(base) as network:
        ours = network.values(base)
    with workspace.check_out(other) as network:
        theirs = network.values(other)
    changed = {path for path in ours if ours[path] is not theirs[path]}
    assert changed == {"head/kernel", "head/bias"}


def test_a_pickle_contains_a_given_model_once():
    X, y = table()
    wide = keras.Sequential(
        [keras.Input((X.shape[1],)), keras.layers.Dense(4000), keras.layers.Dense(3)]
    )
    estimator = PartialNetClassifier(wide, trainable="head()", epochs=1, random_state=0).fit(X, y)
    size = len(pickle.dumps(estimator))
    weights = sum(w.nbytes for w in wide.get_weights())
    # The model, and the trained head.
    assert size < 1.7 * weights
    again = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(again.predict_proba(X), estimator.predict_proba(X))


def test_a_pickle_of_a_changed_model_keeps_the_values_it_was_fitted_on():
    X, y = table()
    model = given_net()
    estimator = classifier(model=model, trainable="head()").fit(X, y)
    expected = estimator.predict_proba(X)
    for variable in model.trainable_variables:
        variable.assign(variable * 2)
    again = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(again.predict_proba(X), expected)


@pytest.mark.parametrize(
    "copier", [lambda base: base.__copy__(), lambda base: base.__deepcopy__({})]
)
def test_copies_are_the_object_itself(copier):
    base = lenet()
    assert copier(base) is base


def test_estimators_on_one_given_model_share_its_values():
    X, y = table()
    model = given_net()
    first, second = (
        classifier(model=model, trainable="head()", random_state=seed).fit(X, y) for seed in (1, 2)
    )
    third = clone(first).set_params(random_state=3).fit(X, y)
    assert third.model is model
    ours, *others = (e.base_.unseeded(Survey(model)) for e in (first, second, third))
    assert all(ours is other for other in others)
    one, three = (len(pickle.dumps(part)) for part in ([first], [first, second, third]))
    weights = sum(w.nbytes for w in model.get_weights())
    assert three - one < 2 * (one - weights)


class Shift(keras.layers.Layer):
    """A layer that Keras cannot find again by its name."""

    def call(self, x):
        return x + 1


def test_a_model_with_an_unregistered_layer_can_be_cross_validated():
    X, y = table()
    model = keras.Sequential([keras.Input(X.shape[1:]), Shift(), keras.layers.Dense(3)])
    estimator = classifier(model=model, trainable="head()")
    assert clone(estimator).model is model
    assert len(cross_val_score(estimator, X, y, cv=2, error_score="raise")) == 2
