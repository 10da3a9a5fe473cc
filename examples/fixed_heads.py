"""A last layer with fixed Hadamard or orthogonal directions, against a learned one.

python examples/fixed_heads.py
python examples/fixed_heads.py --budget cpu --data-dir FOLDER --out docs/results
"""

from __future__ import annotations

from functools import partial

import lab
from lab import figures

from frozenfit import PartialNetClassifier

LEARNED = "learned"
HEADS = (LEARNED, "hadamard", "orthogonal")
COMMON = {"batch_size": 32, "rates": (0.002, 0.006, 0.02), "optimizer": "Adam, cosine decay"}
IMAGES = ("fashion_mnist", "cifar10")
SETTINGS = {
    "tiny": {
        "network": "lenet5",
        "params": {},
        "data": ("digits",),
        "train": 200,
        "test": 100,
        "epochs": 1,
        **COMMON,
        "rates": (0.006,),
    },
    "cpu": {
        "network": "resnet",
        "params": {"depth": 8},
        "data": IMAGES,
        "train": 4000,
        "test": 4000,
        "shrink": 2,
        "epochs": 5,
        **COMMON,
    },
    "long": {
        "network": "resnet",
        "params": {"depth": 20},
        "data": IMAGES,
        "train": 50000,
        "test": 10000,
        "epochs": 10,
        **COMMON,
        "rates": (0.006,),
        "augment": "crop+flip",
    },
}


def arms(settings):
    return [{"data": data, "head": head} for data in settings["data"] for head in HEADS]


def run(arm, seed, run):
    settings, head = run.settings, arm["head"]
    network, params = settings["network"], settings["params"]
    if head != LEARNED:
        network, params = "fixed_head", {"network": network, "kind": head, **params}

    def make(rate):
        return PartialNetClassifier(
            network,
            model_params=params,
            trainable=1.0,
            epochs=settings["epochs"],
            batch_size=settings["batch_size"],
            learning_rate=rate,
            lr_schedule="cosine",
            augment=settings.get("augment"),
            random_state=seed,
        )

    return run.fit(arm, make, run.images(seed, arm["data"]))[1]


def claims(settings):
    for data in settings["data"]:
        learned = {"data": data, "head": LEARNED}
        for head in HEADS[1:]:
            arm = {"data": data, "head": head}
            yield lab.Claim(f"{data}: {head} − {LEARNED}", arm, learned, "equal")


EXPERIMENT = lab.Experiment(
    name="fixed_heads",
    title="Does a fixed Hadamard or orthogonal classifier cost accuracy?",
    claim=(
        "The last layer of a classifier need not be trained: with fixed directions and one "
        "trainable scale, the accuracy is that of a learned layer, within one point."
    ),
    source="Hoffer, Hubara and Soudry (2018), arXiv:1801.04540.",
    setting=(
        "Everything else is trained. A fixed head has C + 1 trainable parameters for C classes: "
        "its scale and biases. Features are divided by their length before it."
    ),
    settings=SETTINGS,
    arms=arms,
    run=run,
    claims=claims,
    table=lab.Table(("data", "head"), ("accuracy",), plain=("loss", "parameters", "cpu_seconds")),
    figure=partial(figures.dots, lines="head", panels="data", chance=0.1),
    published_setting={
        "network": "ResNet-56 on CIFAR-10",
        "train": "50,000",
        "optimizer": "momentum SGD",
        "epochs": "until the accuracy no longer rises",
    },
    published=(
        lab.Published({"data": "cifar10", "head": LEARNED}, 0.9303),
        lab.Published({"data": "cifar10", "head": "hadamard"}, 0.9314),
    ),
    published_source="Table 1 of the paper, ResNet-56; the orthogonal variant is in its code.",
)

if __name__ == "__main__":
    lab.main(EXPERIMENT)
