"""One `random_state` decides everything, and no global random stream moves."""

from __future__ import annotations

import random

import keras
import numpy as np
import pytest
from estimator_data import classifier, images, regressor, same, small_cnn, table, targets
from sklearn.model_selection import GridSearchCV, cross_val_predict

import frozenfit

DROPOUT = {"hidden_layer_sizes": (8,), "dropout": 0.5}


def test_two_fits_with_one_seed_agree_in_every_bit():
    X, y = table()
    params = {"model_params": DROPOUT, "trainable": "random(0.3) | head()", "early_stopping": True}
    assert same(classifier(**params).fit(X, y), classifier(**params).fit(X, y))


def test_a_second_fit_of_the_same_object_agrees_in_every_bit():
    X, y = targets()
    estimator = regressor().fit(X, y)
    first = estimator.predict(X)
    assert np.array_equal(estimator.fit(X, y).predict(X), first)


def test_what_the_process_built_before_changes_nothing():
    X, y = images()
    first = classifier(model=small_cnn, model_params={"dropout": 0.3}).fit(X, y)
    frozenfit.clear_workspace()
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(2)])
    assert same(first, classifier(model=small_cnn, model_params={"dropout": 0.3}).fit(X, y))


def test_another_seed_gives_another_network():
    X, y = table()
    assert not same(classifier().fit(X, y), classifier(random_state=1).fit(X, y))


def test_without_a_seed_two_fits_differ():
    X, y = table()
    assert not same(
        classifier(random_state=None).fit(X, y), classifier(random_state=None).fit(X, y)
    )


def test_a_random_state_object_is_accepted_and_moved_on():
    X, y = table()
    state = np.random.RandomState(3)
    first = classifier(random_state=state).fit(X, y)
    assert not same(first, classifier(random_state=state).fit(X, y))
    again = classifier(random_state=np.random.RandomState(3)).fit(X, y)
    assert same(first, again)


def test_two_processes_predict_as_one_does():
    X, y = table()
    estimator = classifier(model_params=DROPOUT)
    alone, together = (
        cross_val_predict(estimator, X, y, cv=3, method="predict_proba", n_jobs=n) for n in (1, 2)
    )
    assert np.array_equal(alone, together)


def test_a_search_in_two_processes_finds_what_one_finds():
    X, y = table()
    grid = {"trainable": [0.1, 1.0], "model_params__hidden_layer_sizes": [(4,), (8,)]}
    alone, together = (GridSearchCV(classifier(), grid, cv=2, n_jobs=n).fit(X, y) for n in (1, 2))
    for name in ("mean_test_score", "std_test_score"):
        assert np.array_equal(alone.cv_results_[name], together.cv_results_[name])
    assert same(alone.best_estimator_, together.best_estimator_)


def native_stream():
    backend = keras.config.backend()
    if backend == "torch":
        import torch

        return torch.rand(3).numpy()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.random.uniform((3,)).numpy()
    return np.zeros(3)  # JAX keeps no stream


def draws():
    keras_draw = keras.ops.convert_to_numpy(keras.random.uniform((3,)))
    name = keras.layers.Dense(1).name.removeprefix("dense")
    return [random.random(), *np.random.rand(3), *keras_draw, *native_stream(), name]


def draws_around(work):
    """What the global streams give when `work` is done in their midst."""
    keras.utils.set_random_seed(5)
    keras.utils.clear_session(free_memory=False)
    return [*draws(), work(), *draws()]


@pytest.mark.parametrize("seed", [0, None])
def test_no_global_stream_moves(seed):
    X, y = images()
    estimator = classifier(
        model=small_cnn,
        model_params={"dropout": 0.3},
        augment=[keras.layers.RandomFlip("horizontal")],
        early_stopping=True,
        validation_fraction=0.25,
        random_state=seed,
    )

    def work():
        estimator.fit(X, y).predict(X)
        estimator.partial_fit(X, y)

    assert draws_around(work) == draws_around(lambda: None)
