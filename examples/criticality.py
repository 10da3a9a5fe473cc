"""Critical and robust layers: one layer after another put back to earlier or to new values.

python examples/criticality.py
python examples/criticality.py --budget cpu --data-dir FOLDER --out docs/results
"""

from __future__ import annotations

from functools import lru_cache, partial

import keras
import lab
from lab import figures

from frozenfit import PartialNetClassifier
from frozenfit.analysis import layer_criticality

DENSE = ("mlp", {"hidden_layer_sizes": (256, 256, 256)}, ("dense1", "dense2", "dense3", "head"))
LENET = ("lenet5", {}, ("conv1", "conv2", "dense1", "dense2", "head"))
RESNET = (
    "resnet",
    {"depth": 14},
    ("conv1", *(f"block{b}_unit{u}_conv{c}" for b in (1, 2, 3) for u in (1, 2) for c in (1, 2))),
)
INITIAL, NEW = "epoch 0", "new random"
SETTINGS = {
    "tiny": {
        "networks": {
            "mlp, digits": ("digits", ("mlp", {"hidden_layer_sizes": (20,)}, ("dense1", "head")))
        },
        "epochs kept": (0, 1),
        "epochs": 2,
        "train": 200,
        "test": 100,
        "rates": (0.006,),
    },
    "cpu": {
        "networks": {"mlp, MNIST": ("mnist", DENSE), "lenet5, CIFAR-10": ("cifar10", LENET)},
        "epochs kept": (0, 1, 2, 5),
        "epochs": 10,
        "train": 5000,
        "test": 2000,
        "rates": (0.001, 0.002, 0.004),
    },
    "long": {
        "networks": {
            "mlp, MNIST": ("mnist", DENSE),
            "lenet5, CIFAR-10": ("cifar10", LENET),
            "resnet, CIFAR-10": ("cifar10", RESNET),
        },
        "epochs kept": (0, 1, 2, 5, 10),
        "epochs": 20,
        "train": 50000,
        "test": 10000,
        "rates": (0.001, 0.002, 0.004),
    },
}
for budget in SETTINGS.values():
    budget |= {"optimizer": "Adam, constant rate", "draws of new values": 3}


def arms(settings):
    listed = []
    columns = [f"epoch {epoch}" for epoch in settings["epochs kept"]] + [NEW]
    for network, (_, (*_, layers)) in settings["networks"].items():
        listed.append({"network": network, "layer": "none"})
        listed += [
            {"network": network, "layer": layer, "values": values}
            for layer in layers
            for values in columns
        ]
    return listed


class Snapshots(keras.callbacks.Callback):
    """The weights after some epochs."""

    def __init__(self, epochs):
        super().__init__()
        self.epochs, self.values = epochs, {}

    def on_epoch_end(self, epoch, logs=None):
        """Keep the weights."""
        if epoch + 1 in self.epochs:
            self.values[epoch + 1] = dict(self.model.assembled())


@lru_cache(maxsize=1)
def measured(network: str, seed: int, run):
    """Train a network once, and score it with each layer at each of the other values.

    Returns
    -------
    values : dict
        What describes the trained network.
    scores : dict
        Test accuracies by layer and column.
    """
    settings = run.settings
    name, (model, params, _) = settings["networks"][network]
    data = run.images(seed, name)

    def make(rate, epochs=()):
        return PartialNetClassifier(
            model,
            model_params=params,
            trainable=1.0,
            epochs=settings["epochs"],
            learning_rate=rate,
            lr_schedule=None,
            callbacks=[Snapshots(epochs)],
            random_state=seed,
        )

    chosen = run.choose({"network": network, "layer": "none"}, make, data.X, data.y)
    clf = make(chosen["rate"], settings["epochs kept"]).fit(data.X, data.y)
    kept = clf.callbacks_[-1].values
    score = partial(layer_criticality, clf, data.X_test, data.y_test)
    tables = {f"epoch {epoch}": score(values=kept.get(epoch)) for epoch in settings["epochs kept"]}
    draws = settings["draws of new values"]
    tables[NEW] = score(how="rerandomize", n_repeats=draws, random_state=seed)
    scores = {(row.layer, values): row.score for values, table in tables.items() for row in table}
    return chosen | {"trained": tables[NEW].score, "n_test": len(data.y_test)}, scores


def run(arm, seed, run):
    values, scores = measured(arm["network"], seed, run)
    if "values" not in arm:
        return values | {"accuracy": values["trained"]}
    accuracy = scores[arm["layer"], arm["values"]]
    lost = values["trained"] - accuracy
    return {"accuracy": accuracy, "lost": lost, "n_test": values["n_test"]}


def claims(settings):
    for network, (_, (model, _, layers)) in settings["networks"].items():
        trained = {"network": network, "layer": "none"}

        def at(layer, values, network=network):
            return {"network": network, "layer": layer, "values": values}

        first, *others = [name for name in layers if name != "head"]
        text = f"{network}, {first} {INITIAL} − trained"
        yield lab.Claim(text, at(first, INITIAL), trained, "smaller")
        if model == "mlp":
            for name in others:
                text = f"{network}, {name} {INITIAL} − trained"
                yield lab.Claim(text, at(name, INITIAL), trained, "not smaller")
            for name in (first, *others):
                text = f"{network}, {name} {NEW} − trained"
                yield lab.Claim(text, at(name, NEW), trained, "smaller")
        else:
            for name in others[1:] if model == "lenet5" else others:
                text = f"{network}, {INITIAL}: {first} − {name}"
                yield lab.Claim(text, at(first, INITIAL), at(name, INITIAL), "smaller")


EXPERIMENT = lab.Experiment(
    name="criticality",
    title="Which layers are critical?",
    claim=(
        "If one layer of a trained network is put back to its initial values, the accuracy falls "
        "to chance for critical layers and does not change for robust ones. In a network of three "
        "dense layers on MNIST the first is critical and the others are robust; none is robust to "
        "new random values. In convolutional networks early layers are critical and late ones "
        "robust."
    ),
    source="Zhang, Bengio and Singer (2019), arXiv:1902.01996.",
    setting=(
        "A network is trained completely. Then one layer after another gets the values that it had "
        'after some epochs (0: the initial ones) or "new random" values from its initializer, and '
        "all other layers keep their trained values. The network is not trained again. Accuracies "
        "with new values are means over draws. In LeNet-5, the first convolution is compared with "
        "the dense hidden layers."
    ),
    settings=SETTINGS,
    arms=arms,
    run=run,
    claims=claims,
    table=lab.Table(("network", "layer"), columns=("values",)),
    figure=partial(figures.cells, lines="layer", columns="values", panels="network"),
    published_setting={
        "networks": "three dense layers of 256 units; VGG; ResNet",
        "train": "60,000 of MNIST, 50,000 of CIFAR-10",
        "test": "10,000",
    },
    published_source="Figures and text; no numbers are taken from them here.",
)

if __name__ == "__main__":
    lab.main(EXPERIMENT)
