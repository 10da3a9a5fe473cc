"""Random frozen values on a pretrained network: its base, and what a file stores."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
from estimator_data import classifier, given_net, same, table
from keras import layers

import frozenfit
from frozenfit.isolation import isolated
from frozenfit.selectors import Context, as_selector, forms
from frozenfit.training.base import Base
from frozenfit.training.network import Network


def lstm():
    with isolated(1):
        inputs = keras.Input((5, 2))
        x = layers.LSTM(4, name="lstm")(inputs)
        return keras.Model(inputs, layers.Dense(2, name="head")(x))


def frozen(model, trainable):
    """A network, its base, the base with random frozen values, and the selection."""
    base = Base(model, seed=3)
    network = Network(base)
    selection = as_selector(trainable).resolve(network.layout, Context(seed=0))
    return network, base, base.with_random_frozen(selection, network.survey), selection


@pytest.mark.parametrize("make", [given_net, lstm])
def test_frozen_parameters_are_random_and_trained_ones_stay(make):
    network, base, other, selection = frozen(make(), "filters(2) | head()")
    before, after = network.values(base), network.values(other)
    for path, form in selection.items():
        trainable = forms.to_mask(form, before[path].shape)
        assert np.array_equal(after[path][trainable], before[path][trainable])
        if path.endswith("kernel") and not trainable.all():
            assert not (after[path] == before[path])[~trainable].any()


def test_initializers_that_frozenfit_cannot_draw_are_drawn_by_keras():
    network, _, other, _ = frozen(lstm(), "head()")
    bias = network.values(other)["lstm/lstm_cell/bias"]
    assert np.array_equal(bias, [0] * 4 + [1] * 4 + [0] * 8)


def test_random_values_are_reproducible():
    one, two = (frozen(lstm(), "head()") for _ in range(2))
    a, b = one[0].values(one[2]), two[0].values(two[2])
    assert all(np.array_equal(a[path], b[path]) for path in a)


def test_a_base_with_random_values_does_not_change_its_parent():
    model = given_net()
    before = [w.copy() for w in model.get_weights()]
    _, base, other, _ = frozen(model, "head()")
    assert other.parent is base and base.parent is None and other.model is model
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))


@pytest.mark.parametrize("include_frozen", [False, True])
def test_a_file_contains_values_that_cannot_be_drawn_again(include_frozen, tmp_path):
    X, y = np.random.default_rng(0).normal(size=(24, 5, 2)).astype("float32"), np.arange(24) % 2
    model = lstm()
    estimator = classifier(model=model, trainable="filters(2) | head()").fit(X, y)
    network, part = Network(estimator.base_), estimator.part_
    base = part.base.with_random_frozen(part.selection, network.survey)
    estimator.part_, estimator.base_ = replace(part, base=base), base
    frozenfit.save(estimator, tmp_path / "one", include_frozen=include_frozen)
    held = frozenfit.load(tmp_path / "one", base=None if include_frozen else model)
    assert same(held, estimator)


def test_a_file_that_lacks_a_random_weight_is_refused(tmp_path, monkeypatch):
    estimator = classifier(model=given_net(), trainable="filters(2) | head()", frozen="random")
    frozenfit.save(estimator.fit(*table()), tmp_path / "one")
    monkeypatch.setattr(frozenfit.draws, "knows", lambda initializer: False)
    with pytest.raises(frozenfit.StorageError):
        frozenfit.load(tmp_path / "one", base=given_net())


def test_random_values_of_an_lstm_are_reproducible(tmp_path):
    X = np.random.default_rng(0).normal(size=(24, 5, 2)).astype("float32")
    y = np.arange(24) % 2
    model = lstm()
    before = [np.array(v) for v in model.get_weights()]
    one, two = (
        classifier(model=model, frozen="random", trainable="head()").fit(X, y) for _ in "ab"
    )
    assert same(one, two)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    frozenfit.save(one, tmp_path / "lstm.frozenfit")
    assert same(frozenfit.load(tmp_path / "lstm.frozenfit", base=model), one)
