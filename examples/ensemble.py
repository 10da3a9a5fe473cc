"""Five members on one base, against their mean and against five independently trained networks.

    python examples/ensemble.py
    python examples/ensemble.py --budget cpu --data-dir FOLDER --out docs/results

A base is trained completely for some epochs, then five members train their part of it for some more
(Rosenfeld and Tsotsos 2018, arXiv 1802.00844, Table 4: the ensemble is better than its mean member,
the more so the more parameters are trained). The independent networks are trained completely for
the epochs of both. `cpu` uses digits, a part of Fashion-MNIST, and a part of CIFAR-10 at 16 x 16.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import common
import numpy as np

import frozenfit
from frozenfit.estimators.ensemble_report import classifier_report

HEAD = "head() | batch_norm()"
MEMBERS = 5
INDEPENDENT = "independent networks"
SUMMED = ("mean accuracy", "ensemble accuracy", "gain", "mean nll", "ensemble nll", "mean ece")
SUMMED += ("ensemble ece", "ensemble disagreement", "bytes", "cpu_s")
REPORTED = ("accuracy", "nll", "ece", "disagreement")
DENSENET = {"depth": 10, "growth": 12}
SETTINGS = {
    "tiny": {
        "digits, mlp(16)": {
            "model": "mlp",
            "params": {"hidden_layer_sizes": (16,)},
            "data": ("digits", 200, 100),
            "epochs": (1, 1),
            "trainable": [0.1],
        }
    },
    "cpu": {
        "digits, mlp(100)": {
            "model": "mlp",
            "params": {"hidden_layer_sizes": (100,)},
            "data": ("digits", 1257, 540),
            "epochs": (2, 8),
            "trainable": ["head()", 0.1, 0.4, 1.0],
        },
        "fashion_mnist, lenet5": {
            "model": "lenet5",
            "params": {},
            "data": ("fashion_mnist", 5000, 4000),
            "epochs": (1, 3),
            "trainable": ["head()", "filters(0.1) | head()", "filters(0.4) | head()", 1.0],
        },
        "digits, densenet(16)": {
            "model": "densenet",
            "params": {"depth": 16, "growth": 8},
            "data": ("digits", 1257, 540),
            "epochs": (2, 3),
            "trainable": [HEAD, 0.1, 0.4, 1.0],
        },
        "cifar10, densenet(10)": {
            "model": "densenet",
            "params": DENSENET,
            "data": ("cifar10", 2000, 2000, 2),
            "epochs": (2, 2),
            "trainable": [HEAD, 0.1, 0.4, 0.7, 1.0],
        },
    },
}


def cheap(case: dict, trainable, data: tuple, seed: int) -> dict:
    """Measure one cheap ensemble."""
    X, y, X_test, y_test = data
    start = time.process_time()
    member = frozenfit.PartialNetClassifier(
        case["model"],
        model_params=case["params"],
        trainable=trainable,
        epochs=case["epochs"][1],
    )
    ensemble = frozenfit.CheapEnsembleClassifier(
        member, MEMBERS, base_epochs=case["epochs"][0], random_state=seed
    ).fit(X, y)
    seconds = time.process_time() - start
    sizes = {"trainable": ensemble.n_trainable_, "bytes": common.file_size(ensemble)}
    return {**figures(ensemble.ensemble_report(X_test, y_test)), **sizes, "cpu_s": seconds}


def independent(case: dict, data: tuple, seed: int) -> dict:
    """Measure networks that share nothing and are trained completely."""
    X, y, X_test, y_test = data
    start = time.process_time()
    networks = [
        frozenfit.PartialNetClassifier(
            case["model"],
            model_params=case["params"],
            trainable=1.0,
            epochs=sum(case["epochs"]),
            random_state=1000 * seed + i,
        ).fit(X, y)
        for i in range(MEMBERS)
    ]
    seconds = time.process_time() - start
    probabilities = np.stack([network.predict_proba(X_test) for network in networks])
    sizes = {
        "trainable": sum(map(common.trainable, networks)),
        "bytes": sum(map(common.file_size, networks)),
    }
    return {**figures(classifier_report(probabilities, y_test)), **sizes, "cpu_s": seconds}


def figures(report: list) -> dict[str, float]:
    """Take the mean member and the ensemble out of a report."""
    rows = {row.member: row._asdict() for row in report}
    return {f"{who} {name}": rows[who][name] for who in ("mean", "ensemble") for name in REPORTED}


def summarize(rows: Sequence[common.Row]) -> list[common.Row]:
    return common.over_seeds(rows, ("data", "trained by each", "trainable"), SUMMED)


def main(given=None) -> list[common.Row]:
    args = common.arguments(__doc__, given)
    if args.redraw:
        return common.redraw(args, "ensemble", summarize, draw)
    settings = SETTINGS[args.budget]
    loaded = {}
    for name, case in settings.items():
        X, y, X_test, y_test = common.images(case["data"][0], args, *case["data"][1:])
        if case["model"] == "mlp":
            X, X_test = X.reshape(len(X), -1), X_test.reshape(len(X_test), -1)
        loaded[name] = X, y, X_test, y_test
    cases = [
        (name, part) for name in settings for part in [*settings[name]["trainable"], INDEPENDENT]
    ]
    rows = []
    for (name, part), seed in common.each(args, cases, f"{MEMBERS} members"):
        if part == INDEPENDENT:
            measured = independent(settings[name], loaded[name], seed)
        else:
            measured = cheap(settings[name], part, loaded[name], seed)
        gain = measured["ensemble accuracy"] - measured["mean accuracy"]
        rows.append({"data": name, "trained by each": str(part), "seed": seed, **measured})
        rows[-1]["gain"] = gain
    return common.finish(args, "ensemble", settings, rows, summarize, draw)


def draw(results: dict):
    """Draw mean member and ensemble against the part that each member trains."""
    table = results["summary"]
    names = list(dict.fromkeys(row["data"] for row in table))
    figure, pictures = common.figure(len(names), width=3.8)
    for axes, name in zip(pictures, names, strict=True):
        some = common.pick(table, data=name)
        for row, x in zip(some, range(len(some)), strict=True):
            for who, color, marker in (("mean", "#1f6fb2", "o"), ("ensemble", "#d95f02", "s")):
                y, sd = row[f"{who} accuracy"], row[f"{who} accuracy sd"]
                label = f"{who} of {MEMBERS}" if x == 0 else None
                axes.errorbar(x, y, yerr=sd, fmt=marker, color=color, capsize=3, label=label)
        labels = [row["trained by each"].replace("()", "").replace(" | ", ",\n") for row in some]
        labels = [label.replace(INDEPENDENT, "independent\nnetworks") for label in labels]
        axes.set_xticks(range(len(some)), labels, rotation=30, ha="right", fontsize=8)
        axes.set(title=name, xlabel="trained by each member", ylabel="test accuracy")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    main()
