"""Consecutive frozen layers of LeNet-5, and the distribution of their random values.

python examples/frozen_distributions.py
python examples/frozen_distributions.py --budget cpu --data-dir FOLDER --out docs/results
"""

from __future__ import annotations

import random
from functools import partial

import keras
import lab
import numpy as np
from lab import figures

from frozenfit import PartialNetClassifier, architectures

STACKS = {
    "conv1": ("conv1",),
    "conv1-conv2": ("conv1", "conv2"),
    "dense1-dense2": ("dense1", "dense2"),
    "conv1-dense1": ("conv1", "conv2", "dense1"),
    "conv1-dense2": ("conv1", "conv2", "dense1", "dense2"),
}


def orthogonal(rng, m, n):
    """Return orthogonal columns, or rows where there are more columns, of mean square 1."""
    q = np.linalg.qr(rng.standard_normal((max(m, n), min(m, n))))[0]
    return (q if m >= n else q.T) * max(m, n) ** 0.5


# A matrix of inputs times outputs, of mean square 1 unless the name is a scale.
DISTRIBUTIONS = {
    "normal": lambda rng, m, n: rng.standard_normal((m, n)),
    "uniform": lambda rng, m, n: rng.uniform(-(3**0.5), 3**0.5, (m, n)),
    "signs": lambda rng, m, n: rng.choice((-1.0, 1.0), (m, n)),
    "orthogonal": orthogonal,
    "sparse": lambda rng, m, n: rng.standard_normal((m, n)) * (rng.random((m, n)) < 0.1) / 0.1**0.5,
    "rank 2": lambda rng, m, n: rng.standard_normal((m, 2)) @ rng.standard_normal((2, n)) / 2**0.5,
    "rank 1": lambda rng, m, n: rng.standard_normal((m, 1)) @ rng.standard_normal((1, n)),
    "positive": lambda rng, m, n: np.abs(rng.standard_normal((m, n))),
    "x 0.01": lambda rng, m, n: 0.01 * rng.standard_normal((m, n)),
    "x 0.1": lambda rng, m, n: 0.1 * rng.standard_normal((m, n)),
    "x 10": lambda rng, m, n: 10 * rng.standard_normal((m, n)),
    "constant": lambda rng, m, n: np.ones((m, n)),
}
SETTINGS = {
    "tiny": {"data": "digits", "train": 200, "test": 100, "epochs": 1, "rates": (0.006,)},
    "cpu": {"data": "mnist", "train": 3000, "test": 4000, "epochs": 4},
    "long": {"data": "mnist", "train": 20000, "test": 10000, "epochs": 12},
}
for name, budget in SETTINGS.items():
    budget.setdefault("rates", (0.002, 0.006, 0.02))
    budget |= {"network": "LeNet-5", "optimizer": "Adam, cosine decay", "batch_size": 32}
    budget["stacks"] = ("conv1-conv2",) if name == "tiny" else tuple(STACKS)
    budget["distributions"] = ("signs",) if name == "tiny" else tuple(DISTRIBUTIONS)


@keras.saving.register_keras_serializable("frozenfit_examples")
class Distribution(keras.initializers.Initializer):
    """One of DISTRIBUTIONS, the same values on every backend."""

    def __init__(self, name: str, seed: int | None = None):
        self.name = name
        # The estimator seeds Python's stream from its random_state while a network is built.
        self.seed = random.randrange(2**31) if seed is None else seed

    def __call__(self, shape, dtype=None):
        """Draw the values of one kernel, scaled by He's rule, 2 / fan in."""
        m, n = int(np.prod(shape[:-1])), int(shape[-1])
        values = DISTRIBUTIONS[self.name](np.random.default_rng(self.seed), m, n) * (2 / m) ** 0.5
        return keras.ops.convert_to_tensor(values.reshape(shape).astype("float32"))

    def get_config(self) -> dict:
        """Return name and seed."""
        return {"name": self.name, "seed": self.seed}


def lenet(input_shape, n_outputs, *, stack: str, distribution: str) -> keras.Model:
    """Build LeNet-5 with the kernels of some layers drawn from a distribution."""

    def copy(layer):
        settings = layer.get_config()
        if layer.name in STACKS.get(stack, ()):
            settings["kernel_initializer"] = Distribution(distribution)
        return type(layer).from_config(settings)

    model = architectures.build("lenet5", input_shape, n_outputs)
    return keras.models.clone_model(model, clone_function=copy)


def arms(settings):
    nothing = [{"frozen": "nothing", "distribution": None}]
    return nothing + [
        {"frozen": stack, "distribution": distribution}
        for stack in settings["stacks"]
        for distribution in settings["distributions"]
    ]


def run(arm, seed, run):
    names = STACKS.get(arm["frozen"], ())

    def make(rate):
        return PartialNetClassifier(
            lenet,
            model_params={"stack": arm["frozen"], "distribution": arm["distribution"]},
            trainable=" - ".join(["everything()", *(f"layers({name!r})" for name in names)]),
            epochs=run.settings["epochs"],
            learning_rate=rate,
            lr_schedule="cosine",
            random_state=seed,
        )

    return run.fit(arm, make, run.images(seed), stored=False)[1]


def claims(settings):
    stacks = [name for name in settings["stacks"] if name.startswith("conv1")]
    for fewer, more in zip(stacks, stacks[1:], strict=False):
        arms = [{"frozen": name, "distribution": "normal"} for name in (more, fewer)]
        yield lab.Claim(f"{more} − {fewer}, normal", *arms, "smaller")
    last = stacks[-1]
    for name in settings["distributions"]:
        if name != "normal" and "normal" in settings["distributions"]:
            arms = [{"frozen": last, "distribution": which} for which in (name, "normal")]
            yield lab.Claim(f"{name} − normal, {last}", *arms, "equal")


EXPERIMENT = lab.Experiment(
    name="frozen_distributions",
    title="How many consecutive layers may stay random, and does the distribution matter?",
    claim=(
        "Two questions that the source leaves open. Expected: consecutive frozen layers lose more, "
        "and the distribution does not matter as long as no information is lost."
    ),
    source="The answers to a question on a forum about frozen layers of LeNet.",
    setting=(
        "Layers from the first to the last one of a name are frozen. All distributions have the "
        "second moment of He's rule, 2 / fan in, except those named by a factor; trained layers "
        "start from Keras's default."
    ),
    settings=SETTINGS,
    arms=arms,
    run=run,
    claims=claims,
    table=lab.Table(("frozen",), columns=("distribution",)),
    figure=partial(figures.cells, lines="frozen", columns="distribution"),
    published_setting={"distributions": "one, not named"},
    remarks=(
        "All distributions were declared as equal to the normal one before the runs, and are kept "
        "so. Low ranks, constants and values of one sign do lose information, so that their "
        "verdicts do not contradict the expectation of the source. A small scale makes the output "
        "of the frozen layers small for the trained ones, which have a few epochs and one of three "
        "rates to make up for it."
    ),
)

if __name__ == "__main__":
    lab.main(EXPERIMENT)
