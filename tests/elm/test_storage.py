"""Files store the head and the seed; Keras models and tables agree with the estimator."""

from __future__ import annotations

import os

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import frozenfit
from frozenfit import ELMClassifier, ELMRegressor

DIGITS = load_digits()
X, Y = DIGITS.data[:300].astype("float32") / 16, DIGITS.target[:300]
PATCHES = {"n_filters": 6, "patch_size": 3, "pool": 2, "stride": 2}
QUADRANTS = {"n_filters": 6, "patch_size": 3, "whiten": True, "rectifier": "two-sided", "grid": 2}
IMAGES = {"image_shape": (8, 8, 1)}
SETTINGS = [
    {},
    {"hidden_layer_sizes": (40, 30), "readout": "each", "activation": "relu"},
    {"hidden_layer_sizes": (40, 30), "readout": "all", "direct_links": False},
    {"weight_init": ("ciw", "differences"), "scale": "common"},
    {"weight_init": "orthogonal", "activation": "square"},
    {"features": "receptive_fields", **IMAGES},
    {"features": "patches", "feature_params": PATCHES, **IMAGES},
    {"features": "patches", "feature_params": {**QUADRANTS, "threshold": 0.2}, **IMAGES},
    {"hidden_layer_sizes": (), "features": "patches", "feature_params": PATCHES, **IMAGES},
]


def fitted(**settings):
    return ELMClassifier(**{"hidden_layer_sizes": (50,), "random_state": 0, **settings}).fit(X, Y)


def network():
    init = keras.initializers.GlorotUniform(seed=1)
    return keras.Sequential([keras.Input((64,)), keras.layers.Dense(9, kernel_initializer=init)])


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("include_frozen", [False, True])
def test_a_file_restores_the_estimator(tmp_path, settings, include_frozen):
    clf = fitted(**settings)
    frozenfit.save(clf, tmp_path / "elm.frozenfit", include_frozen=include_frozen)
    again = frozenfit.load(tmp_path / "elm.frozenfit")
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
    assert again.get_params() == clf.get_params()
    assert again.parameter_table() == clf.parameter_table()
    assert again.alpha_ == pytest.approx(clf.alpha_)


def test_a_loaded_regressor_has_its_range(tmp_path):
    reg = ELMRegressor((30,), random_state=0).fit(X, np.stack([Y, Y * 2.0], axis=1))
    frozenfit.save(reg, tmp_path / "elm.frozenfit")
    again = frozenfit.load(tmp_path / "elm.frozenfit")
    np.testing.assert_array_equal(again.predict(50 * X), reg.predict(50 * X))


def test_a_file_stores_the_head_and_no_random_weights(tmp_path):
    clf = fitted(hidden_layer_sizes=(400,), direct_links=False)
    frozenfit.save(clf, tmp_path / "elm.frozenfit")
    assert os.path.getsize(tmp_path / "elm.frozenfit") < 8 * 400 * 10 + 6000 < 8 * 400 * 64


def test_a_loaded_estimator_has_no_sums(tmp_path):
    frozenfit.save(fitted(), tmp_path / "elm.frozenfit")
    again = frozenfit.load(tmp_path / "elm.frozenfit")
    for call in (again.partial_fit, again.unlearn):
        with pytest.raises(ValueError, match="needs the sums"):
            call(X, Y)
    assert again.fit(X, Y).partial_fit(X, Y).score(X, Y) > 0.9


def test_a_given_network_is_passed_again_to_load(tmp_path):
    net = network()
    clf = fitted(features=net)
    frozenfit.save(clf, tmp_path / "elm.frozenfit")
    with pytest.raises(frozenfit.StorageError, match="base"):
        frozenfit.load(tmp_path / "elm.frozenfit")
    again = frozenfit.load(tmp_path / "elm.frozenfit", base=net)
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))


def test_a_transformer_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="features"):
        frozenfit.save(fitted(features=PCA(5)), tmp_path / "elm.frozenfit")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("change", ["missing", "shape", "odd", "draws"])
def test_an_inconsistent_file_is_refused(change):
    clf = fitted()
    meta, arrays = clf._fitted_state(False)
    meta, arrays = dict(meta), dict(arrays)
    if change == "missing":
        del arrays["head/bias"]
    elif change == "shape":
        arrays["head/kernel"] = arrays["head/kernel"][1:]
    elif change == "odd":
        arrays["another"] = np.zeros(3)
    else:
        meta["draws"] = "0" * 64
    with pytest.raises(ValueError, match="missing|shape|unexpected|drawn"):
        ELMClassifier(**clf.get_params())._restore(meta, arrays)


@pytest.mark.parametrize("settings", [*SETTINGS, {"features": "net"}])
def test_a_keras_model_computes_the_same(settings):
    if settings.get("features") == "net":
        settings = {"features": network()}
    clf = fitted(**settings)
    model = clf.to_keras()
    given = X.reshape(-1, *clf.input_shape_)
    found = keras.ops.convert_to_numpy(model(given, training=False))
    np.testing.assert_allclose(found, clf._logits(given), atol=2e-3)
    np.testing.assert_array_equal(found.argmax(axis=1), clf.predict(X))


def test_a_regressors_keras_model_gives_predictions():
    reg = ELMRegressor((30,), random_state=0).fit(X, Y)
    found = keras.ops.convert_to_numpy(reg.to_keras()(X))[:, 0]
    np.testing.assert_allclose(found, reg.predict(X), atol=1e-3)


def test_a_keras_model_can_be_saved_and_loaded_by_keras_alone(tmp_path):
    model = fitted().to_keras()
    model.save(tmp_path / "elm.keras")
    again = keras.saving.load_model(tmp_path / "elm.keras")
    np.testing.assert_allclose(again.predict(X, verbose=0), model.predict(X, verbose=0), atol=1e-6)


def test_a_transformer_has_no_keras_form():
    with pytest.raises(ValueError, match="Pipeline"):
        fitted(features=PCA(5)).to_keras()


def test_the_table_counts_only_the_head_as_trained():
    clf = fitted(direct_links=False)
    rows = clf.parameter_table()
    assert [row[0] for row in rows] == [
        "hidden_1/kernel",
        "hidden_1/bias",
        "head/kernel",
        "head/bias",
    ]
    assert sum(row[3] for row in rows) == 51 * 10
    assert clf.freeze_fraction_ == pytest.approx(65 * 50 / (65 * 50 + 51 * 10))


def test_a_progress_bar_appears_in_long_fits(monkeypatch, capsys):
    from frozenfit.estimators import elm_base

    fitted(verbose=1)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(elm_base, "_BAR_DELAY", -1.0)
    fitted(verbose=1)
    assert "ELMClassifier" in capsys.readouterr().out
    fitted(verbose=0)
    assert capsys.readouterr().out == ""
