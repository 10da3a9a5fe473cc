"""Warnings where columns lack a transformation, and none on ordinary data."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from estimator_data import classifier, regressor, table
from keras import layers
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from frozenfit import CheapEnsembleClassifier
from frozenfit.estimators.column_scales import warn_of_other_scales, warn_of_unscaled


def messages(call, *args, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(*args, **options)
    return [str(w.message) for w in caught if w.category is UserWarning]


def raw(n=60):
    """A table whose columns have other ranges than standardized ones."""
    X, y = table(n)
    return X * 30 + [1000, -500, 3000, 800], y


def fit_pipeline(**options):
    X, y = raw()
    with sklearn.config_context(enable_metadata_routing=True):
        net = classifier(epochs=1).set_fit_request(X_val=True, y_val=True)
        pipe = Pipeline([("scale", StandardScaler()), ("net", net)], **options)
        pipe.fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])


def test_validation_data_that_a_pipeline_has_not_transformed_give_one_warning():
    (message,) = messages(fit_pipeline)
    assert message.startswith("X_val has another scale than X in 4 of 4 columns")
    assert "transform_input=['X_val']" in message and "enable_metadata_routing=True" in message


def test_validation_data_that_a_pipeline_transforms_give_none():
    assert not messages(fit_pipeline, transform_input=["X_val"])


def test_the_name_of_the_column_is_in_the_warning():
    X, y = raw()
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    held_out = frame.copy()
    held_out["c"] *= 1000
    (message,) = messages(classifier(epochs=1).fit, frame, y, X_val=held_out, y_val=y)
    assert "in 1 of 4 columns" in message and "column 'c' has values" in message


@pytest.mark.parametrize("size", [1, 2, 10, 100])
@pytest.mark.parametrize("order", ["random", "by class", "by column"])
@pytest.mark.parametrize("load", [load_breast_cancer, load_wine, load_digits])
def test_ordinary_splits_give_no_warning(load, order, size):
    X, y = load(return_X_y=True)
    chosen = {
        "random": np.random.default_rng(size).permutation(len(X)),
        "by class": np.argsort(y, kind="stable"),
        "by column": np.argsort(X[:, 3], kind="stable"),
    }[order]
    train, held_out = chosen[:-size], chosen[-size:]
    scaled = StandardScaler().fit(X[train]).transform(X)
    for values in (X, scaled):
        assert not messages(warn_of_other_scales, values[train], values[held_out], None)


def test_rare_categories_and_outliers_are_no_other_scale():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.lognormal(0, 3, 300), np.arange(300) == 3, np.zeros(300)])
    for start in range(0, 300, 20):
        held_out = np.arange(start, start + 20)
        rest = np.setdiff1d(np.arange(300), held_out)
        assert not messages(warn_of_other_scales, X[rest], X[held_out], None)


@pytest.mark.parametrize("make", [classifier, regressor])
def test_unscaled_columns_give_one_warning_that_names_them(make):
    X, y = load_wine(return_X_y=True, as_frame=True)
    (message,) = messages(make(epochs=1).fit, X, y)
    assert "most values of column 'proline'" in message and "StandardScaler" in message
    assert not messages(make_pipeline(StandardScaler(), make(epochs=1)).fit, X, y)


def test_an_ensemble_gives_one_warning():
    X, y = load_wine(return_X_y=True)
    ensemble = CheapEnsembleClassifier(classifier(epochs=1), 3, random_state=0)
    assert len(messages(ensemble.fit, X, y)) == 1


def test_a_large_column_beside_categories_is_unscaled():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(40000, 9000, 200), rng.integers(0, 2, (200, 2))])
    assert messages(warn_of_unscaled, X, None)


@pytest.mark.parametrize("share", [0.5, 0.05, 0.002])
def test_categories_beside_standardized_columns_give_no_warning(share):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"income": rng.lognormal(10, 2, 1000), "constant": 1.0})
    frame["city"] = np.where(rng.uniform(size=1000) < share, "small", "large")
    encoder = make_column_transformer((OneHotEncoder(), ["city"]), remainder=StandardScaler())
    assert not messages(warn_of_unscaled, encoder.fit_transform(frame), None)
    assert not messages(warn_of_unscaled, load_digits().data, None)


def test_images_integers_and_networks_that_normalize_give_no_warning():
    X, y = load_wine(return_X_y=True)
    inputs = keras.Input((13,))
    x = layers.Dense(3)(layers.BatchNormalization()(inputs))
    normalizing = classifier(model=keras.Model(inputs, x), trainable=1.0, epochs=1)
    assert not messages(normalizing.fit, X, y)
    words = keras.Input((13,), dtype="int32")
    x = layers.Dense(3)(layers.Flatten()(layers.Embedding(2000, 2)(words)))
    assert not messages(classifier(model=keras.Model(words, x), epochs=1).fit, X.astype(int), y)
    assert not messages(classifier(image_shape=(13, 1), epochs=1).fit, X, y)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_a_text_column_of_a_data_frame_is_named(frame):
    data = {"age": [1.0, 2.0, 3.0], "city": ["Rome", "Oslo", "Rome"], "day": ["Mo", "Tu", "We"]}
    with pytest.raises(ValueError, match=r"column 'city' \(and 1 more\) contains 'Rome'. Encode"):
        classifier().fit(frame(data), [0, 1, 0])
    del data["day"]
    with pytest.raises(ValueError, match="column 'city' contains 'Rome'"):
        classifier().fit(frame(data), [0, 1, 0])
