"""Several tasks on one random network, against an independently trained network for each.

python examples/tasks.py
python examples/tasks.py --budget cpu --data-dir FOLDER --out docs/results
"""

from __future__ import annotations

import time
from functools import partial

import lab
import numpy as np
from lab import figures

from frozenfit import PartialNetClassifier

NETWORKS = {
    "lenet5": ("lenet5", {"batch_norm": True}),
    "wide_resnet": ("wide_resnet", {"depth": 16, "width": 1}),
}
PARTS = {
    "head and batch norm": "head() | batch_norm()",
    "a tenth": "filters(0.1) | head() | batch_norm()",
    "four tenths": "filters(0.4) | head() | batch_norm()",
}
OWN = "a separate network"
IMAGES = ("mnist", "fashion_mnist", "cifar10")
SETTINGS = {
    "tiny": {
        "networks": {"mlp": ("mlp", {"hidden_layer_sizes": (20,), "batch_norm": True})},
        "parts": ("a tenth",),
        "tasks": ("digits", "inverted digits"),
        "train": 200,
        "test": 100,
        "epochs": 1,
        "rates": (0.006,),
    },
    "cpu": {
        "networks": {"lenet5": NETWORKS["lenet5"]},
        "parts": tuple(PARTS),
        "tasks": IMAGES,
        "train": 2000,
        "test": 4000,
        "epochs": 6,
        "rates": (0.006,),
    },
    "long": {
        "networks": NETWORKS,
        "parts": tuple(PARTS),
        "tasks": IMAGES,
        "train": 20000,
        "test": 10000,
        "epochs": 8,
        "rates": (0.002, 0.006, 0.02),
    },
}


def arms(settings):
    return [
        {"network": network, "trained by each": part}
        for network in settings["networks"]
        for part in (*settings["parts"], OWN)
    ]


def gray(task: str, seed: int, run) -> lab.Data:
    """Return the images of a task in gray, of one size for all tasks."""
    if run.settings["tasks"][0] == "digits":
        data = run.images(seed, "digits")
        inverted = data._replace(X=1 - data.X, X_test=1 - data.X_test)
        return inverted if task == "inverted digits" else data
    data = run.images(seed, task)
    if task != "cifar10":
        return data
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    X, X_test = ((part[:, 2:30, 2:30] @ weights)[..., None] for part in (data.X, data.X_test))
    return data._replace(X=X, X_test=X_test)


def run(arm, seed, run):
    """Train the tasks one after another, and check that none changes another."""
    network, params = run.settings["networks"][arm["network"]]
    trainable = PARTS.get(arm["trained by each"], "everything()")
    models, kept, values = {}, {}, {"seconds": []}
    for number, task in enumerate(run.settings["tasks"]):
        data = gray(task, seed, run)
        alone = arm["trained by each"] == OWN or not models
        base = network if alone else next(iter(models.values())).base_

        def make(rate, base=base, number=number, alone=alone):
            return PartialNetClassifier(
                base,
                model_params=params if alone else None,
                trainable=trainable,
                epochs=run.settings["epochs"],
                learning_rate=rate,
                lr_schedule="cosine",
                random_state=1000 * seed + number,
            )

        chosen = run.choose({**arm, "task": task}, make, data.X, data.y)
        start = time.process_time()
        models[task] = make(chosen["rate"]).fit(data.X, data.y)
        values["seconds"].append(round(time.process_time() - start, 2))
        probabilities = models[task].predict_proba(data.X_test)
        kept[task] = data.X_test[:500], probabilities[:500]
        values[task] = float((probabilities.argmax(1) == data.y_test).mean())
        values[f"rate, {task}"] = chosen["rate"]
    for task, (X_test, before) in kept.items():
        if not np.array_equal(models[task].predict_proba(X_test), before):
            raise RuntimeError(f"Training the other tasks changed the predictions of {task}.")
    values["cpu_seconds"] = sum(values["seconds"])
    values["parameters"] = sum(
        line[3] for model in models.values() for line in model.parameter_table()
    )
    one_file = arm["trained by each"] != OWN
    values["bytes"] = (
        lab.file_size(models) if one_file else sum(map(lab.file_size, models.values()))
    )
    values["mean"] = float(np.mean([values[task] for task in models]))
    return values


def claims(settings):
    for network in settings["networks"]:
        own = {"network": network, "trained by each": OWN}
        for part in settings["parts"]:
            arm = {"network": network, "trained by each": part}
            for task in settings["tasks"]:
                text = f"{network}, {task}: {part} − {OWN}"
                yield lab.Claim(text, arm, own, "not smaller", task)


EXPERIMENT = lab.Experiment(
    name="tasks",
    title="Can several tasks share one random network?",
    claim=(
        "Several tasks can be learned on one fixed network, each with a small set of "
        "parameters, without disturbing each other."
    ),
    source="Rosenfeld and Tsotsos (2018), arXiv:1802.00844, name this use and measure no task.",
    setting=(
        "The base is drawn from a seed and never trained. Each task has its trained parameters, "
        "statistics and head. CIFAR-10 is in gray and cropped to 28 x 28. After all tasks were "
        "trained, the predictions of each on 500 test images are compared bit for bit with those "
        "before; a difference would stop the experiment."
    ),
    settings=SETTINGS,
    arms=arms,
    run=run,
    claims=claims,
    table=lab.Table(
        ("network", "trained by each"),
        (*IMAGES, "digits", "inverted digits", "mean"),
        plain=("parameters", "bytes", "cpu_seconds"),
    ),
    figure=partial(
        figures.dots,
        lines="trained by each",
        panels="network",
        of="mean",
        label="mean test accuracy of the tasks, %",
        chance=0.1,
        width=6.5,
    ),
)

if __name__ == "__main__":
    lab.main(EXPERIMENT)
