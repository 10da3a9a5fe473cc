"""An ensemble in a file and in a pickle: the base once, or not at all, and the deltas."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from ensembles import cheap_ensemble
from safetensors.numpy import load_file
from sklearn.datasets import load_digits

import frozenfit
from frozenfit import CheapEnsembleRegressor, PartialNetClassifier

X, y = load_digits(return_X_y=True)
X, y = (X[:200] / 16).astype("float32"), y[:200]
SMALL = {"model_params": {"hidden_layer_sizes": (32,)}, "epochs": 1, "random_state": 0}


def ensemble(n=3, **params):
    return cheap_ensemble(n_estimators=n, **{**SMALL, **params}).fit(X, y)


def base_arrays(path):
    return [name for name in load_file(path) if "base/" in name]


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"base": "frozen"},
        {"members": "disjoint"},
        {"members": ["head()", "random(0.1, seed=4)", 1.0]},
        {"trainable": "random(0.2)", "frozen": "zero"},
        {"calibrate": True},
    ],
    ids=str,
)
def test_a_loaded_ensemble_predicts_the_same_bits(tmp_path, params):
    estimator = ensemble(**params)
    frozenfit.save(estimator, tmp_path / "e")
    loaded = frozenfit.load(tmp_path / "e")
    assert np.array_equal(loaded.predict_members(X), estimator.predict_members(X))
    assert loaded.n_trainable_ == estimator.n_trainable_
    assert all(member.base_ is loaded.base_ for member in loaded.estimators_)


@pytest.mark.parametrize("include_frozen", [False, True])
def test_random_frozen_values_of_the_members_are_restored_twice(tmp_path, include_frozen):
    estimator = ensemble(2, frozen="random", members="disjoint")
    frozenfit.save(estimator, tmp_path / "e", include_frozen=include_frozen)
    frozenfit.save(frozenfit.load(tmp_path / "e"), tmp_path / "f", include_frozen=include_frozen)
    loaded = frozenfit.load(tmp_path / "f")
    assert np.array_equal(loaded.predict_members(X), estimator.predict_members(X))


def test_histories_are_restored_exactly_and_are_not_text(tmp_path):
    estimator = ensemble(2, epochs=3, base="frozen")
    estimator.estimators_[1].history_["loss"][1] = float("nan")
    frozenfit.save(estimator, tmp_path / "e")
    loaded = frozenfit.load(tmp_path / "e")
    for old, new in zip(estimator.estimators_, loaded.estimators_, strict=True):
        assert str(new.history_) == str(old.history_) and new.n_iter_ == 3
    # Another epoch takes as many bytes as its numbers.
    size = (tmp_path / "e").stat().st_size
    for member in estimator.estimators_:
        for values in member.history_.values():
            values.append(1 / 3)
    frozenfit.save(estimator, tmp_path / "e")
    metrics = len(estimator.estimators_[0].history_)
    assert abs((tmp_path / "e").stat().st_size - size - 2 * metrics * 8) <= 8


def test_histories_of_unequal_lengths_are_restored(tmp_path):
    estimator = ensemble(1, base="frozen")
    estimator.estimators_[0].history_ = {"loss": [0.5, 0.25], "gain": [1.0]}
    frozenfit.save(estimator, tmp_path / "e")
    assert frozenfit.load(tmp_path / "e").estimators_[0].history_ == {
        "loss": [0.5, 0.25],
        "gain": [1.0],
    }


def test_a_trained_base_is_in_the_file_once(tmp_path):
    frozenfit.save(ensemble(), tmp_path / "e")
    assert len(base_arrays(tmp_path / "e")) == 4  # two kernels, two biases


def test_a_random_base_is_not_in_the_file(tmp_path):
    frozenfit.save(ensemble(base="frozen"), tmp_path / "e")
    assert base_arrays(tmp_path / "e") == []


def test_five_members_take_little_more_than_one_network(tmp_path):
    params = {**SMALL, "model_params": {"hidden_layer_sizes": (1000, 1000)}}
    one = PartialNetClassifier(trainable=1.0, **params).fit(X, y)
    five = cheap_ensemble(n_estimators=5, trainable=0.1, **params).fit(X, y)
    frozenfit.save(one, tmp_path / "one")
    frozenfit.save(five, tmp_path / "five")
    size = {name: (tmp_path / name).stat().st_size for name in ("one", "five")}
    assert size["five"] <= 1.6 * size["one"]


def test_a_loaded_ensemble_can_grow_as_the_saved_one(tmp_path):
    estimator = ensemble(2)
    frozenfit.save(estimator, tmp_path / "e")
    loaded = frozenfit.load(tmp_path / "e").add_members(1, X, y)
    estimator.add_members(1, X, y)
    assert np.array_equal(loaded.predict_members(X), estimator.predict_members(X))


def test_a_regressor_is_loaded_with_its_scale(tmp_path):
    targets = 50 + 3.0 * y
    estimator = cheap_ensemble(CheapEnsembleRegressor, n_estimators=2, **SMALL).fit(X, targets)
    frozenfit.save(estimator, tmp_path / "e")
    assert np.array_equal(frozenfit.load(tmp_path / "e").predict(X), estimator.predict(X))


def test_a_pickle_keeps_one_base_for_all_members():
    estimator = ensemble(2)
    again = pickle.loads(pickle.dumps(estimator))
    assert all(member.base_ is again.base_ for member in again.estimators_)
    assert np.array_equal(again.predict_members(X), estimator.predict_members(X))


def test_a_pickle_grows_by_a_delta_for_each_member():
    two, five = (len(pickle.dumps(ensemble(n))) for n in (2, 5))
    trainable = 4 * ensemble(1).n_trainable_
    assert (five - two) / 3 < 1.5 * trainable + 1500
