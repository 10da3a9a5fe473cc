"""Networks whose values are loaded are built without draws that JAX would compile one by one."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from keras import layers

from frozenfit import PartialNetClassifier, clear_workspace
from frozenfit.isolation import initial_values, isolated
from frozenfit.training.base import Base
from frozenfit.training.recipe import Recipe

ON_JAX = keras.config.backend() == "jax"


def sevens(initializer, shape):
    return np.full(shape, 7.0)


def drawn(shape=(2, 3)):
    return keras.ops.convert_to_numpy(keras.initializers.GlorotUniform(seed=1)(shape))


def net(input_shape, n_outputs):
    inputs = keras.Input(input_shape)
    hidden = layers.SpectralNormalization(layers.Dense(4, name="inner"), name="spectral")(inputs)
    return keras.Model(inputs, layers.Dense(n_outputs, bias_initializer="ones", name="out")(hidden))


def test_given_values_stand_in_for_draws_on_jax_alone():
    with initial_values(sevens):
        assert (drawn() == 7).all() == ON_JAX


def test_initializers_are_found_as_they_were():
    before = drawn()
    with initial_values(sevens), initial_values(sevens):
        pass
    assert np.array_equal(drawn(), before)
    assert not hasattr(keras.initializers.VarianceScaling.__call__, "__wrapped__")


def test_another_thread_draws_as_ever():
    expected, found = drawn(), []
    with initial_values(sevens):
        thread = threading.Thread(target=lambda: found.append(drawn()))
        thread.start()
        thread.join()
    assert np.array_equal(found[0], expected)


def test_a_value_that_is_not_given_is_drawn():
    expected = drawn()
    with initial_values(lambda initializer, shape: None):
        assert np.array_equal(drawn(), expected)


@pytest.mark.parametrize("seed", [None, 3])
def test_constants_and_random_states_are_of_their_kind(seed):
    model, _ = Base(Recipe(net, (3,), 2)).build(seed)
    values = {v.path: keras.ops.convert_to_numpy(v) for v in model.variables}
    assert (values["out/bias"] == 1).all() and (values["spectral/inner/bias"] == 0).all()
    (state,) = [value for path, value in values.items() if "vector_u" in path]
    assert np.linalg.norm(state) > 0


def test_with_a_seed_keras_draws():
    with isolated(3):
        expected = net((3,), 2).get_weights()
    model, _ = Base(Recipe(net, (3,), 2)).build(3)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), expected, strict=True))


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_fits_in_threads_leave_the_global_streams_as_they_were(dropout):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(64, 5)).astype("float32"), np.arange(64) % 2

    def fit(seed):
        params = {"hidden_layer_sizes": (6 + seed,), "dropout": dropout}
        net = PartialNetClassifier(model_params=params, epochs=3, random_state=seed)
        return net.fit(X, y).predict_proba(X)

    alone = [fit(seed) for seed in range(4)]
    clear_workspace()
    before = random.getstate(), np.random.get_state()[1].tolist()
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(fit, range(4)))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


FITS = """
import os, sys, tempfile
import numpy as np
import frozenfit as ff
X, y = np.random.default_rng(0).normal(size=(40, 3)).astype("float32"), np.arange(40) % 2
params = {"hidden_layer_sizes": (4,), "batch_norm": True, "dropout": 0.1}
net = ff.PartialNetClassifier(model_params=params, epochs=2, early_stopping=True, random_state=0)
net.fit(X, y).predict(X)
net.partial_fit(X, y).set_params(warm_start=True, trainable=1.0).fit(X, y)
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "net.frozenfit")
    ff.save(net, path, include_frozen=True)
    assert (ff.load(path).predict(X) == net.predict(X)).all()
net.to_keras()
ff.PartialNetRegressor(freeze_schedule=ff.FreezeOut(0.5), epochs=2, optimizer="sgd").fit(X, y)
ff.ELMClassifier(8).fit(X, y).predict_proba(X)
assert os.environ["KERAS_BACKEND"] == "tensorflow" or "tensorflow" not in sys.modules
"""


@pytest.mark.skipif(keras.__version__ < "3.15", reason="older releases of Keras warn themselves")
def test_fits_raise_no_warning_and_import_no_other_backend():
    environment = {**os.environ, "KERAS_BACKEND": keras.config.backend()}
    subprocess.run([sys.executable, "-W", "error", "-c", FITS], check=True, env=environment)
