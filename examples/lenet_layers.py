"""LeNet-5 on MNIST: everything trained, and each layer in turn frozen at random values.

    python examples/lenet_layers.py
    python examples/lenet_layers.py --budget cpu --data-dir FOLDER --out docs/results

Claim (a question on a forum, answered with random features): freezing any single layer at random
values changes neither the final accuracy, 99 % and more, nor how fast it rises. `tiny` uses digits.
"""

from __future__ import annotations

from collections.abc import Sequence

import common

from frozenfit import PartialNetClassifier

LAYERS = ("conv1", "conv2", "dense1", "dense2", "head")
SETTINGS = {
    "tiny": {"data": "digits", "train": 200, "test": 100, "epochs": 2, "batch_size": 32},
    "cpu": {"data": "mnist", "train": 60000, "test": 10000, "epochs": 6, "batch_size": 64},
}


def summarize(rows: Sequence[common.Row]) -> list[common.Row]:
    return common.over_seeds(rows, ("frozen", "trainable"), ("accuracy",))


def main(given=None) -> list[common.Row]:
    args = common.arguments(__doc__, given)
    if args.redraw:
        return common.redraw(args, "lenet_layers", summarize, draw)
    budget = SETTINGS[args.budget]
    X, y, X_test, y_test = common.images(budget["data"], args, budget["train"], budget["test"])
    cases = ("none", *LAYERS) if args.budget == "cpu" else ("conv2",)
    rows = []
    for frozen, seed in common.each(args, cases, "LeNet-5, one layer frozen"):
        clf = PartialNetClassifier(
            "lenet5",
            trainable=1.0 if frozen == "none" else f"~layers({frozen!r})",
            epochs=budget["epochs"],
            batch_size=budget["batch_size"],
            random_state=seed,
        )
        # The test set is evaluated after each epoch, and decides nothing.
        clf.fit(X, y, X_val=X_test, y_val=y_test)
        row = {"frozen": frozen, "seed": seed, "trainable": common.trainable(clf)}
        rows.append(row | {"accuracy": clf.history_["val_accuracy"]})
    return common.finish(args, "lenet_layers", budget, rows, summarize, draw)


def draw(results: dict):
    """Plot a curve for each frozen layer, and the accuracy of the last epoch."""
    table = results["summary"]
    figure, (curves, ends) = common.figure(2)
    for row in table:
        epochs = range(1, len(row["accuracy"]) + 1)
        curves.plot(epochs, row["accuracy"], markersize=4, label=row["frozen"])
    names = [row["frozen"] for row in table]
    last = [row["accuracy"][-1] for row in table]
    ends.errorbar(names, last, yerr=[row["accuracy sd"][-1] for row in table], fmt="o", capsize=3)
    curves.set(xlabel="epoch", ylabel="test accuracy")
    curves.legend(title="frozen layer", frameon=False, fontsize=8)
    ends.set(xlabel="frozen layer", ylabel=f"last epoch, mean ± sd of {results['seeds']} seeds")
    for axes in (curves, ends):
        axes.grid(alpha=0.25)
    return figure


if __name__ == "__main__":
    main()
