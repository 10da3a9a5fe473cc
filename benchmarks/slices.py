"""What gradients of slices save in Keras's own training, by layer, share and backend.

    export OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
    export XLA_FLAGS=--xla_cpu_multi_thread_eigen=false
    KERAS_BACKEND=jax python benchmarks/slices.py [--layers dense] [--shares .1 .5] [--rounds 15]

Each number is the CPU time of `PartialModel.train_on_batch` with gradients of slices as a multiple
of that with gradients of whole kernels: three layers of a kind, batches of 64, in turns, medians.
"""

from __future__ import annotations

import argparse
import time
from unittest import mock

import keras
import numpy as np
from keras import layers as kl

from frozenfit import PartialModel, slices
from frozenfit import selectors as fs

LAYERS = {
    "dense 1024": ((1024,), lambda: kl.Dense(1024)),
    "dense 256 of 64 tokens": ((64, 256), lambda: kl.Dense(256)),
    "conv 48": ((16, 16, 48), lambda: kl.Conv2D(48, 3, padding="same")),
    "conv 128": ((8, 8, 128), lambda: kl.Conv2D(128, 3, padding="same")),
    "conv 1x1 128": ((16, 16, 128), lambda: kl.Conv2D(128, 1)),
    "conv strided 48": ((32, 32, 48), lambda: kl.Conv2D(48, 3, strides=2, padding="same")),
    "depthwise 96": ((16, 16, 96), lambda: kl.DepthwiseConv2D(3, padding="same")),
}
PARTS = {"filters": fs.filters, "inputs": fs.inputs}


def compiled(name: str, part: str, share: float, largest: float) -> PartialModel:
    """Return a model of three layers; slices up to a largest share have gradients of slices."""
    shape, make = LAYERS[name]
    x = keras.Input(shape)
    y = x
    for _ in range(3):
        y = make()(y)
    base = keras.Model(x, y)
    with mock.patch.object(slices, "_LARGEST_SHARE", largest):
        model = PartialModel(base, PARTS[part](share))
    model.compile("sgd", "mse")
    return model


def ratio(name: str, part: str, share: float, rounds: int) -> float:
    """Return the ratio of the medians of both ways."""
    models = [compiled(name, part, share, largest) for largest in (1.0, 0.0)]
    rng = np.random.default_rng(0)
    X = rng.normal(size=(64, *LAYERS[name][0])).astype("float32")
    y = np.zeros((64, *models[0].output_shape[1:]), "float32")
    times = []
    for _ in range(rounds + 2):
        pair = []
        for model in models:
            start = time.process_time()
            model.train_on_batch(X, y)
            pair.append(time.process_time() - start)
        times.append(pair)
    first, second = np.median(times[2:], axis=0)
    return first / second


def main() -> None:
    """Print the table of one backend."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", nargs="+", default=list(LAYERS), choices=list(LAYERS))
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--shares", nargs="+", type=float, default=[0.1, 0.25, 0.5, 0.75])
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    print(f"| {keras.config.backend()} | {' | '.join(map(str, args.shares))} |")
    print(f"|---|{'---|' * len(args.shares)}")
    for name in args.layers:
        for part in args.parts:
            cells = [f"{ratio(name, part, share, args.rounds):.2f}" for share in args.shares]
            print(f"| {name}, {part} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
