"""Accuracy against the number of trained filters, with frozen values random or zero.

    python examples/filter_fractions.py
    python examples/filter_fractions.py --budget cpu --data-dir FOLDER --out docs/results

Rosenfeld and Tsotsos (2018), Figures 1 and 3: a fraction or a count of every convolution's filters
is trained, together with the head and batch norm. Accuracy falls slowly, linearly in the logarithm
of the number of trained parameters; random frozen values are better than zeros if few parameters
are trained; networks with batch norm lose less than networks without. `cpu` uses CIFAR-10 at
16 x 16 and small networks of the three kinds; `tiny` uses digits.
"""

from __future__ import annotations

from collections.abc import Sequence

import common
import numpy as np

from frozenfit import PartialNetClassifier, plots

ALL = "all"
PARTS = (1, 5, 0.1, 0.4, 0.7, ALL)
FROZEN_VALUES = ("random", "zero")
NETWORKS = {
    "densenet": ("densenet", {"depth": 10, "growth": 12}),
    "wide_resnet": ("wide_resnet", {"depth": 10, "width": 1}),
    "lenet5": ("lenet5", {}),
}
SMALL = {"mlp": ("mlp", {"hidden_layer_sizes": (20,)})}
SETTINGS = {
    "tiny": {"data": "digits", "train": 200, "test": 100, "epochs": 1, "shrink": 1},
    "cpu": {"data": "cifar10", "train": 3000, "test": 2000, "epochs": 5, "shrink": 2},
}


def summarize(rows: Sequence[common.Row]) -> list[common.Row]:
    by = ("network", "filters", "frozen", "trainable", "fraction")
    return common.over_seeds(rows, by, ("accuracy",))


def lines(rows: Sequence[common.Row]) -> dict[str, plots.LogFit]:
    """Fit accuracy against the logarithm of the trained fraction, for random frozen values."""
    return {
        name: plots.fit_log_fraction(common.pick(rows, network=name, frozen="random"), "accuracy")
        for name in dict.fromkeys(row["network"] for row in rows)
    }


def main(given=None) -> list[common.Row]:
    args = common.arguments(__doc__, given)
    if args.redraw:
        return common.redraw(args, "filter_fractions", summarize, draw)
    budget = SETTINGS[args.budget]
    sizes = budget["train"], budget["test"], budget["shrink"]
    X, y, X_test, y_test = common.images(budget["data"], args, *sizes)
    tiny = args.budget == "tiny"
    networks = SMALL if tiny else NETWORKS
    cases = [
        (name, part, frozen)
        for name in networks
        for part in ((1, 0.4) if tiny else PARTS)
        for frozen in (("random",) if part == ALL else FROZEN_VALUES)
    ]
    rows = []
    for (name, part, frozen), seed in common.each(args, cases, "part of the filters"):
        network, params = networks[name]
        clf = PartialNetClassifier(
            network,
            model_params=params,
            trainable=selector(part),
            frozen=frozen,
            epochs=budget["epochs"],
            random_state=seed,
        ).fit(X, y)
        trainable = common.trainable(clf)
        rows.append(
            {"network": name, "filters": str(part), "frozen": frozen, "trainable": trainable}
        )
        rows[-1] |= {"fraction": trainable / common.total(clf), "seed": seed}
        rows[-1]["accuracy"] = float(clf.score(X_test, y_test))
    for name, fit in lines(rows).items():
        print(f"{name}: {fit.slope:.3f} per decade of trainable parameters, R² {fit.r2:.2f}")
    about = {**budget, "networks": networks}
    return common.finish(args, "filter_fractions", about, rows, summarize, draw)


def selector(part: float | str) -> str:
    return f"filters({part}) | head() | batch_norm()" if part != ALL else "everything()"


def draw(results: dict):
    """Plot accuracy against the fraction of trained parameters, one panel per network."""
    table, fits = results["summary"], lines(results["runs"])
    label = f"test accuracy, mean ± sd of {results['seeds']} seeds"
    figure, pictures = common.figure(len(fits), width=3.6)
    for axes, (name, line) in zip(pictures, fits.items(), strict=True):
        for frozen, color, marker in (("random", "#1f6fb2", "o"), ("zero", "#d95f02", "s")):
            some = common.pick(table, network=name, frozen=frozen)
            x, y = [row["fraction"] for row in some], [row["accuracy"] for row in some]
            sd = [row["accuracy sd"] for row in some]
            style = {"fmt": marker, "color": color, "capsize": 3, "label": f"frozen: {frozen}"}
            axes.errorbar(x, y, yerr=sd, **style)
            for row in some if frozen == "random" else ():
                place = row["fraction"], row["accuracy"]
                # Counts below and fractions above, because some of them nearly coincide.
                shift = (-3, -17) if row["filters"].isdigit() else (-7, 10)
                axes.annotate(row["filters"], place, shift, textcoords="offset points", size=8)
        ends = np.array([min(row["fraction"] for row in some), 1])
        fitted = line.intercept + line.slope * np.log10(ends)
        axes.plot(ends, fitted, color="#9a9a9a", zorder=0, label="line fitted to frozen: random")
        axes.set(xscale="log", xlabel="fraction of all parameters trained", ylabel=label)
        axes.set_title(f"{name}: {100 * line.slope:.1f} points per decade", fontsize=10)
        axes.set_xticks((0.03, 0.1, 0.3, 1), ("3 %", "10 %", "30 %", "100 %"))
        axes.minorticks_off()
        axes.grid(alpha=0.25)
    handles = pictures[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    return figure


if __name__ == "__main__":
    main()
