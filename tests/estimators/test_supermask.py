"""Estimators that train which entries of frozen kernels are kept."""

from __future__ import annotations

import copy
import json

import keras
import numpy as np
import pytest
from copies import assert_copies_predict_the_same
from keras import layers as kl
from keras import ops
from sklearn.datasets import load_iris

import frozenfit
from frozenfit import CheapEnsembleClassifier, PartialModel, PartialNetClassifier
from frozenfit.estimators import stored_masks
from frozenfit.gradients import smallest_of_largest
from frozenfit.layers import Partial
from frozenfit.search import FreezeSearchCV

X, Y = load_iris(return_X_y=True)
X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype("float32")
LAYERS = {"hidden_layer_sizes": (32, 32)}
STILL = {"learning_rate": 1e-7, "optimizer": "sgd", "lr_schedule": None, "epochs": 1}


def made(trainable="supermask()", **settings):
    settings = {"epochs": 20, "learning_rate": 0.01, "random_state": 0} | settings
    return PartialNetClassifier("mlp", model_params=LAYERS, trainable=trainable, **settings)


@pytest.fixture(scope="module")
def fitted():
    return made().fit(X, Y)


def test_the_threshold_is_one_of_the_values():
    rng = np.random.default_rng(0)
    normal = rng.normal(size=101)
    kinds = [normal, -np.abs(normal), 1e-40 * normal, np.round(normal), -0.0 * normal]
    for values in (each.astype("float32") for each in kinds):
        for count in (1, 50, 101):
            found = smallest_of_largest(ops.convert_to_tensor(values), count)
            assert ops.convert_to_numpy(found) == np.sort(values)[101 - count]


def test_the_entries_with_the_highest_scores_are_kept(fitted):
    assert fitted.score(X, Y) > 0.8
    rows = {row.path: row for row in fitted.parameter_table()}
    assert rows["dense2/kernel"][2:4] == ("scores: 512 of 1024 kept", 1024)
    base, values = fitted.base_.to_keras(), dict(fitted.model_.assembled())
    for path, scores in fitted.part_.delta.trained.items():
        kept = fitted.part_.selection[path].kept(scores)
        assert kept.sum() == kept.size // 2
        frozen = base.get_layer(path.partition("/")[0]).get_weights()[0]
        np.testing.assert_array_equal(values[path], np.where(kept, 2 * frozen, 0))
    assert (np.asarray(values["dense1/bias"]) == 0).all()


def test_copies_files_and_exports_predict_the_same(fitted, tmp_path):
    assert_copies_predict_the_same(fitted, X, Y, tmp_path)


def test_a_file_has_one_bit_for_each_score_or_all_of_them(fitted, tmp_path):
    model = made(warm_start=True, epochs=2).fit(X, Y)
    path, sizes = tmp_path / "model.frozenfit", {}
    for include in (False, True):
        frozenfit.save(model, path, include_optimizer=include)
        sizes[include] = path.stat().st_size
        again = frozenfit.load(path)
        np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
        frozenfit.save(again, tmp_path / "second.frozenfit", include_optimizer=include)
        assert (tmp_path / "second.frozenfit").read_bytes() == path.read_bytes()
        scores = [each.part_.delta.trained["dense2/kernel"] for each in (again, model)]
        assert np.array_equal(*scores) is include
        again.set_params(epochs=3).fit(X, Y)
        assert again.score(X, Y) > 0.5
    assert sizes[True] - sizes[False] > 3 * 4 * 1000


def test_a_damaged_mask_is_refused(fitted):
    selection = fitted.part_.selection
    bits, levels = stored_masks.packed(fitted.part_.delta.trained, selection)
    path, (low, high) = "dense1/kernel", levels["dense1/kernel"]
    assert json.loads(json.dumps(levels)) == {p: list(pair) for p, pair in levels.items()}
    cases = [
        (bits | {path: bits[path][1:]}, levels, "bytes cannot have shape"),
        (bits | {path: ~bits[path] | 1}, levels, "must keep 64 entries"),
        (bits, {path: (high, low)}, "with a higher finite score"),
        (bits, {path: (float("-inf"), high)}, "with a higher finite score"),
        (bits | {path: bits[path].astype("float32")}, levels, "levels of scores and no mask"),
        (bits, {"dense1/bias": (low, high)}, "levels of scores and no mask"),
    ]
    for arrays, pairs, message in cases:
        with pytest.raises(ValueError, match=message):
            stored_masks.unpacked(arrays, selection, pairs)
    same = dict.fromkeys(bits, np.zeros((4, 32), np.float32))
    low, high = stored_masks.packed({path: same[path]}, selection)[1][path]
    assert low < high


def test_training_goes_on_from_the_scores(fitted):
    longer = copy.deepcopy(fitted).set_params(warm_start=True, epochs=2).fit(X, Y)
    before, after = (each.part_.delta.trained["dense2/kernel"] for each in (fitted, longer))
    assert 0 < np.abs(before - after).max() < 0.2
    # Another part starts from the masked kernels, and with masks from the same ones.
    for part in ("head()", "supermask() | biases()"):
        other = copy.deepcopy(fitted).set_params(warm_start=True, trainable=part, **STILL)
        other.fit(X, Y)
        np.testing.assert_allclose(other.predict_proba(X), fitted.predict_proba(X), atol=1e-4)


def test_gradients_pass_to_all_scores():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 1))
    x = kl.Flatten()(kl.Conv2D(4, 3, name="conv")(inputs))
    base = keras.Model(inputs, kl.Dense(2, name="head")(x))
    rng = np.random.default_rng(0)
    images, targets = rng.normal(size=(8, 6, 6, 1)), rng.normal(size=(8, 2))
    model = PartialModel(base, "supermask(0.5, seed=1).on('conv')")
    masked = PartialModel(model.to_keras(), "kernels().on('conv')")
    frozen, before = base.get_layer("conv").get_weights()[0], model.delta().trained["conv/kernel"]
    start = masked.delta().trained["conv/kernel"]
    for each in (model, masked):
        # One step of gradient descent of rate 1 subtracts the gradient.
        each.compile(keras.optimizers.SGD(1.0), "mse")
        each.train_on_batch(images, targets)
    found = before - model.delta().trained["conv/kernel"]
    expected = 2 * frozen * (start - masked.delta().trained["conv/kernel"])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    assert np.count_nonzero(found) == found.size and np.count_nonzero(start) == start.size // 2


def test_a_saved_keras_model_has_its_mask(tmp_path):
    inputs = keras.Input((4,))
    base = keras.Model(inputs, kl.Dense(3, name="head")(kl.Dense(8, name="hidden")(inputs)))
    selection = PartialModel(base, "supermask(0.4, seed=2) | head()").selection
    model = PartialModel(base, selection)
    model.compile("adam", "mse")
    model.fit(X, np.ones((150, 3)), epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.selection == model.selection
    expected = model.predict(X, verbose=0)
    np.testing.assert_allclose(again.predict(X, verbose=0), expected, rtol=1e-5, atol=1e-6)


def test_a_layer_inside_a_model_has_a_mask():
    layer = Partial(kl.Dense(8), "supermask(seed=1)")
    model = keras.Sequential([keras.Input((4,)), layer, kl.Dense(3)])
    model.compile("adam", "mse")
    model.fit(X, np.ones((150, 3)), epochs=1, verbose=0)
    outputs = ops.convert_to_numpy(layer(np.eye(4, dtype="float32")))
    assert np.count_nonzero(outputs) == 16


def test_the_fraction_is_a_parameter_of_a_search():
    def fraction(trial):
        return f"supermask({trial.suggest_float('keep', 0.2, 0.8)})"

    space = {"trainable": fraction, "frozen": "random"}
    search = FreezeSearchCV(made(epochs=1), space=space, n_trials=2, cv=2, random_state=0)
    search.fit(X, Y)
    assert search.best_params_["trainable"].startswith("supermask(")


def test_members_of_an_ensemble_have_different_masks(tmp_path):
    members = [f"supermask(0.5, seed={seed})" for seed in (1, 2)]
    settings = {"n_estimators": 2, "base": "frozen", "members": members, "random_state": 0}
    ensemble = CheapEnsembleClassifier(made(epochs=1), **settings).fit(X, Y)
    kernels = [dict(m.model_.assembled())["dense2/kernel"] for m in ensemble.estimators_]
    assert not np.array_equal(*(kernel == 0 for kernel in kernels))
    frozenfit.save(ensemble, tmp_path / "model.frozenfit")
    again = frozenfit.load(tmp_path / "model.frozenfit")
    np.testing.assert_array_equal(again.predict_proba(X), ensemble.predict_proba(X))
    with pytest.raises(ValueError, match="members without masks, got `supermask`"):
        CheapEnsembleClassifier(made(epochs=1), vectorize=True, **settings).fit(X, Y)


def test_what_a_mask_cannot_keep_is_refused():
    cases = [
        (made(frozen="zero"), "`supermask` requires frozen kernels that are not zero"),
        (made("supermask() | filters(0.1)"), "cannot be combined with another selection"),
    ]
    for model, message in cases:
        with pytest.raises(ValueError, match=message):
            model.fit(X, Y)
    bounded = keras.Sequential([keras.Input((4,)), kl.Dense(2, kernel_constraint="non_neg")])
    with pytest.raises(ValueError, match="`supermask` requires kernels without a constraint"):
        PartialModel(bounded, "supermask()")
