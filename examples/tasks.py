"""Several tasks on one random network, against an independently trained network for each.

    python examples/tasks.py
    python examples/tasks.py --budget cpu --data-dir FOLDER --out docs/results

The base is drawn from a seed and never trained. Each task owns its trained parameters, statistics
and head, and training one leaves the others bit-identical (Rosenfeld and Tsotsos 2018, arXiv
1802.00844, name this use). `cpu` uses parts of MNIST, Fashion-MNIST and CIFAR-10 (in gray, cropped
to 28 x 28; averaged to 14 x 14 for the wide_resnet); `tiny` uses digits, the even digits only, and
inverted digits.
"""

from __future__ import annotations

from collections.abc import Sequence

import common
import numpy as np

from frozenfit import PartialNetClassifier

NETWORKS = {
    "lenet5": ("lenet5", {"batch_norm": True}),
    "wide_resnet": ("wide_resnet", {"depth": 10, "width": 1}),
    "mlp": ("mlp", {"hidden_layer_sizes": (20,), "batch_norm": True}),
}
PARTS = {
    "head and batch norm": "head() | batch_norm()",
    "a tenth": "filters(0.1) | head() | batch_norm()",
    "four tenths": "filters(0.4) | head() | batch_norm()",
}
OWN = "everything, a network each"
SETTINGS = {
    "tiny": {"train": 200, "test": 100, "epochs": 1},
    "cpu": {"train": 3000, "test": 2000, "epochs": 5, "shrink": {"lenet5": 1, "wide_resnet": 2}},
}


def tiny_tasks(args) -> dict[str, tuple]:
    """Return three tasks made from digits."""
    X, y, X_test, y_test = common.images("digits", args, 200, 100)
    even, even_test = y % 2 == 0, y_test % 2 == 0
    return {
        "digits": (X, y, X_test, y_test),
        "even": (X[even], y[even], X_test[even_test], y_test[even_test]),
        "inverted": (1 - X, y, 1 - X_test, y_test),
    }


def real_tasks(args, budget: dict, shrink: int) -> dict[str, tuple]:
    """Load parts of three data sets as gray images of one size."""
    gray = np.array([0.299, 0.587, 0.114], np.float32)
    tasks = {}
    for name in ("mnist", "fashion_mnist", "cifar10"):
        parts = list(common.images(name, args, budget["train"], budget["test"]))
        for i in (0, 2):
            if name == "cifar10":
                parts[i] = (parts[i][:, 2:30, 2:30] @ gray)[..., None]
            parts[i] = common.shrunk(parts[i], shrink)
        tasks[name] = tuple(parts)
    return tasks


def on_one_base(network: tuple, tasks: dict[str, tuple], settings: dict) -> dict:
    """Train the tasks one after another on one base, and check that none changes another."""
    models: dict[str, PartialNetClassifier] = {}
    probabilities: dict[str, bytes] = {}
    for name, (X, y, X_test, _) in tasks.items():
        if not models:
            model = PartialNetClassifier(network[0], model_params=network[1], **settings)
        else:
            model = PartialNetClassifier(next(iter(models.values())).base_, **settings)
        models[name] = model.fit(X, y)
        probabilities[name] = model.predict_proba(X_test).tobytes()
    for name, (_, _, X_test, _) in tasks.items():
        if models[name].predict_proba(X_test).tobytes() != probabilities[name]:
            raise RuntimeError(f"Training the other tasks changed the predictions of {name}.")
    return {**scores(models, tasks), "bytes": common.file_size(models)}


def independent(network: tuple, tasks: dict[str, tuple], settings: dict) -> dict:
    """Train an independent network for each task, completely."""
    models = {
        name: PartialNetClassifier(network[0], model_params=network[1], **settings).fit(X, y)
        for name, (X, y, _, _) in tasks.items()
    }
    return {**scores(models, tasks), "bytes": sum(map(common.file_size, models.values()))}


def scores(models: dict, tasks: dict[str, tuple]) -> dict:
    """Return the test accuracy of each task, and the number of trained parameters of all."""
    accuracies = {name: float(models[name].score(*tasks[name][2:])) for name in tasks}
    return {**accuracies, "trainable": sum(map(common.trainable, models.values()))}


def summarize(rows: Sequence[common.Row]) -> list[common.Row]:
    by = ("network", "trained by each", "trainable")
    return common.over_seeds(rows, by, [name for name in rows[0] if name not in (*by, "seed")])


def main(given=None) -> list[common.Row]:
    args = common.arguments(__doc__, given)
    if args.redraw:
        return common.redraw(args, "tasks", summarize, draw)
    budget, tiny = SETTINGS[args.budget], args.budget == "tiny"
    networks = ["mlp"] if tiny else ["lenet5", "wide_resnet"]
    tasks = {
        net: tiny_tasks(args) if tiny else real_tasks(args, budget, budget["shrink"][net])
        for net in networks
    }
    parts = ["a tenth"] if tiny else list(PARTS)
    cases = [(net, part) for net in networks for part in [*parts, OWN]]
    rows = []
    for (net, part), seed in common.each(args, cases, "three tasks"):
        run = independent if part == OWN else on_one_base
        trainable = PARTS.get(part, "everything()")
        settings = {"trainable": trainable, "epochs": budget["epochs"], "random_state": seed}
        measured = run(NETWORKS[net], tasks[net], settings)
        rows.append({"network": net, "trained by each": part, "seed": seed, **measured})
    about = {**budget, "networks": NETWORKS, "parts": PARTS}
    return common.finish(args, "tasks", about, rows, summarize, draw)


def draw(results: dict):
    """Draw bars for each task, one panel per network."""
    table = results["summary"]
    networks = list(dict.fromkeys(row["network"] for row in table))
    others = ("network", "trained by each", "trainable", "bytes")
    tasks = [name for name in table[0] if name not in others and not name.endswith(" sd")]
    figure, pictures = common.figure(len(networks), width=4.8)
    for axes, net in zip(pictures, networks, strict=True):
        some = common.pick(table, network=net)
        for i, row in enumerate(some):
            x = np.arange(len(tasks)) + (i - (len(some) - 1) / 2) * 0.2
            y, sd = [row[name] for name in tasks], [row[f"{name} sd"] for name in tasks]
            label = f"{row['trained by each']}: {row['bytes'] / 1000:,.0f} kB"
            axes.bar(x, y, 0.18, yerr=sd, capsize=2, label=label)
        axes.set_xticks(range(len(tasks)), tasks)
        axes.set(title=net, xlabel="task", ylabel="test accuracy", ylim=(0, 1.45))
        axes.set_yticks(np.linspace(0, 1, 6))
        axes.legend(frameon=False, fontsize=8, title="trained by each; file of all three")
        axes.grid(alpha=0.25, axis="y")
    return figure


if __name__ == "__main__":
    main()
