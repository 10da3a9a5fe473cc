"""Cheap ensembles against their mean member, one network, and ensembles of independent networks.

python examples/ensembles.py
python examples/ensembles.py --budget cpu --data-dir FOLDER --out docs/results
"""

from __future__ import annotations

import time
from functools import partial

import lab
import numpy as np
from lab import figures
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from frozenfit import CheapEnsembleClassifier, PartialNetClassifier

HEAD = "head() | batch_norm()"
MEMBERS = 5
DEEP = "independent networks"
DIGITS_MLP = {
    "model": "mlp",
    "params": {"hidden_layer_sizes": (100,)},
    "data": ("digits", 1000, 540),
    "epochs": (2, 8),
    "trained": ("head()", 0.1, 0.4, 1.0),
}
FASHION = {
    "model": "lenet5",
    "params": {},
    "data": ("fashion_mnist", 4000, 10000),
    "epochs": (1, 3),
    "trained": ("head()", 0.1, 0.4, 1.0),
}
CIFAR = {
    "model": "densenet",
    "params": {"depth": 16, "growth": 12},
    "data": ("cifar10", 50000, 10000),
    "epochs": (1, 1),
    "trained": (HEAD, 0.1, 0.4, 0.7, 1.0),
}
TINY = {**DIGITS_MLP, "data": ("digits", 200, 100), "epochs": (1, 1), "trained": (0.1,)}
CASES = {
    "tiny": {"digits, mlp": TINY},
    "cpu": {"digits, mlp": DIGITS_MLP, "Fashion-MNIST, lenet5": FASHION},
    "long": {
        "digits, mlp": DIGITS_MLP,
        "Fashion-MNIST, lenet5": {**FASHION, "data": ("fashion_mnist", 60000, 10000)},
        "CIFAR-10, densenet": CIFAR,
    },
    "gpu": {"CIFAR-10, densenet": {**CIFAR, "params": {"depth": 100, "growth": 12}}},
}
# How many independent networks have as many parameters as the base and five members together, at
# most five: what `run` finds, which raises an error where it finds something else.
EQUAL_PARAMETERS = {
    "mlp": {"head()": 1, "0.1": 2, "0.4": 3, "1.0": 5},
    "lenet5": {"head()": 1, "0.1": 1, "0.4": 3, "1.0": 5},
    "densenet": {HEAD: 1, "0.1": 1, "0.4": 2, "0.7": 4, "1.0": 5},
}
SETTINGS = {
    budget: {
        "cases": cases,
        "members": 2 if budget == "tiny" else MEMBERS,
        "optimizer": "adam, cosine decay",
        "rates": (0.006,) if budget == "tiny" else (0.002, 0.006, 0.02),
    }
    for budget, cases in CASES.items()
}


def arms(settings):
    return [
        {"data": name, "trained by each": str(part)}
        for name, case in settings["cases"].items()
        for part in (*case["trained"], DEEP)
    ]


def selector(part: str):
    """Return filters for a fraction, and any other text as it is."""
    if part[0].isdigit() and float(part) < 1:
        return f"filters({part}) | head() | batch_norm()"
    return 1.0 if part == "1.0" else part


def run(arm, seed, run):
    case, part = run.settings["cases"][arm["data"]], arm["trained by each"]
    name, train, test = case["data"]
    data = run.images(seed, name, train, test)
    data = data.flat() if case["model"] == "mlp" else data
    base, more = case["epochs"]
    count = run.settings["members"]

    def network(rate, trainable, epochs, number=0):
        return PartialNetClassifier(
            case["model"],
            model_params=case["params"],
            trainable=trainable,
            epochs=epochs,
            learning_rate=rate,
            lr_schedule="cosine",
            random_state=1000 * seed + number,
        )

    def cheap(rate):
        member = network(rate, selector(part), more)
        return CheapEnsembleClassifier(member, count, base_epochs=base, random_state=seed)

    def one(rate):
        return network(rate, 1.0, base + more)

    # A tenth of the training sample fits the temperature of every ensemble, and nothing else.
    X, X_val, y, y_val = train_test_split(
        data.X, data.y, test_size=0.1, stratify=data.y, random_state=0
    )
    values = run.choose(arm, one if part == DEEP else cheap, X, y)
    rate = values["rate"]
    start = time.process_time()
    if part == DEEP:
        members = [network(rate, 1.0, base + more, i).fit(X, y) for i in range(count)]
        values["cpu_seconds"] = time.process_time() - start
        proba, proba_val = (
            np.stack([member.predict_proba(part) for member in members])
            for part in (data.X_test, X_val)
        )
        values["bytes"] = sum(map(lab.file_size, members))
        trained = sum(line[3] for member in members for line in member.parameter_table())
        for k in range(1, count + 1):  # ensembles of the first k networks
            labels = members[0].classes_[proba[:k].mean(0).argmax(1)]
            values[f"{k} networks"] = float((labels == data.y_test).mean())
            mean, mean_val = proba[:k].mean(0), proba_val[:k].mean(0)
            values[f"{k} networks, log loss"] = tempered(mean_val, y_val, mean, data.y_test)
    else:
        ensemble = cheap(rate).fit(X, y)
        values["cpu_seconds"] = time.process_time() - start
        members = ensemble.estimators_
        proba = np.stack([member.predict_proba(data.X_test) for member in members])
        proba_val = np.stack([member.predict_proba(X_val) for member in members])
        values["bytes"], trained = lab.file_size(ensemble), ensemble.n_trainable_
        total = sum(line[4] for line in members[0].parameter_table())
        # What the same parameters (base and members), and the same epochs, pay for independently.
        equal = bounded((total + trained) / total, count)
        if count == MEMBERS and equal != EQUAL_PARAMETERS[case["model"]][part]:
            raise RuntimeError(f"{equal} networks have as many parameters as {arm}.")
        values["networks of equal parameters"] = equal
        values["networks of equal epochs"] = bounded((base + count * more) / (base + more), count)
    labels = members[0].classes_[proba.argmax(2)]
    values["mean member"] = float((labels == data.y_test).mean())
    chosen = members[0].classes_[proba.mean(0).argmax(1)]
    values["accuracy"] = float((chosen == data.y_test).mean())
    values["gain"] = values["accuracy"] - values["mean member"]
    values["loss"] = tempered(proba_val.mean(0), y_val, proba.mean(0), data.y_test)
    return values | {"parameters": int(trained), "n_test": len(data.y_test)}


def bounded(networks: float, most: int) -> int:
    """Return how many whole networks that is, at least one."""
    return max(1, min(most, int(networks + 1e-9)))


def tempered(proba_val, y_val, proba, y) -> float:
    """Return the log loss after one temperature was fitted to held-out samples."""
    log_val, log_test = (np.log(np.maximum(p, 1e-12)) for p in (proba_val, proba))

    def loss(log_t, logs, labels):
        scaled = logs / np.exp(log_t)
        scaled = np.exp(scaled - scaled.max(1, keepdims=True))
        scaled /= scaled.sum(1, keepdims=True)
        return float(log_loss(labels, scaled, labels=np.arange(logs.shape[1])))

    best = minimize_scalar(loss, (-2, 2), args=(log_val, y_val), bounds=(-2, 2), method="bounded")
    return loss(best.x, log_test, y)


def claims(settings):
    count = settings["members"]
    for name, case in settings["cases"].items():
        base, more = case["epochs"]
        equal = bounded((base + count * more) / (base + more), count)
        deep = {"data": name, "trained by each": DEEP}
        for part in case["trained"]:
            arm = {"data": name, "trained by each": str(part)}
            both = ("accuracy", "mean member")
            yield lab.Claim(f"{name}, {part}: ensemble − mean member", arm, arm, "larger", both)
            text = f"{name}, {part}: ensemble − one independent network"
            yield lab.Claim(text, arm, deep, "larger", ("accuracy", "mean member"))
            text = f"{name}, {part}: ensemble − {equal} independent networks (equal epochs)"
            yield lab.Claim(text, arm, deep, "not smaller", ("accuracy", f"{equal} networks"))
            few = EQUAL_PARAMETERS[case["model"]][str(part)]
            if 1 < few <= count:  # one network is compared above
                text = f"{name}, {part}: ensemble − {few} independent networks (equal parameters)"
                yield lab.Claim(text, arm, deep, "not smaller", ("accuracy", f"{few} networks"))


EXPERIMENT = lab.Experiment(
    name="ensembles",
    title="Are cheap ensembles better than one network, or than independent networks?",
    claim=(
        "Members that train a part of one trained base are better together than their mean member, "
        "the more so the more parameters each trains. The source does not compare them with an "
        "independently trained network, which is what a user gives up."
    ),
    source="Rosenfeld and Tsotsos (2018), arXiv:1802.00844, Table 4.",
    setting=(
        "A base is trained completely, then each member trains its part of it. Independent networks"
        " are trained completely for the epochs of base and member together. The log loss is that "
        "after one temperature was fitted to a tenth of the training sample, in every arm. Equal "
        "epochs, or parameters: as many independent networks as those of the cheap ensemble, its "
        "base included, pay for, at most all five."
    ),
    settings=SETTINGS,
    arms=arms,
    run=run,
    claims=claims,
    table=lab.Table(
        ("data", "trained by each"),
        ("mean member", "accuracy", "gain", "2 networks", "3 networks", "4 networks"),
        plain=("loss", "parameters", "networks of equal parameters", "bytes", "cpu_seconds"),
    ),
    figure=partial(
        figures.dots, lines="trained by each", panels="data", also="mean member", chance=0.1
    ),
    published_setting={
        "cases": "DenseNet-BC-100-12, CIFAR-10, 50,000 and 10,000 images, epochs 1 and 1",
        "members": "5",
        "optimizer": "Adam or SGD, the better one for each arm",
        "rates": "not stated",
    },
    published=[
        lab.Published({"data": "CIFAR-10, densenet", "trained by each": part}, value, of)
        for part, mean, ensemble in (
            (HEAD, 0.685, 0.7025),
            ("0.1", 0.699, 0.7114),
            ("0.4", 0.71, 0.7354),
            ("0.7", 0.713, 0.7547),
            ("1.0", 0.717, 0.7635),
        )
        for of, value in (("mean member", mean), ("accuracy", ensemble))
    ],
    published_source="Table 4: DenseNet-BC-100-12 on CIFAR-10, five members.",
    remarks=(
        "For independent networks, the mean member is one network. The margin of the comparisons "
        "at equal epochs and parameters is one point."
    ),
)

if __name__ == "__main__":
    lab.main(EXPERIMENT)
