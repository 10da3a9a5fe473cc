"""CPU time of `predict` of few rows, against a direct call of the same Keras network.

Run once per backend: ``KERAS_BACKEND=jax python benchmarks/one_row.py [network]...``. One thread;
medians of calls of both in turn, after 100 calls that compile and record. The direct
call is ``model(x, training=False)`` of `to_keras`, and MLPClassifier has the same layers.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from functools import partial

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = "1"
# XLA's own pool of threads has no setting.
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import keras
import numpy as np
from sklearn.neural_network import MLPClassifier

from frozenfit import PartialNetClassifier

WARM_UP, REPEATS = 100, 100
NETWORKS = {
    "mlp": ((64,), {"hidden_layer_sizes": (100, 100)}),
    "lenet5": ((28, 28, 1), {}),
    "resnet": ((32, 32, 3), {"depth": 8}),
}
ROWS = (1, 8, 64, 100, 300)


def milliseconds(calls) -> list[float]:
    """Median CPU milliseconds of functions that are called in turn."""
    for call in calls:
        for _ in range(WARM_UP):
            call()
    times = [[] for _ in calls]
    for _ in range(REPEATS):
        for i, call in enumerate(calls):
            begin = time.process_time()
            call()
            times[i].append(1000 * (time.process_time() - begin))
    return [statistics.median(each) for each in times]


def directly(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """Call a network as Keras does, and return the outputs as an array."""
    return np.asarray(keras.ops.convert_to_numpy(model(x, training=False)))


def main():
    rng, backend = np.random.default_rng(0), keras.config.backend()
    for name in sys.argv[1:] or NETWORKS:
        shape, params = NETWORKS[name]
        X = rng.normal(size=(max(ROWS), *shape)).astype("float32")
        y = rng.integers(0, 10, len(X))
        estimator = PartialNetClassifier(
            name, model_params=params, trainable=0.1, epochs=1, random_state=0
        )
        model = estimator.fit(X, y).to_keras()
        peer = None
        if len(shape) == 1:
            peer = MLPClassifier(params["hidden_layer_sizes"], max_iter=1).fit(X, y)
        for n in ROWS:
            x = X[:n]
            calls = [partial(estimator.predict, x), partial(directly, model, x)]
            calls += [] if peer is None else [partial(peer.predict, x)]
            ours, direct, *other = milliseconds(calls)
            text = f"{backend:12} {name:8} {n:5} rows  predict {ours:8.2f} ms"
            text += f"  direct {direct:8.2f} ms  {ours / direct:5.2f} x"
            print(text + "".join(f"  MLPClassifier {each:6.2f} ms" for each in other), flush=True)


if __name__ == "__main__":
    main()
