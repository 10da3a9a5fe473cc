"""Fits on the worker processes of a dask cluster, and how much travels to them."""

from __future__ import annotations

import gc
import pickle
import time

import joblib
import keras
import numpy as np
import pytest
from keras import layers
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate

from frozenfit import CheapEnsembleClassifier, PartialNetClassifier
from frozenfit.search import FreezeSearchCV

distributed = pytest.importorskip("distributed")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 50)).astype("float32")
y = (X[:, 0] > 0).astype(int)


def network(seed=0):
    """A given network of 1.6 MB."""
    kernels = [keras.initializers.GlorotUniform(seed=seed + i) for i in range(2)]
    hidden = layers.Dense(8000, activation="relu", kernel_initializer=kernels[0])
    head = layers.Dense(2, kernel_initializer=kernels[1])
    return keras.Sequential([keras.Input((50,)), hidden, head])


def size(model):
    return sum(weight.nbytes for weight in model.get_weights())


def classifier(model, **params):
    params = {"trainable": "head()", "epochs": 2, "batch_size": 16, "random_state": 0, **params}
    return PartialNetClassifier(model, **params)


@pytest.fixture(scope="module")
def client():
    # The scheduler is a separate process too, as in a real cluster: it unpickles every task.
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.SubprocessCluster(**options) as cluster, distributed.Client(cluster) as client:
        client.wait_for_workers(2)
        yield client


def received(dask_worker):
    from frozenfit.utils import sent_once

    assert all(name.startswith("frozenfit-") for name in set(dask_worker.plugins) - {"shuffle"})
    return sorted(sent_once._received)


def sent(client):
    """Bytes of the tasks that were submitted so far."""
    return client.scheduler_comm.byte_count


@pytest.mark.filterwarnings("ignore::ResourceWarning")
class TestCluster:
    """All on one cluster, which takes seconds to start."""

    def test_a_given_network_travels_once_to_each_worker(self, client):
        model = network()
        estimator = classifier(model)
        alone = cross_val_score(estimator, X, y, cv=4)
        before = sent(client)
        with joblib.parallel_config("dask"):
            spread = cross_val_score(estimator, X, y, cv=4)
            spread_again = cross_val_score(estimator, X, y, cv=4)
        assert sent(client) - before < size(model) / 4
        np.testing.assert_array_equal(spread, alone)
        np.testing.assert_array_equal(spread_again, alone)
        first, second = client.run(received).values()
        assert len(first) == 1 and first == second

    def test_a_fitted_estimator_returns_on_the_network_of_this_process(self, client):
        model = network()
        with joblib.parallel_config("dask"):
            found = cross_validate(classifier(model), X, y, cv=2, return_estimator=True)
        for estimator in found["estimator"]:
            assert estimator.model is model and estimator.base_.model is model
            # A pickle for another purpose than dask's messages is complete.
            assert len(pickle.dumps(estimator)) > size(model)

    def test_an_estimator_as_the_network_travels_once(self, client):
        first = PartialNetClassifier(
            model_params={"hidden_layer_sizes": (8000,)}, trainable=1.0, epochs=1, random_state=0
        ).fit(X, y)
        estimator = classifier(first)
        alone = cross_val_score(estimator, X, y, cv=4)
        before = sent(client)
        with joblib.parallel_config("dask"):
            spread = cross_val_score(estimator, X, y, cv=4)
        assert sent(client) - before < 400_000
        np.testing.assert_array_equal(spread, alone)

    def test_values_that_were_changed_are_sent_again(self, client):
        model, other = network(), network(seed=9)
        with joblib.parallel_config("dask"):
            cross_val_score(classifier(model), X, y, cv=2)
            model.set_weights(other.get_weights())
            spread = cross_val_score(classifier(model), X, y, cv=2)
        np.testing.assert_array_equal(spread, cross_val_score(classifier(other), X, y, cv=2))

    def test_workers_forget_a_network_that_was_deleted(self, client):
        model = network()
        with joblib.parallel_config("dask"):
            clone(classifier(model))
        before = {len(keys) for keys in client.run(received).values()}
        del model
        gc.collect()
        end = time.monotonic() + 60
        while {len(keys) for keys in client.run(received).values()} == before:
            assert time.monotonic() < end, "the workers still have the network"

    @pytest.mark.parametrize("kind", ["grid", "trials", "ensemble"])
    def test_a_search_gives_the_result_of_one_process(self, client, kind):
        estimator = classifier(network())
        if kind == "trials":
            space = {"kind": "filters", "leave": ("frozen", "learning_rate")}
            search = FreezeSearchCV(estimator, n_trials=2, cv=2, space=space, random_state=0)
        elif kind == "grid":
            search = GridSearchCV(estimator, {"epochs": [1, 3]}, cv=2)
        else:
            ensemble = CheapEnsembleClassifier(estimator, n_estimators=2, random_state=0)
            search = GridSearchCV(ensemble, {"estimator__epochs": [1, 3]}, cv=2)
        alone = clone(search).fit(X, y)
        before = sent(client)
        with joblib.parallel_config("dask"):
            search.fit(X, y)
        assert sent(client) - before < size(estimator.model) / 4
        for name in ("split0_test_score", "split1_test_score"):
            np.testing.assert_array_equal(search.cv_results_[name], alone.cv_results_[name])

    def test_the_samples_of_a_search_travel_once_for_all_trials(self, client):
        many = np.repeat(X, 100, axis=0)
        estimator = classifier("mlp", model_params={"hidden_layer_sizes": (2,)}, epochs=1)
        space = {"kind": "filters", "leave": ("frozen", "learning_rate")}
        search = FreezeSearchCV(estimator, n_trials=3, cv=2, space=space, random_state=0)
        before = sent(client)
        with joblib.parallel_config("dask"):
            search.fit(many, np.repeat(y, 100))
        assert many.nbytes > 1_000_000 and sent(client) - before < many.nbytes / 4
