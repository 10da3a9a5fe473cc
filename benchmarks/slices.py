"""What gradients of slices save in a training step, by layer, batch, share and backend.

    export OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
    export XLA_FLAGS=--xla_cpu_multi_thread_eigen=false
    KERAS_BACKEND=jax python benchmarks/slices.py [--layers "dense 1024"] [--shares .1 .5] [--keras]

The CPU time of steps of gradient descent on three layers of a kind and a head, as a multiple of
that with everything trained: "a, b" is a with gradients of slices, and b with gradients of whole
kernels from which the slice is taken. The last column is everything trained once more: how far it
is from 1 is the noise. Steps in turns, medians of the ratios. The steps are those of the
estimators; with `--keras` they are `PartialModel.train_on_batch`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from unittest import mock

import keras
import numpy as np
from keras import layers as kl

from frozenfit import PartialModel, slices
from frozenfit import selectors as fs
from frozenfit.training.backends import Trainer
from frozenfit.training.objective import Objective

LAYERS = {
    "dense 64": ((64,), lambda: kl.Dense(64)),
    "dense 256": ((256,), lambda: kl.Dense(256)),
    "dense 1024": ((1024,), lambda: kl.Dense(1024)),
    "dense 128 of 64 tokens": ((64, 128), lambda: kl.Dense(128)),
    "einsum 4 x 32 of 64 tokens": (
        (64, 128),
        lambda: kl.EinsumDense("abc,cd->abd", (None, 128), bias_axes="d"),
    ),
    "conv1d 64": ((128, 64), lambda: kl.Conv1D(64, 3, padding="same")),
    "conv 16": ((16, 16, 16), lambda: kl.Conv2D(16, 3, padding="same")),
    "conv 48": ((16, 16, 48), lambda: kl.Conv2D(48, 3, padding="same")),
    "conv 128": ((8, 8, 128), lambda: kl.Conv2D(128, 3, padding="same")),
    "conv 1x1 128": ((8, 8, 128), lambda: kl.Conv2D(128, 1)),
    "conv strided 48": ((24, 24, 48), lambda: kl.Conv2D(48, 3, strides=2, padding="same")),
    "depthwise 96": ((16, 16, 96), lambda: kl.DepthwiseConv2D(3, padding="same")),
}
PARTS = {
    "filters": fs.filters,
    "inputs": fs.inputs,
    "last filters": lambda p: ~fs.filters(1 - p),
}
# CPU time of the steps that are timed as one.
SECONDS = 0.02


def network(name: str) -> keras.Model:
    """Return a network of three layers of a kind and a head."""
    shape, make = LAYERS[name]
    x = keras.Input(shape)
    y = x
    for _ in range(3):
        y = make()(y)
    pooling = {2: kl.GlobalAveragePooling1D, 3: kl.GlobalAveragePooling2D}.get(len(shape))
    return keras.Model(x, kl.Dense(10)(pooling()(y) if pooling else y))


def prepared(name: str, batch: int, selector, sliced: bool, in_keras: bool) -> Callable:
    """Return a function that takes a number of steps."""
    with mock.patch.object(slices, "is_cheaper", return_value=sliced):
        model = PartialModel(network(name), selector)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(batch, *LAYERS[name][0])).astype("float32")
    y = np.zeros((batch, 10), "float32")
    if in_keras:
        model.compile(keras.optimizers.SGD(1e-3), "mse")
        return lambda steps: [model.train_on_batch(X, y) for _ in range(steps)]
    trainer = Trainer(model, keras.optimizers.SGD(1e-3), Objective("regression"))

    def run(steps: int) -> None:
        stacked = [np.broadcast_to(a, (steps, *a.shape)) for a in (X, y, np.ones(batch, "float32"))]
        trainer.run(*stacked, np.full(steps, 1e-3, "float32"))

    return run


def seconds(run: Callable, steps: int) -> float:
    """Return the CPU time of a number of steps."""
    start = time.process_time()
    run(steps)
    return time.process_time() - start


def ratios(name: str, batch: int, arms: list, rounds: int, in_keras: bool) -> np.ndarray:
    """Return the medians of the CPU times of arms as multiples of the first."""
    # Torch records a step after so many.
    with mock.patch("frozenfit.training.backends.torch_recorder.PATIENCE", 2):
        runs = [prepared(name, batch, *arm, in_keras) for arm in arms]
    once = min(seconds(runs[0], 1) for _ in range(8))
    steps = int(np.clip(SECONDS / once, 1, 64))
    for run in runs:
        for _ in range(max(2, -(-8 // steps))):
            run(steps)
    times = [[seconds(run, steps) for run in runs] for _ in range(rounds)]
    return np.median([[t / row[0] for t in row] for row in times], axis=0)


def main() -> None:
    """Print the table of one backend."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", nargs="+", default=list(LAYERS), choices=list(LAYERS))
    parser.add_argument("--parts", nargs="+", default=list(PARTS)[:2], choices=list(PARTS))
    parser.add_argument("--shares", nargs="+", type=float, default=[0.02, 0.1, 0.3, 0.5, 0.7, 0.9])
    parser.add_argument("--batches", nargs="+", type=int, default=[64, 256])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--keras", action="store_true")
    args = parser.parse_args()
    print(f"| {keras.config.backend()} | {' | '.join(map(str, args.shares))} | all |")
    print(f"|---|{'---|' * len(args.shares)}---|")
    for name in args.layers:
        for batch in args.batches:
            parts = [p for p in args.parts if p != "inputs" or "depthwise" not in name]
            arms = [(fs.everything(), True)] * 2
            for part in parts:
                for share in args.shares:
                    arms += [(PARTS[part](share) | fs.head(), way) for way in (True, False)]
            found = ratios(name, batch, arms, args.rounds, args.keras)
            for part, values in zip(parts, np.split(found[2:], len(parts)), strict=True):
                cells = [f"{a:.2f}, {b:.2f}" for a, b in values.reshape(-1, 2)]
                line = f"| {name}, batch {batch}, {part} | {' | '.join(cells)} | {found[1]:.2f} |"
                print(line, flush=True)


if __name__ == "__main__":
    main()
