"""Integers reach a network that asks for them unchanged; what cannot be represented is reported."""

from __future__ import annotations

import copy
import warnings

import keras
import numpy as np
import pandas as pd
import pytest
from estimator_data import classifier, table
from keras import layers

import frozenfit
from frozenfit import CheapEnsembleClassifier
from frozenfit.training.data import distinct

LARGE = 2**24


def numbers(n=240, dtype="int64"):
    """Numbers above 2**24 in two columns; the class is whether the first is odd."""
    rng = np.random.default_rng(0)
    X = LARGE + rng.integers(0, 8, (n, 2))
    return X.astype(dtype), X[:, 0] % 2


def token_net(dtype="int32"):
    """A network of eight words, to which the last bits of a number lead."""
    inputs = keras.Input((2,), dtype=dtype)
    x = layers.Embedding(8, 8, embeddings_initializer="orthogonal", name="words")(
        keras.ops.mod(inputs, 8)
    )
    x = layers.Flatten(name="flat")(x)
    return keras.Model(inputs, layers.Dense(2, name="out")(x))


def on_tokens(dtype="int32", **params):
    options = {"epochs": 20, "learning_rate": 0.05, "trainable": "head()", **params}
    return classifier(model=token_net(dtype), **options)


@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize("dtype", ["int64", "int32", "uint32"])
def test_large_integers_are_exact_in_fit_validation_and_predict(dtype, cache):
    X, y = numbers(dtype=dtype)
    fitted = on_tokens(cache_features=cache).fit(X[:160], y[:160], X_val=X[160:], y_val=y[160:])
    assert fitted.score(X[160:], y[160:]) == 1.0
    assert fitted.history_["val_accuracy"][-1] == 1.0


def test_data_frames_files_and_ensembles_keep_integers(tmp_path):
    X, y = numbers()
    frame = pd.DataFrame(X, columns=["a", "b"])
    fitted = on_tokens().fit(frame, y)
    assert fitted.score(frame, y) == 1.0
    path = tmp_path / "tokens.frozenfit"
    frozenfit.save(fitted, path, include_frozen=True)
    np.testing.assert_array_equal(frozenfit.load(path).predict(frame), y)
    ensemble = CheapEnsembleClassifier(on_tokens(), 2, random_state=0).fit(X, y)
    assert ensemble.score(X, y) == 1.0


def test_equal_numbers_are_merged_and_different_ones_are_not():
    X = np.array([[LARGE + 1], [LARGE], [LARGE + 1], [LARGE], [7], [7]])
    data = distinct(X, np.zeros(6, int))
    assert sorted(data.X[data.rows][:, 0]) == [7, LARGE, LARGE + 1]
    small = np.arange(20)[:, None]
    rows = [distinct(small.astype(kind), np.zeros(20)).rows for kind in ("int64", "float32")]
    np.testing.assert_array_equal(*rows)


def test_integers_and_floats_give_the_same_fit_of_a_network_of_floats():
    X, y = table()
    X = np.round(X * 10)
    ours = classifier().fit(X.astype(int), y)
    np.testing.assert_array_equal(
        ours.predict_proba(X), classifier().fit(X, y).predict_proba(X.astype(int))
    )


def test_an_integer_out_of_the_range_of_the_input_is_refused():
    X, y = numbers()
    X[3, 1] = 2**31
    message = "from -2147483648 to 2147483647, because .* dtype int32, got 2147483648"
    with pytest.raises(ValueError, match=message):
        on_tokens().fit(X, y)
    fitted = on_tokens().fit(*numbers())
    with pytest.raises(ValueError, match=message):
        fitted.predict(X)
    with pytest.raises(ValueError, match=message):
        on_tokens().fit(*numbers(), X_val=X, y_val=y)


@pytest.mark.parametrize("odd", [9, -1], ids=["large", "negative"])
def test_an_id_without_a_row_of_the_embedding_is_refused_before_training(odd):
    ids = np.random.default_rng(0).integers(0, 9, (24, 5))
    y, wrong = ids[:, 0] > 4, ids.copy()
    wrong[20, 3] = odd
    net = {"max_tokens": 9, "embedding_dim": 4, "filters": 3, "kernel_sizes": (2,)}
    clf = classifier(model="text_cnn", model_params=net, epochs=1)
    fitted = copy.copy(clf).fit(ids, y)

    def batches(X):
        return lambda: iter([(X[:16], y[:16]), (X[16:], y[16:])])

    for call in (
        lambda: clf.fit(wrong, y),
        lambda: clf.fit(ids, y, X_val=wrong, y_val=y),
        lambda: clf.fit(batches(wrong)),
        lambda: fitted.predict(wrong),
        lambda: fitted.predict(wrong[20:21]),
    ):
        with pytest.raises(ValueError, match=f"ids from 0 to 8, .* has 9 rows, got {odd}"):
            call()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # ids are neither scaled nor warned about
        copy.copy(clf).fit(ids * [1, 1, 1, 1, 0], y)


def test_64_bits_are_used_where_the_backend_has_them():
    X, y = numbers()
    X += 2**40 - LARGE
    if keras.config.backend() == "jax":
        with warnings.catch_warnings(), pytest.raises(ValueError, match="dtype int32, got 1099"):
            warnings.filterwarnings("ignore", "Explicitly requested dtype int64")
            on_tokens("int64").fit(X, y)
    else:
        assert on_tokens("int64").fit(X, y).score(X, y) == 1.0


def test_floats_that_are_no_exact_integers_are_refused_where_integers_are_asked_for():
    X, y = numbers()
    with pytest.raises(ValueError, match="X must have an integer dtype"):
        on_tokens().fit(X.astype(float), y)
    small = (X - LARGE).astype(float)
    assert on_tokens().fit(small, y).score(small, y) == 1.0


def test_integers_that_floats_round_give_one_warning():
    X, y = numbers()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        classifier(epochs=1).fit(X, y)
    assert [str(w.message)[:20] for w in caught] == ["X contains integers "]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier(epochs=1).fit(X // 2 * 2, y)
