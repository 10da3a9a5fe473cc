"""Several tasks on one base: nothing is forgotten, and one file holds what they share once."""

from __future__ import annotations

import pickle

import keras
import numpy as np
import pytest
from ensembles import cheap_ensemble
from safetensors.numpy import load_file
from sklearn.datasets import load_digits

import frozenfit
from frozenfit import PartialNetClassifier, PartialNetRegressor

X, y = load_digits(return_X_y=True)
X, y = (X[:300] / 16).astype("float32"), y[:300]
FEW = y < 7
SMALL = {"epochs": 1, "random_state": 0}


@pytest.fixture(scope="module")
def first():
    params = {"batch_norm": True, "hidden_layer_sizes": (16, 12)}
    return PartialNetClassifier("mlp", model_params=params, **SMALL).fit(X, y)


def on(base, **params):
    return PartialNetClassifier(model=base, **{**SMALL, **params})


@pytest.fixture(scope="module")
def tasks(first):
    before = first.predict_proba(X)
    inverted = on(first.base_, random_state=1).fit(255 * (1 - X), 9 - y)
    few = on(first.base_, random_state=2).fit(X[FEW], y[FEW])
    return {"first": first, "inverted": inverted, "few": few, "before": before}


def named(tasks):
    return {name: tasks[name] for name in ("first", "inverted", "few")}


def test_nothing_is_forgotten(tasks):
    assert tasks["first"].predict_proba(X).tobytes() == tasks["before"].tobytes()


def test_tasks_with_as_many_classes_share_the_base_object(tasks):
    assert tasks["inverted"].base_ is tasks["first"].base_


def test_each_task_has_statistics_of_its_own(tasks):
    ours, theirs = tasks["first"].part_.delta.states, tasks["inverted"].part_.delta.states
    assert all((ours[path] != theirs[path]).any() for path in ours if "moving" in path)


def test_another_number_of_classes_gets_a_head_of_its_own(tasks):
    few, first = tasks["few"], tasks["first"]
    assert few.predict_proba(X).shape == (300, 7)
    ours, theirs = dict(few.model_.assembled()), dict(first.model_.assembled())
    shapes = {path: (ours[path].shape, theirs[path].shape) for path in ours}
    assert {path for path, (a, b) in shapes.items() if a != b} == {"head/kernel", "head/bias"}


def test_all_but_the_head_is_the_same_below_every_task(tasks):
    few, first = tasks["few"].base_, tasks["first"].base_
    values, others = few._values, first._values
    same = [path for path in values if not path.startswith("head")]
    assert len(same) == 6
    assert all(values[path] is others[path] for path in same)


def test_two_tasks_with_equally_many_classes_share_their_base(first):
    a, b = (on(first.base_).fit(X[FEW], y[FEW]) for _ in range(2))
    assert a.base_ is b.base_ is not first.base_
    assert on(a.base_).fit(X, y).base_ is first.base_


def test_a_regressor_can_stand_on_a_classifier_s_base(first):
    model = PartialNetRegressor(model=first.base_, **SMALL).fit(X, y.astype(float))
    assert model.predict(X).shape == (300,)


def test_a_trained_base_shares_all_but_its_head():
    estimator = cheap_ensemble(n_estimators=1, **SMALL).fit(X, y)
    few = on(estimator.base_, trainable="head()").fit(X[FEW], y[FEW])
    ours, theirs = dict(few.model_.assembled()), estimator.base_.overrides
    kernel = next(path for path in ours if path.endswith("kernel"))
    assert np.array_equal(ours[kernel], theirs[kernel])


def test_a_given_network_whose_head_does_not_fit_is_refused():
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10)])
    estimator = on(model, trainable="head()").fit(X, y)
    with pytest.raises(ValueError, match="must have 7 outputs, one for each of the classes"):
        on(estimator.base_, trainable="head()").fit(X[FEW], y[FEW])


def test_samples_of_another_shape_are_refused(first):
    with pytest.raises(ValueError, match="does not accept samples of shape"):
        on(first.base_).fit(np.zeros((20, 8, 8, 1), "float32"), np.arange(20) % 10)


def test_a_file_gives_the_mapping_back(tmp_path, tasks):
    frozenfit.save(named(tasks), tmp_path / "tasks")
    loaded = frozenfit.load(tmp_path / "tasks")
    assert list(loaded) == ["first", "inverted", "few"]
    for name, task in loaded.items():
        assert np.array_equal(task.predict_proba(X), tasks[name].predict_proba(X)), name
    assert loaded["inverted"].base_ is loaded["first"].base_
    assert loaded["few"].model is loaded["first"].base_


@pytest.mark.parametrize("order", [("few", "inverted", "first"), ("few", "inverted"), ("few",)])
def test_the_order_and_the_absence_of_a_task_do_not_matter(tmp_path, tasks, order):
    some = {name: tasks[name] for name in order}
    frozenfit.save(some, tmp_path / "tasks")
    loaded = frozenfit.load(tmp_path / "tasks")
    assert tuple(loaded) == order
    for name, task in loaded.items():
        assert np.array_equal(task.predict(X), some[name].predict(X))


def test_a_task_can_be_saved_alone(tmp_path, tasks):
    frozenfit.save(tasks["few"], tmp_path / "few")
    loaded = frozenfit.load(tmp_path / "few")
    assert np.array_equal(loaded.predict_proba(X), tasks["few"].predict_proba(X))


def test_a_random_base_is_in_no_file(tmp_path, tasks):
    frozenfit.save(named(tasks), tmp_path / "tasks")
    assert not [name for name in load_file(tmp_path / "tasks") if "/base/" in name]


def test_a_trained_base_is_in_the_file_once(tmp_path):
    estimator = cheap_ensemble(n_estimators=1, **SMALL).fit(X, y)
    more = {f"t{i}": on(estimator.base_, random_state=i).fit(X, y) for i in range(2)}
    few = on(estimator.base_).fit(X[FEW], y[FEW])
    every = {"ensemble": estimator, **more, "few": few}
    frozenfit.save(every, tmp_path / "tasks")
    base = [name for name in load_file(tmp_path / "tasks") if "/base/" in name]
    assert len(base) == 4 + 2  # and the second head
    loaded = frozenfit.load(tmp_path / "tasks")
    assert loaded["t0"].base_ is loaded["t1"].base_ is loaded["ensemble"].base_
    for name, task in loaded.items():
        assert np.array_equal(task.predict_proba(X), every[name].predict_proba(X)), name


def test_equal_arrays_are_in_the_file_once(tmp_path, first):
    frozenfit.save(first, tmp_path / "one")
    frozenfit.save({"a": first, "b": first, "c": first}, tmp_path / "three")
    arrays = len(load_file(tmp_path / "one"))
    assert len(load_file(tmp_path / "three")) <= arrays


def test_a_pickle_of_tasks_keeps_the_base_shared(tasks):
    again = pickle.loads(pickle.dumps(named(tasks)))
    assert again["inverted"].base_ is again["first"].base_
    assert np.array_equal(again["few"].predict(X), tasks["few"].predict(X))


def test_a_given_network_is_given_again_once_for_all_tasks(tmp_path):
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10)])
    one = on(model, trainable="head()").fit(X, y)
    two = on(one.base_, trainable="biases()").fit(X, 9 - y)
    frozenfit.save({"one": one, "two": two}, tmp_path / "tasks")
    loaded = frozenfit.load(tmp_path / "tasks", base=model)
    assert loaded["two"].base_ is loaded["one"].base_
    assert np.array_equal(loaded["two"].predict(X), two.predict(X))


@pytest.mark.parametrize("wrong", [{}, {1: "x"}])
def test_a_mapping_without_names_is_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="with strings as names"):
        frozenfit.save(wrong, tmp_path / "tasks")
    assert not list(tmp_path.iterdir())


def test_an_error_names_the_task(tmp_path, first):
    odd = PartialNetClassifier(callbacks=[keras.callbacks.Callback()], **SMALL).fit(X, y)
    with pytest.raises(ValueError, match="'odd': parameter 'callbacks'"):
        frozenfit.save({"first": first, "odd": odd}, tmp_path / "tasks")
    assert not list(tmp_path.iterdir())


def test_a_base_whose_values_are_not_in_the_file_is_refused(tmp_path):
    estimator = cheap_ensemble(n_estimators=1, **SMALL).fit(X, y)
    few = on(estimator.base_).fit(X[FEW], y[FEW])
    with pytest.raises(ValueError, match="as a dict of both"):
        frozenfit.save(few, tmp_path / "few", include_frozen=True)
