"""Lottery tickets: small parts of a network trained alone, on the same and on other data.

python examples/lottery.py
python examples/lottery.py --budget cpu --data-dir FOLDER --out docs/results
"""

from __future__ import annotations

from functools import lru_cache, partial

import keras
import lab
from lab import figures

from frozenfit import PartialNetClassifier
from frozenfit.analysis import lottery_ticket
from frozenfit.selectors import biases, kernels, layers, random

EVERYTHING, TICKET, LATE = "everything", "ticket", "ticket, rewound to epoch 1"
REDRAWN, RANDOM = "ticket, re-initialized", "random part"
PARTS = (TICKET, LATE, REDRAWN, RANDOM)
BY_SGD = "ticket found with SGD"
MOVED, MOVED_REDRAWN = "ticket of the source", "ticket of the source, re-initialized"
PRUNE, PRUNE_HEAD = 0.2, 0.1
SETTINGS = {
    "tiny": {
        "hidden layers": (20,),
        "source": "digits",
        "target": "digits",
        "rounds": (1,),
        "train": 200,
        "test": 100,
        "epochs": 2,
        "batch_size": 60,
    },
    "cpu": {
        "hidden layers": (300, 100),
        "source": "mnist",
        "target": "fashion_mnist",
        "rounds": (3, 7),
        "train": 5000,
        "test": 10000,
        "epochs": 8,
        "batch_size": 60,
    },
    "long": {
        "hidden layers": (300, 100),
        "source": "mnist",
        "target": "fashion_mnist",
        "rounds": (3, 7, 12),
        "train": 60000,
        "test": 10000,
        "epochs": 50,
        "batch_size": 60,
    },
}
for budget in SETTINGS.values():
    budget |= {"optimizer": "Adam, constant rate", "rates": (0.0012,)}
    budget |= {"pruned in a round": "20 % of each kernel, 10 % of the head"}
    budget |= {"rate of SGD": 0.03, "momentum of SGD": 0.9}


def arms(settings):
    source, target = settings["source"], settings["target"]
    listed = [{"trained on": source, "part": EVERYTHING, "rounds": 0}]
    listed += [
        {"trained on": source, "part": part, "rounds": rounds}
        for rounds in settings["rounds"]
        for part in PARTS
    ]
    listed.append({"trained on": source, "part": BY_SGD, "rounds": settings["rounds"][-1]})
    if target == source:
        return listed
    listed.append({"trained on": target, "part": EVERYTHING, "rounds": 0})
    return listed + [
        {"trained on": target, "part": part, "rounds": settings["rounds"][-1]}
        for part in (TICKET, MOVED, MOVED_REDRAWN, RANDOM)
    ]


def network(seed: int, settings) -> PartialNetClassifier:
    return PartialNetClassifier(
        "mlp",
        model_params={"hidden_layer_sizes": settings["hidden layers"]},
        trainable=1.0,
        epochs=settings["epochs"],
        batch_size=settings["batch_size"],
        learning_rate=settings["rates"][0],
        lr_schedule=None,
        random_state=seed,
    )


@lru_cache(maxsize=4)
def tickets(name: str, rewind_to: int, sgd: bool, seed: int, run):
    """Search once for all arms of a seed."""
    data = run.images(seed, name).flat()
    rounds = run.settings["rounds"][-1]
    model = network(seed, run.settings)
    if sgd:
        rate, momentum = run.settings["rate of SGD"], run.settings["momentum of SGD"]
        optimizer = keras.optimizers.SGD(momentum=momentum)
        model.set_params(optimizer=optimizer, learning_rate=rate)
    return lottery_ticket(
        model,
        data.X,
        data.y,
        rounds=rounds,
        rewind_to=rewind_to,
        prune=PRUNE,
        prune_head=PRUNE_HEAD,
    )


def random_part(columns: int, classes: int, rounds: int, settings):
    """Select as many parameters of each kernel as a ticket has, and all biases."""
    sizes = (columns, *settings["hidden layers"], classes)
    selector = biases()
    for i, (rows, units) in enumerate(zip(sizes, sizes[1:], strict=False)):
        name, share = (f"dense{i + 1}", PRUNE) if i + 2 < len(sizes) else ("head", PRUNE_HEAD)
        left = rows * units
        for _ in range(rounds):
            left -= round(share * left)
        selector |= random(left, within=layers(name) & kernels())
    return selector


def run(arm, seed, run):
    settings, part = run.settings, arm["part"]
    data = run.images(seed, arm["trained on"]).flat()
    if part == EVERYTHING:
        model = network(seed, settings)
    else:
        found_on = settings["source"] if part in (MOVED, MOVED_REDRAWN) else arm["trained on"]
        search = tickets(found_on, int(part == LATE), part == BY_SGD, seed, run)
        # A control has other initial values, or the same values and other positions.
        model = search.to_estimator(
            arm["rounds"], reinitialize=part in (REDRAWN, MOVED_REDRAWN), random_state=10_000 + seed
        )
        model.set_params(optimizer="adam", learning_rate=settings["rates"][0])
        if part == RANDOM:
            classes = len(set(data.y.tolist()))
            chosen = random_part(data.X.shape[1], classes, arm["rounds"], settings)
            model.set_params(trainable=chosen)
    model.fit(data.X, data.y)
    values = lab.measure(model, data, stored=False)
    if part != EVERYTHING and values["parameters"] != search[arm["rounds"]].n_trainable:
        raise RuntimeError("The parts differ in size.")
    return values


def claims(settings):
    source, target = settings["source"], settings["target"]
    if source == target:
        return
    margin = 0.003
    for r in settings["rounds"]:
        arm = {"trained on": source, "rounds": r}
        ticket = {**arm, "part": TICKET}
        whole = {"trained on": source, "part": EVERYTHING}
        text = f"{source}, {r} rounds: ticket − "
        yield lab.Claim(text + EVERYTHING, ticket, whole, "not smaller", margin=margin)
        for other in (REDRAWN, RANDOM):
            yield lab.Claim(text + other, ticket, arm | {"part": other}, "larger", margin=margin)
        late = arm | {"part": LATE}
        yield lab.Claim(text + LATE, ticket, late, "equal", margin=margin)
    by_sgd = {"trained on": source, "rounds": r, "part": BY_SGD}
    for other, relation in ((TICKET, "not smaller"), (RANDOM, "larger")):
        arm = by_sgd | {"part": other}
        text = f"{source}, {r} rounds: {BY_SGD} − {other}"
        yield lab.Claim(text, by_sgd, arm, relation, margin=margin)
    arm = {"trained on": target, "rounds": r}
    moved = arm | {"part": MOVED}
    text = f"{target}, {r} rounds: {MOVED} − "
    yield lab.Claim(text + "its own", moved, arm | {"part": TICKET}, "not smaller")
    for other in (MOVED_REDRAWN, RANDOM):
        yield lab.Claim(text + other, moved, arm | {"part": other}, "larger")


EXPERIMENT = lab.Experiment(
    name="lottery",
    title="Do lottery tickets win?",
    claim=(
        "A part of LeNet-300-100 that iterative magnitude pruning finds, a fifth of the weights "
        "after seven rounds, reaches at least the accuracy of the whole network when it is trained "
        "from its initial values; the same part from other initial values, or a random part of the "
        "same size, does not. For small networks, rewinding to initial values suffices. Tickets of "
        "one data set, and of one optimizer, are tickets of another."
    ),
    source=(
        "Frankle and Carbin (2018), arXiv:1803.03635; rewinding: Frankle, Dziugaite, Roy and "
        "Carbin (2019), arXiv:1903.01611; transfer: Morcos, Yu, Paganini and Tian (2019), "
        "arXiv:1906.02773."
    ),
    setting=(
        "All parameters outside of a part are zero. Three rounds leave 52 % of the parameters of "
        "the kernels, seven 21 %, twelve 7 %. Every arm is trained with the published learning rate"
        " and batch size. The random part has as many parameters in every kernel as the ticket, at "
        "the same initial values. The margin is 0.3 points on the source, stated beforehand, and "
        "one point on the target. One ticket is found with momentum SGD, and trained with Adam as "
        "all others are."
    ),
    settings=SETTINGS,
    arms=arms,
    run=run,
    claims=claims,
    table=lab.Table(("trained on", "part", "rounds"), plain=("loss", "parameters")),
    figure=partial(figures.dots, lines="part", series="rounds", panels="trained on", width=5.5),
    published_setting={
        "hidden layers": "300, 100",
        "train": "60,000",
        "epochs": "50 (50,000 iterations)",
        "batch_size": "60",
        "rates": "0.0012",
    },
    published_source="Figures of curves; no numbers are taken from them here.",
)

if __name__ == "__main__":
    lab.main(EXPERIMENT)
