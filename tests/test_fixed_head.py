"""FixedHead: its directions, its outputs, how selectors see it, and its way through estimators."""

from __future__ import annotations

import pickle

import keras
import numpy as np
import pytest
from keras import ops
from scipy.linalg import hadamard
from sklearn.base import clone

import frozenfit
from frozenfit import PartialNetClassifier, architectures
from frozenfit.layers import FixedHead
from frozenfit.layout import describe
from frozenfit.selectors import as_selector, head

# Keras turns torch's tensors into arrays in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
KINDS = ("hadamard", "orthogonal")


def built(units, features, kind="hadamard", **options):
    layer = FixedHead(units, kind, **options)
    layer.build((None, features))
    return layer


@pytest.mark.parametrize(("units", "features"), [(1, 1), (10, 64), (10, 84), (70, 5), (8, 8)])
def test_hadamard_directions_are_the_corner_of_the_matrix_of_scipy(units, features):
    size = 1
    while size < max(units, features):
        size *= 2
    expected = hadamard(size)[:units, :features]
    np.testing.assert_array_equal(built(units, features).directions, expected)


@pytest.mark.parametrize(("units", "features"), [(5, 20), (20, 5), (6, 6)])
def test_orthogonal_directions_are_orthonormal_and_drawn_from_the_seed(units, features):
    first, again, other = (
        built(units, features, "orthogonal", seed=seed).directions for seed in (1, 1, 2)
    )
    gram = first @ first.T if units <= features else first.T @ first
    np.testing.assert_allclose(gram, np.eye(min(units, features)), atol=1e-6)
    np.testing.assert_array_equal(first, again)
    assert abs(first - other).max() > 0.1


@pytest.mark.parametrize(("kind", "start"), [("hadamard", 7**-0.5), ("orthogonal", 10.0)])
def test_outputs_and_gradients_are_those_of_the_formula(kind, start):
    layer = built(7, 12, kind)
    assert float(ops.convert_to_numpy(layer.scale)) == pytest.approx(start)
    layer.scale.assign(1.5)
    bias = np.arange(7, dtype="float32")
    layer.bias.assign(bias)
    x = np.random.default_rng(0).normal(size=(4, 12)).astype("float32")
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    expected = 1.5 * unit @ layer.directions.T + bias
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), expected, rtol=1e-5, atol=1e-5)
    # A sample without features has a direction of zeros, and no gradient that is not finite.
    zeros = np.zeros((1, 12), "float32")
    np.testing.assert_allclose(ops.convert_to_numpy(layer(zeros)), bias[None], atol=1e-6)


def test_the_layer_is_the_head_of_a_network_and_trains_a_scale_and_biases():
    params = {"network": "lenet5", "kind": "hadamard"}
    layout = describe(architectures.build("fixed_head", (8, 8, 1), 10, **params))
    assert layout.heads == ("head",)
    selection = head().resolve(layout)
    assert {path: n for path in selection.forms if (n := selection.counts(path)[0])} == {
        "head/scale": 1,
        "head/bias": 10,
    }
    # Without the head, a number selects of every layer what it does in the network itself.
    plain = describe(architectures.build("lenet5", (8, 8, 1), 10))
    counts = [as_selector(0.1).resolve(each) for each in (layout, plain)]
    for path in plain.paths:
        if not path.startswith("head/"):
            assert counts[0].counts(path) == counts[1].counts(path)


@pytest.mark.parametrize("kind", KINDS)
def test_an_estimator_with_a_fixed_head_is_cloned_copied_stored_and_exported(kind, tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 6)).astype("float32"), np.arange(60) % 3
    X[np.arange(60), y] += 3
    params = {"network": "mlp", "kind": kind, "head_seed": 4, "hidden_layer_sizes": (16,)}
    clf = clone(
        PartialNetClassifier("fixed_head", model_params=params, trainable=0.5, random_state=0)
    )
    clf.set_params(epochs=15, learning_rate=0.05).fit(X, y)
    assert clf.score(X, y) > 0.9
    expected = clf.predict_proba(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(clf)).predict_proba(X), expected)
    frozenfit.save(clf, tmp_path / "x.frozenfit")
    np.testing.assert_array_equal(
        frozenfit.load(tmp_path / "x.frozenfit").predict_proba(X), expected
    )
    clf.to_keras().save(tmp_path / "x.keras")
    logits = keras.models.load_model(tmp_path / "x.keras")(X)
    found = ops.convert_to_numpy(ops.softmax(logits))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FixedHead(0), "`units` must be an int >= 1, got 0"),
        (lambda: FixedHead(3, "random"), "`kind` must be one of 'hadamard', .* got 'random'"),
        (lambda: FixedHead(3, seed=-1), "`seed` must be an int >= 0, got -1"),
        (lambda: built(3, None), r"the shape \(batch, features\), got \(None, None\)"),
        (
            lambda: architectures.build("fixed_head", (4,), 2, network="resnett"),
            "no architecture 'resnett'. Did you mean 'resnet'",
        ),
        (
            lambda: architectures.build("fixed_head", (4,), 2, network="mlp", depth=8),
            "mlp has no parameter 'depth'",
        ),
        (
            lambda: architectures.build("fixed_head", (8, 8, 1), 2, network="fixed_head"),
            "ends in a Dense layer, got 'fixed_head'",
        ),
    ],
    ids=["units", "kind", "seed", "shape", "network", "parameter", "nested"],
)
def test_what_cannot_be_built_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
