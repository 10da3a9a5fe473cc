"""LeNet-5 on MNIST: everything trained, and each layer in turn frozen at random values.

    python examples/lenet_layers.py
    python examples/lenet_layers.py --budget cpu --data-dir FOLDER --out docs/results

Claim (a question on a forum, answered with random features): one frozen random layer, whichever,
changes neither the accuracy reached, 99 % and more, nor how fast it rises. `tiny` takes digits.
"""

from __future__ import annotations

import common

from frozenfit import PartialNetClassifier

LAYERS = ("conv1", "conv2", "dense1", "dense2", "head")
SETTINGS = {
    "tiny": {"data": "digits", "train": 200, "test": 100, "epochs": 2, "batch_size": 32},
    "cpu": {"data": "mnist", "train": 60000, "test": 10000, "epochs": 6, "batch_size": 64},
}


def main(given=None) -> list[common.Row]:
    args = common.arguments(__doc__, given)
    setting = SETTINGS[args.budget]
    X, y, X_test, y_test = common.images(setting["data"], args, setting["train"], setting["test"])
    cases = ("none", *LAYERS) if args.budget == "cpu" else ("conv2",)
    rows = []
    for frozen, seed in common.each(args, cases, "LeNet-5, one layer frozen"):
        clf = PartialNetClassifier(
            "lenet5",
            trainable=1.0 if frozen == "none" else f"~layers({frozen!r})",
            epochs=setting["epochs"],
            batch_size=setting["batch_size"],
            random_state=seed,
        )
        # The test part is watched epoch by epoch, and decides nothing.
        clf.fit(X, y, X_val=X_test, y_val=y_test)
        told = {"frozen": frozen, "seed": seed, "trainable": common.trainable(clf)}
        rows.append({**told, "accuracy": clf.history_["val_accuracy"]})
    table = common.over_seeds(rows, ("frozen", "trainable"), ("accuracy",))
    common.write(args, "lenet_layers", setting, table, rows, draw(table))
    return table


def draw(table: list[common.Row]):
    """Plot a curve for each frozen layer, and the accuracy of the last epoch."""
    figure, (curves, ends) = common.figure(2)
    for row in table:
        epochs = range(1, len(row["accuracy"]) + 1)
        curves.plot(epochs, row["accuracy"], marker="o", markersize=3, label=row["frozen"])
    names = [row["frozen"] for row in table]
    last = [row["accuracy"][-1] for row in table]
    ends.errorbar(names, last, yerr=[row["accuracy sd"][-1] for row in table], fmt="o", capsize=3)
    curves.set(xlabel="epoch", ylabel="test accuracy")
    curves.legend(title="frozen at random", frameon=False, fontsize=8)
    ends.set(xlabel="frozen at random", ylabel="test accuracy, last epoch (mean ± sd)")
    for axes in (curves, ends):
        axes.grid(alpha=0.25)
    return figure


if __name__ == "__main__":
    main()
