"""Small data and small estimators, the same ones everywhere so that little is compiled."""

from __future__ import annotations

import keras
import numpy as np
import pandas as pd
from keras import layers

from frozenfit import PartialNetClassifier, PartialNetRegressor


def classifier(**params):
    small = {"model_params": {"hidden_layer_sizes": (8,)}, "epochs": 2, "batch_size": 16}
    if "model" in params:
        del small["model_params"]
    return PartialNetClassifier(**{**small, "random_state": 0, **params})


def regressor(**params):
    small = {"model_params": {"hidden_layer_sizes": (8,)}, "epochs": 2, "batch_size": 16}
    return PartialNetRegressor(**{**small, "random_state": 0, **params})


def table(n=48, n_classes=3):
    """Well separated blobs: X of shape (n, 4), and class numbers."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % n_classes
    centers = rng.normal(0, 2, (n_classes, 4))
    return (centers[y] + rng.normal(0, 0.5, (n, 4))).astype("float32"), y


def targets(n=48, n_targets=1):
    """A table and linear targets, one or several."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, 4)).astype("float32")
    y = X @ rng.normal(size=(4, n_targets)) * 5 + 100
    return X, y[:, 0] if n_targets == 1 else y


def images(n=24, channels=1):
    """Images of 8 x 8 with a bright half, and which half."""
    rng = np.random.default_rng(2)
    y = np.arange(n) % 2
    X = rng.uniform(0, 0.3, (n, 8, 8, channels)).astype("float32")
    X[y == 0, :, :4] += 0.6
    X[y == 1, :4, :] += 0.6
    return X, y


def small_cnn(input_shape, n_outputs, filters=4, dropout=0.0):
    x = inputs = keras.Input(input_shape)
    x = layers.Conv2D(filters, 3, name="conv")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Activation("relu", name="act")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    if dropout:
        x = layers.Dropout(dropout, name="drop")(x)
    return keras.Model(inputs, layers.Dense(n_outputs, name="head")(x))


def given_net(n_features=4, n_outputs=3, seed=0, sequential=False, **last):
    """A network as a user has it: built, with its own weights."""
    init = [keras.initializers.GlorotUniform(seed=seed + i) for i in range(2)]
    inputs = keras.Input((n_features,))
    hidden = layers.Dense(8, activation="relu", name="hidden", kernel_initializer=init[0])
    out = layers.Dense(n_outputs, name="out", kernel_initializer=init[1], **last)
    if sequential:
        return keras.Sequential([inputs, hidden, out], name="net")
    return keras.Model(inputs, out(hidden(inputs)), name="net")


def same(a, b):
    """Whether two fitted estimators agree in every bit of every output."""
    X = np.random.default_rng(9).normal(size=(20, *a.input_shape_)).astype("float32")
    return np.array_equal(raw(a, X), raw(b, X))


def raw(estimator, X):
    if hasattr(estimator, "feature_names_in_") and isinstance(X, np.ndarray):
        X = pd.DataFrame(X, columns=estimator.feature_names_in_)
    return getattr(estimator, "predict_proba", estimator.predict)(X)


def whole(estimator):
    """All weights of a fitted estimator's network as it computes, by path."""
    return dict(estimator.model_.assembled())
