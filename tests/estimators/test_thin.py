"""Training without dead units equals training with them."""

import pickle

import keras
import numpy as np
import pytest
from keras import layers as kl
from random_networks import IMAGE, RandomNetwork

import frozenfit
from frozenfit import CheapEnsembleClassifier, FreezeOut, PartialNetClassifier, clear_workspace
from frozenfit.training.workspace import workspace

NORMS = "filters(0.4) | head() | batch_norm()"


def images(rows=40):
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, *IMAGE)).astype("float32"), np.arange(rows) % 3


def estimator(model, trainable=NORMS, **params):
    params = {"optimizer": keras.optimizers.SGD(0.02, momentum=0.9), **params}
    return PartialNetClassifier(
        model, trainable=trainable, frozen="zero", epochs=2, batch_size=16, random_state=0, **params
    )


def both(fit, monkeypatch):
    """Return what a function returns with and without thin networks."""
    results = []
    for thin in (True, False):
        monkeypatch.setattr(workspace, "thin", thin)
        clear_workspace()
        results.append(fit())
    clear_workspace()
    return results


def stack(input_shape, n_outputs):
    """Build convolutions with batch normalization, a sum, dropout and a dense layer."""
    x = inputs = keras.Input(input_shape)
    for size in (8, 8):
        x = kl.Conv2D(size, 3, padding="same", use_bias=False)(x)
        x = kl.ReLU()(kl.BatchNormalization(momentum=0.8)(x))
    y = kl.BatchNormalization(momentum=0.8)(kl.Conv2D(8, 1, use_bias=False)(x))
    x = kl.Dropout(0.2)(kl.ReLU()(kl.Add()([x, y])))
    x = kl.Dense(12, activation="relu")(kl.Flatten()(x))
    return keras.Model(inputs, kl.Dense(n_outputs)(x))


def is_thin(fitted):
    with workspace.check_out(fitted.part_.base) as network:
        return fitted.part_.load(network).thin is not None


def assert_same(thin, whole, X):
    for group in ("trained", "states"):
        expected = getattr(whole.part_.delta, group)
        for path, value in getattr(thin.part_.delta, group).items():
            np.testing.assert_allclose(value, expected[path], rtol=1e-3, atol=1e-5, err_msg=path)
    np.testing.assert_allclose(thin.predict_proba(X), whole.predict_proba(X), atol=1e-4)


@pytest.mark.parametrize(
    "part", [NORMS, "filters(0.4) | biases() | head()"], ids=["norms", "biases"]
)
@pytest.mark.parametrize("seed", [3, 23, 38])
def test_random_networks_are_trained_as_with_all_units(seed, part, monkeypatch):
    X, y = images()

    def fit():
        fitted = estimator(RandomNetwork(seed), part).fit(X, y)
        return fitted, is_thin(fitted)

    (thin, left_out), (whole, none_left_out) = both(fit, monkeypatch)
    assert left_out and not none_left_out
    assert_same(thin, whole, X)


OPTIONS = {
    "adam": {"optimizer": "adam", "weight_decay": 0.01},
    "stored statistics": {"freeze_statistics": True},
    "refreshed statistics": {"refresh_statistics": True},
    "freeze schedule": {"freeze_schedule": FreezeOut(0.5)},
    "early stopping": {"early_stopping": True, "validation_fraction": 0.25},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_options_have_the_same_effect(options, monkeypatch):
    X, y = images()

    def fit():
        fitted = estimator(stack, **options).fit(X, y)
        return fitted, is_thin(fitted)

    (thin, left_out), (whole, _) = both(fit, monkeypatch)
    assert left_out
    assert_same(thin, whole, X)


def test_a_fit_is_continued_with_or_without_dead_units(monkeypatch):
    X, y = images()

    def fit():
        first = estimator(stack, warm_start=True).fit(X, y)
        monkeypatch.setattr(workspace, "thin", True)
        return first.fit(X, y)

    thin, switched = both(fit, monkeypatch)
    assert_same(thin, switched, X)


def test_members_of_an_ensemble_are_trained_as_with_all_units(monkeypatch):
    X, y = images()

    def fit():
        ensemble = CheapEnsembleClassifier(estimator(stack), n_estimators=2, random_state=0)
        return ensemble.fit(X, y).predict_proba(X)

    np.testing.assert_allclose(*both(fit, monkeypatch), atol=1e-4)


def test_files_and_pickles_have_the_whole_delta(tmp_path):
    X, y = images()
    network = stack(IMAGE, 3)
    fitted = estimator(network).fit(X, y)
    expected = fitted.predict_proba(X)
    frozenfit.save(fitted, tmp_path / "model.frozenfit")
    loaded = frozenfit.load(tmp_path / "model.frozenfit", base=network)
    pickled = pickle.dumps(fitted)
    assert b"LivingUnits" not in pickled
    for other in (loaded, pickle.loads(pickled)):
        assert is_thin(other)
        np.testing.assert_allclose(other.predict_proba(X), expected, atol=1e-6)


def test_the_thin_model_of_an_estimator():
    X, y = images()
    fitted = estimator(stack).fit(X, y)
    whole, thin = fitted.to_keras(), fitted.thin_model()
    assert thin.count_params() < 0.3 * whole.count_params()
    np.testing.assert_allclose(thin.predict(X, verbose=0), whole.predict(X, verbose=0), atol=1e-5)


class Restless(keras.optimizers.SGD):
    """An optimizer that moves parameters without a gradient."""

    def update_step(self, gradient, variable, learning_rate):
        """Take a step of constant size."""
        super().update_step(gradient + 0.1, variable, learning_rate)


def test_an_optimizer_that_may_move_still_offsets_trains_all_units(monkeypatch):
    X, y = images()
    fits = both(lambda: estimator(stack, optimizer=Restless(0.02)).fit(X, y), monkeypatch)
    assert any((v[4:] != 0).all() for p, v in fits[0].part_.delta.trained.items() if "beta" in p)
    assert_same(*fits, X)
