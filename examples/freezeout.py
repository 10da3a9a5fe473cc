"""FreezeOut: time saved and accuracy lost by freezing layers one after another.

    python examples/freezeout.py
    python examples/freezeout.py --budget cpu --data-dir FOLDER --out docs/results

Brock, Lim, Ritchie and Weston (2017), arXiv 1706.04983: up to a fifth of the time saved at a
relative loss of 3 %, for residual networks at none, for plain ones (VGG) nothing gained. The
earlier the first layer stops (t0), the more is saved. `cpu` uses a part of Fashion-MNIST, at
14 x 14 for the wide_resnet; `tiny` uses digits.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import common
import numpy as np

from frozenfit import FreezeOut, PartialNetClassifier

NETWORKS = {
    "wide_resnet": ("wide_resnet", {"depth": 10, "width": 1}, 2),
    "lenet5": ("lenet5", {}, 1),
    "mlp": ("mlp", {"hidden_layer_sizes": (20,)}, 1),
}
TIMES = (None, 0.9, 0.7, 0.5, 0.3)
SETTINGS = {
    "tiny": {"data": "digits", "train": 200, "test": 100, "epochs": 4, "how": "cubic"},
    "cpu": {"data": "fashion_mnist", "train": 2000, "test": 4000, "epochs": 10, "how": "cubic"},
}


def fitted(network: str, t0: float | None, budget: dict, seed: int, X, y) -> tuple:
    """Fit once; return the estimator and the CPU seconds."""
    name, params, _ = NETWORKS[network]
    clf = PartialNetClassifier(
        name,
        model_params=params,
        trainable=1.0,
        epochs=budget["epochs"],
        freeze_schedule=None if t0 is None else FreezeOut(t0, how=budget["how"], scale_lr=True),
        random_state=seed,
    )
    start = time.process_time()
    return clf.fit(X, y), time.process_time() - start


def summarize(rows: Sequence[common.Row]) -> list[common.Row]:
    of = ("accuracy", "cpu_s", "saving", "predicted saving")
    return common.over_seeds(rows, ("network", "t0"), of)


def main(given=None) -> list[common.Row]:
    args = common.arguments(__doc__, given)
    if args.redraw:
        return common.redraw(args, "freezeout", summarize, draw)
    budget, tiny = SETTINGS[args.budget], args.budget == "tiny"
    networks = ["mlp"] if tiny else ["wide_resnet", "lenet5"]
    sizes = budget["train"], budget["test"]
    data = {net: common.images(budget["data"], args, *sizes, NETWORKS[net][2]) for net in networks}
    rows = []
    cases = [(net, t0) for net in networks for t0 in (TIMES[::3] if tiny else TIMES)]
    for (net, t0), seed in common.each(args, cases, "FreezeOut"):
        X, y, X_test, y_test = data[net]
        if seed == 0:  # compiles every phase, so that the time below is that of training
            fitted(net, t0, budget, seed, X, y)
        clf, seconds = fitted(net, t0, budget, seed, X, y)
        row = {"network": net, "t0": t0, "seed": seed, "cpu_s": seconds}
        row["accuracy"] = float(clf.score(X_test, y_test))
        row["predicted saving"] = float(np.mean(clf.history_.get("predicted_saving", [0])))
        rows.append(row)
    for row in rows:  # against everything trained to the end, by the same seed
        (whole,) = common.pick(rows, network=row["network"], t0=None, seed=row["seed"])
        row["saving"] = 1 - row["cpu_s"] / whole["cpu_s"]
    return common.finish(args, "freezeout", {**budget, "networks": NETWORKS}, rows, summarize, draw)


def draw(results: dict):
    """Plot accuracy against the time saved, one panel per network."""
    table = results["summary"]
    networks = list(dict.fromkeys(row["network"] for row in table))
    figure, pictures = common.figure(len(networks))
    for axes, net in zip(pictures, networks, strict=True):
        for row in common.pick(table, network=net):
            x, y = 100 * row["saving"], row["accuracy"]
            spread = {"xerr": 100 * row["saving sd"], "yerr": row["accuracy sd"]}
            axes.errorbar(x, y, **spread, fmt="o", capsize=3, color="#1f6fb2")
            name = "everything" if row["t0"] is None else f"t0 = {row['t0']}"
            axes.annotate(name, (x, y), (6, 6), textcoords="offset points", size=8)
        axes.set(xlabel="CPU time saved, %", ylabel="test accuracy", title=net)
        axes.margins(x=0.25, y=0.15)
        axes.grid(alpha=0.25)
    return figure


if __name__ == "__main__":
    main()
