"""Frozen layers: weights, activations, scaling and receptive fields."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy import sparse

from frozenfit import ELMFeatures
from frozenfit.elm import activations, weights
from frozenfit.elm.scaling import Moments, fit_scaler
from frozenfit.elm.stages.receptive_fields import ReceptiveFields

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 20)).astype("float32")


@pytest.mark.parametrize("name", ["gelu", "linear", "relu", "sigmoid", "tanh", "swish", "softplus"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_are_those_of_keras(name, dtype):
    x = np.linspace(-8, 8, 4001).reshape(1, -1).astype(dtype)
    wanted = keras.ops.convert_to_numpy(keras.activations.get(name)(x.astype("float32")))
    found = activations.apply(name, x.copy())
    assert found.dtype == dtype
    np.testing.assert_allclose(found, wanted, atol=2e-6)


def test_square_is_an_activation_and_so_is_a_function():
    x = np.array([[-2.0, 3.0]])
    np.testing.assert_array_equal(activations.apply("square", x.copy()), [[4.0, 9.0]])
    np.testing.assert_array_equal(activations.apply(lambda t: t * 0 + 1, x.copy()), [[1.0, 1.0]])


@pytest.mark.parametrize("kind", weights.SEEDED)
def test_the_input_of_a_unit_has_its_gain_as_standard_deviation(kind):
    kernel, bias = weights.seeded(kind, (20, 500), None, 2.0, 0, "hidden_1")
    assert np.std(RNG.normal(size=(500, 20)) @ kernel) == pytest.approx(2.0, rel=0.05)
    assert np.abs(bias).max() <= 2.0 and np.abs(bias).max() > 1.9


def test_orthogonal_weights_are_orthogonal_in_blocks():
    kernel, _ = weights.seeded("orthogonal", (20, 50), None, 1.0, 0, "hidden_1")
    for block in (kernel[:, :20], kernel[:, 20:40], kernel[:, 40:]):
        gram = block.T @ block
        np.testing.assert_allclose(gram - np.diag(np.diag(gram)), 0, atol=1e-10)


def test_signs_are_of_one_size():
    kernel, _ = weights.seeded("signs", (20, 50), None, 1.0, 0, "hidden_1")
    np.testing.assert_allclose(np.abs(kernel), 20**-0.5)


def test_a_difference_is_zero_halfway_between_its_two_samples():
    y = np.arange(300) % 3
    kernel, bias = weights.from_data("differences", X, y, None, 40, 1.0, np.random.default_rng(1))
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 300, 40), rng.integers(0, 300, 40)
    middle = (X[a[:5]] + X[b[:5]]) / 2
    apart = y[a[:5]] != y[b[:5]]
    reached = np.diag(middle.astype(float) @ kernel[:, :5] + bias[:5])[apart]
    np.testing.assert_allclose(reached, 0, atol=1e-5)


def test_class_sums_share_units_by_class_size():
    x = np.zeros((100, 2))
    x[:70, 0], x[70:, 1] = 1.0, 1.0
    y = np.repeat([0, 1], [70, 30])
    kernel, _ = weights.from_data("ciw", x, y, None, 10, 1.0, np.random.default_rng(2))
    assert np.count_nonzero(kernel[1, :7]) == 0 and np.count_nonzero(kernel[0, 7:]) == 0


def test_a_union_contains_both_kinds():
    def ones(inputs, y, units, rng):
        return np.ones((inputs.shape[1], units)), np.zeros(units)

    made = ELMFeatures((6,), weight_init=("random", ones), random_state=0).fit(X)
    kernel = made._frozen.layers[0].kernel
    assert np.all(kernel[:, 3:] == 1) and np.std(kernel[:, :3]) > 0.1


def test_receptive_fields_are_rectangles_inside_the_border():
    mask = ReceptiveFields().restore({}, (28, 28, 1)).mask(50, 0, "hidden_1").reshape(28, 28, 50)
    assert not mask[:3].any() and not mask[:, -3:].any()
    for unit in mask.transpose(2, 0, 1):
        rows, columns = unit.any(axis=1), unit.any(axis=0)
        np.testing.assert_array_equal(unit, rows[:, None] & columns[None, :])
        assert (rows.sum() - 1) * (columns.sum() - 1) >= 10


def test_units_are_connected_to_their_rectangle_only():
    images_ = RNG.random((20, 10, 10, 1))
    made = ELMFeatures((30,), features="receptive_fields", random_state=0).fit(images_)
    assert (made._frozen.layers[0].kernel == 0).mean() > 0.3


def test_moments_of_parts_are_those_of_the_whole():
    whole, parts = Moments(20), Moments(20)
    w = RNG.uniform(0.5, 2, 300)
    whole.add(X + 100, w)
    for part in (slice(0, 7), slice(7, 200), slice(200, 300)):
        parts.add(X[part] + 100, w[part])
    np.testing.assert_allclose(parts.mean, whole.mean)
    np.testing.assert_allclose(parts.square, whole.square, rtol=1e-8)
    spread = np.average((X + 100.0 - whole.mean) ** 2, axis=0, weights=w)
    np.testing.assert_allclose(whole.square / whole.weight, spread, rtol=1e-6)


def test_a_constant_column_becomes_zero_and_a_far_value_is_clipped():
    moments = Moments(2)
    moments.add(np.array([[5.0, 0.0], [5.0, 2.0]]), np.ones(2))
    scaled = fit_scaler(moments, "columns", 3.0).dense(np.array([[9.0, 50.0]]), "float64")
    np.testing.assert_array_equal(scaled, [[0.0, 3.0]])


def test_one_common_scale_keeps_the_columns_apart():
    moments = Moments(2)
    moments.add(np.array([[-1.0, -3.0], [1.0, 3.0]]), np.ones(2))
    scaled = fit_scaler(moments, "common", None).dense(np.array([[1.0, 3.0]]), "float64")
    np.testing.assert_allclose(scaled, np.array([[1.0, 3.0]]) / np.sqrt(5))


def test_sparse_rows_scale_like_dense_rows():
    dense = np.where(RNG.random((50, 20)) < 0.8, 0, RNG.normal(size=(50, 20)))
    moments = [Moments(20), Moments(20)]
    for moment, rows in zip(moments, (dense, sparse.csr_array(dense)), strict=True):
        moment.add(rows, np.ones(50))
    np.testing.assert_allclose(moments[0].square, moments[1].square)
    scaler, W = fit_scaler(moments[0], "columns", 2.0), RNG.normal(size=(20, 4))
    wanted = scaler.dense(dense, "float64") @ W
    np.testing.assert_allclose(scaler.product(sparse.csr_array(dense), W), wanted, atol=1e-12)


def test_readout_and_direct_links_determine_the_number_of_features():
    sizes = {"last": 5, "all": 12, "each": 12}
    for readout, width in sizes.items():
        made = ELMFeatures((7, 5), readout=readout, random_state=0).fit(X)
        assert made.transform(X).shape == (300, width)
        assert len(made.get_feature_names_out()) == width
    assert ELMFeatures((7,), direct_links=True).fit(X).transform(X).shape == (300, 27)


def test_the_seed_determines_the_features():
    one, same, other = (
        ELMFeatures((9,), random_state=seed).fit(X).transform(X) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.1


def test_an_accelerator_computes_the_same_features(monkeypatch):
    from frozenfit.elm import device

    settings = {"direct_links": True, "readout": "each", "dtype": "float32", "random_state": 0}
    made = ELMFeatures((9, 7), **settings).fit(X)
    wanted = made.transform(X)
    calls = []
    monkeypatch.setattr(device, "accelerated", lambda: calls.append(1) or True)
    np.testing.assert_allclose(made.transform(X), wanted, atol=1e-5)
    assert calls


def test_an_accelerator_makes_the_same_classifier(monkeypatch):
    from frozenfit import ELMClassifier
    from frozenfit.elm import device

    images_ = RNG.random((60, 8, 8)).astype("float32")
    params = {"n_filters": 4, "patch_size": 3}
    settings = {"features": "patches", "feature_params": params, "dtype": "float32"}
    clf = ELMClassifier((20,), **settings, random_state=0)
    wanted = clf.fit(images_, np.arange(60) % 2).decision_function(images_)
    monkeypatch.setattr(device, "accelerated", lambda: True)
    found = clf.fit(images_, np.arange(60) % 2).decision_function(images_)
    np.testing.assert_allclose(found, wanted, atol=1e-2)
