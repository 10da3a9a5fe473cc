"""The output of a frozen beginning is computed once, and training is the same as without."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from estimator_data import classifier, given_net, images, small_cnn, table, targets
from keras import layers

from frozenfit import PartialNetRegressor
from frozenfit.partial import PartialModel
from frozenfit.training import prefix
from frozenfit.training.backends import Trainer
from frozenfit.training.objective import Objective
from frozenfit.training.workspace import workspace

DEEP = {"model_params": {"hidden_layer_sizes": (8, 8, 8)}}


def pair(X, y, fit=None, **params):
    """The same estimator with and without the cache."""
    return [classifier(cache_features=c, **params).fit(X, y, **(fit or {})) for c in (True, False)]


def agree(a, b, X):
    assert np.allclose(a.predict_proba(X), b.predict_proba(X), atol=1e-5)
    for name in b.history_:
        assert np.allclose(a.history_[name], b.history_[name], atol=1e-5), name


def rows_through(monkeypatch):
    """Count the rows whose frozen beginning is computed."""
    seen = []
    inner = prefix.Prefix.features
    monkeypatch.setattr(
        prefix.Prefix,
        "features",
        lambda self, data, *args: seen.append(len(data)) or inner(self, data, *args),
    )
    return seen


@pytest.mark.parametrize("trainable", ["head()", "last(2)", "layers('dense3/*')", "last(1)"])
def test_training_with_the_cache_equals_training_without(trainable):
    X, y = table()
    agree(*pair(X, y, trainable=trainable, epochs=3, **DEEP), X)


def test_a_mask_is_not_lost_between_a_frozen_embedding_and_a_recurrent_layer():
    ids = np.random.default_rng(0).integers(1, 9, (24, 6))
    ids[:, 3:] = 0  # padding, which the embedding masks
    net = {"max_tokens": 9, "embedding_dim": 4, "units": 8}
    params = {"model": "gru_encoder", "model_params": net, "trainable": "layers('gru') | head()"}
    y = ids[:, 0] > 4
    auto, without = (
        classifier(cache_features=c, epochs=2, **params).fit(ids, y) for c in ("auto", False)
    )
    agree(auto, without, ids)


def test_features_are_computed_once_per_fit(monkeypatch):
    X, y = table()
    seen = rows_through(monkeypatch)
    classifier(trainable="head()", epochs=5, **DEEP).fit(X, y)
    assert seen == [len(X)]


def test_validation_data_go_through_the_frozen_beginning_too(monkeypatch):
    X, y = table()
    fit = {"X_val": X[:9] + 0.1, "y_val": y[:9]}
    a, b = pair(X, y, fit, trainable="head()", early_stopping=True, epochs=4, **DEEP)
    agree(a, b, X)
    seen = rows_through(monkeypatch)
    classifier(trainable="head()", epochs=2, **DEEP).fit(X, y, **fit)
    assert seen == [len(X), 9]


def test_regression_and_weights_are_the_same_with_the_cache():
    X, y = targets()
    weight = np.linspace(0.1, 2, len(X))
    k = {**DEEP, "trainable": "head()", "epochs": 3, "random_state": 0}
    a, b = (
        PartialNetRegressor(cache_features=c, **k).fit(X, y, sample_weight=weight)
        for c in (True, False)
    )
    assert np.allclose(a.predict(X), b.predict(X), rtol=1e-5)


def test_a_pretrained_network_with_batch_norm_is_cut_behind_it():
    X, y = images()
    base = small_cnn((8, 8, 1), 2)
    a, b = pair(X, y, model=base, trainable="head()", epochs=3)
    agree(a, b, X)
    before, after = a.part_.delta.states, b.part_.delta.states
    assert all(np.array_equal(before[p], after[p]) for p in before)


@pytest.mark.parametrize(("statistics", "shape"), [(False, (6, 6, 4)), (True, (4,))])
def test_batch_statistics_that_still_move_end_the_frozen_beginning(statistics, shape):
    model = PartialModel(small_cnn((8, 8, 1), 2), "head()", freeze_statistics=statistics)
    found = prefix.find(model)
    assert found is not None and found.shape == shape


def test_dropout_ends_the_frozen_beginning():
    model = PartialModel(small_cnn((8, 8, 1), 2, dropout=0.5), "head()")
    found = prefix.find(model)
    assert found is not None and [layer.name for layer in found.suffix.layers[1:]] == [
        "drop",
        "head",
    ]


def test_a_trainable_first_layer_leaves_no_prefix_to_cache():
    assert prefix.find(PartialModel(given_net(), "filters(0.5)")) is None


def test_a_skip_around_the_last_frozen_layer_moves_the_cut_before_it():
    x = inputs = keras.Input((4,))
    stem = layers.Dense(4, name="stem")(x)
    late = layers.Dense(4, name="late")(stem)
    both = layers.Concatenate(name="both")([layers.Dense(3, name="new")(late), stem])
    model = PartialModel(keras.Model(inputs, layers.Dense(2, name="out")(both)), "layers('new/*')")
    found = prefix.find(model)
    assert found is not None and found.suffix.input_shape == (None, 4)
    assert {"late", "new", "out"} <= {layer.name for layer in found.suffix.layers}


def test_a_layer_of_the_users_own_is_not_taken_for_a_function_of_the_row():
    class Centered(layers.Layer):
        def call(self, x):
            return x - keras.ops.mean(x, axis=0)

    x = inputs = keras.Input((4,))
    x = Centered(name="centered")(layers.Dense(5, name="first")(x))
    x = layers.Dense(5, name="second")(x)
    model = PartialModel(keras.Model(inputs, layers.Dense(2, name="out")(x)), "head()")
    found = prefix.find(model)
    assert found is not None and found.shape == (5,)
    assert "centered" in {layer.name for layer in found.suffix.layers}


def test_the_rest_gives_the_outputs_and_gradients_of_the_whole():
    X, y = images(channels=1)
    weight = np.ones(len(y), "float32")
    model = PartialModel(small_cnn((8, 8, 1), 2), "head()")
    found = prefix.find(model)
    assert found is not None
    features = found.predictor(X)
    sgd = keras.optimizers.SGD
    whole = Trainer(model, sgd(), Objective("classification")).gradients(X, y, weight)
    part = Trainer(model, sgd(), Objective("classification"), network=found.suffix)
    for a, b in zip(whole, part.gradients(features, y, weight), strict=True):
        assert np.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize(
    "params",
    [
        {"trainable": "filters(0.5) | head()", "image_shape": (8, 8, 1), "model": "lenet5"},
        {"trainable": "head()", "augment": "crop", "model": small_cnn},
    ],
)
def test_insisting_where_nothing_can_be_kept_is_refused(params):
    X, y = images()
    with pytest.raises(ValueError, match="requires a frozen prefix"):
        classifier(cache_features=True, **params).fit(X, y)


def test_a_cache_larger_than_its_share_of_memory_is_refused_or_not_used(monkeypatch):
    X, y = table()
    seen = rows_through(monkeypatch)
    monkeypatch.setattr(prefix, "memory_limit", lambda: 100)
    with pytest.raises(ValueError, match="more than a quarter of the memory"):
        classifier(cache_features=True, trainable="head()", **DEEP).fit(X, y)
    classifier(cache_features="auto", trainable="head()", **DEEP).fit(X, y)
    assert seen == []


def test_a_second_fit_with_the_cache_compiles_nothing():
    X, y = table()
    first = classifier(trainable="head()", epochs=2, **DEEP).fit(X, y)
    network = first.part_.base
    with workspace.check_out(network) as lent:
        compiled = next(reversed(lent._compiled.values()))
        trainers = list(compiled._trainers.values())
    second = classifier(trainable="head()", epochs=2, random_state=1, **DEEP).fit(X, y)
    with workspace.check_out(second.part_.base) as lent:
        assert next(reversed(lent._compiled.values())) is compiled
        assert list(compiled._trainers.values()) == trainers
