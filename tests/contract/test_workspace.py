"""Networks are compiled once, lent to one at a time, and never confuse two bases."""

from __future__ import annotations

import threading

import keras
import numpy as np
import pytest
from contract_networks import build, chain, data, flags, same_bits, values
from keras import layers as kl

from frozenfit import PartialNetClassifier, clear_workspace
from frozenfit.isolation import isolated
from frozenfit.partial_weights import PartialWeights
from frozenfit.selectors import random
from frozenfit.training.base import Base
from frozenfit.training.network import _MAX_TRAINERS, CompiledModel, Network
from frozenfit.training.objective import Objective
from frozenfit.training.recipe import Recipe
from frozenfit.training.workspace import Workspace

X = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
Y = np.arange(40) % 3
TRACED = keras.config.backend() != "torch"


@pytest.fixture
def counted(monkeypatch):
    """How many networks and partial models are made, and how often the base is traced."""
    counts = {"networks": 0, "models": 0, "traces": 0}

    def counting(owner, name, key):
        original = getattr(owner, name)

        def wrapped(*args, **kwargs):
            counts[key] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, wrapped)

    clear_workspace()
    counting(Network, "__init__", "networks")
    counting(CompiledModel, "__init__", "models")
    counting(PartialWeights, "apply", "traces")
    yield counts
    clear_workspace()


def fit(model="mlp", x=X, y=Y, **settings):
    if model == "mlp":
        settings.setdefault("model_params", {"hidden_layer_sizes": (5,)})
    settings = {"epochs": 2, "random_state": 0, **settings}
    estimator = PartialNetClassifier(model, **settings)
    estimator.fit(x, y).predict(x)
    return estimator


def compiled_again(counts, before) -> bool:
    """Whether anything was built since; on torch each step runs the base, so it shows nothing."""
    names = ("networks", "models", "traces") if TRACED else ("networks", "models")
    return any(counts[name] != before[name] for name in names)


@pytest.mark.parametrize(
    "change",
    [
        {"random_state": 1},
        {"learning_rate": 0.02},
        {"epochs": 3},
        {"frozen": "random", "random_state": 3},
        {"trainable": "random(0.3)", "random_state": 4},
    ],
    ids=str,
)
def test_a_second_fit_of_the_same_shapes_compiles_nothing(counted, change):
    fit(**{**change, "random_state": 0})
    before = dict(counted)
    fit(**change)
    assert not compiled_again(counted, before)


def test_masks_of_equal_size_share_a_compiled_model_and_keep_apart(counted):
    # With seed 1 the entry of the first bias is its first one, with seed 2 another.
    first = fit(trainable=random(0.3, seed=1))
    expected = first.predict_proba(X)
    before = dict(counted)
    second = fit(trainable=random(0.3, seed=2))
    assert not compiled_again(counted, before)
    assert (second.predict_proba(X) != expected).any()
    np.testing.assert_array_equal(first.predict_proba(X), expected)
    clear_workspace()
    alone = fit(trainable=random(0.3, seed=2))
    np.testing.assert_array_equal(alone.predict_proba(X), second.predict_proba(X))


def test_masks_of_other_size_do_not_share(counted):
    fit(trainable=random(0.3, seed=1))
    before = counted["models"]
    fit(trainable=random(0.5, seed=1))
    assert counted["models"] > before


def test_a_fit_in_a_used_workspace_equals_one_in_a_fresh_one():
    def probabilities():
        return fit(trainable=0.5, random_state=7).predict_proba(X)

    clear_workspace()
    fresh = probabilities()
    for seed in (1, 2):
        fit(trainable=0.5, random_state=seed, optimizer="adam")
    np.testing.assert_array_equal(fresh, probabilities())


def test_two_predictors_in_turn_keep_their_own_outputs():
    estimators = [fit(trainable=0.5, random_state=seed) for seed in (1, 2)]
    first = [e.predict_proba(X) for e in estimators]
    for _ in range(2):
        for estimator, expected in zip(estimators, first, strict=True):
            np.testing.assert_array_equal(estimator.predict_proba(X), expected)


def small_base(seed=0):
    return Base(Recipe("mlp", (6,), 3, {"hidden_layer_sizes": (5,)}), seed=seed)


def test_a_network_is_never_checked_out_twice():
    space = Workspace()
    with space.check_out(small_base()) as one, space.check_out(small_base(1)) as other:
        assert one is not other and one.model is not other.model
    with space.check_out(small_base()) as again:
        assert again in (one, other)


def test_the_pool_is_bounded():
    space = Workspace(limit=2)
    for width in (2, 3, 4):
        recipe = Recipe("mlp", (6,), 3, {"hidden_layer_sizes": (width,)})
        with space.check_out(Base(recipe)):
            pass
    assert len(space._free) == 2


def test_fits_in_threads_give_what_they_give_one_after_the_other():
    expected = [fit(random_state=seed).predict_proba(X) for seed in (0, 1)]
    found = {}

    def work(seed):
        found[seed] = fit(random_state=seed).predict_proba(X)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in (0, 1):
        np.testing.assert_array_equal(found[seed], expected[seed])


def test_optimizers_of_one_model_do_not_pile_up():
    with isolated(0):
        network = Network(small_base())
    selection = random(0.5, seed=1).resolve(network.layout)
    compiled = network.compiled(small_base(), selection)
    for decay in np.linspace(0.01, 0.1, _MAX_TRAINERS + 3):
        compiled.trainer(
            keras.optimizers.SGD(0.1, weight_decay=float(decay)), Objective("classification")
        )
    assert len(compiled._trainers) == _MAX_TRAINERS


def test_after_an_error_in_a_fit_the_next_one_is_right():
    expected = fit(random_state=3).predict_proba(X)

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        fit(random_state=5, callbacks=[Stop()])
    np.testing.assert_array_equal(fit(random_state=3).predict_proba(X), expected)


def test_a_constrained_network_is_reused_with_the_values_of_each_base(counted):
    def constrained(input_shape, n_outputs):
        limit = keras.constraints.MaxNorm(0.5)
        hidden = kl.Dense(5, "relu", kernel_constraint=limit, name="a")
        return chain(input_shape, hidden, kl.Dense(n_outputs, name="out"))

    def probabilities(seed):
        settings = {"random_state": seed, "trainable": "random(0.5, seed=1) | head()"}
        return fit(constrained, **settings).predict_proba(X)

    fresh = []
    for seed in (1, 2):
        clear_workspace()
        fresh.append(probabilities(seed))
    before = dict(counted)
    np.testing.assert_array_equal(probabilities(1), fresh[0])
    np.testing.assert_array_equal(probabilities(2), fresh[1])
    assert not compiled_again(counted, before)


def table(kind):
    x, y, _ = data(kind, steps=5)
    return x.reshape(-1, *x.shape[2:]), np.arange(y.size) % 3


@pytest.mark.parametrize("kind", ["dense", "nested", "subclassed", "embedding"])
def test_a_given_model_is_not_changed_whether_it_can_be_copied_or_not(kind):
    base = build(kind)
    before, marks = values(base), flags(base)
    x, y = table(kind)
    estimator = fit(base, x, y, trainable="random(0.5, seed=1)")
    assert estimator.history_["loss"][-1] != estimator.history_["loss"][0]
    assert same_bits(before, values(base))
    assert marks == flags(base)


def test_a_nested_given_model_is_copied_with_its_paths():
    base = build("nested")
    network = Network(Base(base))
    assert network.is_copy
    assert [w.path for w in network.layout.weights][0] == "inner/a/kernel"


def test_two_given_models_of_one_structure_keep_their_own_values(counted):
    one, other = build("dense", seed=3), build("dense", seed=8)
    x, y = table("dense")
    expected = []
    for base in (one, other):
        clear_workspace()
        expected.append(fit(base, x, y, trainable="head()").predict_proba(x))
    before = dict(counted)
    found = [fit(base, x, y, trainable="head()").predict_proba(x) for base in (one, other)]
    assert counted["networks"] == before["networks"]
    np.testing.assert_array_equal(found, expected)


class Odd(kl.Layer):
    """A layer that Keras cannot build again, because it has no configuration."""

    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, x):
        return x * self.scale[0]

    def get_config(self):
        raise NotImplementedError("no configuration")


def test_two_models_with_a_layer_that_cannot_be_copied_keep_apart():
    def model(scale):
        with isolated(0):
            return chain((6,), kl.Dense(5, name="a"), Odd([scale], name="odd"), kl.Dense(3))

    x, y = table("dense")
    first, second = (fit(model(s), x, y, trainable="head()") for s in (0.1, 10.0))
    assert not np.allclose(first.predict_proba(x), second.predict_proba(x))


def test_two_models_that_differ_in_a_long_constant_alone_keep_apart():
    def model(middle):
        mean = np.zeros(2000)
        mean[1000] = middle
        with isolated(0):
            norm = kl.Normalization(mean=mean, variance=np.ones(2000), name="norm")
            return chain((2000,), norm, kl.Dense(3, name="out"))

    keys = [Base(model(m)).key for m in (0.0, 5.0, 0.0)]
    assert keys[0] == keys[2] != keys[1]


def test_a_model_that_could_not_be_copied_and_was_changed_is_refused():
    base = build("subclassed")
    x, y = table("subclassed")
    estimator = fit(base, x, y, trainable="head()")
    variable = base.trainable_variables[0]
    variable.assign(variable * 2)
    with pytest.raises(ValueError, match="has changed since"):
        estimator.predict(x)
    clear_workspace()
