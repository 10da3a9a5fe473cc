"""Networks whose values are loaded are built without draws that JAX would compile one by one."""

from __future__ import annotations

import threading

import keras
import numpy as np
import pytest
from keras import layers

from frozenfit.isolation import initial_values, isolated
from frozenfit.training.base import drawn_base

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
    model, _ = drawn_base(net, (3,), 2, {}, 0).empty(seed)
    values = {v.path: keras.ops.convert_to_numpy(v) for v in model.variables}
    assert (values["out/bias"] == 1).all() and (values["spectral/inner/bias"] == 0).all()
    (state,) = [value for path, value in values.items() if "vector_u" in path]
    assert np.linalg.norm(state) > 0


def test_with_a_seed_keras_draws():
    with isolated(3):
        expected = net((3,), 2).get_weights()
    model, _ = drawn_base(net, (3,), 2, {}, 0).empty(3)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), expected, strict=True))
