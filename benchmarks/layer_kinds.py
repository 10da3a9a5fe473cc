"""CPU time of an epoch through the estimators against Keras's own `fit`, for kinds of layers.

    export OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
    export XLA_FLAGS=--xla_cpu_multi_thread_eigen=false
    KERAS_BACKEND=jax python benchmarks/layer_kinds.py [--rounds 3] [--kinds conv2d lstm]

Both sides train everything on the same samples in batches of 32, after compilation, in turns. The
ratio of the medians is printed as a row of a table: below 1 the estimator is faster.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import keras
import numpy as np
from keras import layers as kl

from frozenfit import PartialNetClassifier

ROWS, EPOCHS, CLASSES = 512, 3, 5

KINDS: dict[str, tuple[tuple[int, ...], Callable[[], list[keras.Layer]]]] = {
    "dense": ((128,), lambda: [kl.Dense(128, "relu"), kl.Dense(128, "relu")]),
    "conv1d": ((64, 16), lambda: [kl.Conv1D(32, 3), kl.Conv1D(32, 3), kl.Flatten()]),
    "conv2d": ((16, 16, 8), lambda: [kl.Conv2D(16, 3), kl.Conv2D(16, 3), kl.Flatten()]),
    "conv2d, batch norm": (
        (16, 16, 8),
        lambda: [kl.Conv2D(16, 3), kl.BatchNormalization(), kl.ReLU(), kl.Flatten()],
    ),
    "depthwise": ((16, 16, 8), lambda: [kl.DepthwiseConv2D(3), kl.Conv2D(16, 1), kl.Flatten()]),
    "transposed": ((8, 8, 8), lambda: [kl.Conv2DTranspose(16, 3), kl.Flatten()]),
    "pooling": ((16, 16, 8), lambda: [kl.MaxPooling2D(), kl.AveragePooling2D(2), kl.Flatten()]),
    "lstm": ((24, 8), lambda: [kl.LSTM(32)]),
    "gru": ((24, 8), lambda: [kl.GRU(32)]),
    "attention": ((24, 16), lambda: [Attention(), kl.Flatten()]),
    "embedding": ((32,), lambda: [kl.Embedding(100, 16), kl.Flatten()]),
}


@keras.saving.register_keras_serializable("benchmarks")
class Attention(kl.Layer):
    """Self-attention in two heads."""

    def build(self, input_shape):
        """Create the attention layer."""
        self.attention = kl.MultiHeadAttention(2, 8)
        self.attention.build(input_shape, input_shape)

    def call(self, x):
        """Attend to the input itself."""
        return self.attention(x, x)


def network(kind: str) -> Callable[..., keras.Model]:
    """Return a builder of the network of a kind."""

    def build(input_shape, n_outputs):
        return keras.Sequential([keras.Input(input_shape), *KINDS[kind][1](), kl.Dense(n_outputs)])

    return build


def cpu_seconds(run: Callable[[], object]) -> float:
    """Return the CPU time of a call."""
    start = time.process_time()
    run()
    return time.process_time() - start


def compare(kind: str, rounds: int) -> tuple[float, float]:
    """Return the median CPU seconds of an epoch in Keras and in the estimator."""
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 99 if kind == "embedding" else 1, (ROWS, *KINDS[kind][0])).astype("float32")
    y = np.arange(ROWS) % CLASSES
    build = network(kind)
    plain = build(KINDS[kind][0], CLASSES)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    plain.compile(keras.optimizers.Adam(0.001), loss, metrics=["accuracy"])
    estimator = PartialNetClassifier(
        build, trainable=True, epochs=EPOCHS, batch_size=32, learning_rate=0.001, random_state=0
    )
    sides = (
        lambda: plain.fit(X, y, batch_size=32, epochs=EPOCHS, verbose=0),
        lambda: estimator.fit(X, y),
    )
    for side in sides:
        side()  # compiles
    times = np.array([[cpu_seconds(side) for side in sides] for _ in range(rounds)])
    keras_s, ours = np.median(times, axis=0) / EPOCHS
    return float(keras_s), float(ours)


def main() -> None:
    """Print the table of one backend."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    args = parser.parse_args()
    print(f"| {keras.config.backend()} | Keras fit, ms an epoch | estimator | ratio |")
    print("|---|---|---|---|")
    for kind in args.kinds:
        plain, ours = compare(kind, args.rounds)
        print(f"| {kind} | {1e3 * plain:.0f} | {1e3 * ours:.0f} | {ours / plain:.2f} |", flush=True)


if __name__ == "__main__":
    main()
