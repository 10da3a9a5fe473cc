"""How the estimators' defaults were chosen, and what they reach.

    python benchmarks/defaults.py choose --data TABULAR_FOLDER     # on training parts only
    python benchmarks/defaults.py table  --data TABULAR_FOLDER     # once, on the test parts

TABULAR_FOLDER holds one NAME.npz per data set with X, y and, where there is an official one,
`split` (0 train, 1 test). scikit-learn's digits need no file. Columns are standardized by the
training part. `refit` scores every combination of epochs, batch size and learning rate on a
fifth of the training part; `table` sets the defaults against scikit-learn's own defaults.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.base import is_classifier
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from frozenfit import PartialNetClassifier, PartialNetRegressor

GRID = {
    "epochs": (10, 20, 30),
    "batch_size": (32, 64, 128),
    "learning_rate": (0.001, 0.003, 0.006, 0.01, 0.02),
    "lr_schedule": (None, "cosine"),
}


def load(folder: Path) -> dict[str, tuple]:
    """Return train and test parts of every set: X_train, X_test, y_train, y_test."""
    X, y = load_digits(return_X_y=True)
    sets = {"digits": train_test_split(X / 16, y, test_size=0.3, random_state=0, stratify=y)}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as file:
            X, y = file["X"], file["y"]
            if "split" in file:
                train = file["split"] == 0
                sets[path.stem] = (X[train], X[~train], y[train], y[~train])
            else:
                stratify = y if np.issubdtype(y.dtype, np.integer) else None
                sets[path.stem] = train_test_split(
                    X, y, test_size=0.3, random_state=0, stratify=stratify
                )
    return sets


def is_labels(y: np.ndarray) -> bool:
    """Say whether y holds classes."""
    return np.issubdtype(y.dtype, np.integer)


def pipeline(y: np.ndarray, **settings):
    """Make the pipeline around the right partial net."""
    kind = PartialNetClassifier if is_labels(y) else PartialNetRegressor
    return make_pipeline(StandardScaler(), kind(**settings))


def refit(sets: dict, limit: int) -> list[dict]:
    """Score all combinations on a fifth of each training part."""
    rows = []
    for name, (X, _, y, _) in sets.items():
        labels = y if is_labels(y) else None
        parts = train_test_split(X, y, test_size=0.2, random_state=1, stratify=labels)
        fit_X, val_X, fit_y, val_y = parts
        fit_X, fit_y = fit_X[:limit], fit_y[:limit]
        for trainable, *values in itertools.product((0.1, 1.0), *GRID.values()):
            settings = dict(zip(GRID, values, strict=True))
            model = pipeline(y, trainable=trainable, random_state=0, **settings)
            start = time.process_time()
            score = model.fit(fit_X, fit_y).score(val_X, val_y)
            seconds = time.process_time() - start
            rows.append(
                {"set": name, "trainable": trainable, **settings, "score": score, "s": seconds}
            )
        print(name, "done", flush=True)
    return rows


def summarize(rows: list[dict]) -> None:
    """Print the mean validation score of each combination over all sets."""
    key = ("trainable", *GRID)
    groups: dict[tuple, list] = {}
    for row in rows:
        groups.setdefault(tuple(row[k] for k in key), []).append((row["score"], row["s"]))
    ranked = sorted(groups.items(), key=lambda item: -np.mean(item[1], axis=0)[0])
    print(*key, "mean score", "CPU s")
    for combination, values in ranked:
        score, seconds = np.mean(values, axis=0)
        print(*(f"{c!s:>6}" for c in combination), f"   {score:.4f}   {seconds:6.2f}")


def table(sets: dict, seeds: int) -> list[dict]:
    """Score the defaults on the test parts, mean and spread over seeds."""
    rows = []
    for name, (X, X_test, y, y_test) in sets.items():
        labels = is_labels(y)
        rivals = {
            "linear": partial(LogisticRegression, max_iter=1000) if labels else Ridge,
            "MLP": MLPClassifier if labels else MLPRegressor,
        }
        ours = {"trainable=0.1": 0.1, "trainable=1.0": 1.0}
        for label in (*rivals, *ours):
            scores, seconds = [], []
            for seed in range(seeds):
                if label in ours:
                    model = pipeline(y, trainable=ours[label], random_state=seed)
                else:
                    model = make_pipeline(StandardScaler(), rivals[label](random_state=seed))
                start = time.process_time()
                scores.append(model.fit(X, y).score(X_test, y_test))
                seconds.append(time.process_time() - start)
                if label == "linear":
                    break
            rows.append(
                {
                    "set": name,
                    "model": label,
                    "score": float(np.mean(scores)),
                    "sd": float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0,
                    "s": float(np.median(seconds)),
                    "kind": "accuracy" if is_classifier(model) else "R2",
                }
            )
        print(name, [(r["model"], round(r["score"], 4)) for r in rows[-4:]], flush=True)
    return rows


def print_markdown(rows: list[dict]) -> None:
    """Print the table as Markdown."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    print("| data set | " + " | ".join(models) + " |")
    print("|---" * (len(models) + 1) + "|")
    for name in dict.fromkeys(row["set"] for row in rows):
        cells = [
            f"{r['score']:.3f} ± {r['sd']:.3f} ({r['s']:.1f} s)" for r in rows if r["set"] == name
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")
    means = [np.mean([r["score"] for r in rows if r["model"] == model]) for model in models]
    print("| mean | " + " | ".join(f"{mean:.3f}" for mean in means) + " |")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("refit", "table"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=8000, help="training rows in `refit`")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the rows as JSON")
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    sets = load(args.data)
    rows = refit(sets, args.limit) if args.what == "refit" else table(sets, args.seeds)
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1))
    summarize(rows) if args.what == "refit" else print_markdown(rows)


if __name__ == "__main__":
    main()
