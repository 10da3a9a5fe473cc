"""Transfer: how much of a trained network must be trained again for another task.

    python examples/transfer.py
    python examples/transfer.py --budget cpu --data-dir FOLDER --out docs/results

LeNet-5 with batch norm is trained completely on a source, converted to a plain Keras model, and
fine-tuned on a small target: one part of it, all of it, or the head first and then all of it
(LP-FT, Kumar et al. 2022, arXiv 2202.10054). Claims: a frozen pretrained network extracts good
features where there is little data; training more of it is better where there is more; both beat
training from scratch. Every target size gets the same number of steps. `cpu` uses MNIST: digits 0-4
to 5-9, and all digits to Fashion-MNIST; `tiny` uses digits.
"""

from __future__ import annotations

from collections.abc import Sequence

import common

from frozenfit import PartialNetClassifier

ARMS = {
    "head": "head()",
    "head, batch norm": "head() | batch_norm()",
    "head, conv1": "head() | batch_norm() | layers('conv1')",
    "head, conv2": "head() | batch_norm() | layers('conv2')",
    "head, dense": "head() | batch_norm() | layers('dense1', 'dense2')",
    "everything": "everything()",
    "head, then everything": "head()",
    "from scratch": "everything()",
}
PARAMS = {"batch_norm": True}
SETTINGS = {
    "tiny": {
        "network": "mlp",
        "source": ("digits", 300, 1),
        "sizes": (50,),
        "test": 200,
        "steps": 4,
    },
    "cpu": {
        "network": "lenet5",
        "source": ("mnist", 10000, 3),
        "sizes": (50, 500, 5000),
        "test": 4000,
        "steps": 1000,
    },
}


def halves(X, y) -> tuple[tuple, tuple]:
    """Split into the classes 0-4 and 5-9."""
    low = y < 5
    return (X[low], y[low]), (X[~low], y[~low])


def pairs(args, budget: dict) -> dict[str, tuple]:
    """Load source and target, training and test part."""
    name, count, _ = budget["source"]
    X, y, X_test, y_test = common.images(name, args, 2 * count, 2 * budget["test"])
    (first, second), (_, second_test) = halves(X, y), halves(X_test, y_test)
    tasks = {"digits 0-4 to 5-9": (first, second, second_test)}
    if args.budget == "cpu":
        data = common.images("fashion_mnist", args, count, budget["test"])
        tasks["MNIST to Fashion-MNIST"] = (X[:count], y[:count]), data[:2], data[2:]
    return tasks


def adapted(source, arm: str, X, y, budget: dict, seed: int) -> PartialNetClassifier:
    """Train on the target by one arm; `source` is the pretrained Keras model."""
    epochs = max(2, round(budget["steps"] / -(-len(X) // 32)))
    settings = {"trainable": ARMS[arm], "epochs": epochs, "random_state": seed}
    if arm == "from scratch":
        clf = PartialNetClassifier(budget["network"], model_params=PARAMS, **settings)
    else:
        clf = PartialNetClassifier(model=source, frozen="keep", **settings)
    if arm != "head, then everything":
        return clf.fit(X, y)
    # Half the epochs each; all of the network at a tenth of the usual rate.
    clf.set_params(epochs=epochs // 2).fit(X, y)
    clf.set_params(trainable="everything()", warm_start=True)
    return clf.set_params(learning_rate=0.0006, lr_schedule="cosine").fit(X, y)


def summarize(rows: Sequence[common.Row]) -> list[common.Row]:
    return common.over_seeds(rows, ("task", "samples", "arm", "trainable"), ("accuracy",))


def main(given=None) -> list[common.Row]:
    args = common.arguments(__doc__, given)
    if args.redraw:
        return common.redraw(args, "transfer", summarize, draw)
    budget = SETTINGS[args.budget]
    tasks = pairs(args, budget)
    trained = {}
    for task, seed in common.each(args, tasks, "sources"):
        source = PartialNetClassifier(
            budget["network"],
            model_params=PARAMS,
            trainable=1.0,
            epochs=budget["source"][2],
            random_state=100 + seed,
        )
        trained[task, seed] = source.fit(*tasks[task][0]).to_keras()
    arms = ARMS if args.budget == "cpu" else ("head, then everything",)
    cases = [(task, size, arm) for task in tasks for size in budget["sizes"] for arm in arms]
    rows = []
    for (task, size, arm), seed in common.each(args, cases, "targets"):
        (X, y), test = (part[:size] for part in tasks[task][1]), tasks[task][2]
        clf = adapted(trained[task, seed], arm, X, y, budget, seed)
        row = {"task": task, "samples": size, "arm": arm, "seed": seed}
        row |= {"trainable": common.trainable(clf), "accuracy": float(clf.score(*test))}
        rows.append(row)
    return common.finish(args, "transfer", {**budget, "arms": ARMS}, rows, summarize, draw)


def draw(results: dict):
    """Draw accuracy against the size of the target, one line per arm."""
    table = results["summary"]
    tasks = list(dict.fromkeys(row["task"] for row in table))
    figure, pictures = common.figure(len(tasks), width=5)
    for axes, task in zip(pictures, tasks, strict=True):
        for arm in dict.fromkeys(row["arm"] for row in table):
            some = common.pick(table, task=task, arm=arm)
            x, y = [row["samples"] for row in some], [row["accuracy"] for row in some]
            dashes = "--" if arm == "from scratch" else "-"
            sd = [row["accuracy sd"] for row in some]
            axes.errorbar(x, y, yerr=sd, capsize=3, ls=dashes, label=arm)
        axes.set(xscale="log", xlabel="target samples", ylabel="test accuracy", title=task)
        axes.grid(alpha=0.25)
    handles = pictures[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside right upper", frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    main()
