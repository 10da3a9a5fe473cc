"""The last layers of a pretrained network trained on a frozen prefix: accuracy and time.

python examples/last_layers.py
python examples/last_layers.py --budget cpu --data-dir FOLDER --out docs/results
"""

from __future__ import annotations

import time
from functools import partial

import keras
import lab
import transfer
from lab import figures

from frozenfit import PartialNetClassifier, with_head

LAYERS = ("conv1", "conv2", "dense1", "dense2")
ARMS = {
    "head": "head()",
    **{
        f"{LAYERS[i]} to head": f"head() | layers({', '.join(repr(f'*{n}*') for n in LAYERS[i:])})"
        for i in (3, 2, 1, 0)
    },
}
SETTINGS = {
    "tiny": {
        "network": "mlp",
        "task": transfer.DIGITS,
        "arms": ("head",),
        "data": "digits",
        "source": (300, 1),
        "target_samples": 100,
        "epochs": 2,
        "test": 200,
        "rates": (0.003,),
    },
    "cpu": {
        "network": "lenet5",
        "task": transfer.CLOTHES,
        "arms": tuple(ARMS),
        "data": "mnist",
        "source": (10000, 3),
        "target_samples": 3000,
        "epochs": 10,
        "test": 10000,
        "rates": (0.002, 0.006, 0.02),
    },
    "long": {
        "network": "lenet5",
        "task": transfer.CLOTHES,
        "arms": tuple(ARMS),
        "data": "mnist",
        "source": (60000, 5),
        "target_samples": 20000,
        "epochs": 20,
        "test": 10000,
        "rates": (0.002, 0.006, 0.02),
    },
}
_compiled: set[str] = set()


def arms(settings):
    return [{"trained": name} for name in settings["arms"]]


def run(arm, seed, run):
    """Train the last layers, and everything, in turns."""
    settings = run.settings
    _, data = transfer.parts(settings["task"], settings["target_samples"], seed, run)
    source = transfer.pretrained(settings["task"], seed, run)
    keras.utils.set_random_seed(seed)
    model = with_head(source, len(set(data.y.tolist())))

    def make(rate, trainable=ARMS[arm["trained"]]):
        return PartialNetClassifier(
            model,
            trainable=trainable,
            epochs=settings["epochs"],
            learning_rate=rate,
            lr_schedule="cosine",
            random_state=seed,
        )

    values = run.choose(arm, make, data.X, data.y)
    whole = partial(make, trainable="everything()")
    if arm["trained"] not in _compiled:
        # The first fit of a shape compiles; what is timed below does not.
        for made in (make, whole):
            made(values["rate"]).fit(data.X, data.y)
        _compiled.add(arm["trained"])
    seconds = []
    pair = (make, whole)
    for made in pair if seed % 2 else pair[::-1]:
        start = time.process_time()
        fitted = made(values["rate"]).fit(data.X, data.y)
        seconds.append(time.process_time() - start)
        if made is make:
            clf = fitted
    mine, all_layers = seconds if seed % 2 else seconds[::-1]
    values |= lab.measure(clf, data, stored=False) | {"cpu_seconds": mine}
    values |= {"everything, cpu_seconds": all_layers, "time saved": 1 - mine / all_layers}
    return values | {"zero": 0.0}


def claims(settings):
    names = settings["arms"]
    for more, fewer in zip(names[1:], names, strict=False):
        yield lab.Claim(f"{more} − {fewer}", {"trained": more}, {"trained": fewer}, "larger")
    for name in names:
        arm = {"trained": name}
        of = ("time saved", "zero")
        yield lab.Claim(f"{name}: CPU time saved, %", arm, arm, "larger", of)


EXPERIMENT = lab.Experiment(
    name="last_layers",
    title="What do the last layers on a frozen prefix save and cost?",
    claim=(
        "Training only the last layers of a pretrained network saves time, the more the fewer "
        "layers are trained, and costs accuracy."
    ),
    source="An article on freezing layers to save time, and a question on a forum.",
    setting=(
        "LeNet-5 with batch normalization is trained on MNIST and gets a new random head for "
        "Fashion-MNIST. Every run fits the last layers, with their normalizations, and everything, "
        "in turns in one process, on one thread; which is first alternates with the seed. "
        "Compilation is excluded. The features of the frozen prefix are computed once per fit."
    ),
    settings=SETTINGS,
    arms=arms,
    run=run,
    claims=claims,
    table=lab.Table(
        ("trained",),
        ("accuracy", "time saved"),
        plain=("loss", "parameters", "cpu_seconds", "everything, cpu_seconds"),
    ),
    figure=partial(
        figures.dots,
        lines="trained",
        also="time saved",
        label="test accuracy, CPU time saved, %",
        chance=0.1,
        width=6,
    ),
)

if __name__ == "__main__":
    lab.main(EXPERIMENT)
