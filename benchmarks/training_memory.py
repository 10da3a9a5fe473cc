"""Peak memory of training: what freezing and slices save while a network is trained.

    export OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
    KERAS_BACKEND=jax python benchmarks/training_memory.py [--networks wide_resnet] [--arms keras]

Each line is the growth of the peak resident memory of a fresh process from after the imports, and
after the data were made, to the end of an epoch of two batches of 64. Linux only. For memory that
remains after many fits, see memory.py.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers as kl

from frozenfit import PartialNetClassifier, architectures

BATCH, STEPS = 64, 2
WIDTH, TOKENS, BLOCKS, HEADS, WORDS = 256, 128, 4, 4, 1000


def transformer(input_shape, n_outputs) -> keras.Model:
    """Build a pre-norm transformer encoder of 4 blocks of width 256 on 128 tokens."""
    tokens = keras.Input(input_shape, dtype="int32")
    x = kl.Embedding(WORDS, WIDTH)(tokens)
    for _ in range(BLOCKS):
        y = kl.LayerNormalization()(x)
        x = kl.Add()([x, kl.MultiHeadAttention(HEADS, WIDTH // HEADS)(y, y)])
        y = kl.Dense(4 * WIDTH, "gelu")(kl.LayerNormalization()(x))
        x = kl.Add()([x, kl.Dense(WIDTH)(y)])
    x = kl.GlobalAveragePooling1D()(kl.LayerNormalization()(x))
    return keras.Model(tokens, kl.Dense(n_outputs)(x))


def wide_resnet(input_shape, n_outputs) -> keras.Model:
    """Build WRN-16-4."""
    return architectures.build("wide_resnet", input_shape, n_outputs, depth=16, width=4)


def data(network: str) -> tuple[np.ndarray, np.ndarray]:
    """Return random samples of ten classes."""
    rng, rows = np.random.default_rng(0), BATCH * STEPS
    if network == "transformer":
        return rng.integers(0, WORDS, (rows, TOKENS)).astype("int32"), np.arange(rows) % 10
    return rng.normal(size=(rows, 32, 32, 3)).astype("float32"), np.arange(rows) % 10


NETWORKS = {"wide_resnet": wide_resnet, "transformer": transformer}
# Norms are trained in each arm, as a fraction does it.
ARMS = {
    "keras": None,
    "1.0": 1.0,
    "0.1": 0.1,
    "inputs(0.1)": "inputs(0.1) | head() | batch_norm()",
    "head()": "head()",
}


def peak_mb() -> float:
    """Return the largest resident memory that the process had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def train(network: str, arm: str) -> None:
    """Train one arm and print the growth of the peak."""
    X, y = data(network)
    start = peak_mb()
    if arm == "keras":
        model = NETWORKS[network](X.shape[1:], 10)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss)
        model.fit(X, y, batch_size=BATCH, epochs=1, verbose=0)
    else:
        PartialNetClassifier(
            NETWORKS[network],
            trainable=ARMS[arm],
            frozen="random",
            epochs=1,
            batch_size=BATCH,
            random_state=0,
        ).fit(X, y)
    print(peak_mb() - start)


def growth(network: str, arm: str) -> float:
    """Return the growth of the peak in a fresh process."""
    command = [sys.executable, __file__, "--networks", network, "--arms", arm, "--here"]
    run = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=True)
    return float(run.stdout.splitlines()[-1])


def main() -> None:
    """Print the table of one backend."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.here:
        train(args.networks[0], args.arms[0])
        return
    print(f"| {keras.config.backend()}, MB | {' | '.join(args.arms)} |")
    print(f"|---|{'---|' * len(args.arms)}")
    for network in args.networks:
        cells = [f"{growth(network, arm):.0f}" for arm in args.arms]
        print(f"| {network} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
