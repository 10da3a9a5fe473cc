"""Members whose shared kernels are trained with them, as in BatchEnsemble and TabM."""

from __future__ import annotations

import pickle

import keras
import numpy as np
import pytest
from ensembles import cheap_ensemble
from keras import layers as kl
from sklearn.base import clone

import frozenfit
from frozenfit import CheapEnsembleClassifier, CheapEnsembleRegressor
from frozenfit.training import stacked_loop

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 6)).astype("float32")
Y = (X[:, :3] @ RNG.normal(size=(3, 3))).argmax(axis=1)
TARGETS = X[:, :2] @ RNG.normal(size=(2, 2)) + 0.1 * RNG.normal(size=(60, 2))
IMAGES = RNG.normal(size=(60, 6, 6, 2)).astype("float32")
IMAGES += Y[:, None, None, None]
WEIGHT = RNG.uniform(0.5, 2, 60)
COUNT, WIDTH = 3, 8


def network(input_shape, n_outputs):
    x = inputs = keras.Input(input_shape)
    x = kl.Dense(WIDTH, activation="relu", name="first")(x)
    # Without a bias, whose gradient before a normalization is rounding errors alone.
    x = kl.Dense(WIDTH, use_bias=False, name="second")(x)
    x = kl.ReLU()(kl.BatchNormalization(name="norm")(x))
    return keras.Model(inputs, kl.Dense(n_outputs, name="head")(x))


def convolutions(input_shape, n_outputs):
    x = inputs = keras.Input(input_shape)
    x = kl.Conv2D(WIDTH, 2, strides=2, activation="relu", name="first")(x)
    x = kl.Conv2D(WIDTH, 2, padding="same", use_bias=False, name="second")(x)
    x = kl.GlobalAveragePooling2D()(kl.ReLU()(kl.BatchNormalization(name="norm")(x)))
    return keras.Model(inputs, kl.Dense(n_outputs, name="head")(x))


def optimizer():
    # A large epsilon: the steps of Adam have the same size for gradients that are rounding errors.
    return keras.optimizers.Adam(0.02, epsilon=0.01)


def ensemble(kind=CheapEnsembleClassifier, **params):
    settings = {"model": network, "epochs": 4, "batch_size": 100, "refresh_statistics": False}
    settings |= {"optimizer": optimizer(), "lr_schedule": None, "random_state": 0}
    settings |= {"n_estimators": COUNT, "base": "joint", "members": "adapters"}
    return cheap_ensemble(kind, **settings | params)


class Factors(kl.Layer):
    """Multiplies its inputs by trainable factors."""

    def __init__(self, start):
        super().__init__()
        start = keras.initializers.Constant(np.asarray(start, "float32"))
        self.factors = self.add_weight(shape=start.value.shape, initializer=start)

    def call(self, inputs):
        return inputs * self.factors


class Offsets(kl.Layer):
    """Adds a trainable bias to its inputs."""

    def __init__(self, size):
        super().__init__()
        self.offsets = self.add_weight(shape=(size,), initializer="zeros")

    def call(self, inputs):
        return inputs + self.offsets


class Reference:
    """Plain Keras: a model of all members with an input each, and two common layers."""

    def __init__(self, start, starts, n_outputs, loss, images):
        inputs = [keras.Input(start.input_shape[1:]) for _ in range(COUNT)]
        self.first, self.second = (kl.Dense(WIDTH, use_bias=False) for _ in range(2))
        if images:
            self.first = kl.Conv2D(WIDTH, 2, strides=2, use_bias=False)
            self.second = kl.Conv2D(WIDTH, 2, padding="same", use_bias=False)
        self.members, outputs = [], []
        for x, signs in zip(inputs, starts, strict=True):
            own = [Factors(signs), Factors(np.ones(WIDTH)), Offsets(WIDTH)]
            own += [Factors(np.ones(WIDTH)), Factors(np.ones(WIDTH)), kl.BatchNormalization()]
            own += [kl.Dense(n_outputs)]
            x = kl.ReLU()(own[2](own[1](self.first(own[0](x)))))
            x = kl.ReLU()(own[5](own[4](self.second(own[3](x)))))
            outputs.append(own[6](kl.GlobalAveragePooling2D()(x) if images else x))
            own[6].set_weights(start.get_layer("head").get_weights())
            self.members.append(own)
        for mine, name in ((self.first, "first"), (self.second, "second")):
            mine.set_weights(start.get_layer(name).get_weights()[:1])
        self.model = keras.Model(inputs, outputs)
        self.model.compile(optimizer(), loss=[loss] * COUNT, run_eagerly=True)

    def train(self, x, y, epochs, weight=None):
        weights = None if weight is None else [weight / weight.mean()] * COUNT
        for _ in range(epochs):
            self.model.train_on_batch([x] * COUNT, [y] * COUNT, sample_weight=weights)

    def trained(self, i):
        """Return the parameters and moving statistics of a member by the paths of the network."""
        first, first_out, bias, second, second_out, norm, head = [
            [np.asarray(value) for value in layer.get_weights()] for layer in self.members[i]
        ]
        named = dict(zip(("gamma", "beta", "moving_mean", "moving_variance"), norm, strict=True))
        return {
            "first/kernel": np.concatenate([*first, *first_out]),
            "first/bias": bias[0],
            "second/kernel": np.concatenate([*second, *second_out]),
            "head/kernel": head[0],
            "head/bias": head[1],
        } | {f"norm/{name}": value for name, value in named.items()}


CASES = {
    "classes": (CheapEnsembleClassifier, X, Y, WEIGHT),
    "regression": (CheapEnsembleRegressor, X, TARGETS, None),
    "images": (CheapEnsembleClassifier, IMAGES, Y, WEIGHT),
}


@pytest.mark.parametrize("case", list(CASES))
def test_training_is_that_of_a_plain_model_with_common_layers(case):
    kind, x, y, weight = CASES[case]
    images = case == "images"
    settings = {"model": convolutions if images else network}
    estimator = ensemble(kind, **settings).fit(x, y, sample_weight=weight)
    start = ensemble(kind, base="frozen", epochs=1, **settings).fit(x, y).base_.to_keras()
    forms = [member.part_.selection["first/kernel"] for member in estimator.estimators_]
    shape = start.get_layer("first").kernel.shape
    signs = [form.start(shape)[: shape[-2]] for form in forms]
    if kind is CheapEnsembleRegressor:
        n_outputs, loss, y = 2, "mse", (y - y.mean(axis=0)) / y.std(axis=0)
    else:
        n_outputs, loss = 3, keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    plain = Reference(start, signs, n_outputs, loss, images)
    plain.train(x, y, 4, weight)
    trained = estimator.base_.to_keras()
    for name, layer in (("first", plain.first), ("second", plain.second)):
        kernel, its = trained.get_layer(name).get_weights()[0], layer.get_weights()[0]
        np.testing.assert_allclose(kernel, its, rtol=1e-4, atol=1e-5, err_msg=name)
        # What is compared moved further than the tolerance.
        assert np.abs(kernel - start.get_layer(name).get_weights()[0]).max() > 0.01
    for i, member in enumerate(estimator.estimators_):
        delta = member.part_.delta.trained | member.part_.delta.states
        expected = plain.trained(i)
        assert delta.keys() == expected.keys()
        for path, value in expected.items():
            np.testing.assert_allclose(delta[path], value, rtol=1e-4, atol=1e-5, err_msg=path)


def test_weights_of_classes_are_weights_of_their_samples():
    by_class = ensemble(epochs=2, class_weight={0: 3.0, 1: 1.0, 2: 0.5}).fit(X, Y)
    by_sample = ensemble(epochs=2).fit(X, Y, sample_weight=np.array([3.0, 1.0, 0.5])[Y])
    np.testing.assert_array_equal(by_class.predict_members(X), by_sample.predict_members(X))
    unweighted = ensemble(epochs=2).fit(X, Y)
    assert np.abs(unweighted.predict_members(X) - by_class.predict_members(X)).max() > 1e-3


@pytest.fixture(scope="module")
def fitted():
    # Moving statistics are computed anew.
    return ensemble(epochs=2, batch_size=16, refresh_statistics=True).fit(X, Y)


def test_members_are_deltas_on_the_trained_base(fitted):
    assert fitted.base_.trained and all(m.base_ is fitted.base_ for m in fitted.estimators_)
    each = [member.predict_proba(X) for member in fitted.estimators_]
    np.testing.assert_array_equal(fitted.predict_members(X), each)
    np.testing.assert_allclose(fitted.predict_proba(X), np.mean(each, axis=0), rtol=1e-6)
    exported = fitted.estimators_[1].to_keras().predict(X, verbose=0)
    own = fitted.estimators_[1].part_.outputs(X)
    np.testing.assert_allclose(exported, own, rtol=1e-4, atol=1e-5)


def test_moving_statistics_are_those_of_the_trained_kernels(fitted):
    member = fitted.estimators_[2]
    exported = member.to_keras()
    inner = keras.Model(exported.inputs, exported.get_layer("second").output)
    activations = inner.predict(X, verbose=0)
    found = member.part_.delta.states["norm/moving_mean"]
    np.testing.assert_allclose(found, activations.mean(axis=0), rtol=1e-4, atol=1e-5)


def test_files_pickles_and_clones(tmp_path):
    layers = {"hidden_layer_sizes": (8,), "batch_norm": True}
    fitted = ensemble(model="mlp", model_params=layers, epochs=1, optimizer="adam")
    fitted.fit(X, Y, X_val=X, y_val=Y)
    path = tmp_path / "ensemble.frozenfit"
    frozenfit.save(fitted, path)
    for again in (frozenfit.load(path), pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(again.predict_members(X), fitted.predict_members(X))
        assert again.base_.fingerprint == fitted.base_.fingerprint
        assert again.history_ == fitted.history_
    again = clone(fitted).fit(X, Y)
    np.testing.assert_array_equal(again.predict_members(X), fitted.predict_members(X))


def test_members_cannot_be_added_or_removed(fitted):
    with pytest.raises(ValueError, match="`add_members` requires .* exactly these members"):
        fitted.add_members(1, X, Y)
    with pytest.raises(ValueError, match="`remove_member` requires .* exactly these members"):
        fitted.remove_member(0)


@pytest.mark.parametrize("again", ["fit", "partial_fit"])
def test_training_continues_with_its_optimizer(again):
    once = ensemble(epochs=3).fit(X, Y)
    twice = ensemble(epochs=2, warm_start=True).fit(X, Y)
    if again == "partial_fit":
        twice.partial_fit(X, Y)
    else:
        twice.set_params(estimator__epochs=1).fit(X, Y)
    assert [m.n_iter_ for m in twice.estimators_] == [3] * COUNT
    np.testing.assert_allclose(
        twice.predict_members(X), once.predict_members(X), rtol=1e-4, atol=1e-5
    )
    with pytest.raises(ValueError, match="`n_estimators` must be 3, the number of fitted members"):
        twice.set_params(n_estimators=COUNT + 1).fit(X, Y)
    with pytest.raises(ValueError, match="`base` cannot change between fits that continue"):
        twice.set_params(n_estimators=COUNT, base="frozen").fit(X, Y)


def test_a_pretrained_network_is_where_the_kernels_start():
    given = network((6,), 3)
    before = given.get_layer("first").get_weights()[0].copy()
    estimator = ensemble(model=given, epochs=1, learning_rate=1e-6, optimizer="sgd").fit(X, Y)
    kernel = estimator.base_.to_keras().get_layer("first").get_weights()[0]
    np.testing.assert_allclose(kernel, before, atol=1e-5)
    assert not np.array_equal(kernel, before)
    np.testing.assert_array_equal(given.get_layer("first").get_weights()[0], before)


def test_an_interrupt_keeps_kernels_and_members_of_the_same_epoch(monkeypatch):
    inner = stacked_loop._StackedLoop._train_epoch

    def interrupted(self, active):
        if self.runs[0].progress.epochs == 2:
            raise KeyboardInterrupt
        inner(self, active)

    whole = ensemble(epochs=2).fit(X, Y)
    monkeypatch.setattr(stacked_loop._StackedLoop, "_train_epoch", interrupted)
    estimator = ensemble(epochs=5)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, Y)
    assert len(estimator.estimators_) == COUNT
    np.testing.assert_array_equal(estimator.predict_members(X), whole.predict_members(X))


def with_constraint(input_shape, n_outputs):
    inputs = keras.Input(input_shape)
    x = kl.LayerNormalization(gamma_constraint="non_neg")(kl.Dense(8)(inputs))
    return keras.Model(inputs, kl.Dense(n_outputs)(x))


REFUSED = {
    "members": ({"members": "same"}, "`base='joint'` requires members='adapters'"),
    "stopping": ({"stopping": "members"}, "one best epoch for all members"),
    "vectorize": ({"vectorize": False}, "one compiled pass, got vectorize=False"),
    "callbacks": ({"callbacks": [keras.callbacks.TerminateOnNaN()]}, "no callbacks"),
    "zero": ({"frozen": "zero"}, "`members='adapters'` requires kernels that can be scaled"),
    "constraint": ({"model": with_constraint}, "weights without a constraint"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_joint_training_cannot_do_is_refused(case):
    settings, words = REFUSED[case]
    with pytest.raises(ValueError, match=words):
        ensemble(**settings).fit(X, Y)
