"""See whether a search finds a network as accurate with a tenth of the learned weights.

    python examples/search.py --budget cpu --data TABULAR_FOLDER --out results
    python examples/search.py --budget tiny

For digits and, where ``--data`` names the folder with satimage.npz and pendigits.npz, two tabular
sets: a network with everything learned at its defaults is cross-validated; then 40 trials search
what fraction of a like network to learn, at most a tenth, with learning rate and epochs. Both are
fitted on the training part and scored on a test part that no trial saw. ``--out`` gets a JSON with
figures and settings, and one picture per set.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
from optuna.distributions import CategoricalDistribution as OneOf
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from frozenfit import PartialNetClassifier, plots, search

SPACE = {
    "kind": "random",
    "fill": "random",
    "fraction": OneOf((0.01, 0.02, 0.03, 0.05, 0.07, 0.1)),
    "learning_rate": OneOf(("auto", 0.003, 0.02, 0.04)),
    "epochs": OneOf((20, 40, 60)),
}
DIRECTIONS = {
    "front": {"score": "maximize", "learned": "minimize"},
    "score": {"score": "maximize"},
}


def load(folder: Path | None) -> dict[str, tuple]:
    """Return X_train, X_test, y_train, y_test of every set."""
    X, y = load_digits(return_X_y=True)
    sets = {"digits": train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)}
    for name in ("satimage", "pendigits") if folder else ():
        with np.load(folder / f"{name}.npz") as file:
            X, y, train = file["X"], file["y"], file["split"] == 0
        sets[name] = (X[train], X[~train], y[train], y[~train])
    return sets


def network(width: int, seed: int, **settings):
    """Make a pipeline with a network of one hidden layer."""
    params = {"hidden_layer_sizes": (width,)}
    net = PartialNetClassifier(model_params=params, random_state=seed, **settings)
    return make_pipeline(StandardScaler(), net)


def compare(parts: tuple, width: int, seed: int, trials: int, folds: int, **settings) -> tuple:
    """Search once, with at most a tenth learned; return a row of figures, and the search."""
    X, X_test, y, y_test = parts
    cv = StratifiedKFold(folds, shuffle=True, random_state=seed)
    whole = network(width, seed, learned=1.0)
    reference = float(cross_val_score(whole, X, y, cv=cv).mean())
    total = sum(row[-1] for row in whole.fit(X, y)[-1].learned_table())
    start = time.perf_counter()
    found = search.FreezeSearchCV(
        network(width, seed),
        n_trials=trials,
        space=SPACE,
        cv=cv,
        constraints=[f"learned <= {-(-total // 10)}"],
        random_state=seed,
        **settings,
    ).fit(X, y)
    row = {
        "width": width,
        "seed": seed,
        "all_learned": total,
        "all_cv": reference,
        "all_test": float(whole.score(X_test, y_test)),
        "found_learned": int(found.cv_results_["mean_learned"][found.best_index_]),
        "found_cv": float(found.best_score_),
        "found_test": float(found.score(X_test, y_test)),
        "params": {name.split("__")[1]: value for name, value in found.best_params_.items()},
        "seconds": round(time.perf_counter() - start, 1),
    }
    # The fewest weights whose cross-validated accuracy is that of the reference, if any has it.
    enough = [r["learned"] for r in search.table(found) if r["score"] >= reference]
    row["fewest_learned"] = int(min(enough)) if enough else None
    return row, found


def print_table(rows: list[dict]) -> None:
    """Print the mean over seeds, as Markdown."""
    heads = ("data set", "hidden units", "all learned: weights, CV, test")
    heads += ("found: weights, CV, test", "CV reached", "test reached")
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for key in dict.fromkeys((row["set"], row["width"]) for row in rows):
        some = [row for row in rows if (row["set"], row["width"]) == key]

        def told(name: str, some: list = some) -> str:
            values = [row[name] for row in some]
            return f"{np.mean(values):.4f} ± {np.std(values):.4f}"

        learned = sorted({row["found_learned"] for row in some})
        reached = [sum(r[f"found_{p}"] >= r[f"all_{p}"] for r in some) for p in ("cv", "test")]
        print(
            f"| {key[0]} | {key[1]} | {some[0]['all_learned']:,}, {told('all_cv')}, "
            f"{told('all_test')} | {learned[0]:,} to {learned[-1]:,}, {told('found_cv')}, "
            f"{told('found_test')} | {reached[0]} of {len(some)} | {reached[1]} of {len(some)} |"
        )


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--budget", choices=("tiny", "cpu"), default="tiny")
    parser.add_argument("--seeds", type=int, help="how many (default: 1 tiny, 3 cpu)")
    parser.add_argument("--data", type=Path, help="folder of satimage.npz and pendigits.npz")
    parser.add_argument("--width", type=int, nargs="+", help="hidden units (default: 1000)")
    told = "front: score and learned weights by NSGA-II; score: the score alone by TPE"
    parser.add_argument("--objective", choices=DIRECTIONS, default="front", help=told)
    parser.add_argument("--out", type=Path, help="folder for the JSON and the pictures")
    parser.add_argument("--verbose", type=int, default=1, help="0: no progress bar")
    args = parser.parse_args()
    tiny = args.budget == "tiny"
    trials, folds, widths = (3, 2, [30]) if tiny else (40, 3, [1000])
    asked = {"directions": DIRECTIONS[args.objective], "verbose": args.verbose}
    rows = []
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
    for name, parts in load(args.data).items():
        if tiny:
            parts = [part[:300] for part in parts]
        for width in args.width or widths:
            for seed in range(args.seeds or (1 if tiny else 3)):
                row, found = compare(parts, width, seed, trials, folds, **asked)
                rows.append({"set": name, **row})
                print(json.dumps(rows[-1]), flush=True)
            if args.out:
                table = search.table(found)
                pictures = plots.search_pictures(table, search.importances(found))
                for number, axes in enumerate(pictures.values()):
                    axes.figure.savefig(args.out / f"{name}-{width}-{number}.png", dpi=120)
    if args.out:
        settings = {
            "budget": args.budget,
            "objective": args.objective,
            "trials": trials,
            "folds": folds,
        }
        settings["backend"] = os.environ["KERAS_BACKEND"]
        text = json.dumps({"settings": settings, "rows": rows}, indent=1)
        (args.out / "search.json").write_text(text)
    print_table(rows)


if __name__ == "__main__":
    main()
