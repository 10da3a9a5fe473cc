"""A linear model, an ELM, a partial and a full network side by side: accuracy, seconds, bytes.

    python examples/side_by_side.py
    python examples/side_by_side.py --budget cpu --data-dir FOLDER --tabular FOLDER --out FOLDER

Claims: random features with a ridge (ELM) are more accurate than a linear model, and a network of
which a tenth of the filters is trained keeps most of the accuracy of the fully trained one. All
models have their default parameters. Tables are the .npz files under --tabular, with their official
split or 70 / 30; networks are `mlp`, and `lenet5` for the part of MNIST that `cpu` uses. `tiny`
uses digits.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Sequence
from pathlib import Path

import common
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from frozenfit import ELMClassifier, PartialNetClassifier

MODELS = ("linear", "ELM", "a tenth", "everything")
COLORS = ("#9a9a9a", "#2a9d6f", "#1f6fb2", "#d95f02")
SETTINGS = {
    "tiny": {"images": ("digits", 200, 100), "table_epochs": 1, "image_epochs": 1},
    "cpu": {"images": ("mnist", 10000, 10000), "table_epochs": 20, "image_epochs": 10},
}


def tables(folder: Path | None) -> dict[str, tuple]:
    """Load the classification sets of a folder: X, y, X_test, y_test."""
    sets = {}
    for path in sorted(folder.glob("*.npz")) if folder else ():
        with np.load(path) as file:
            X, y = file["X"], file["y"]
            if y.dtype.kind == "f":  # a regression
                continue
            if "split" in file:
                train = file["split"] == 0
                sets[path.stem] = X[train], y[train], X[~train], y[~train]
                continue
        parts = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)
        sets[path.stem] = parts[0], parts[2], parts[1], parts[3]
    return sets


def make(model: str, image: bool, epochs: int, seed: int):
    """Make one of the four models with its scaling; images are in [0, 1] already."""
    if model == "linear":
        rows = FunctionTransformer(lambda X: X.reshape(len(X), -1))
        return make_pipeline(rows if image else StandardScaler(), LogisticRegression())
    if model == "ELM":
        return make_pipeline(ELMClassifier(random_state=seed))
    trainable = 1.0 if model == "everything" else "filters(0.1) | head() | batch_norm()"
    settings = {"trainable": trainable, "epochs": epochs, "random_state": seed}
    if image:
        return make_pipeline(PartialNetClassifier("lenet5", **settings))
    network = {"model": "mlp", "model_params": {"hidden_layer_sizes": (100,)}}
    return make_pipeline(StandardScaler(), PartialNetClassifier(**network, **settings))


def measure(model, X, y, X_test, y_test) -> common.Row:
    """Fit and score a model, and measure its CPU seconds and its size in bytes."""
    start = time.process_time()
    model.fit(X, y)
    seconds = time.process_time() - start
    kept = model[-1]
    linear = isinstance(kept, LogisticRegression)
    size = len(pickle.dumps(kept)) if linear else common.file_size(kept)
    return {"accuracy": float(model.score(X_test, y_test)), "cpu_s": seconds, "bytes": size}


def summarize(rows: Sequence[common.Row]) -> list[common.Row]:
    table = common.over_seeds(rows, ("data", "model"), ("accuracy", "cpu_s", "bytes"))
    for row in table:  # the first fit of a shape compiles; the median is not affected
        times = [run["cpu_s"] for run in common.pick(rows, data=row["data"], model=row["model"])]
        row["cpu_s"] = round(float(np.median(times)), 3)
        del row["cpu_s sd"], row["bytes sd"]
        row["bytes"] = round(row["bytes"])
    return table


def main(given=None) -> list[common.Row]:
    flags = ("--tabular",), {"type": Path, "help": "folder of tables as .npz"}
    args = common.arguments(__doc__, given, flags)
    if args.redraw:
        return common.redraw(args, "side_by_side", summarize, draw)
    budget = SETTINGS[args.budget]
    name, train, test = budget["images"]
    data = {**tables(args.tabular), name: common.images(name, args, train, test)}
    rows = []
    cases = [(name, model) for name in data for model in MODELS]
    for (name, model), seed in common.each(args, cases, "four models"):
        image = name == budget["images"][0]
        epochs = budget["image_epochs" if image else "table_epochs"]
        measured = measure(make(model, image, epochs, seed), *data[name])
        rows.append({"data": name, "model": model, "seed": seed, **measured})
    return common.finish(args, "side_by_side", budget, rows, summarize, draw)


def draw(results: dict):
    """Plot accuracy, seconds and bytes, with a row of points for each data set."""
    table = results["summary"]
    names = list(dict.fromkeys(row["data"] for row in table))
    figure, pictures = common.figure(3, width=3.6, height=1.6 + 0.3 * len(names))
    titles = {
        "accuracy": "test accuracy",
        "cpu_s": "CPU seconds of a fit",
        "bytes": "bytes stored",
    }
    for axes, (what, title) in zip(pictures, titles.items(), strict=True):
        for model, color in zip(MODELS, COLORS, strict=True):
            some = common.pick(table, model=model)
            y = [len(names) - names.index(row["data"]) for row in some]
            axes.plot([row[what] for row in some], y, "o", color=color, label=model)
        axes.set_yticks(
            range(len(names), 0, -1), names if what == "accuracy" else [""] * len(names)
        )
        axes.set(xlabel=title, xscale="linear" if what == "accuracy" else "log")
        axes.grid(alpha=0.25)
    figure.legend(*pictures[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


if __name__ == "__main__":
    main()
