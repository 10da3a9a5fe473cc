"""Networks of the user's own, and bases shared between estimators."""

from __future__ import annotations

from contextlib import nullcontext

import keras
import numpy as np
import pytest
from estimator_data import (
    classifier,
    given_net,
    images,
    raw,
    regressor,
    same,
    small_cnn,
    table,
    targets,
    whole,
)
from keras import layers


def state_of(network):
    """All that a fit must not change: values, flags, names."""
    return (
        [w.copy() for w in network.get_weights()],
        [layer.trainable for layer in network.layers],
        [v.path for v in network.variables],
        network.optimizer if network.compiled else None,
    )


def unharmed(network, before):
    now = state_of(network)
    same_values = all(np.array_equal(a, b) for a, b in zip(now[0], before[0], strict=True))
    return same_values and now[1:] == before[1:]


@pytest.mark.parametrize("frozen", ["auto", "keep", "random", "zero"])
@pytest.mark.parametrize("trainable", ["head()", "filters(0.5) | head()", 1.0])
@pytest.mark.parametrize("flag", [True, False])
def test_a_given_network_is_not_changed(frozen, trainable, flag):
    X, y = table()
    network = given_net()
    network.get_layer("hidden").trainable = flag
    before = state_of(network)
    # Zeros in the whole hidden layer are refused; one that the user froze keeps its values.
    refused = (frozen, trainable, flag) == ("zero", "head()", True)
    with pytest.raises(ValueError, match="frozen='zero'") if refused else nullcontext():
        classifier(model=network, trainable=trainable, frozen=frozen).fit(X, y).predict(X)
    assert unharmed(network, before)


FILLED = {
    "keep": lambda kernel, found: np.array_equal(found, kernel),
    "zero": lambda kernel, found: not found.any(),
    "random": lambda kernel, found: found.all() and not np.isin(found, kernel).any(),
}


@pytest.mark.parametrize("frozen", FILLED)
def test_the_frozen_values_of_a_given_network_are_those_of_frozen(frozen):
    X, y = table()
    network = given_net()
    kernel = network.get_weights()[0]
    estimator = classifier(model=network, trainable="filters(2) | head()", frozen=frozen).fit(X, y)
    found = whole(estimator)["hidden/kernel"]
    assert FILLED[frozen](kernel[:, 2:], found[:, 2:])
    assert not np.array_equal(found[:, :2], kernel[:, :2])


def test_training_starts_from_the_given_weights():
    X, y = table()
    network = given_net()
    estimator = classifier(model=network, trainable=1.0, learning_rate=1e-30).fit(X, y)
    outputs = keras.ops.convert_to_numpy(network(X))
    assert np.allclose(estimator.decision_function(X), outputs, atol=1e-6)


def test_a_layer_the_user_froze_stays_frozen():
    X, y = table()
    network = given_net()
    network.get_layer("hidden").trainable = False
    estimator = classifier(model=network, trainable=1.0).fit(X, y)
    rows = estimator.parameter_table()
    assert [row.path for row in rows if row.trainable] == ["out/kernel", "out/bias"]
    found = estimator.to_keras().get_weights()[0]
    assert np.array_equal(found, network.get_weights()[0])


def test_changing_the_network_later_changes_no_fitted_estimator():
    X, y = table()
    network = given_net()
    estimator = classifier(model=network, trainable="head()").fit(X, y)
    before = estimator.predict_proba(X)
    network.set_weights([w + 1 for w in network.get_weights()])
    classifier(model=given_net(seed=5), trainable="head()").fit(X, y)
    assert np.array_equal(estimator.predict_proba(X), before)


@keras.saving.register_keras_serializable("frozenfit_tests")
class Subclassed(keras.Model):
    """A network whose structure only its code knows."""

    def __init__(self, n_outputs=3, **kwargs):
        super().__init__(**kwargs)
        self.n_outputs = n_outputs
        self.first = layers.Dense(8, activation="relu", name="first")
        self.last = layers.Dense(n_outputs, name="last")

    def call(self, x):
        return self.last(self.first(x))

    def get_config(self):
        return {**super().get_config(), "n_outputs": self.n_outputs}


def subclassed(input_shape=(4,), n_outputs=3):
    network = Subclassed(n_outputs)
    network(np.zeros((1, *input_shape), "float32"))
    return network


def test_a_subclassed_network_is_trained_in_part_and_not_changed():
    X, y = table()
    network = subclassed()
    before = [w.copy() for w in network.get_weights()]
    estimator = classifier(model=network, trainable="head()", epochs=5).fit(X, y)
    assert estimator.history_["loss"][-1] < estimator.history_["loss"][0]
    assert all(np.array_equal(a, b) for a, b in zip(network.get_weights(), before, strict=True))


def test_a_subclassed_network_of_a_callable_repeats():
    X, y = table()
    params = {"model": subclassed, "trainable": "filters(0.5) | head()"}
    estimator = classifier(**params).fit(X, y)
    assert same(estimator, classifier(**params).fit(X, y))
    outputs = keras.ops.convert_to_numpy(estimator.to_keras()(X))
    assert np.allclose(outputs, estimator.decision_function(X), atol=1e-6)


def test_another_selection_of_a_network_that_cannot_be_copied_is_refused():
    X, y = table()
    estimator = classifier(model=subclassed(), trainable="head()", warm_start=True).fit(X, y)
    before = estimator.predict_proba(X)
    with pytest.raises(ValueError, match="cannot be copied. Pass it as a callable"):
        estimator.set_params(trainable=1.0).fit(X, y)
    assert np.array_equal(estimator.predict_proba(X), before)


def mobile_net(input_shape, n_outputs):
    return keras.applications.MobileNetV2(
        weights=None,
        alpha=0.35,
        input_shape=input_shape,
        classes=n_outputs,
        classifier_activation=None,
    )


def test_a_network_of_keras_applications_trains():
    rng = np.random.default_rng(0)
    X, y = rng.random((8, 32, 32, 3), "float32"), np.arange(8) % 3
    estimator = classifier(model=mobile_net, trainable="head()", epochs=1).fit(X, y)
    assert estimator.predict_proba(X).shape == (8, 3) and estimator.freeze_fraction_ > 0.9


def test_parameters_reach_a_callable():
    X, y = images()
    estimator = classifier(model=small_cnn, model_params={"filters": 6}).fit(X, y)
    assert estimator.parameter_table()[0][1] == (3, 3, 1, 6)


@pytest.mark.parametrize("model", ["mlp", small_cnn, "given"])
def test_a_second_task_shares_the_base_of_the_first(model):
    X, y = images() if model is small_cnn else table(n_classes=2)
    first = classifier(model=given_net(n_outputs=2) if model == "given" else model).fit(X, y)
    before = first.predict_proba(X)
    second = classifier(model=first.base_, trainable=1.0, epochs=4).fit(X, y[::-1])
    assert second.base_ is first.base_
    assert np.array_equal(first.predict_proba(X), before)
    assert not np.array_equal(second.predict_proba(X), before)


def test_a_shared_base_survives_clone_and_a_grid():
    from sklearn.base import clone

    X, y = table()
    first = classifier().fit(X, y)
    second = clone(classifier(model=first.base_))
    assert second.model is first.base_ and second.fit(X, y).base_ is first.base_


@pytest.mark.parametrize("name", ["model_params", "weight_init"])
def test_settings_that_a_given_network_has_already_are_refused(name):
    X, y = table()
    value = {"model_params": {"width": 2}, "weight_init": "he_normal"}[name]
    for model in (given_net(), classifier().fit(X, y).base_):
        with pytest.raises(ValueError, match=f"`{name}` has no effect .* Use {name}=None"):
            classifier(model=model, **{name: value}).fit(X, y)


def test_weight_init_is_where_the_kernels_start():
    X, y = table()
    ones = keras.initializers.Constant(0.25)
    estimator = classifier(weight_init=ones, trainable="head()").fit(X, y)
    assert np.all(whole(estimator)["dense1/kernel"] == 0.25)
    by_name = classifier(weight_init="he_normal").fit(X, y)
    assert not same(by_name, classifier().fit(X, y))


@pytest.mark.parametrize(
    "make, data", [(classifier, table), (regressor, targets)], ids=["classifier", "regressor"]
)
def test_to_keras_computes_what_the_estimator_predicts(make, data):
    X, y = data()
    estimator = make(trainable="random(0.5)").fit(X, y)
    outputs = keras.ops.convert_to_numpy(estimator.to_keras()(X))
    if make is regressor:
        outputs = outputs[:, 0] * y.std() + y.mean()
        assert np.allclose(outputs, estimator.predict(X), rtol=1e-5)
    else:
        assert np.allclose(outputs, estimator.decision_function(X), atol=1e-5)


def test_to_keras_takes_batch_statistics_along():
    X, y = images()
    estimator = classifier(model=small_cnn, epochs=4).fit(X, y)
    outputs = keras.ops.convert_to_numpy(estimator.to_keras()(X, training=False))
    logits = outputs[:, 1] - outputs[:, 0]
    assert np.allclose(logits, estimator.decision_function(X), atol=1e-5)


def test_the_live_model_computes_what_the_estimator_predicts():
    X, y = table()
    estimator = classifier().fit(X, y)
    outputs = keras.ops.convert_to_numpy(estimator.model_(X))
    assert np.allclose(outputs, estimator.decision_function(X), atol=1e-6)
    assert raw(estimator, X).shape == (48, 3)


def test_layers_the_user_froze_count_as_frozen():
    network = given_net()
    network.get_layer("hidden").trainable = False
    hidden = sum(int(np.prod(v.shape)) for v in network.get_layer("hidden").variables)
    estimator = classifier(model=network, trainable=1.0).fit(*table())
    rows = estimator.parameter_table()
    total = sum(int(np.prod(v.shape)) for v in network.variables)
    assert rows.total == total and rows.trainable == total - hidden
    assert estimator.freeze_fraction_ == pytest.approx(hidden / total)
    assert [row.path for row in rows if row.form == "trainable=False"] == [
        "hidden/kernel",
        "hidden/bias",
    ]
    with pytest.raises(ValueError, match="'hidden' is frozen by trainable=False"):
        classifier(model=network, trainable="layers('hidden') | head()").fit(*table())
