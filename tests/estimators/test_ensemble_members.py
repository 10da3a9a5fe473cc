"""A base, members that learn their part of it, and what an ensemble says together."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from ensembles import cheap_ensemble
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits

from frozenfit import (
    CheapEnsembleClassifier,
    CheapEnsembleRegressor,
    PartialNetClassifier,
    PartialNetRegressor,
)
from frozenfit.estimators import ensemble_base, ensemble_training, partial_base
from frozenfit.selectors import forms

X, y = load_digits(return_X_y=True)
X, y = (X[:300] / 16).astype("float32"), y[:300]
SMALL = {"model_params": {"hidden_layer_sizes": (16,)}, "epochs": 2, "random_state": 0}


def ensemble(n=3, **params):
    return cheap_ensemble(n_estimators=n, **{**SMALL, **params})


@pytest.fixture(scope="module")
def fitted():
    return ensemble().fit(X, y)


def forms_of(member):
    return dict(member.part_.selection.items())


def masks(member):
    selection = member.part_.selection
    return {
        info.path: forms.to_mask(selection[info.path], info.shape)
        for info in selection.layout.weights
    }


def weights(member):
    return dict(member.model_.assembled())


def bits(deltas):
    return [array.tobytes() for d in deltas for array in (*d.trained.values(), *d.states.values())]


def deltas(estimator):
    return [member.part_.delta for member in estimator.estimators_]


def test_all_members_stand_on_one_base_object(fitted):
    assert all(member.base_ is fitted.base_ for member in fitted.estimators_)


def test_members_of_the_same_selection_train_the_same_parameters(fitted):
    first, *others = map(forms_of, fitted.estimators_)
    assert all(other == first for other in others)


def test_a_random_subset_is_one_for_all_members():
    estimator = ensemble(2, trainable="random(0.2)").fit(X, y)
    first, second = map(forms_of, estimator.estimators_)
    assert first == second


def test_members_have_orders_of_their_own(fitted):
    first, second, third = (
        bits(deltas(fitted)[:1]),
        bits(deltas(fitted)[1:2]),
        bits(deltas(fitted)[2:]),
    )
    assert first != second and first != third and second != third


def test_frozen_parameters_of_a_member_equal_those_of_the_base_bit_by_bit(fitted):
    first, second = fitted.estimators_[:2]
    ours, theirs = weights(first), weights(second)
    for path, trainable in masks(first).items():
        assert ours[path][~trainable].tobytes() == theirs[path][~trainable].tobytes()


def test_the_base_is_trained_in_full_for_its_epochs():
    start = ensemble(1, base="frozen").fit(X, y)
    trained = ensemble(1, base_epochs=2).fit(X, y)
    path, trainable = "dense1/kernel", masks(start.estimators_[0])
    path = next(p for p, m in trainable.items() if not m.all())
    moved = weights(trained.estimators_[0])[path] != weights(start.estimators_[0])[path]
    assert moved[~trainable[path]].mean() > 0.3  # some pixels of digits are always 0
    assert len(trained.base_history_["loss"]) == 2 and start.base_history_ == {}


def test_a_random_base_is_that_of_the_seed_alone():
    first, second = (ensemble(1, base="frozen", epochs=e).fit(X, y) for e in (1, 3))
    path = next(p for p, m in masks(first.estimators_[0]).items() if not m.all())
    frozen = ~masks(first.estimators_[0])[path]
    a, b = weights(first.estimators_[0])[path], weights(second.estimators_[0])[path]
    assert (a[frozen] == b[frozen]).all()


def test_a_member_is_what_a_partial_net_on_the_base_gives():
    estimator = ensemble(2, vectorize=False).fit(X, y)
    member = estimator.estimators_[1]
    alone = clone(member).fit(X, y)
    assert alone.model is estimator.base_
    assert bits([alone.part_.delta]) == bits([member.part_.delta])


def test_disjoint_members_share_no_entry():
    estimator = ensemble(3, members="disjoint", trainable=0.25).fit(X, y)
    every = [masks(member) for member in estimator.estimators_]
    for path in every[0]:
        assert np.sum([m[path] for m in every], axis=0).max() <= 1, path
    assert all(sum(m.sum() for m in one.values()) > 0 for one in every)


def test_a_subset_is_shared_out_among_disjoint_members():
    estimator = ensemble(3, members="disjoint", trainable="kernels()").fit(X, y)
    every = [masks(member) for member in estimator.estimators_]
    together = {path: np.any([m[path] for m in every], axis=0) for path in every[0]}
    for path, trainable in together.items():
        assert trainable.mean() > 0.9 if path.endswith("kernel") else not trainable.any()


def test_a_list_selects_the_parameters_of_each_member():
    estimator = ensemble(2, members=["head()", 1.0]).fit(X, y)
    head, everything = estimator.estimators_
    total = everything.part_.selection.total
    assert everything.part_.selection.n_trainable == total
    assert estimator.n_trainable_ == total + head.part_.selection.n_trainable
    assert head.part_.selection.n_trainable == 16 * 10 + 10


def test_probabilities_are_the_mean_of_the_members(fitted):
    each = fitted.predict_members(X)
    assert each.shape == (3, len(X), 10)
    np.testing.assert_allclose(fitted.predict_proba(X), each.mean(axis=0), atol=1e-12)
    for p, member in zip(each, fitted.estimators_, strict=True):
        np.testing.assert_allclose(p, member.predict_proba(X), atol=1e-6)


def test_the_first_members_can_be_asked_alone(fitted):
    each = fitted.predict_members(X)
    np.testing.assert_allclose(
        fitted.predict_proba(X, n_members=2), each[:2].mean(axis=0), atol=1e-12
    )
    expected = fitted.classes_[each[0].argmax(axis=1)]
    assert (fitted.predict(X, n_members=1) == expected).all()


@pytest.mark.parametrize("count", [0, 4, -1, 1.5, True])
def test_more_or_fewer_members_than_there_are_cannot_be_asked(fitted, count):
    with pytest.raises(ValueError, match="`n_members` must be an int from 1 to 3"):
        fitted.predict(X, n_members=count)


def test_entropy_splits_into_mutual_information_and_the_members_own(fitted):
    each = fitted.predict_members(X)
    own = -(each * np.log(each)).sum(axis=2).mean(axis=0)
    shared = fitted.mutual_information(X)
    np.testing.assert_allclose(fitted.predictive_entropy(X), own + shared, atol=1e-9)
    assert shared.min() >= 0 and shared.max() > 0


def test_one_member_has_no_mutual_information():
    assert np.abs(ensemble(1).fit(X, y).mutual_information(X)).max() < 1e-12


@pytest.mark.parametrize("vectorize", [False, True])
def test_added_members_leave_the_others_bit_by_bit(vectorize):
    estimator = ensemble(2, vectorize=vectorize).fit(X, y)
    before = bits(deltas(estimator))
    assert estimator.add_members(2, X, y) is estimator
    assert bits(deltas(estimator)[:2]) == before


def test_added_members_are_those_of_a_larger_ensemble():
    every, estimator = (ensemble(n, vectorize=False).fit(X, y) for n in (3, 2))
    assert bits(deltas(estimator.add_members(1, X, y))) == bits(deltas(every))


def test_a_removed_member_leaves_the_others_bit_by_bit():
    estimator = ensemble(3).fit(X, y)
    kept = bits([deltas(estimator)[0], deltas(estimator)[2]])
    estimator.remove_member(1)
    assert bits(deltas(estimator)) == kept
    assert estimator.predict_members(X).shape[0] == 2
    assert estimator.n_trainable_ == 2 * sum(row[3] for row in estimator.parameter_table())


def test_a_member_added_after_a_removal_is_a_new_one():
    estimator = ensemble(2).fit(X, y)
    removed = bits(deltas(estimator)[1:])
    estimator.remove_member(1).add_members(1, X, y)
    assert bits(deltas(estimator)[1:]) != removed


def test_a_removed_disjoint_part_is_free_again():
    estimator = ensemble(2, members="disjoint", trainable=0.5).fit(X, y)
    freed = forms_of(estimator.estimators_[0])
    estimator.remove_member(0).add_members(1, X, y)
    assert forms_of(estimator.estimators_[1]) == freed


@pytest.mark.parametrize("which", [3, -1, "first", 1.0])
def test_a_member_that_is_not_there_cannot_be_removed(fitted, which):
    before = list(fitted.estimators_)
    with pytest.raises(ValueError, match="must be an int from 0 to 2"):
        fitted.remove_member(which)
    assert fitted.estimators_ == before


def test_the_last_member_cannot_be_removed():
    estimator = ensemble(1).fit(X, y)
    with pytest.raises(ValueError, match="The only member cannot be removed"):
        estimator.remove_member(0)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (
            {"members": "disjoint", "trainable": 0.5},
            "they would overlap. Use trainable of at most",
        ),
        ({"members": "disjoint", "trainable": 5}, "got the int 5"),
        ({"members": ["head()"]}, "each of 3 members, got 1"),
        ({"members": ["head()"] * 2 + ['layers("none")']}, "matches no weight"),
        ({"members": "twins"}, "must be a str among"),
        ({"trainable": 'layers("none")'}, "matches no weight"),
    ],
)
def test_members_that_cannot_be_are_refused_before_training(monkeypatch, params, words):
    monkeypatch.setattr(ensemble_base, "train_part", None)
    estimator = ensemble(3, **params)
    with pytest.raises(ValueError, match=words):
        estimator.fit(X, y)
    assert not hasattr(estimator, "estimators_")


def test_more_disjoint_members_than_parameters_are_refused(monkeypatch):
    monkeypatch.setattr(ensemble_base, "train_part", None)
    with pytest.raises(ValueError, match="more members than parameters"):
        ensemble(20, members="disjoint", trainable='layers("*/bias")').fit(X, y)


def test_adding_to_a_list_needs_a_list():
    estimator = ensemble(2, members=["head()", "biases()"]).fit(X, y)
    with pytest.raises(ValueError, match=r"as add_members\(..., members="):
        estimator.add_members(1, X, y)
    assert len(estimator.estimators_) == 2
    estimator.add_members(1, X, y, members=["head()"])
    assert estimator.estimators_[2].trainable == "head()"


def test_no_room_for_one_more_disjoint_member_leaves_the_ensemble_as_it_was():
    estimator = ensemble(2, members="disjoint", trainable=0.5).fit(X, y)
    before = bits(deltas(estimator))
    with pytest.raises(ValueError, match="room for 2 members"):
        estimator.add_members(1, X, y)
    assert bits(deltas(estimator)) == before


def test_a_second_fit_is_the_first_one_again(fitted):
    assert bits(deltas(ensemble().fit(X, y))) == bits(deltas(fitted))


def test_warm_start_goes_on_and_adds_what_is_missing():
    estimator = ensemble(2, warm_start=True).fit(X, y)
    start = deltas(estimator)
    estimator.set_params(n_estimators=3).fit(X, y)
    assert [member.n_iter_ for member in estimator.estimators_] == [4, 4, 2]
    assert bits(deltas(estimator)[:2]) != bits(start)
    assert all(member.base_ is estimator.base_ for member in estimator.estimators_)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"estimator__trainable": 0.2}, "estimator__trainable` cannot change"),
        ({"n_estimators": 1}, "Call remove_member"),
    ],
)
def test_warm_start_refuses_what_members_cannot_follow(change, words):
    estimator = ensemble(2, warm_start=True).fit(X, y)
    before = bits(deltas(estimator))
    with pytest.raises(ValueError, match=words):
        estimator.set_params(**change).fit(X, y)
    assert bits(deltas(estimator)) == before


def test_partial_fit_moves_every_member():
    estimator = ensemble(2).partial_fit(X[:150], y[:150], classes=np.arange(10))
    before = deltas(estimator)
    estimator.partial_fit(X[150:], y[150:])
    for old, new in zip(before, deltas(estimator), strict=True):
        assert bits([old]) != bits([new])
    assert len(estimator.estimators_) == 2


def test_an_interrupted_ensemble_keeps_the_members_it_has(monkeypatch):
    inner = ensemble_base.train_members

    def stop_at_third(*args):
        for i, member in enumerate(inner(*args)):
            yield member
            if i == 1:
                raise KeyboardInterrupt

    monkeypatch.setattr(ensemble_base, "train_members", stop_at_third)
    estimator = ensemble(4, vectorize=False)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, y)
    assert len(estimator.estimators_) == 2
    assert estimator.predict_members(X).shape[0] == 2


def test_the_temperature_lowers_the_log_loss_of_held_out_samples():
    rng = np.random.default_rng(0)
    noisy = np.where(rng.random(len(y)) < 0.3, rng.integers(0, 10, len(y)), y)
    # Much training on wrong labels makes it too sure.
    settings = {"trainable": 1.0, "epochs": 15, "learning_rate": 0.02}
    plain = ensemble(2, **settings).fit(X[:200], noisy[:200])
    held_out = {"X_val": X[200:], "y_val": noisy[200:]}
    calibrated = ensemble(2, calibrate=True, **settings).fit(X[:200], noisy[:200], **held_out)
    assert plain.temperature_ == 1.0 < calibrated.temperature_
    losses = [e.ensemble_report(X[200:], noisy[200:])[-1].nll for e in (plain, calibrated)]
    assert losses[1] < losses[0]
    assert bits(deltas(plain)) == bits(deltas(calibrated))


def test_calibration_excludes_samples_from_all_training(monkeypatch):
    seen = []
    inner = partial_base.start_part

    def watched(estimator, fit_data, *args):
        seen.append(len(fit_data.data))
        return inner(estimator, fit_data, *args)

    for module in (partial_base, ensemble_training):  # the base, and members trained together
        monkeypatch.setattr(module, "start_part", watched)
    ensemble(2, calibrate=True, validation_fraction=0.2).fit(X, y)
    assert len(seen) == 3 and max(seen) < 0.85 * len(X)


def test_scikit_learn_calibrates_an_ensemble():
    calibrated = CalibratedClassifierCV(ensemble(2, epochs=20), cv=2).fit(X, y)
    assert calibrated.score(X, y) > 0.5


def test_a_given_model_is_never_changed():
    model = keras.Sequential(
        [keras.Input((64,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(10)]
    )
    before = [np.array(keras.ops.convert_to_numpy(w)).tobytes() for w in model.weights]
    for base in ("frozen", "trained"):
        ensemble(2, model=model, model_params=None, base=base).fit(X, y)
    after = [np.array(keras.ops.convert_to_numpy(w)).tobytes() for w in model.weights]
    assert before == after


def test_to_keras_gives_the_ensemble_s_logarithms_of_probabilities(fitted):
    model = fitted.to_keras()
    outputs = np.array(keras.ops.convert_to_numpy(model(X[:20])))
    np.testing.assert_allclose(np.exp(outputs), fitted.predict_proba(X[:20]), atol=2e-6)


def test_a_regressor_predicts_the_members_mean_in_the_unit_of_the_targets():
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(120, 4))
    targets = 100 + 10 * inputs[:, 0]
    estimator = cheap_ensemble(CheapEnsembleRegressor, n_estimators=2, **SMALL).fit(inputs, targets)
    each = estimator.predict_members(inputs)
    assert each.shape == (2, 120, 1)
    np.testing.assert_allclose(estimator.predict(inputs), each.mean(axis=0)[:, 0])
    assert 90 < estimator.predict(inputs).mean() < 110
    np.testing.assert_allclose(estimator.predict(inputs, n_members=1), each[0, :, 0])


@pytest.mark.parametrize(
    ("kind", "member"),
    [
        (CheapEnsembleClassifier, PartialNetClassifier),
        (CheapEnsembleRegressor, PartialNetRegressor),
    ],
)
def test_every_parameter_of_the_members_is_set_through_the_estimator(kind, member):
    nested = kind(member()).get_params()
    assert {f"estimator__{name}" for name in member().get_params()} <= set(nested)
    made = kind().set_params(estimator__trainable=0.3, estimator__model_params__dropout=0.1)
    assert type(made.estimator) is member and made.estimator.trainable == 0.3
    assert made.estimator.model_params == {"dropout": 0.1}
    assert kind().estimator is None


def test_an_estimator_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="The 'estimator' parameter of CheapEnsembleClassifier"):
        CheapEnsembleClassifier(PartialNetRegressor()).fit(X, y)


def test_a_wrong_parameter_of_the_members_is_refused_before_training():
    with pytest.raises(ValueError, match="The 'epochs' parameter of PartialNetClassifier"):
        ensemble(2, epochs=0).fit(X, y)


def test_fit_leaves_the_given_estimator_as_it_was():
    member = PartialNetClassifier(**SMALL)
    before = dict(vars(member))
    CheapEnsembleClassifier(member, n_estimators=2, random_state=0).fit(X, y)
    assert vars(member) == before


def test_class_weights_reach_the_members():
    heavy = ensemble(1, class_weight={3: 50.0}).fit(X, y)
    assert (heavy.predict(X) == 3).sum() > (ensemble(1).fit(X, y).predict(X) == 3).sum()
