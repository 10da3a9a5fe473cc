"""CPU time of learning the head on a frozen network, against Keras with ``trainable=False``.

Run once per backend: ``KERAS_BACKEND=jax python benchmarks/prefix.py``. One thread; a ResNet-8 on
2,000 images of 32 x 32, 10 epochs of batch 32, Adam; medians of 3 fits after compilation. The
frozen layers use their stored statistics in both.
"""

from __future__ import annotations

import os
import statistics
import time

os.environ["OMP_NUM_THREADS"] = "1"

import keras
import numpy as np

from frozenfit import PartialNetClassifier, architectures
from frozenfit.isolation import isolated

ROWS, EPOCHS, BATCH, RATE, REPEATS = 2000, 10, 32, 1e-3, 3


def network() -> keras.Model:
    """Build the network all of them start from."""
    with isolated(0):
        return architectures.build("resnet", (32, 32, 3), 10, depth=8)


def cpu_seconds(fit) -> float:
    """Median CPU seconds of a call that compiled before."""
    fit()
    times = []
    for _ in range(REPEATS):
        begin = time.process_time()
        fit()
        times.append(time.process_time() - begin)
    return statistics.median(times)


def plain(model: keras.Model, X, y):
    """Return Keras's own fit with all layers but the head frozen."""
    for layer in model.layers:
        layer.trainable = layer.name == "head"
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(RATE), loss)
    return lambda: model.fit(X, y, epochs=EPOCHS, batch_size=BATCH, verbose=0)


def ours(model: keras.Model, X, y, cache_features: bool):
    """Return our fit of the head."""
    settings = {"epochs": EPOCHS, "batch_size": BATCH, "learning_rate": RATE, "random_state": 0}
    estimator = PartialNetClassifier(
        model, trainable="head()", cache_features=cache_features, **settings
    )
    return lambda: estimator.fit(X, y)


def main():
    rng = np.random.default_rng(0)
    X, y = rng.uniform(size=(ROWS, 32, 32, 3)).astype("float32"), rng.integers(0, 10, ROWS)
    reference = cpu_seconds(plain(network(), X, y))
    backend = keras.config.backend()
    print(f"{backend:12} {'Keras, trainable=False':24} {reference:7.2f} CPU s")
    for cache_features in (False, True):
        seconds = cpu_seconds(ours(network(), X, y, cache_features))
        ratio = seconds / reference
        print(
            f"{backend:12} cache_features={cache_features!s:9} {seconds:7.2f} CPU s  {ratio:5.2f} x"
        )


if __name__ == "__main__":
    main()
