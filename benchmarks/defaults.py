"""How the estimators' defaults were chosen, and what they reach.

    python benchmarks/defaults.py choose --data FOLDER --out choose.jsonl  # on training parts only
    python benchmarks/defaults.py table --data FOLDER --out table.jsonl  # once, on the test parts

FOLDER holds one NAME.npz per data set with X, y, `categorical` (one flag per column) and, where
there is an official one, `split` (0 train, 1 test); else 30 % are the test part. scikit-learn's
digits need no file. Categories are one-hot encoded and other columns standardized, by the training
part. `choose` compares candidates on a fifth of each training part, `table` the defaults with those
of scikit-learn. Rows are appended to the file as they are measured, and a run that is started again
measures what is missing.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from frozenfit import PartialNetClassifier, PartialNetRegressor

FRACTIONS = (0.1, 1.0)
# The former rate and width, with which the number of epochs was chosen.
RATE = {"learning_rate": 0.01, "lr_schedule": "cosine"}
NARROW = {**RATE, "model_params": {"hidden_layer_sizes": (100,)}}
FIXED = {**NARROW, "epochs": 20}
SMOOTH = {"from_logits": True, "label_smoothing": 0.05}
CANDIDATES: dict[str, dict[str, Any]] = {
    "auto": NARROW,
    **{f"{n} epochs": {**FIXED, "epochs": n} for n in (5, 7, 10, 20)},
    **{f"learning rate {rate}": {**FIXED, "learning_rate": rate} for rate in (0.001, 0.003)},
    "batches of 128": {**FIXED, "batch_size": 128},
    **{f"weight decay {decay}": {**FIXED, "weight_decay": decay} for decay in (0.03, 0.1, 0.3)},
    "dropout 0.2": {**FIXED, "model_params": {"hidden_layer_sizes": (100,), "dropout": 0.2}},
    "label smoothing 0.05": {**FIXED, "loss": keras.losses.CategoricalCrossentropy(**SMOOTH)},
    "early stopping": {**FIXED, "early_stopping": True},
    "early stopping, patience 10": {**FIXED, "early_stopping": True, "patience": 10},
    "auto, 256 units": {**RATE, "model_params": {"hidden_layer_sizes": (256,)}},
    "auto, 512 units": RATE,
    "the defaults": {},
}
RIVALS = {
    "classes": {
        "LogisticRegression": lambda seed: LogisticRegression(max_iter=1000),
        "MLPClassifier": lambda seed: MLPClassifier(random_state=seed),
        "HistGradientBoosting": lambda seed: HistGradientBoostingClassifier(random_state=seed),
    },
    "numbers": {
        "Ridge": lambda seed: Ridge(),
        "MLPRegressor": lambda seed: MLPRegressor(random_state=seed),
        "HistGradientBoosting": lambda seed: HistGradientBoostingRegressor(random_state=seed),
    },
}


def load(folder: Path) -> Iterator[tuple[str, tuple, np.ndarray]]:
    """Yield name, (X_train, X_test, y_train, y_test) and the flags of categorical columns."""
    X, y = load_digits(return_X_y=True)
    parts = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)
    yield "digits", parts, np.zeros(X.shape[1], bool)
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as file:
            X, y, categorical = file["X"], file["y"], file["categorical"].astype(bool)
            if "split" in file:
                train = file["split"] == 0
                yield path.stem, (X[train], X[~train], y[train], y[~train]), categorical
                continue
        stratify = y if has_classes(y) else None
        parts = train_test_split(X, y, test_size=0.3, random_state=0, stratify=stratify)
        yield path.stem, parts, categorical


def has_classes(y: np.ndarray) -> bool:
    """Return whether y holds classes."""
    return np.issubdtype(y.dtype, np.integer)


def encoded(categorical: np.ndarray, *parts: np.ndarray) -> list[np.ndarray]:
    """Encode the columns by the first part."""
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer(
        [
            ("categories", encoder, np.flatnonzero(categorical)),
            ("numbers", StandardScaler(), np.flatnonzero(~categorical)),
        ]
    ).fit(parts[0])
    return [columns.transform(part).astype("float32") for part in parts]


def measured(model, X, y, X_new, y_new) -> dict[str, float]:
    """Fit a model, and score it on new samples."""
    start = time.process_time()
    model.fit(X, y)
    found = {"seconds": time.process_time() - start, "score": float(model.score(X_new, y_new))}
    if isinstance(model, PartialNetClassifier | PartialNetRegressor):
        found["epochs"] = model.n_iter_
    if has_classes(y):
        proba = model.predict_proba(X_new).astype(np.float64)
        proba /= proba.sum(axis=1, keepdims=True)
        labels = {"labels": model.classes_}
        one = proba.shape[1] == 2
        found["log_loss"] = float(log_loss(y_new, proba, **labels))
        found["auc"] = float(
            roc_auc_score(y_new, proba[:, 1])
            if one
            else roc_auc_score(y_new, proba, multi_class="ovr", **labels)
        )
    return found


class Rows:
    """Measured rows in a file; one is measured only if the file does not contain it."""

    def __init__(self, path: Path):
        self.path = path
        self.rows = [json.loads(line) for line in path.open()] if path.exists() else []

    def add(self, measure: Callable[[], dict], **key: Any) -> None:
        """Measure the row of a key, and append it."""
        if any(key.items() <= row.items() for row in self.rows):
            return
        row = {**key, **measure()}
        self.rows.append(row)
        with self.path.open("a") as file:
            print(json.dumps(row), file=file)


def net(y: np.ndarray, **settings):
    """Make the estimator for the targets."""
    return (PartialNetClassifier if has_classes(y) else PartialNetRegressor)(**settings)


def choose(folder: Path, rows: Rows, seeds: int, limit: int) -> None:
    """Measure the candidates on a fifth of each training part."""
    for name, (X, _, y, _), categorical in load(folder):
        if not has_classes(y):
            continue
        for seed in range(seeds):
            parts = train_test_split(X, y, test_size=0.2, random_state=100 + seed, stratify=y)
            A, B, a, b = (*encoded(categorical, parts[0][:limit], parts[1]), *parts[2:])
            data = A, a[:limit], B, b
            for rival in ("LogisticRegression", "MLPClassifier"):
                model = RIVALS["classes"][rival](seed)
                key = {"set": name, "model": rival, "seed": seed}
                rows.add(lambda m=model, d=data: measured(m, *d), **key)
            for candidate, settings in CANDIDATES.items():
                for fraction in FRACTIONS:
                    model = net(y, trainable=fraction, random_state=seed, **settings)
                    key = {"set": name, "model": f"{candidate}, {fraction}", "seed": seed}
                    rows.add(lambda m=model, d=data: measured(m, *d), **key)
        print(name, "done", flush=True)


def table(folder: Path, rows: Rows, seeds: int) -> None:
    """Measure the defaults and scikit-learn's on the test parts."""
    for name, (X, X_new, y, y_new), categorical in load(folder):
        A, B = encoded(categorical, X, X_new)
        rivals = RIVALS["classes" if has_classes(y) else "numbers"]
        for seed in range(seeds):
            models = {label: make(seed) for label, make in rivals.items()}
            for fraction in FRACTIONS:
                models[f"trainable={fraction}"] = net(y, trainable=fraction, random_state=seed)
            for label, model in models.items():
                key = {"set": name, "model": label, "seed": seed}
                rows.add(lambda m=model, d=(A, y, B, y_new): measured(m, *d), **key)
        print(name, "done", flush=True)


def print_means(rows: list[dict]) -> None:
    """Print each candidate's means over sets, and by how much it misses the linear model."""
    models, sets = (list(dict.fromkeys(row[k] for row in rows)) for k in ("model", "set"))
    loss = cells(rows, "log_loss")
    linear = "LogisticRegression"
    print("| candidate | accuracy | log loss | most above LogisticRegression | CPU s |")
    print("|---|---|---|---|---|")
    for model in models:
        mean = {k: np.mean([cells(rows, k)[s, model][0] for s in sets]) for k in COLUMNS}
        gap, where = max((loss[s, model][0] - loss[s, linear][0], s) for s in sets)
        print(
            f"| {model} | {mean['score']:.4f} | {mean['log_loss']:.4f} | {gap:+.3f} ({where}) "
            f"| {mean['seconds']:.2f} |"
        )


COLUMNS = {"score": "accuracy", "auc": "ROC AUC", "log_loss": "log loss", "seconds": "CPU s"}


def cells(rows: list[dict], column: str) -> dict[tuple[str, str], tuple[float, float]]:
    """Return mean and standard deviation over the seeds; the median of the seconds."""
    found: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if column in row:
            found.setdefault((row["set"], row["model"]), []).append(row[column])
    middle = np.median if column == "seconds" else np.mean
    spread = {key: float(np.std(v, ddof=1)) if len(v) > 1 else 0.0 for key, v in found.items()}
    return {key: (float(middle(v)), spread[key]) for key, v in found.items()}


def print_table(rows: list[dict]) -> None:
    """Print one Markdown table per measure: data sets by models."""
    for kind in ("classes", "numbers"):
        part = [row for row in rows if ("log_loss" in row) == (kind == "classes")]
        models, sets = (list(dict.fromkeys(row[k] for row in part)) for k in ("model", "set"))
        columns = COLUMNS if kind == "classes" else {"score": "R2", "seconds": "CPU s"}
        for column, title in columns.items():
            found = cells(part, column)
            print(
                f"\n| {title} | " + " | ".join(models) + " |\n" + "|---" * (len(models) + 1) + "|"
            )
            for name in sets:
                values = [found[name, model] for model in models]
                texts = (
                    f"{v:.1f}" if column == "seconds" else f"{v:.3f} ± {sd:.3f}" for v, sd in values
                )
                print(f"| {name} | " + " | ".join(texts) + " |")
            if len(sets) > 1:
                means = [np.mean([found[name, model][0] for name in sets]) for model in models]
                digits = 1 if column == "seconds" else 3
                print("| mean | " + " | ".join(f"{mean:.{digits}f}" for mean in means) + " |")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("choose", "table"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the file of measured rows")
    parser.add_argument("--limit", type=int, default=6000, help="training rows in `choose`")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    rows = Rows(args.out)
    if args.what == "choose":
        choose(args.data, rows, args.seeds, args.limit)
        print_means(rows.rows)
    else:
        table(args.data, rows, args.seeds)
        print_table(rows.rows)


if __name__ == "__main__":
    main()
