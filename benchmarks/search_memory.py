"""Memory growth of a search over 100 small trials.

    KERAS_BACKEND=jax python benchmarks/search_memory.py

Two studies, each in a separate process: trials of one network shape that differ in the learning
rate only, and the whole space of `frozenfit.search.suggest`, in which almost every trial compiles a
different shape. Growth is measured from the end of the first trial, which loads the backend's
compiler, to the end of the last.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

LIMIT = 50
SPACES = ("one shape", "whole space")


def resident() -> float:
    """Return the resident memory of this process in MB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def study(space: str, trials: int) -> None:
    """Run one study and print one row."""
    import keras
    from optuna.distributions import FloatDistribution
    from sklearn.datasets import load_iris

    from frozenfit import PartialNetClassifier, search

    X, y = load_iris(return_X_y=True)
    net = PartialNetClassifier(model_params={"hidden_layer_sizes": (20,)}, epochs=2)
    fixed = {"trainable": 0.5, "frozen": "random", "learning_rate": FloatDistribution(0.001, 0.1)}
    seen: list[float] = []
    start = time.perf_counter()
    search.FreezeSearchCV(
        net,
        n_trials=trials,
        cv=2,
        space=fixed if space == SPACES[0] else None,
        refit=False,
        random_state=0,
        callbacks=lambda study, trial: seen.append(resident()),
    ).fit(X, y)
    growth = seen[-1] - seen[0]
    halves = f"{seen[len(seen) // 2] - seen[0]:+.1f}"
    verdict = "below" if growth < LIMIT else "above"
    print(
        f"| {keras.config.backend()} | {space} | {seen[0]:.0f} | {halves} | {growth:+.1f} | "
        f"{verdict} {LIMIT} | {time.perf_counter() - start:.0f} |",
        flush=True,
    )


def main() -> None:
    """Run both studies, or the one that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--space", choices=SPACES, help="run this study only, in this process")
    args = parser.parse_args()
    if args.space:
        study(args.space, args.trials)
        return
    heads = ("backend", "study", "MB after 1 trial", "growth at half, MB", "at the end, MB")
    print(f"| {' | '.join((*heads, 'limit', 'seconds'))} |\n{'|---' * 7}|", flush=True)
    for space in SPACES:
        words = [sys.executable, __file__, "--space", space, "--trials", str(args.trials)]
        subprocess.run(words, check=True)


if __name__ == "__main__":
    main()
