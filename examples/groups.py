"""Train single groups of layers, and fractions of filters with and without batch norm.

    python examples/groups.py
    python examples/groups.py --budget cpu --data-dir FOLDER --out docs/results

Rosenfeld and Tsotsos (2018), Table 1: one group of convolutions is trained, with all scales
and offsets of batch normalization; a middle block gives a higher accuracy than the head. Figure 4:
scales and offsets matter if few filters are trained, and little from four tenths on. `cpu` uses
CIFAR-10 at 16 x 16 and small networks; `tiny` uses digits.
"""

from __future__ import annotations

from collections.abc import Sequence

import common

from frozenfit import PartialNetClassifier

GROUPS = {
    "batch norm": "batch_norm()",
    "conv1": "layers('conv1') | batch_norm()",
    "block1": "kernels().on('block1_*') | batch_norm()",
    "block2": "kernels().on('block2_*') | batch_norm()",
    "block3": "kernels().on('block3_*') | batch_norm()",
    "head": "head() | batch_norm()",
    "everything": "everything()",
}
PARTS = (1, 0.1, 0.4, 0.7)
NETWORKS = {
    "densenet": {"depth": 10, "growth": 12},
    "wide_resnet": {"depth": 10, "width": 1},
}
# Top-1 % on CIFAR-10 after 10 epochs of all 50,000 images, DenseNet-BC-100-12 and WRN-28-4.
PUBLISHED = {
    "densenet": [60.85, 64.76, 73.02, 72.95, 76.33, 68.63],
    "wide_resnet": [30.2, 30.93, 61.19, 76.32, 74.31, 37.03],
}
SETTINGS = {
    "tiny": {"data": "digits", "train": 200, "test": 100, "epochs": 1, "shrink": 1},
    "cpu": {"data": "cifar10", "train": 3000, "test": 2000, "epochs": 5, "shrink": 2},
}


def cases(tiny: bool) -> list[tuple[str, str, str]]:
    """Return the network, the name and the selector of each case."""
    if tiny:
        return [("wide_resnet", name, GROUPS[name]) for name in ("batch norm",)]
    listed = [(net, name, selector) for net in NETWORKS for name, selector in GROUPS.items()]
    for part in PARTS:
        filters = f"conv_filters({part}) | head()"
        listed.append(("wide_resnet", f"{part}", f"{filters} | batch_norm()"))
        listed.append(("wide_resnet", f"{part} without batch norm", filters))
    return listed


def summarize(rows: Sequence[common.Row]) -> list[common.Row]:
    return common.over_seeds(rows, ("network", "group", "trainable"), ("accuracy",))


def main(given=None) -> list[common.Row]:
    args = common.arguments(__doc__, given)
    if args.redraw:
        return common.redraw(args, "groups", summarize, draw)
    budget = SETTINGS[args.budget]
    sizes = budget["train"], budget["test"], budget["shrink"]
    X, y, X_test, y_test = common.images(budget["data"], args, *sizes)
    rows = []
    for (net, name, selector), seed in common.each(args, cases(args.budget == "tiny"), "groups"):
        clf = PartialNetClassifier(
            net,
            model_params=NETWORKS[net],
            trainable=selector,
            epochs=budget["epochs"],
            random_state=seed,
        ).fit(X, y)
        row = {"network": net, "group": name, "trainable": common.trainable(clf), "seed": seed}
        rows.append({**row, "accuracy": float(clf.score(X_test, y_test))})
    about = {**budget, "networks": NETWORKS, "groups": GROUPS, "published": PUBLISHED}
    return common.finish(args, "groups", about, rows, summarize, draw)


def draw(results: dict):
    """Plot the groups as bars, and the fractions with and without batch norm as curves."""
    table = results["summary"]
    figure, (bars, curves) = common.figure(2, width=5)
    groups = [name for name in GROUPS if common.pick(table, group=name)]
    for shift, (net, color) in enumerate((("densenet", "#1f6fb2"), ("wide_resnet", "#d95f02"))):
        some = [row for name in groups for row in common.pick(table, network=net, group=name)]
        x = [groups.index(row["group"]) + 0.4 * shift - 0.2 for row in some]
        sd = [row["accuracy sd"] for row in some]
        bars.bar(x, [r["accuracy"] for r in some], 0.38, yerr=sd, color=color, label=net, capsize=2)
    bars.set_xticks(range(len(groups)), groups, rotation=30, ha="right")
    bars.set(xlabel="trained together with batch norm", ylabel="test accuracy")
    names = [f"{part}" for part in PARTS if common.pick(table, group=f"{part}")]
    for suffix, label in (
        ("", "scales and offsets trained"),
        (" without batch norm", "scales and offsets frozen"),
    ):
        some = [common.pick(table, group=name + suffix)[0] for name in names]
        y, sd = [row["accuracy"] for row in some], [row["accuracy sd"] for row in some]
        curves.errorbar(names, y, yerr=sd, marker="o", capsize=3, label=label)
    curves.set(xlabel="trained filters: count (1) or fraction", ylabel="test accuracy, wide_resnet")
    for axes in (bars, curves):
        axes.grid(alpha=0.25, axis="y")
        axes.legend(frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    main()
