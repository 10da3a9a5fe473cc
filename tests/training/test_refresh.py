"""Moving statistics are computed anew at the end of short fits."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers as kl

from frozenfit import FreezeOut, PartialNetClassifier, clear_workspace
from frozenfit.training import prefix
from frozenfit.training.refresh import MovingStatistics

rng = np.random.default_rng(0)
X = rng.normal(3, 2, (512, 5)).astype("float32")
y = (X[:, 0] > X[:, 1]).astype(int)


def normalized(input_shape, n_outputs, *, momentum=0.99, dropout=0.0, shared=False):
    inputs = keras.Input(input_shape)
    norm = kl.BatchNormalization(momentum=momentum, name="norm")
    x = kl.Dropout(dropout)(inputs) if dropout else inputs
    x = norm(x) + norm(2 * x + 1) if shared else norm(x)
    x = kl.Dense(8, activation="relu", name="hidden")(x)
    x = kl.BatchNormalization(momentum=momentum, name="second")(x)
    return keras.Model(inputs, kl.Dense(n_outputs, name="head")(x))


def classifier(epochs=2, model_params=None, **params):
    settings = {"trainable": 1.0, "learning_rate": 0.01, "random_state": 0}
    return PartialNetClassifier(
        normalized, model_params=model_params, epochs=epochs, **{**settings, **params}
    )


def statistics(clf, layer="norm"):
    states = clf.part_.delta.states
    return np.stack([states[f"{layer}/moving_mean"], states[f"{layer}/moving_variance"]])


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_they_are_mean_and_variance_of_the_samples(dropout):
    clf = classifier(model_params={"dropout": dropout}).fit(X, y)
    np.testing.assert_allclose(statistics(clf), [X.mean(axis=0), X.var(axis=0)], rtol=1e-5)


def test_several_batches_are_joined_with_the_variance_between_them():
    several = np.outer(np.linspace(0, 1, 1024), [1, 2, 3]).astype("float32")
    clf = classifier().fit(several, np.arange(1024) % 2)
    expected = [several.mean(axis=0), several.var(axis=0)]
    np.testing.assert_allclose(statistics(clf), expected, rtol=1e-5)


def test_a_shared_layer_gets_the_mean_over_its_calls():
    clf = classifier(model_params={"shared": True}).fit(X, y)
    both = X, 2 * X + 1
    expected = [sum(x.mean(axis=0) for x in both) / 2, sum(x.var(axis=0) for x in both) / 2]
    np.testing.assert_allclose(statistics(clf), expected, rtol=1e-5)


def test_a_short_fit_predicts_as_well_as_it_trained():
    shifted, outside = X + 50, (np.abs(X[:, 0] - 3) > 1.5).astype(int)
    clf = classifier(epochs=6).fit(shifted, outside)
    late = classifier(epochs=6, refresh_statistics=False).fit(shifted, outside)
    trained = clf.history_["accuracy"][-1]
    assert trained == late.history_["accuracy"][-1] > 0.8  # training itself is the same
    assert clf.score(shifted, outside) > trained - 0.02
    assert late.score(shifted, outside) < trained - 0.2


def test_auto_leaves_long_averages_alone():
    # 32 steps: 16 time constants of a momentum of 0.5, and 3 of one of 0.9.
    for momentum, refreshed in ((0.5, False), (0.9, True)):
        params = {"model_params": {"momentum": momentum}}
        auto, off, on = (
            statistics(classifier(refresh_statistics=choice, **params).fit(X, y), "second")
            for choice in ("auto", False, True)
        )
        assert not np.array_equal(on, off)
        np.testing.assert_array_equal(auto, on if refreshed else off)


def test_validation_samples_have_no_part():
    given = classifier().fit(X, y, X_val=X[:50] + 100, y_val=y[:50])
    np.testing.assert_array_equal(statistics(given), statistics(classifier().fit(X, y)))


def test_they_belong_to_the_best_parameters_of_early_stopping():
    clf = classifier(
        model_params={"momentum": 0.1}, epochs=6, early_stopping=True, refresh_statistics=True
    )
    # The better the network gets, the worse it predicts the opposite labels.
    clf.fit(X, y, X_val=X, y_val=1 - y)
    assert np.argmin(clf.history_["val_loss"]) == 0
    whole = clf.to_keras()
    hidden = keras.Model(whole.input, whole.get_layer("hidden").output).predict(X, verbose=0)
    expected = [hidden.mean(axis=0), hidden.var(axis=0)]
    np.testing.assert_allclose(statistics(clf, "second"), expected, rtol=1e-3, atol=1e-5)


def test_layers_that_keep_their_statistics_are_left_alone():
    pretrained = classifier(epochs=1).fit(X + 10, y)
    clf = PartialNetClassifier(pretrained, trainable="head()", epochs=1, refresh_statistics=True)
    np.testing.assert_array_equal(statistics(clf.fit(X, y)), statistics(pretrained))


def test_partial_fit_keeps_moving_averages():
    clf = classifier(refresh_statistics=True)
    clf.partial_fit(X, y, classes=[0, 1])
    assert (np.abs(statistics(clf)[0] - X.mean(axis=0)) > 1).all()


def test_nothing_but_the_statistics_changes():
    on, off = (
        classifier(refresh_statistics=c, model_params={"dropout": 0.3}) for c in (True, False)
    )
    on.fit(X, y), off.fit(X, y)
    for path, value in off.part_.delta.trained.items():
        np.testing.assert_array_equal(on.part_.delta.trained[path], value)
    changed = [
        path
        for path, value in off.part_.delta.states.items()
        if not np.array_equal(on.part_.delta.states[path], value)
    ]
    assert sorted({path.split("/")[0] for path in changed}) == ["norm", "second"]


@pytest.fixture
def inputs_of_the_pass(monkeypatch) -> list[tuple[int, ...]]:
    """The shapes of the batches that statistics are computed from."""
    seen: list[tuple[int, ...]] = []
    inner = MovingStatistics._compute

    def compute(self, x):
        seen.append(x.shape)
        return inner(self, x)

    monkeypatch.setattr(MovingStatistics, "_compute", compute)
    return seen


@pytest.mark.parametrize("cached", [True, "disk"])
def test_the_pass_starts_from_cached_features(inputs_of_the_pass, monkeypatch, cached):
    if cached == "disk":
        monkeypatch.setattr(prefix, "memory_limit", lambda: 0)
    settings = {"trainable": "layers('second') | head()", "freeze_statistics": True}
    settings |= {"refresh_statistics": True, "epochs": 2}
    many, classes = np.tile(X, (3, 1)) * rng.uniform(1, 2, (1536, 1)), np.tile(y, 3)
    with pytest.MonkeyPatch.context() as patch:
        clear_workspace()
        from_features = classifier(cache_features=cached, **settings).fit(many, classes)
        assert inputs_of_the_pass == [(512, 8)] * 3
        inputs_of_the_pass.clear()
        patch.setattr(prefix, "find", lambda *_: None)
        clear_workspace()
        plain = classifier(cache_features="auto", **settings).fit(many, classes)
    assert inputs_of_the_pass == [(512, 5)] * 3
    np.testing.assert_allclose(
        statistics(from_features, "second"), statistics(plain, "second"), rtol=1e-5
    )


def test_the_pass_starts_from_samples_where_layers_wait(inputs_of_the_pass):
    # Finished layers are cached, but their statistics may be behind as well.
    clf = classifier(
        epochs=4, freeze_schedule=FreezeOut(0.25, phases=1), refresh_statistics=True
    ).fit(X, y)
    assert inputs_of_the_pass == [(512, 5)]
    np.testing.assert_allclose(statistics(clf), [X.mean(axis=0), X.var(axis=0)], rtol=1e-5)
