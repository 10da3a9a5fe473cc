"""Networks of classifiers that end in probabilities, or in one output for two classes."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers as kl

import frozenfit
from frozenfit import CheapEnsembleClassifier, PartialNetClassifier, PartialNetRegressor

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 4)).astype("float32")
THREE = np.argmax(X[:, :3] + rng.normal(size=(120, 3)), axis=1)
TWO = np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)]
STILL = {"trainable": 1.0, "epochs": 1, "learning_rate": 1e-30, "random_state": 0}


def seeded(model):
    values = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(values.normal(scale=0.5, size=weight.shape))
    return model


def network(*last):
    layers = [kl.Dense(6, "relu", name="hidden"), *last]
    return seeded(keras.Sequential([keras.Input((4,)), *layers], name="given"))


def nested(*last):
    inner = keras.Sequential([keras.Input((6,)), *last], name="inner")
    inputs = keras.Input((4,))
    outputs = inner(kl.Dense(6, "relu", name="hidden")(inputs))
    return seeded(keras.Model(inputs, outputs, name="given"))


def functional(*last):
    x = entry = keras.Input((6,), name="features")
    for layer in last:
        x = layer(x)
    inputs = keras.Input((4,))
    hidden = kl.Dense(6, "relu", name="hidden")(inputs)
    inner = keras.Model({"features": entry}, x, name="inner")
    return seeded(keras.Model(inputs, inner({"features": hidden}), name="given"))


def nested_twice(*last):
    return keras.Sequential([keras.Input((4,)), nested(*last)], name="outer")


def probabilities(model, X=X):
    found = np.asarray(model.predict(X, verbose=0))
    return np.hstack([1 - found, found]) if found.shape[1] == 1 else found


ENDS = {
    "softmax": lambda: (kl.Dense(3, "softmax", name="head"),),
    "activation": lambda: (kl.Dense(3, name="head"), kl.Activation("softmax")),
    "softmax layer": lambda: (kl.Dense(3, name="head"), kl.Softmax()),
    "two": lambda: (kl.Dense(2, "softmax", name="head"),),
    "sigmoid": lambda: (kl.Dense(1, "sigmoid", name="head"),),
    "sigmoid layer": lambda: (kl.Dense(1, name="head"), kl.Activation("sigmoid")),
}
BUILDS = [network, nested, functional, nested_twice]


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.__name__)
@pytest.mark.parametrize("end", ENDS)
def test_probabilities_are_those_of_the_given_network(end, build):
    model = build(*ENDS[end]())
    expected = probabilities(model)
    y = THREE if expected.shape[1] == 3 else TWO
    clf = PartialNetClassifier(model, **STILL).fit(X, y)
    np.testing.assert_allclose(clf.predict_proba(X), expected, atol=1e-6)
    np.testing.assert_allclose(probabilities(model), expected, atol=0)  # it is unchanged
    logits = clf.to_keras().predict(X, verbose=0)
    np.testing.assert_allclose(keras.ops.softmax(logits), expected, atol=1e-6)


def test_a_single_output_is_the_logit_of_the_second_class():
    model = network(kl.Dense(1, name="head"))
    clf = PartialNetClassifier(model, **STILL).fit(X, TWO)
    np.testing.assert_allclose(
        clf.decision_function(X), model.predict(X, verbose=0)[:, 0], rtol=1e-5, atol=1e-6
    )


def test_a_network_with_one_output_learns(tmp_path):
    model = network(kl.Dense(1, "sigmoid", name="head"))
    clf = PartialNetClassifier(model, trainable=1.0, epochs=60, random_state=0).fit(X, TWO)
    assert clf.score(X, TWO) > 0.9
    assert [row.path for row in clf.parameter_table()][-1] == "head/bias"
    frozenfit.save(clf, tmp_path / "whole", include_frozen=True)
    again = frozenfit.load(tmp_path / "whole")
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
    with pytest.warns(UserWarning, match="base=network"):
        frozenfit.save(clf, tmp_path / "part")
    again = frozenfit.load(tmp_path / "part", base=model)
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
    further = PartialNetClassifier(clf, **{**STILL, "trainable": "head()"})
    np.testing.assert_allclose(
        further.fit(X, TWO).predict_proba(X), clf.predict_proba(X), atol=1e-6
    )


def test_functions_and_ensembles():
    def build(input_shape, n_outputs):
        return network(kl.Dense(n_outputs, "softmax", name="head"))

    clf = PartialNetClassifier(build, trainable=1.0, epochs=60, random_state=0).fit(X, TWO)
    assert clf.score(X, TWO) > 0.9
    ensemble = CheapEnsembleClassifier(
        PartialNetClassifier(build, trainable=0.5, epochs=60), 2, random_state=0
    )
    assert ensemble.fit(X, TWO).score(X, TWO) > 0.9


def test_labels_of_a_sigmoid():
    model = network(kl.Dense(3, "sigmoid", name="head"))
    y = (X[:, :3] > 0).astype(int)
    clf = PartialNetClassifier(model, **STILL).fit(X, y)
    np.testing.assert_allclose(clf.predict_proba(X), model.predict(X, verbose=0), atol=1e-6)


def test_a_regressor_keeps_the_activation():
    model = network(kl.Dense(1, "sigmoid", name="head"))
    reg = PartialNetRegressor(model, **STILL).fit(X, X[:, 0])
    scaled = (reg.predict(X) - X[:, 0].mean()) / X[:, 0].std()
    np.testing.assert_allclose(scaled, model.predict(X, verbose=0)[:, 0], atol=1e-5)


def test_a_function_of_keras_at_the_end_of_a_nested_network():
    entry, inputs = keras.Input((4,)), keras.Input((4,))
    outputs = keras.ops.softmax(kl.Dense(3, name="head")(entry))
    model = seeded(keras.Model(inputs, keras.Model(entry, outputs, name="inner")(inputs)))
    expected = probabilities(model)
    clf = PartialNetClassifier(model, **STILL).fit(X, THREE)
    np.testing.assert_allclose(clf.predict_proba(X), expected, atol=1e-6)


def test_an_activation_that_is_used_before_stays_there():
    squash = kl.Activation("sigmoid")
    inputs = keras.Input((4,))
    hidden = squash(kl.Dense(6, name="hidden")(inputs))
    model = seeded(keras.Model(inputs, squash(kl.Dense(1, name="head")(hidden))))
    clf = PartialNetClassifier(model, **STILL).fit(X, TWO)
    np.testing.assert_allclose(clf.predict_proba(X), probabilities(model), atol=1e-6)


def test_a_nested_network_keeps_what_is_frozen_and_where_it_is_stored(tmp_path):
    model = nested(kl.Dense(5, "relu", name="body"), kl.Dense(3, name="head"), kl.Softmax())
    model.get_layer("inner").get_layer("body").trainable = False
    clf = PartialNetClassifier(model, trainable=1.0, epochs=30, random_state=0).fit(X, THREE)
    assert clf.score(X, THREE) > np.bincount(THREE).max() / len(THREE)
    rows = {row.path: row.trainable for row in clf.parameter_table()}
    assert rows["inner/head/kernel"] == 15 and rows["inner/body/kernel"] == 0
    body = model.get_layer("inner").get_layer("body").get_weights()
    plain = clf.to_keras()
    for ours, given in zip(
        plain.get_layer("inner").get_layer("body").get_weights(), body, strict=True
    ):
        np.testing.assert_array_equal(ours, given)
    plain.save(tmp_path / "plain.keras")
    again = keras.models.load_model(tmp_path / "plain.keras").predict(X, verbose=0)
    np.testing.assert_allclose(keras.ops.softmax(again), clf.predict_proba(X), atol=1e-6)
    frozenfit.save(clf, tmp_path / "whole", include_frozen=True)
    whole = frozenfit.load(tmp_path / "whole")
    np.testing.assert_array_equal(whole.predict_proba(X), clf.predict_proba(X))


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"3 outputs.*\(1,\).*with_head\(model, 3\)"):
        PartialNetClassifier(network(kl.Dense(1, name="head"))).fit(X, THREE)
    # Without its activation, the layer would compute something else before the end.
    both = kl.Dense(4, "softmax", name="both")
    model = seeded(keras.Sequential([keras.Input((4,)), both, both]))
    with pytest.raises(ValueError, match="must return logits.*softmax"):
        PartialNetClassifier(model).fit(X, np.arange(len(X)) % 4)
