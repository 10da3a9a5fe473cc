"""CPU time of a fit of 16 members with shared kernels, against one network of the same width.

    KERAS_BACKEND=jax python benchmarks/ensemble_speed.py

Two hidden layers, batches of 128, as many epochs for each. The first fit of each arm, which
compiles, is not counted; then the arms take turns, and medians are printed: of the fits, of
predictions for all rows, and of predictions for one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from frozenfit import CheapEnsembleClassifier, PartialNetClassifier

CLASSES = 6
PREDICTIONS = 12


def arms(width: int, epochs: int, members: int) -> dict[str, Callable[[], Any]]:
    """Return what makes the estimators to compare; the first is the one network."""
    layers = {"hidden_layer_sizes": (width, width)}
    settings = {"epochs": epochs, "batch_size": 128, "learning_rate": 0.002, "random_state": 0}

    def one(**more: Any) -> PartialNetClassifier:
        return PartialNetClassifier("mlp", model_params=layers, **settings, **more)

    def ensemble(base: str) -> Callable[[], CheapEnsembleClassifier]:
        return lambda: CheapEnsembleClassifier(
            one(), members, base=base, members="adapters", random_state=0
        )

    both = {f"{members} members, {base}": ensemble(base) for base in ("frozen", "joint")}
    return {"one network": lambda: one(trainable=1.0), **both}


def predicting(model: Any, X: np.ndarray) -> float:
    """Return the CPU seconds of a prediction, the median of those after the first few."""
    taken = []
    for _ in range(PREDICTIONS):
        start = time.process_time()
        model.predict(X)
        taken.append(time.process_time() - start)
    return float(np.median(taken[PREDICTIONS // 3 :]))


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    X = rng.normal(size=(args.rows, 36)).astype("float32")
    y = rng.integers(0, CLASSES, args.rows)
    print(f"{keras.config.backend()}: seconds of a fit and milliseconds of predict, with ratios")
    print("| width | model | fit | ratio | predict | ratio | one row | ratio |")
    print("|---" * 8 + "|")
    for width in args.widths:
        makers = arms(width, args.epochs, args.members)
        taken: dict[str, list[tuple[float, ...]]] = {name: [] for name in makers}
        for turn in range(args.turns + 1):
            for name, make in makers.items():
                start = time.process_time()
                model = make().fit(X, y)
                fitted = time.process_time() - start
                if turn:
                    taken[name].append((fitted, predicting(model, X), predicting(model, X[:1])))
        middle = {name: np.median(values, axis=0) for name, values in taken.items()}
        for name, seconds in middle.items():
            ratios = seconds / middle["one network"]
            units = (f"{seconds[0]:.2f}", *(f"{1000 * each:.1f}" for each in seconds[1:]))
            cells = [f"{each} | {ratio:.1f}" for each, ratio in zip(units, ratios, strict=True)]
            print(f"| {width} | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
