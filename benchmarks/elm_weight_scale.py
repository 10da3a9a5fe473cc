"""Fixed weight scales of an ELM, and the one that leave-one-out chooses among them.

Reads files NAME.npz with arrays X and y. Where a set has an official split, only its training part
is used. At most ``--rows`` rows, 70 % of them for training, stratified, three seeds. Writes one
line of JSON per fit; ``--summarize FILE`` prints score and log loss of each scale and of the chosen
one, CPU seconds of scale 2 and of "loo", and the chosen scales. ``--test`` fits "auto" and "loo" on
the training parts and scores them on the official test parts.

    OPENBLAS_NUM_THREADS=1 python benchmarks/elm_weight_scale.py --data DIR --out FILE
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from elm_tabular import SETS
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from frozenfit import ELMClassifier, ELMRegressor
from frozenfit.elm.weight_scale import WEIGHT_SCALES

DEFAULT = 2.0


def one_set(path: Path, seed: int, n_rows: int, units: int, test: bool):
    """Yield the figures of each scale."""
    data = np.load(path, allow_pickle=False)
    X, y = data["X"], data["y"]
    if test and "split" not in data:
        return
    if "split" in data:
        first = data["split"] == 0
        B, b = X[~first], y[~first]
        X, y = X[first], y[first]
    regression = y.dtype.kind == "f"
    chosen = np.random.default_rng(seed).permutation(len(X))[:n_rows]
    X, y = X[chosen], y[chosen]
    if not regression:
        labels, counts = np.unique(y, return_counts=True)
        keep = np.isin(y, labels[counts > 1])
        X, y = X[keep], y[keep]
    A, a = X, y
    if not test:
        A, B, a, b = train_test_split(
            X, y, test_size=0.3, random_state=seed, stratify=None if regression else y
        )
    for scale in ("auto", "loo") if test else WEIGHT_SCALES:
        kind = ELMRegressor if regression else ELMClassifier
        model = kind(units, weight_scale=scale, random_state=seed)
        start = time.process_time()
        model.fit(A, a)
        found = {"set": path.stem, "seed": seed, "scale": scale, "loo": float(model.best_score_)}
        found["chosen"] = model.weight_scale_
        found["cpu_s"] = time.process_time() - start
        found["score"] = float(model.score(B, b))
        if not regression:
            found["nll"] = float(log_loss(b, model.predict_proba(B), labels=model.classes_))
        yield found


def summarize(path: Path) -> None:
    """Print score and log loss of each scale and of the chosen one, and CPU seconds."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    names = list(dict.fromkeys(line["set"] for line in lines))
    totals = []
    for name in names:
        runs = [[r for r in lines if (r["set"], r["seed"]) == (name, s)] for s in range(3)]
        runs = [run for run in runs if len(run) == len(WEIGHT_SCALES)]
        if not runs:
            continue
        best = [max(run, key=lambda r: r["loo"]) for run in runs]
        fixed = [next(r for r in run if r["scale"] == DEFAULT) for run in runs]
        row = []
        for key in ("score", "nll"):
            each = [np.mean([r.get(key, np.nan) for r in rs]) for rs in zip(*runs, strict=True)]
            of_best = np.mean([r.get(key, np.nan) for r in best])
            row += [*each, of_best]
        seconds = [np.mean([r["cpu_s"] for r in fixed])]
        seconds += [seconds[0] + np.mean([sum(r["cpu_s"] for r in run) for run in runs])]
        totals.append([*row, *seconds])
        scales = "/".join(f"{r['scale']:g}" for r in best)
        print(f"| {name} | " + " | ".join(f"{v:.4f}" for v in [*row, *seconds]) + f" | {scales} |")
    mean = np.mean([t for t, n in zip(totals, names, strict=False) if np.isfinite(t).all()], axis=0)
    print("| mean of classification | " + " | ".join(f"{v:.4f}" for v in mean) + " | |")


def main() -> None:
    """Measure, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of NAME.npz")
    parser.add_argument("--out", type=Path, help="file of JSON lines to write")
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--units", type=int, default=1000)
    parser.add_argument("--test", action="store_true", help="score on official test parts")
    parser.add_argument("--summarize", type=Path, help="file of JSON lines to read")
    options = parser.parse_args()
    if options.summarize is not None:
        summarize(options.summarize)
        return
    with options.out.open("w") as file:
        for seed in range(3):
            for name in SETS:
                path = options.data / f"{name}.npz"
                for found in one_set(path, seed, options.rows, options.units, options.test):
                    print(json.dumps(found), file=file, flush=True)


if __name__ == "__main__":
    main()
