"""Estimators on sources of batches: the same weights as on arrays, and all that a fit can do."""

from __future__ import annotations

import pickle

import keras
import numpy as np
import pytest
from checkpointed_fits import counted_epochs
from estimator_data import (
    classifier,
    images,
    raw,
    regressor,
    same,
    small_cnn,
    table,
    targets,
    whole,
)

import frozenfit
from frozenfit import CheapEnsembleClassifier, CheapEnsembleRegressor, ELMClassifier, ELMRegressor
from frozenfit.estimators.partial_base import part_seeds
from frozenfit.training.data import distinct

X, Y = table()
NAMES = np.array(["a", "b", "c"])[Y]


class Killed(BaseException):
    """Stands for the end of the process."""


def source(X, *others, size=16):
    """A function that returns a fresh iterator of consecutive batches."""
    data = X, *others
    starts = range(0, len(X), size)
    return lambda: (tuple(part[i : i + size] for part in data) for i in starts)


class Pairs(keras.utils.PyDataset):
    def __init__(self, *data, size=16):
        super().__init__()
        self.data, self.size = data, size

    def __len__(self):
        return -(-len(self.data[0]) // self.size)

    def __getitem__(self, i):
        part = slice(i * self.size, (i + 1) * self.size)
        return tuple(values[part] for values in self.data)


def epochs_of_arrays(estimator, X, y, w=None):
    """A function that yields in each epoch the batches that a fit on arrays draws."""
    encoded = np.unique(y, return_inverse=True)[1] if y.dtype.kind in "US" else y
    data = distinct(X, encoded, w)
    rng = np.random.default_rng(part_seeds(estimator._fit_seed())["batches"])
    passes = iter(range(100))

    def batches():
        order = np.arange(len(data))
        if next(passes):  # the first pass counts labels, targets or batches
            order = rng.permutation(len(data))
        for start in range(0, len(order), estimator.batch_size):
            part = order[start : start + estimator.batch_size]
            rows = data.rows[part]
            yield X[rows], y[rows], data.weight[part]

    return batches


def equal(a, b):
    left, right = whole(a), whole(b)
    return left.keys() == right.keys() and all(np.array_equal(left[k], right[k]) for k in left)


FITS = {
    "table": (lambda: classifier(epochs=3), lambda: (X[:41], NAMES[:41])),
    "weights": (lambda: classifier(), lambda: (X, Y, 1.0 + np.arange(48) % 3)),
    "images": (lambda: classifier(model=small_cnn, trainable=0.5, epochs=2), images),
    "frozen prefix": (lambda: classifier(trainable="head()", epochs=3), lambda: (X, Y)),
    "several labels": (lambda: classifier(), lambda: (X, (X[:, :3] > 0).astype(int))),
    "targets": (lambda: regressor(epochs=3), lambda: targets(41, 2)),
    "schedule": (
        lambda: classifier(epochs=4, trainable=1.0, freeze_schedule="FreezeOut(0.5)"),
        lambda: (X, Y),
    ),
}


@pytest.mark.parametrize("name", FITS)
@pytest.mark.filterwarnings("ignore:Every row of y has exactly one label")
def test_the_same_batches_give_the_same_weights(name):
    make, data = FITS[name]
    X, y, *w = data()
    arrays = make().set_params(cache_features=False).fit(X, y, *w)
    given = epochs_of_arrays(make(), X, y, *w)
    streamed = make().fit(given)
    assert equal(streamed, arrays)
    assert streamed.history_["loss"] == arrays.history_["loss"]
    # The mean of the targets is a sum over batches, which may differ in the last bit.
    np.testing.assert_allclose(raw(streamed, X), raw(arrays, X), rtol=1e-12)


def test_moving_statistics_are_those_of_the_samples():
    X, y = images()
    clf = classifier(model=small_cnn, refresh_statistics=True).fit(source(X, y))
    net = clf.to_keras()
    features = keras.Model(net.inputs, net.get_layer("conv").output).predict(X, verbose=0)
    mean = keras.ops.convert_to_numpy(net.get_layer("norm").moving_mean)
    np.testing.assert_allclose(mean, features.mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-6)


def test_a_dataset_of_keras_trains_and_shuffles_as_it_does():
    class Shuffled(Pairs):
        turns = 0

        def on_epoch_end(self):
            self.turns += 1
            self.data = tuple(values[::-1] for values in self.data)

    data = Shuffled(X, Y)
    clf = classifier(epochs=3).fit(data)
    assert data.turns == 3
    turned = source(X[::-1], Y[::-1])
    passes = iter([source(X, Y), source(X, Y), turned, source(X, Y)])
    assert equal(clf, classifier(epochs=3).fit(lambda: next(passes)()))
    assert not equal(clf, classifier(epochs=3).fit(Pairs(X, Y)))


class Turned(Pairs):
    """Another order in each epoch, as a shuffled data set from a seed has."""

    def on_epoch_end(self):
        self.data = tuple(np.roll(values, 7, axis=0) for values in self.data)


def test_a_shuffled_dataset_continues_after_its_last_epoch(tmp_path):
    path, settings = str(tmp_path / "training.checkpoint"), {"epochs": 4}
    uninterrupted = classifier(**settings).fit(Turned(X, Y))

    def kill():
        raise Killed

    with pytest.raises(Killed), counted_epochs(3, kill):
        classifier(**settings, checkpoint=path).fit(Turned(X, Y))
    assert equal(classifier(**settings, checkpoint=path).fit(Turned(X, Y)), uninterrupted)


def loader_of_torch():
    data = pytest.importorskip("torch.utils.data")
    import torch

    return data.DataLoader(data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)), 16)


def dataset_of_tensorflow():
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)


def dataset_of_grain():
    grain = pytest.importorskip("grain")
    return grain.MapDataset.source(list(zip(X, Y, strict=True))).batch(16)


@pytest.mark.parametrize("make", [loader_of_torch, dataset_of_tensorflow, dataset_of_grain])
def test_loaders_of_other_libraries_give_the_same(make):
    clf = classifier().fit(make(), X_val=make())
    assert equal(clf, classifier().fit(Pairs(X, Y)))
    np.testing.assert_array_equal(clf.predict(make()), clf.predict(X))


def test_classes_are_found_in_one_pass_which_given_classes_save():
    passes = []

    def batches():
        passes.append(0)
        return source(X[:32], NAMES[:32])()

    clf = classifier(lr_schedule=None).fit(batches)
    assert clf.classes_.tolist() == ["a", "b", "c"] and len(passes) == 3
    passes.clear()
    clf = classifier(lr_schedule=None).fit(batches, classes=["a", "b", "c", "d"])
    assert clf.classes_.tolist() == ["a", "b", "c", "d"] and len(passes) == 3  # one looks
    assert clf.predict_proba(X).shape == (48, 4)


def test_classes_may_be_given_with_arrays_too():
    clf = classifier().fit(X, Y, classes=[0, 1, 2, 3])
    assert clf.predict_proba(X).shape == (48, 4)
    with pytest.raises(ValueError, match="not among the classes"):
        classifier().fit(X, Y, classes=[0, 1])


def test_a_class_may_first_appear_late():
    order = np.argsort(Y, kind="stable")
    late = np.tile(X[order], (90, 1)), np.repeat(Y[order], 90)
    assert classifier(epochs=1).fit(source(*late, size=64)).classes_.tolist() == [0, 1, 2]


@pytest.mark.parametrize("class_weight", ["balanced", {1: 3.0}])
def test_class_weights_are_those_of_arrays(class_weight):
    few = np.r_[0:30, 30:48:3]
    arrays = classifier(class_weight=class_weight).fit(X[few], Y[few])
    data = epochs_of_arrays(arrays, X[few], Y[few])
    streamed = classifier(class_weight=class_weight).fit(data)
    for path, value in whole(arrays).items():
        np.testing.assert_allclose(whole(streamed)[path], value, rtol=1e-4, atol=1e-5)


def test_weights_of_zero_are_absent_samples():
    weight = np.ones(48)
    weight[16:40] = 0
    kept = weight > 0
    clf = classifier().fit(source(X, Y, weight), classes=range(3))
    batches = [(X[:16], Y[:16]), (X[40:], Y[40:])]
    other = classifier().fit(lambda: iter(batches), classes=range(3))
    assert kept.sum() == 24
    # The schedule counts the batches of the source, so only a constant rate gives equal weights.
    assert not equal(clf, other)
    clf, other = classifier(lr_schedule=None), classifier(lr_schedule=None)
    assert equal(
        clf.fit(source(X, Y, weight), classes=range(3)),
        other.fit(lambda: iter(batches), classes=range(3)),
    )


@pytest.mark.parametrize("held", ["source", "arrays"])
@pytest.mark.parametrize("given", ["source", "arrays"])
def test_validation_data_may_be_either(given, held):
    training = (source(X, Y),) if given == "source" else (X, Y)
    validation = {"X_val": Pairs(X[:20], Y[:20])}
    if held == "arrays":
        validation = {"X_val": X[:20], "y_val": Y[:20]}
    clf = classifier(early_stopping=True, patience=1, epochs=4).fit(*training, **validation)
    expected = classifier(epochs=len(clf.history_["loss"]), lr_schedule=None)
    assert clf.history_.keys() == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert expected.epochs == clf.n_iter_


def test_validation_on_a_source_is_that_on_arrays():
    weight = 1.0 + np.arange(48) % 2
    settings = {"metrics": ["kl_divergence"]}
    one = classifier(**settings).fit(X, Y, X_val=source(X, Y, np.ones(48), size=7))
    other = classifier(**settings).fit(X, Y, X_val=X, y_val=Y)
    assert one.history_.keys() == other.history_.keys()
    for name, values in one.history_.items():
        np.testing.assert_allclose(values, other.history_[name], rtol=1e-5)
    weighted = classifier().fit(X, Y, X_val=source(X, Y, weight))
    assert weighted.history_["val_loss"] != one.history_["val_loss"]


def test_early_stopping_restores_the_best_epoch():
    opposite = source(X, (Y + 1) % 3)
    clf = classifier(early_stopping=True, patience=2, epochs=9, learning_rate=0.05)
    clf.fit(source(X, Y), X_val=opposite)
    assert clf.n_iter_ == 3
    best = classifier(epochs=1, learning_rate=0.05).fit(source(X, Y))
    assert equal(clf, best)


def test_a_killed_fit_continues_with_the_bits_of_an_uninterrupted_one(tmp_path):
    path = str(tmp_path / "training.checkpoint")
    settings = {"epochs": 4, "trainable": 1.0, "freeze_schedule": "FreezeOut(0.5)"}
    uninterrupted = classifier(**settings).fit(source(X, Y))

    def kill():
        raise Killed

    with pytest.raises(Killed), counted_epochs(3, kill):
        classifier(**settings, checkpoint=path).fit(source(X, Y))
    frozenfit.clear_workspace()
    with pytest.raises(ValueError, match="another fit, which differs in"):
        classifier(**settings, checkpoint=path).fit(source(X[:20], Y[:20]))
    with counted_epochs() as begun:
        continued = classifier(**settings, checkpoint=path).fit(source(X, Y))
    assert begun[0] == 2 and equal(continued, uninterrupted)
    assert continued.history_["loss"] == uninterrupted.history_["loss"]


def test_callbacks_see_epochs_and_batches():
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(batch)

        def on_train_begin(self, logs=None):
            seen.append(self.params["steps"])

    Watch.__deepcopy__ = lambda self, memo: self
    clf = classifier(callbacks=Watch()).fit(source(X, Y))
    assert seen == [3, 0, 1, 2, 0, 1, 2]
    assert clf.n_iter_ == 2


def test_fits_continue_from_fitted_weights():
    clf = classifier(warm_start=True, learning_rate=0.01)
    clf.fit(source(X, Y)).fit(source(X, Y))
    assert clf.n_iter_ == 4
    assert equal(clf, classifier(epochs=4, learning_rate=0.01).fit(source(X, Y)))


def test_partial_fit_is_one_pass():
    clf = classifier().partial_fit(source(X, Y), classes=[0, 1, 2])
    clf.partial_fit(Pairs(X, Y))
    assert clf.n_iter_ == 2
    assert equal(clf, classifier(lr_schedule=None).fit(source(X, Y)))
    Xr, t = targets(n_targets=2)
    reg = regressor(lr_schedule=None).partial_fit(source(Xr, t)).partial_fit(source(Xr, t))
    assert equal(reg, regressor(lr_schedule=None).fit(source(Xr, t)))


def test_augmentation_and_scores_of_weights_work_on_a_source():
    Xi, y = images()
    augmented = classifier(model=small_cnn, trainable=0.5, augment="flip").fit(source(Xi, y))
    plain = classifier(model=small_cnn, trainable=0.5).fit(source(Xi, y))
    assert not equal(augmented, plain)
    scored = classifier(trainable="fisher(0.3)").fit(source(X, Y))
    assert np.isfinite(scored.history_["loss"]).all()


def test_targets_are_standardized_by_those_of_all_batches():
    Xr, t = targets(48, 2)
    t = t + 1e6  # a sum of squares would lose its digits
    weight = 1.0 + np.arange(48) % 2
    one = regressor().fit(source(Xr, t, weight, size=7))
    other = regressor().fit(Xr, t, weight)
    np.testing.assert_allclose(one._target_mean, other._target_mean, rtol=1e-12)
    np.testing.assert_allclose(one._target_scale, other._target_scale, rtol=1e-8)
    assert one.predict(source(Xr, t)).shape == (48, 2)


def test_every_prediction_takes_a_source():
    clf = classifier().fit(X, NAMES)
    for name in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        method = getattr(clf, name)
        for batches in (source(X, size=7), source(X, NAMES), Pairs(X, NAMES), iter([X[:5], X[5:]])):
            np.testing.assert_array_equal(method(batches), method(X))
    assert clf.score(source(X, NAMES)) == clf.score(X, NAMES)
    weight = np.arange(48.0)
    assert clf.score(source(X, NAMES, weight)) == pytest.approx(clf.score(X, NAMES, weight))
    Xr, t = targets(48, 2)
    reg = regressor().fit(Xr, t)
    np.testing.assert_array_equal(reg.predict(source(Xr, size=5)), reg.predict(Xr))
    assert reg.score(source(Xr, t, weight)) == pytest.approx(reg.score(Xr, t, weight))


def test_images_may_come_as_flat_rows():
    Xi, y = images()
    settings = {"model": small_cnn, "image_shape": (8, 8, 1)}
    flat = Xi.reshape(len(Xi), -1)
    clf = classifier(**settings).fit(source(flat, y))
    assert equal(clf, classifier(**settings).fit(source(Xi[..., 0], y)))
    np.testing.assert_array_equal(clf.predict_proba(source(flat)), clf.predict_proba(Xi))


def test_integers_reach_an_embedding_unchanged():
    def words(input_shape, n_outputs):
        x = inputs = keras.Input(input_shape, dtype="int32")
        x = keras.layers.Embedding(9, 4)(x)
        return keras.Model(inputs, keras.layers.Dense(n_outputs)(keras.layers.Flatten()(x)))

    numbers = (X[:, :3] > 0).astype("int64") + Y[:, None]
    clf = classifier(model=words).fit(source(numbers, Y))
    assert equal(clf, classifier(model=words).fit(source(numbers.astype("int16"), Y)))
    wrong = numbers.copy()
    wrong[40] = 2**40
    with pytest.raises(ValueError, match=r"(Batch 2 .*)?X must contain integers from"):
        classifier(model=words).fit(source(wrong, Y))


@pytest.mark.parametrize("base", ["trained", "frozen"])
def test_ensembles(base):
    member = classifier(epochs=2)
    make = dict(n_estimators=2, base=base, random_state=0)
    one = CheapEnsembleClassifier(member, **make).fit(source(X, NAMES), X_val=source(X, NAMES))
    assert "val_loss" in one.estimators_[0].history_
    np.testing.assert_array_equal(one.predict_proba(source(X)), one.predict_proba(X))
    np.testing.assert_array_equal(one.predict_members(source(X, size=5)), one.predict_members(X))
    assert one.score(source(X, NAMES)) == one.score(X, NAMES)
    more = CheapEnsembleClassifier(member, **make).set_params(n_estimators=3)
    more.fit(source(X, NAMES))
    one.fit(source(X, NAMES)).add_members(1, source(X, NAMES))
    np.testing.assert_array_equal(one.predict_proba(X), more.predict_proba(X))


def test_an_ensemble_is_calibrated_on_a_source():
    make = dict(n_estimators=2, base="frozen", random_state=0, calibrate=True)
    one = CheapEnsembleClassifier(classifier(), **make).fit(X, Y, X_val=source(X, Y, size=5))
    other = CheapEnsembleClassifier(classifier(), **make).fit(X, Y, X_val=X, y_val=Y)
    assert one.temperature_ == pytest.approx(other.temperature_)


def test_an_ensemble_of_regressors():
    Xr, t = targets()
    reg = CheapEnsembleRegressor(regressor(), n_estimators=2, random_state=0).fit(source(Xr, t))
    np.testing.assert_array_equal(reg.predict(source(Xr)), reg.predict(Xr))
    assert reg.partial_fit(source(Xr, t)).n_iter_ == 3


def test_an_elm_takes_every_source():
    order = np.argsort(Y, kind="stable")
    late = Pairs(X[order], NAMES[order])
    clf = ELMClassifier((20,), random_state=0).fit(late)
    arrays = ELMClassifier((20,), random_state=0).fit(X, NAMES)
    np.testing.assert_allclose(
        clf.predict_proba(Pairs(X, NAMES)), arrays.predict_proba(X), atol=1e-6
    )
    assert clf.score(source(X, NAMES)) == clf.score(X, NAMES)
    once = iter([late[i] for i in range(3)])
    given = ELMClassifier((20,), random_state=0).fit(once, classes=["a", "b", "c"])
    np.testing.assert_allclose(given.predict_proba(X), arrays.predict_proba(X), atol=1e-6)
    Xr, t = targets()
    reg = ELMRegressor((20,), random_state=0).fit(source(Xr, t))
    np.testing.assert_allclose(reg.predict(source(Xr)), reg.predict(Xr))
    with pytest.raises(ValueError, match="no effect"):
        clf.fit(late, X_val=late)


def test_a_fitted_estimator_does_not_hold_its_source():
    clf = classifier().fit(source(X, Y))
    assert same(pickle.loads(pickle.dumps(clf)), clf)


class NoSecondPass:
    """An iterator that is returned again and again."""

    def __init__(self):
        self.batches = iter([(X, Y)])

    def __call__(self):
        return self.batches


def two_passes():
    left = iter([source(X, Y), source(X, Y)])
    return lambda: next(left, lambda: iter([]))()


WITH_NAN = np.where(np.arange(48) == 40, np.nan, X.T).T

REFUSED = {
    "generator": (classifier, (source(X, Y)(),), "got a generator.*PyDataset.*partial_fit.*memory"),
    "y beside it": (classifier, (source(X, Y), Y), "`y` and `sample_weight` must be None"),
    "weights beside it": (classifier, (source(X, Y), None, np.ones(48)), "must be None where"),
    "y_val beside it": (classifier, (X, Y, None, source(X, Y), Y), "`y_val` must be None"),
    "generator to validate": (classifier, (X, Y, None, source(X, Y)()), "X_val.*got a generator"),
    "nothing to validate": (
        lambda: classifier(early_stopping=True),
        (source(X, Y),),
        "early_stopping=True.*requires `X_val`",
    ),
    "cached features": (
        lambda: classifier(cache_features=True),
        (source(X, Y),),
        "cache_features=True.*requires arrays",
    ),
    "nothing to calibrate on": (
        lambda: CheapEnsembleClassifier(classifier(), calibrate=True),
        (source(X, Y),),
        "calibrate=True.*requires `X_val`",
    ),
    "no batch": (classifier, (lambda: iter([]),), "at least one batch"),
    "no second pass": (classifier, (NoSecondPass(),), "yielded no batch"),
    "no third pass": (classifier, (two_passes(),), "yielded no batch"),
    "no targets": (classifier, (source(X),), "must yield tuples"),
    "other features": (
        classifier,
        (lambda: iter([(X, Y), (X[:, :2], Y)]),),
        "Batch 1 of the source.*samples of shape",
    ),
    "nan": (
        classifier,
        (source(np.where(np.arange(48) == 40, np.nan, X.T).T, Y),),
        "Batch 2 .*NaN",
    ),
    "one class": (classifier, (source(X, np.zeros(48)),), "at least 2 classes"),
    "other features to validate": (classifier, (X, Y, None, source(X[:, :2], Y)), "features"),
    "other labels to validate": (
        classifier,
        (X, Y, None, source(X, Y + 1)),
        "not among the classes",
    ),
    "weights of labels": (
        lambda: classifier(class_weight="balanced"),
        (source(X, np.eye(3, dtype=int)[Y] + np.eye(3, dtype=int)[Y - 1]),),
        "class_weight",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_or_in_training_and_nothing_is_lost(case):
    make, given, words = REFUSED[case]
    clf = make()
    before = dict(vars(clf))
    with pytest.raises(ValueError, match=words):
        clf.fit(*given)
    assert vars(clf) == before


def test_a_label_that_no_class_has_restores_the_estimator():
    clf = classifier().fit(X, Y)
    outputs = clf.predict_proba(X)
    with pytest.raises(ValueError, match=r"Batch 2 .*labels \[7\], which are not among"):
        clf.fit(source(X, np.where(np.arange(48) == 47, 7, Y)), classes=[0, 1, 2])
    np.testing.assert_array_equal(clf.predict_proba(X), outputs)


def test_one_hot_labels_are_warned_of():
    with pytest.warns(UserWarning, match="exactly one label.*argmax"):
        classifier(epochs=1).fit(source(X, np.eye(3, dtype=int)[Y]))


def test_unscaled_columns_are_warned_of():
    with pytest.warns(UserWarning, match="very different scales"):
        classifier(epochs=1).fit(source(X * [1, 1e4, 1, 1], Y))
    with pytest.warns(UserWarning, match="X_val has another scale"):
        classifier(epochs=1).fit(source(X, Y), X_val=source(X * 1e4, Y))
