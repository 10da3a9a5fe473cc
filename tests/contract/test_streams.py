"""Every global random stream and name counter is left as it was found; one seed decides a fit."""

from __future__ import annotations

import random

import keras
import numpy as np
import pytest
from contract_networks import chain
from keras import layers as kl
from keras.src.backend.common import global_state

from frozenfit import PartialNetClassifier
from frozenfit.isolation import isolated, spawn

X = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
Y = np.arange(40) % 3


def backend_state():
    backend = keras.config.backend()
    if backend == "torch":
        import torch

        return torch.get_rng_state().numpy().tobytes()
    if backend == "tensorflow":
        from tensorflow.python.eager import context

        rng = getattr(context.context(), "_rng", None)
        return context.context()._seed, rng and rng.getstate()
    return None


def streams():
    """A picture of every stream and counter there is."""
    numpy_state = np.random.get_state()
    generator = global_state.get_global_attribute("global_seed_generator")
    return {
        "python": random.getstate(),
        "numpy": (numpy_state[1].tobytes(), *numpy_state[2:]),
        "keras generator": generator and np.array(keras.ops.convert_to_numpy(generator.state)),
        "keras seed": global_state.get_global_attribute("global_random_seed"),
        "names": dict(global_state.get_global_attribute("object_name_uids") or {}),
        "backend": backend_state(),
    }


def assert_equal(before, after):
    for name, value in before.items():
        np.testing.assert_equal(after[name], value, err_msg=name)


@pytest.fixture
def seeded():
    """A process in the middle of the user's own seeded work."""
    kept = {n: global_state.get_global_attribute(n) for n in ("global_seed_generator",)}
    keras.utils.set_random_seed(4)
    kl.Dense(2)
    keras.random.normal((1,))
    random.random(), np.random.rand()
    yield
    for name, value in kept.items():
        global_state.set_global_attribute(name, value)


def noisy(input_shape, n_outputs):
    """A network with auto-named layers and dropout without a seed."""
    return chain(input_shape, kl.Dense(8, "relu"), kl.Dropout(0.5), kl.Dense(n_outputs))


def small(**settings):
    return PartialNetClassifier(noisy, trainable="everything()", epochs=2, **settings)


def test_a_block_in_isolation_leaves_all_streams(seeded):
    before = streams()
    with isolated(5):
        keras.utils.set_random_seed(6)
        noisy((3,), 2)(np.ones((1, 3), "float32"), training=True)
        random.random(), np.random.rand(), keras.random.normal((2,))
    assert_equal(before, streams())


def test_an_error_in_isolation_leaves_all_streams(seeded):
    before = streams()
    with pytest.raises(RuntimeError), isolated(5):
        random.random(), np.random.rand(), keras.random.normal((2,))
        raise RuntimeError
    assert_equal(before, streams())


def test_fit_and_predict_leave_all_streams(seeded):
    before = streams()
    small(random_state=1).fit(X, Y).predict_proba(X)
    assert_equal(before, streams())


def test_making_a_live_model_of_a_fitted_estimator_leaves_all_streams(seeded):
    fitted = small(random_state=1).fit(X, Y)
    before = streams()
    fitted.model_(X)
    fitted.to_keras()
    assert_equal(before, streams())


def test_one_seed_gives_the_same_probabilities_whatever_ran_before():
    first = small(random_state=1).fit(X, Y).predict_proba(X)
    keras.utils.set_random_seed(99)
    kl.Dense(2)
    second = small(random_state=1).fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(first, second)


def test_another_seed_gives_other_probabilities():
    first, second = (small(random_state=i).fit(X, Y).predict_proba(X) for i in (1, 2))
    assert (first != second).any()


def test_dropout_differs_between_epochs_and_between_seeds():
    def loss_by_dropout_alone(seed):
        model = small(random_state=seed, learning_rate=1e-30).set_params(epochs=3)
        return model.set_params(batch_size=40).fit(X, Y).history_["loss"]

    losses = loss_by_dropout_alone(1)
    assert len(set(losses)) == 3
    assert losses == loss_by_dropout_alone(1)


def test_values_in_isolation_are_decided_by_the_seed():
    def draws(seed):
        with isolated(seed):
            kernel = kl.Dense(2)
            kernel.build((None, 3))
            value = np.array(keras.ops.convert_to_numpy(kernel.kernel)).tolist()
            return random.random(), np.random.rand(), kernel.name, value

    assert draws(1) == draws(1)
    assert draws(1)[0] != draws(2)[0] and draws(1)[3] != draws(2)[3]


def test_seeds_for_two_purposes_differ_and_one_decides_both():
    a, b = spawn(0, "batches", "base"), spawn(1, "batches", "base")
    assert a["batches"] != a["base"] and a != b
    assert a == spawn(0, "batches", "base")
