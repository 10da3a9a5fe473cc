"""What X and y may be: frames, names, labels of any kind, images, number types."""

from __future__ import annotations

import pickle

import keras
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from estimator_data import (
    classifier,
    given_net,
    images,
    regressor,
    same,
    small_cnn,
    table,
    targets,
)

import frozenfit

NAMES = np.array(["ant", "bee", "cat"])
COLUMNS = ["a", "b", "c", "d"]


def framed(kind, X):
    if (
        kind == "polars"
        and sklearn.__version__ < "1.9"
        and not hasattr(pl.DataFrame, "__dataframe__")
    ):
        pytest.skip("before 1.9 scikit-learn cannot read the names of columns of polars 2")
    return pd.DataFrame(X, columns=COLUMNS) if kind == "pandas" else pl.DataFrame(X, COLUMNS)


def renamed(kind, X):
    frame = framed(kind, X)
    return frame.rename(columns={"a": "z"}) if kind == "pandas" else frame.rename({"a": "z"})


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_a_frame_is_as_good_as_an_array(kind):
    X, y = table()
    series = pd.Series(y) if kind == "pandas" else pl.Series(y)
    estimator = classifier().fit(framed(kind, X), series)
    assert estimator.feature_names_in_.tolist() == COLUMNS and estimator.n_features_in_ == 4
    assert np.array_equal(
        estimator.predict_proba(framed(kind, X)), classifier().fit(X, y).predict_proba(X)
    )


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_columns_of_other_names_are_refused(kind):
    X, y = table()
    estimator = classifier().fit(framed(kind, X), y)
    with pytest.raises(ValueError, match="[Ff]eature names"):
        estimator.predict(renamed(kind, X))


def test_columns_in_another_order_are_refused():
    X, y = table()
    estimator = classifier().fit(framed("pandas", X), y)
    with pytest.raises(ValueError, match="same order"):
        estimator.predict(framed("pandas", X)[COLUMNS[::-1]])


def test_an_array_for_a_frame_is_warned_of():
    X, y = table()
    estimator = classifier().fit(framed("pandas", X), y)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        estimator.predict(X)


def test_held_out_frames_are_held_to_the_names():
    X, y = table()
    with pytest.raises(ValueError, match="[Ff]eature names"):
        classifier().fit(framed("pandas", X), y, X_val=renamed("pandas", X), y_val=y)


LABELS = {
    "strings": NAMES,
    "objects": NAMES.astype(object),
    "numbers": np.array([-5, 0, 7]),
    "floats": np.array([0.0, 1.0, 2.0]),
    "unsigned": np.array([3, 4, 250], "uint8"),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_come_back_as_they_were(kind):
    X, y = table()
    estimator = classifier(epochs=10, learning_rate=0.05).fit(X, LABELS[kind][y])
    assert estimator.classes_.tolist() == LABELS[kind].tolist()
    found = estimator.predict(X)
    assert found.dtype == LABELS[kind].dtype and np.mean(found == LABELS[kind][y]) > 0.8
    assert same(estimator, classifier(epochs=10, learning_rate=0.05).fit(X, y))


def test_labels_of_a_frame_come_back_as_strings():
    X, y = table()
    for series in (pd.Series(NAMES[y]), pd.Series(pd.Categorical(NAMES[y])), pl.Series(NAMES[y])):
        assert set(classifier().fit(X, series).predict(X)) <= set(NAMES)


def test_booleans_are_two_classes():
    X, y = table(n_classes=2)
    estimator = classifier().fit(X, y == 1)
    assert estimator.classes_.tolist() == [False, True]
    assert estimator.predict(X).dtype == bool
    assert estimator.decision_function(X).shape == (48,)


def test_the_decision_function_is_positive_for_the_second_class():
    X, y = table(n_classes=2)
    estimator = classifier(epochs=5).fit(X, NAMES[y])
    positive = estimator.decision_function(X) > 0
    assert np.array_equal(estimator.predict(X) == "bee", positive)
    assert np.array_equal(estimator.predict_proba(X)[:, 1] > 0.5, positive)


def test_log_probabilities_are_the_logarithm():
    X, y = table()
    estimator = classifier().fit(X, y)
    assert np.allclose(np.exp(estimator.predict_log_proba(X)), estimator.predict_proba(X))
    assert np.allclose(estimator.predict_proba(X).sum(axis=1), 1)


def test_images_are_taken_as_arrays():
    X, y = images(channels=3)
    estimator = classifier(model=small_cnn).fit(X, y)
    assert estimator.n_features_in_ == 192 and estimator.input_shape_ == (8, 8, 3)
    assert estimator.predict_proba(X).shape == (24, 2)


@pytest.mark.parametrize("way", ["flat", "gray"])
def test_image_shape_gives_rows_and_grey_images_their_axes(way):
    X, y = images()
    flat = {"flat": X.reshape(24, 64), "gray": X[..., 0]}[way]
    estimator = classifier(model=small_cnn, image_shape=(8, 8, 1)).fit(flat, y)
    assert same(estimator, classifier(model=small_cnn).fit(X, y))
    assert np.array_equal(estimator.predict(flat), estimator.predict(X))


def test_images_of_another_size_are_refused_at_predict():
    X, y = images()
    estimator = classifier(model=small_cnn).fit(X, y)
    with pytest.raises(ValueError, match=r"\(8, 8, 1\), as in `fit`, got \(6, 8, 1\)"):
        estimator.predict(X[:, :6])


def test_rows_that_do_not_fill_the_image_are_refused():
    X, y = images()
    with pytest.raises(ValueError, match=r"image_shape=\(8, 9, 1\), or rows of 72 features"):
        classifier(model=small_cnn, image_shape=(8, 9, 1)).fit(X.reshape(24, 64), y)


def test_bytes_are_the_same_numbers_as_floats():
    X, y = images()
    small = (X * 255).astype("uint8")
    estimator = classifier(model=small_cnn).fit(small, y)
    assert same(estimator, classifier(model=small_cnn).fit(small.astype("float32"), y))


def test_a_table_takes_an_image_for_a_row():
    X, y = images()
    assert same(classifier().fit(X[..., 0], y), classifier().fit(X[..., 0], y))


def test_a_memory_map_is_read_where_it_lies(tmp_path):
    X, y = table()
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert same(classifier().fit(mapped, y), classifier().fit(X, y))


def test_lists_of_numbers_are_taken():
    X, y = table()
    assert same(classifier().fit(X.tolist(), y.tolist()), classifier().fit(X, y))


def test_a_regressor_finds_one_target():
    X, y = targets()
    estimator = regressor(epochs=60, trainable=1.0, learning_rate=0.02).fit(X, y)
    assert estimator.predict(X).shape == (48,) and estimator.score(X, y) > 0.9


def test_a_regressor_finds_several_targets():
    X, y = targets(n_targets=2)
    estimator = regressor(epochs=60, trainable=1.0, learning_rate=0.02).fit(X, y)
    assert estimator.predict(X).shape == (48, 2) and estimator.score(X, y) > 0.9


def test_one_target_as_a_column_comes_back_as_a_column():
    X, y = targets()
    estimator = regressor().fit(X, y[:, None])
    assert estimator.predict(X).shape == (48, 1)
    assert np.array_equal(estimator.predict(X)[:, 0], regressor().fit(X, y).predict(X))


def test_the_unit_of_the_targets_does_not_matter():
    X, y = targets()
    whole = {"batch_size": 48, "learning_rate": 0.05}
    big = regressor(**whole).fit(X, y * 1000).predict(X)
    assert np.allclose(big / 1000, regressor(**whole).fit(X, y).predict(X), rtol=1e-4)


def test_a_constant_target_is_predicted_about():
    X, _ = targets()
    estimator = regressor(epochs=30).fit(X, np.full(48, 7.0))
    assert np.abs(estimator.predict(X) - 7).max() < 1


def test_a_regressor_refuses_another_number_of_targets_later():
    X, y = targets(n_targets=2)
    estimator = regressor().partial_fit(X, y)
    with pytest.raises(ValueError, match="2 targets, as in the first fit, got 1"):
        estimator.partial_fit(X, y[:, 0])


@pytest.fixture
def policy():
    """Sets Keras's policies, and puts them back."""
    floatx, before = keras.config.floatx(), keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(before)


NO_DOUBLE = pytest.mark.skipif(
    keras.config.backend() == "jax", reason="JAX has no float64 unless jax_enable_x64 is set"
)


@pytest.mark.parametrize(
    "name", ["mixed_bfloat16", "mixed_float16", pytest.param("float64", marks=NO_DOUBLE)]
)
def test_a_policy_trains_and_keeps_the_deltas_precise(policy, name):
    policy(name)
    X, y = table()
    estimator = classifier(epochs=10, learning_rate=0.05).fit(X, y)
    types = {str(value.dtype) for value in estimator.part_.delta.trained.values()}
    assert types == {"float64" if name == "float64" else "float32"}
    assert estimator.score(X, y) > 0.8 and np.isfinite(estimator.history_["loss"]).all()


def test_batch_statistics_keep_their_digits_under_a_mixed_policy(policy):
    X, y = images()
    plain = classifier(model=small_cnn, learning_rate=1e-30).fit(X, y)
    policy("mixed_bfloat16")
    mixed = classifier(model=small_cnn, learning_rate=1e-30).fit(X, y)
    for path in ("norm/moving_mean", "norm/moving_variance"):
        assert mixed.part_.delta.states[path].dtype == "float32"
        expected = plain.part_.delta.states[path]
        assert np.allclose(mixed.part_.delta.states[path], expected, rtol=0.05, atol=0.01)
        assert not np.array_equal(expected, expected * 0)


@pytest.mark.parametrize("way", ["as it is", "pickle", "file", "as a base", "in a mapping"])
def test_an_estimator_predicts_in_the_precision_of_its_fit(policy, way, tmp_path):
    X, y = table()
    policy("mixed_bfloat16")
    estimator = classifier().fit(X, y)
    if way in ("as a base", "in a mapping"):
        estimator = classifier(model=estimator.base_, trainable="head()").fit(X, y)
    expected = estimator.predict_proba(X)
    frozenfit.save(estimator, tmp_path / "one")
    frozenfit.save({"a": estimator}, tmp_path / "more")
    stored = pickle.dumps(estimator)
    policy("float32")
    frozenfit.clear_workspace()
    if way == "pickle":
        estimator = pickle.loads(stored)
    elif way in ("file", "as a base"):
        estimator = frozenfit.load(tmp_path / "one")
    elif way == "in a mapping":
        estimator = frozenfit.load(tmp_path / "more")["a"]
    assert np.array_equal(estimator.predict_proba(X), expected)
    assert estimator.to_keras().compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == "float32"
    assert not np.array_equal(classifier().fit(X, y).predict_proba(X), expected)


def test_a_later_policy_does_not_reach_a_given_network(policy):
    X, y = table()
    estimator = classifier(model=given_net(), trainable="head()").fit(X, y)
    expected = estimator.predict_proba(X)
    policy("mixed_bfloat16")
    frozenfit.clear_workspace()
    assert np.array_equal(estimator.predict_proba(X), expected)
    assert np.array_equal(estimator.fit(X, y).predict_proba(X), expected)


@NO_DOUBLE
def test_double_precision_throughout(policy):
    keras.config.set_floatx("float64")
    policy("float64")
    X, y = targets()
    estimator = regressor(epochs=3).fit(X.astype("float64"), y)
    assert {value.dtype.name for value in estimator.part_.delta.trained.values()} == {"float64"}
    assert np.isfinite(estimator.predict(X)).all()
