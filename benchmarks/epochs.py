"""CPU time of training on digits against scikit-learn's MLPClassifier: the cost of a light step.

Run once per backend, for instance ``KERAS_BACKEND=jax python benchmarks/epochs.py``. One thread,
mlp(100), Adam, 30 epochs of batch 32, nothing held out; medians of 9 fits after compilation.
"""

from __future__ import annotations

import os
import statistics
import time
import warnings

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TF_NUM_INTRAOP_THREADS"] = "1"
os.environ["TF_NUM_INTEROP_THREADS"] = "1"

import keras
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from frozenfit import PartialNetClassifier

EPOCHS, BATCH, RATE, REPEATS = 30, 32, 1e-3, 9


def cpu_seconds(slices, X, y) -> list[float]:
    """Median CPU seconds of a fit of each selector; in turns, for the machine may grow busy."""
    for make in slices:
        make(0).fit(X, y)
    times = [[] for _ in slices]
    for seed in range(REPEATS):
        for make, mine in zip(slices, times, strict=True):
            estimator, begin = make(seed), time.process_time()
            estimator.fit(X, y)
            mine.append(time.process_time() - begin)
    return [statistics.median(mine) for mine in times]


def ours(trainable):
    """Make an estimator that learns a part of mlp(100)."""
    settings = {
        "epochs": EPOCHS,
        "batch_size": BATCH,
        "learning_rate": RATE,
        "trainable": trainable,
        "model_params": {"hidden_layer_sizes": (100,)},
    }
    return lambda seed: PartialNetClassifier("mlp", random_state=seed, **settings)


def theirs(seed):
    """Make scikit-learn's network of the same size."""
    return MLPClassifier(
        (100,), batch_size=BATCH, learning_rate_init=RATE, max_iter=EPOCHS, alpha=0,
        tol=0, n_iter_no_change=EPOCHS, random_state=seed,
    )  # fmt: skip


def main():
    warnings.simplefilter("ignore", ConvergenceWarning)
    X, y = load_digits(return_X_y=True)
    X = X / 16
    selectors = ("everything()", 0.1, "random(0.1)")
    reference, *seconds = cpu_seconds([theirs, *map(ours, selectors)], X, y)
    print(f"{'scikit-learn':12} {'MLPClassifier(100)':28} {reference:6.3f} CPU s")
    for trainable, each in zip(selectors, seconds, strict=True):
        name, ratio = f"trainable={trainable}", each / reference
        print(f"{keras.config.backend():12} {name:28} {each:6.3f} CPU s  {ratio:5.2f} x")


if __name__ == "__main__":
    main()
