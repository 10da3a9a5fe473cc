"""Hyperparameter search: the smallest trained fraction, and one fraction per block of a ResNet.

    python examples/search.py
    python examples/search.py --budget cpu --tabular FOLDER --out docs/results

For digits and, with --tabular FOLDER, four tabular data sets: a fully trained network with default
parameters is cross-validated. Then 40 trials search for the trained fraction (at most a tenth), the
learning rate and the number of epochs of the same network. Both are fitted on the training set and
evaluated on a test set that no trial saw. Finally, on digits as images, the search has one fraction
per block of a ResNet.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import common
import numpy as np
from optuna.distributions import CategoricalDistribution as OneOf
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from frozenfit import PartialNetClassifier, plots, search

SPACE = {
    "kind": "random",
    "frozen": "random",
    "fraction": OneOf((0.01, 0.02, 0.03, 0.05, 0.07, 0.1)),
    "learning_rate": OneOf(("auto", 0.003, 0.02, 0.04)),
    "epochs": OneOf((20, 40, 60)),
}
TABLES = ("satimage", "pendigits", "spambase", "bank_additional")
BLOCKS = ("block1_*", "block2_*", "block3_*")
DIRECTIONS = {
    "pareto": {"score": "maximize", "trainable": "minimize"},
    "score": {"score": "maximize"},
}
SETTINGS = {
    "tiny": {"train": 200, "trials": 2, "folds": 2, "width": [30], "blocks": None},
    "cpu": {
        "train": None,
        "trials": 40,
        "folds": 3,
        "width": [1000],
        "blocks": {"depth": 8, "epochs": 8, "trials": 12, "fractions": (0.1, 0.3, 1.0)},
    },
}


def load(folder: Path | None, count: int | None) -> dict[str, tuple]:
    """Return X_train, X_test, y_train, y_test of every set."""
    X, y = load_digits(return_X_y=True)
    sets: dict[str, tuple] = {}
    sets["digits"] = tuple(train_test_split(X, y, test_size=0.3, random_state=0, stratify=y))
    for name in TABLES if folder is not None else ():
        with np.load(folder / f"{name}.npz") as file:
            X, y = file["X"], file["y"]
            train = file["split"] == 0 if "split" in file else None
        if train is None:
            sets[name] = tuple(train_test_split(X, y, test_size=0.3, random_state=0, stratify=y))
        else:
            sets[name] = (X[train], X[~train], y[train], y[~train])
    return {name: tuple(part[:count] for part in parts) for name, parts in sets.items()}


def network(width: int, seed: int, **settings):
    """Make a pipeline with a network of one hidden layer."""
    params = {"hidden_layer_sizes": (width,)}
    net = PartialNetClassifier(model_params=params, random_state=seed, **settings)
    return make_pipeline(StandardScaler(), net)


def compare(parts: tuple, width: int, seed: int, budget: dict, directions: dict) -> common.Row:
    """Search once, with at most a tenth of the parameters trained; return a row of figures."""
    X, X_test, y, y_test = parts
    cv = StratifiedKFold(budget["folds"], shuffle=True, random_state=seed)
    whole = network(width, seed, trainable=1.0)
    reference = float(cross_val_score(whole, X, y, cv=cv).mean())
    total = common.total(whole.fit(X, y)[-1])
    start = time.process_time()
    fitted = search.FreezeSearchCV(
        network(width, seed),
        n_trials=budget["trials"],
        space=SPACE,
        cv=cv,
        directions=directions,
        constraints=[f"trainable <= {-(-total // 10)}"],
        random_state=seed,
    ).fit(X, y)
    row = {
        "all trainable": total,
        "all cv": reference,
        "all test": float(whole.score(X_test, y_test)),
        "found trainable": int(fitted.cv_results_["mean_trainable"][fitted.best_index_]),
        "found cv": float(fitted.best_score_),
        "found test": float(fitted.score(X_test, y_test)),
        "params": {name.split("__")[1]: value for name, value in fitted.best_params_.items()},
        "cpu_s": round(time.process_time() - start, 1),
    }
    # The smallest number of trained parameters that is as accurate as the reference, if any is.
    enough = [r["trainable"] for r in fitted.trials_table() if r["score"] >= reference]
    row["fewest trainable"] = int(min(enough)) if enough else None
    return row | {"trials": trials(fitted, "trainable", "score", "pareto_optimal")}


def trials(fitted, *keep: str) -> list[common.Row]:
    """Return some columns of the trials of a search."""
    return [{name: trial[name] for name in keep} for trial in fitted.trials_table()]


def search_blocks(parts: tuple, seed: int, budget: dict) -> common.Row:
    """Search one fraction per block of a ResNet; return a row of figures."""
    X, X_test, y, y_test = parts
    X, X_test = (part.reshape(-1, 8, 8, 1) / 16 for part in (X, X_test))
    blocks = budget["blocks"]
    params = {"model_params": {"depth": blocks["depth"]}, "epochs": blocks["epochs"]}
    fractions = {f"fraction {block}": OneOf(blocks["fractions"]) for block in BLOCKS}
    fitted = search.FreezeSearchCV(
        PartialNetClassifier("resnet", random_state=seed, **params),
        n_trials=blocks["trials"],
        space={
            "groups": BLOCKS,
            "leave": ("learning_rate", "frozen"),
            "kind": "filters",
            **fractions,
        },
        cv=StratifiedKFold(2, shuffle=True, random_state=seed),
        directions=DIRECTIONS["pareto"],
        random_state=seed,
    ).fit(X, y)
    row: common.Row = {"found trainable": common.trainable(fitted.best_estimator_)}
    row |= {
        "found cv": float(fitted.best_score_),
        "found test": float(fitted.score(X_test, y_test)),
    }
    row["importances"] = fitted.param_importances()
    return row | {"trials": trials(fitted, "trainable", "score", "pareto_optimal", "params")}


def summarize(rows: Sequence[common.Row]) -> list[common.Row]:
    of = ("all cv", "all test", "found trainable", "found cv", "found test", "cpu_s")
    compared = [row for row in rows if "data" in row]
    return common.over_seeds(compared, ("data", "width", "all trainable"), of)


def main(given=None) -> list[common.Row]:
    args = common.arguments(
        __doc__,
        given,
        (("--tabular", "--data"), {"type": Path, "help": "folder with satimage.npz and others"}),
        (
            ("--sets",),
            {"nargs": "+", "default": ["digits", *TABLES, "blocks"], "help": "data sets to run"},
        ),
        (("--width",), {"type": int, "nargs": "+", "help": "hidden units (default: 1000)"}),
        (("--objective",), {"choices": DIRECTIONS, "default": "pareto"}),
    )
    if args.redraw:
        return common.redraw(args, "search", summarize, draw)
    budget = SETTINGS[args.budget] | {"objective": args.objective}
    sets = load(args.tabular, budget["train"])
    cases = [
        (name, width)
        for name in args.sets
        if name in sets
        for width in args.width or budget["width"]
    ]
    rows: list[common.Row] = []
    for (name, width), seed in common.each(args, cases, "searches"):
        row = compare(sets[name], width, seed, budget, DIRECTIONS[args.objective])
        rows.append({"data": name, "width": width, "seed": seed, **row})
    blocks: list[common.Row] = []
    wanted = budget["blocks"] and "blocks" in args.sets
    for _, seed in common.each(args, ["blocks"] if wanted else [], "blocks"):
        blocks.append({"seed": seed, **search_blocks(sets["digits"], seed, budget)})
    return common.finish(args, "search", budget, [*rows, *blocks], summarize, draw)


def draw(results: dict):
    """Plot the Pareto fronts of the last seed, and the importances of the blocks."""
    last = {(row.get("data"), row.get("width")): row for row in results["runs"]}
    blocks = last.get((None, None))
    figure, pictures = common.figure(len(last) + bool(blocks), columns=4)
    for axes, ((name, width), row) in zip(pictures, last.items(), strict=False):
        plots.pareto_front(row["trials"], ax=axes)
        axes.set_title(f"{name}, mlp({width})" if name else "digits, resnet: fractions by block")
    if blocks:
        title = "digits, resnet: fractions by block"
        plots.importances(blocks["importances"], title=title, ax=pictures[len(last)])
    return figure


if __name__ == "__main__":
    main()
