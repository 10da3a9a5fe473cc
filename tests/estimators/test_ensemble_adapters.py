"""Members that share all kernels and train scales, biases, batch normalizations and the head."""

from __future__ import annotations

import pickle

import keras
import numpy as np
import pytest
from ensembles import cheap_ensemble
from keras import layers as kl
from sklearn.datasets import load_digits

import frozenfit
from frozenfit import CheapEnsembleRegressor, PartialNetClassifier, clear_workspace
from frozenfit.estimators import ensemble_training
from frozenfit.estimators.ensemble_members import member_selectors
from frozenfit.selectors import Everything, Scales

X, Y = load_digits(return_X_y=True)
X, Y = (X[:300] / 16).astype("float32"), Y[:300]
NETWORK = {"hidden_layer_sizes": (32, 32), "batch_norm": True}


def ensemble(n=3, **params):
    settings = {"model_params": NETWORK, "epochs": 3, "random_state": 0, "base": "frozen"}
    return cheap_ensemble(n_estimators=n, **{**settings, "members": "adapters", **params})


@pytest.fixture(scope="module")
def fitted():
    return ensemble().fit(X, Y)


def trained(estimator, path):
    return [member.part_.delta.trained[path] for member in estimator.estimators_]


def bits(member):
    delta = member.part_.delta
    return [array.tobytes() for array in (*delta.trained.values(), *delta.states.values())]


def test_members_share_the_kernels_of_hidden_layers(fitted):
    for member in fitted.estimators_:
        selection = member.part_.selection
        hidden = [selection[f"dense{i}/kernel"] for i in (1, 2)]
        assert [type(form) for form in hidden] == [Scales, Scales]
        others = [w.path for w in selection.layout.weights if w.layer not in ("dense1", "dense2")]
        assert {selection[path] for path in others} == {Everything()}
    assert all(member.base_ is fitted.base_ for member in fitted.estimators_)
    hidden = (64 + 32) + (32 + 32) + 2 * 2 * 32  # scales and batch normalizations
    biases = 2 * 32 if "dense1/bias" in fitted.estimators_[0].part_.delta.trained else 0
    assert fitted.n_trainable_ == 3 * (hidden + biases + 33 * 10)


def test_members_start_at_different_signs_of_the_first_inputs(fitted):
    starts = [
        member.part_.selection["dense1/kernel"].start((64, 32)) for member in fitted.estimators_
    ]
    assert all((start[64:] == 1).all() for start in starts)
    assert len({start.tobytes() for start in starts}) == 3
    # A scale moves little in a few epochs, so that the signs are those of the start.
    for start, scales in zip(starts, trained(fitted, "dense1/kernel"), strict=True):
        assert np.mean(np.sign(scales[:64]) == start[:64]) > 0.9


def test_every_member_has_its_own_moving_statistics(fitted):
    first, second, third = (
        member.part_.delta.states["dense2_norm/moving_mean"] for member in fitted.estimators_
    )
    assert not np.array_equal(first, second) and not np.array_equal(second, third)


def test_a_member_is_a_network_trained_by_its_selector(fitted):
    member = fitted.estimators_[1]
    assert str(member.trainable).endswith(" | biases() | batch_norm() | head()")
    exported = member.to_keras().predict(X, verbose=0)
    np.testing.assert_allclose(exported, member.part_.outputs(X), rtol=1e-4, atol=1e-5)
    kernel = fitted.base_.to_keras().get_layer("dense1").get_weights()[0]
    scales = member.part_.delta.trained["dense1/kernel"]
    found = member.to_keras().get_layer("dense1").get_weights()[0]
    np.testing.assert_array_equal(found, kernel * scales[:64, None] * scales[64:])


@pytest.mark.parametrize("base", ["frozen", "trained"])
def test_members_can_be_added_and_removed(base):
    # Together with others, members are equal up to rounding only.
    whole = ensemble(base=base, vectorize=False).fit(X, Y)
    grown = ensemble(2, base=base, vectorize=False).fit(X, Y)
    before = [bits(member) for member in grown.estimators_]
    grown.add_members(1, X, Y)
    assert [bits(member) for member in grown.estimators_[:2]] == before
    assert [bits(member) for member in grown.estimators_] == [bits(m) for m in whole.estimators_]
    grown.remove_member(0)
    assert [bits(m) for m in grown.estimators_] == [bits(m) for m in whole.estimators_[1:]]


def test_an_added_member_takes_signs_that_no_other_has():
    first, second, third = member_selectors(0.1, "adapters", 3, seed=5)
    assert member_selectors(0.1, "adapters", 2, seed=5, taken=[first, third])[0] == second
    assert member_selectors(0.1, "adapters", 1, seed=5, taken=[first, second]) == [third]


def test_files_and_pickles_have_the_adapters(fitted, tmp_path):
    path = tmp_path / "ensemble.frozenfit"
    frozenfit.save(fitted, path)
    for again in (frozenfit.load(path), pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
        assert [m.trainable for m in again.estimators_] == [m.trainable for m in fitted.estimators_]


def test_the_base_of_a_frozen_ensemble_is_not_in_its_file(tmp_path):
    wide = {"hidden_layer_sizes": (256, 256)}
    frozenfit.save(ensemble(8, model_params=wide, epochs=1).fit(X, Y), tmp_path / "members")
    whole = PartialNetClassifier("mlp", model_params=wide, trainable=1.0, epochs=1).fit(X, Y)
    frozenfit.save(whole, tmp_path / "whole")
    sizes = [(tmp_path / name).stat().st_size for name in ("members", "whole")]
    assert sizes[0] < sizes[1]


def test_regressors_have_adapters():
    target = X[:, :3].sum(axis=1) + 0.1 * Y
    settings = {"model_params": {"hidden_layer_sizes": (32,)}, "epochs": 10, "base": "frozen"}
    estimator = cheap_ensemble(
        CheapEnsembleRegressor, n_estimators=2, members="adapters", random_state=0, **settings
    ).fit(X, target)
    assert estimator.score(X, target) > 0.3
    assert isinstance(estimator.estimators_[0].part_.selection["dense1/kernel"], Scales)


SHARED = {
    "mlp": {},
    "trained base": {"base": "trained"},
    "early stopping": {"early_stopping": True, "patience": 1, "epochs": 8},
}


@pytest.mark.parametrize("case", SHARED)
def test_adapters_trained_together_equal_adapters_trained_apart(case):
    settings = {"learning_rate": 0.01, **SHARED[case]}
    together = ensemble(vectorize=True, **settings).fit(X, Y)
    clear_workspace()
    apart = ensemble(vectorize=False, **settings).fit(X, Y)
    for ours, theirs in zip(together.estimators_, apart.estimators_, strict=True):
        assert ours.n_iter_ == theirs.n_iter_
        mine, its = ours.part_.delta, theirs.part_.delta
        for a, b in ((mine.trained, its.trained), (mine.states, its.states)):
            for path in a:
                np.testing.assert_allclose(a[path], b[path], rtol=1e-2, atol=1e-3, err_msg=path)
    np.testing.assert_allclose(
        together.predict_members(X), apart.predict_members(X), rtol=1e-2, atol=1e-3
    )


def with_pooling(input_shape, n_outputs):
    x = inputs = keras.Input(input_shape)
    x = kl.MaxPooling2D()(kl.Conv2D(6, 3, activation="relu")(kl.ZeroPadding2D(1)(x)))
    x = kl.Conv2D(8, 3, strides=2, padding="same", activation="tanh")(x)
    return keras.Model(inputs, kl.Dense(n_outputs)(kl.Flatten()(kl.AveragePooling2D(2)(x))))


def of_series(input_shape, n_outputs):
    x = inputs = keras.Input(input_shape)
    x = kl.MaxPooling1D()(kl.Conv1D(6, 3, padding="causal", activation="relu")(x))
    x = kl.Conv1D(8, 2, dilation_rate=2, activation="tanh")(x)
    return keras.Model(inputs, kl.Dense(n_outputs)(kl.GlobalAveragePooling1D()(x)))


CONVOLUTIONS = {
    "residual": {"model": "resnet", "model_params": {"depth": 8, "width": 0.5}},
    "pooling": {"model": with_pooling, "model_params": None},
    "series": {"model": of_series, "model_params": None},
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutional_adapters_trained_together_equal_adapters_trained_apart(case):
    images, settings = X.reshape(-1, 8, 8, 1)[:100], CONVOLUTIONS[case]
    images = images[..., 0] if case == "series" else images
    # A large epsilon: the steps of Adam have the same size for gradients that are rounding errors.
    optimizer = keras.optimizers.Adam(0.05, epsilon=0.01)
    settings = {**settings, "optimizer": optimizer, "batch_size": 50, "epochs": 2, "n": 2}
    together = ensemble(vectorize=True, **settings).fit(images, Y[:100])
    clear_workspace()
    apart = ensemble(vectorize=False, **settings).fit(images, Y[:100])
    for ours, theirs in zip(together.estimators_, apart.estimators_, strict=True):
        mine, its = ours.part_.delta, theirs.part_.delta
        for a, b in ((mine.trained, its.trained), (mine.states, its.states)):
            for path in a:
                np.testing.assert_allclose(a[path], b[path], rtol=1e-3, atol=2e-5, err_msg=path)
    first, second = (member.part_.delta.trained for member in together.estimators_)
    forms = together.estimators_[0].part_.selection
    scales = [path for path in first if isinstance(forms[path], Scales)]
    assert max(np.abs(np.abs(first[path]) - 1).max() for path in scales) > 1e-3
    assert all(not np.array_equal(first[path], second[path]) for path in scales)


def test_convolutions_are_trained_together_by_default_where_that_is_cheaper(monkeypatch):
    images, settings = X.reshape(-1, 8, 8, 1)[:50], {**CONVOLUTIONS["pooling"], "n": 2}
    together = []
    run = ensemble_training._run
    monkeypatch.setattr(
        ensemble_training, "_run", lambda *args: together.append(True) or run(*args)
    )
    ensemble(vectorize="auto", epochs=1, **settings).fit(images, Y[:50])
    assert bool(together) == (keras.config.backend() == "tensorflow")
    ensemble(vectorize=True, epochs=1, **settings).fit(images, Y[:50])
    assert together
