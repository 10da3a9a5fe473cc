"""Several tasks on one random network, against a network of its own for each.

    python examples/tasks.py
    python examples/tasks.py --budget cpu --data-dir FOLDER --out docs/results

The base is drawn from a seed and never trained. Each task owns its trained parameters, statistics
and head, and training one leaves the others bit-identical (Rosenfeld and Tsotsos 2018, arXiv
1802.00844, name this use). `cpu` takes parts of MNIST, Fashion-MNIST and CIFAR-10 (in gray, cut to
28 x 28; for the wide_resnet all are averaged to 14 x 14); `tiny` takes digits, the even ones only,
and digits inverted.
"""

from __future__ import annotations

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
    """Make tasks of digits."""
    X, y, X_test, y_test = common.images("digits", args, 200, 100)
    even, even_test = y % 2 == 0, y_test % 2 == 0
    return {
        "digits": (X, y, X_test, y_test),
        "even": (X[even], y[even], X_test[even_test], y_test[even_test]),
        "inverted": (1 - X, y, 1 - X_test, y_test),
    }


def real_tasks(args, setting: dict, shrink: int) -> dict[str, tuple]:
    """Load parts of three data sets as gray images of one size."""
    gray = np.array([0.299, 0.587, 0.114], np.float32)
    found = {}
    for name in ("mnist", "fashion_mnist", "cifar10"):
        parts = list(common.images(name, args, setting["train"], setting["test"]))
        for i in (0, 2):
            if name == "cifar10":
                parts[i] = (parts[i][:, 2:30, 2:30] @ gray)[..., None]
            parts[i] = common.shrunk(parts[i], shrink)
        found[name] = tuple(parts)
    return found


def on_one_base(network: tuple, tasks: dict[str, tuple], settings: dict) -> dict:
    """Learn one task after the other on one base, and see that none is forgotten."""
    models: dict[str, PartialNetClassifier] = {}
    said: dict[str, bytes] = {}
    for name, (X, y, X_test, _) in tasks.items():
        if not models:
            model = PartialNetClassifier(network[0], model_params=network[1], **settings)
        else:
            model = PartialNetClassifier(next(iter(models.values())).base_, **settings)
        models[name] = model.fit(X, y)
        said[name] = model.predict_proba(X_test).tobytes()
    for name, (_, _, X_test, _) in tasks.items():
        if models[name].predict_proba(X_test).tobytes() != said[name]:
            raise RuntimeError(f"{name} was forgotten")
    return {**scores(models, tasks), "bytes": common.file_size(models)}


def on_their_own(network: tuple, tasks: dict[str, tuple], settings: dict) -> dict:
    """Learn each task with a network of its own, all of it."""
    models = {
        name: PartialNetClassifier(network[0], model_params=network[1], **settings).fit(X, y)
        for name, (X, y, _, _) in tasks.items()
    }
    return {**scores(models, tasks), "bytes": sum(map(common.file_size, models.values()))}


def scores(models: dict, tasks: dict[str, tuple]) -> dict:
    """Return the test accuracy of each task, and what was learned for all."""
    found = {name: float(models[name].score(*tasks[name][2:])) for name in tasks}
    return {**found, "trainable": sum(map(common.trainable, models.values()))}


def main(given=None) -> list[common.Row]:
    args = common.arguments(__doc__, given)
    setting, tiny = SETTINGS[args.budget], args.budget == "tiny"
    networks = ["mlp"] if tiny else ["lenet5", "wide_resnet"]
    tasks = {
        net: tiny_tasks(args) if tiny else real_tasks(args, setting, setting["shrink"][net])
        for net in networks
    }
    parts = ["a tenth"] if tiny else list(PARTS)
    cases = [(net, part) for net in networks for part in [*parts, OWN]]
    rows = []
    for (net, part), seed in common.each(args, cases, "three tasks"):
        run = on_their_own if part == OWN else on_one_base
        trainable = PARTS.get(part, "everything()")
        settings = {"trainable": trainable, "epochs": setting["epochs"], "random_state": seed}
        found = run(NETWORKS[net], tasks[net], settings)
        rows.append({"network": net, "learned by each": part, "seed": seed, **found})
    names = list(tasks[networks[0]])
    of = (*names, "bytes")
    table = common.over_seeds(rows, ("network", "learned by each", "trainable"), of)
    about = {**setting, "networks": NETWORKS, "parts": PARTS}
    common.write(args, "tasks", about, table, rows, draw(table, networks, names))
    return table


def draw(table: list[common.Row], networks: list[str], tasks: list[str]):
    """Draw bars for each task, one picture for each network."""
    figure, pictures = common.figure(len(networks), width=4.8)
    for axes, net in zip(pictures, networks, strict=True):
        some = common.pick(table, network=net)
        for i, row in enumerate(some):
            x = np.arange(len(tasks)) + (i - (len(some) - 1) / 2) * 0.2
            y, sd = [row[name] for name in tasks], [row[f"{name} sd"] for name in tasks]
            label = f"{row['learned by each']}: {row['bytes'] / 1000:,.0f} kB"
            axes.bar(x, y, 0.18, yerr=sd, capsize=2, label=label)
        axes.set_xticks(range(len(tasks)), tasks)
        axes.set(title=net, xlabel="task", ylabel="test accuracy", ylim=(0, 1.45))
        axes.set_yticks(np.linspace(0, 1, 6))
        axes.legend(frameon=False, fontsize=8, title="learned by each; file of all three")
        axes.grid(alpha=0.25, axis="y")
    return figure


if __name__ == "__main__":
    main()
