"""Consecutive frozen layers of LeNet-5, and the distribution of their random values.

    python examples/frozen_distributions.py
    python examples/frozen_distributions.py --budget cpu --data-dir FOLDER --out docs/results

Two questions that a forum thread on frozen layers left open: when do consecutive frozen random
layers lose accuracy, and does their distribution matter? All distributions except `x 0.01` have the
second moment of He's rule, 2 / fan in; trained layers start from Keras's default. `tiny` uses
digits.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import common
import keras
import numpy as np

from frozenfit import PartialNetClassifier, architectures

STACKS = {
    "conv1": ("conv1",),
    "conv1-conv2": ("conv1", "conv2"),
    "conv2-dense1": ("conv2", "dense1"),
    "dense1-dense2": ("dense1", "dense2"),
    "conv1-dense1": ("conv1", "conv2", "dense1"),
    "conv1-dense2": ("conv1", "conv2", "dense1", "dense2"),
}
# A matrix of inputs times outputs, of mean square 1.
DISTRIBUTIONS = {
    "normal": lambda rng, m, n: rng.standard_normal((m, n)),
    "uniform": lambda rng, m, n: rng.uniform(-(3**0.5), 3**0.5, (m, n)),
    "signs": lambda rng, m, n: rng.choice((-1.0, 1.0), (m, n)),
    "sparse": lambda rng, m, n: rng.standard_normal((m, n)) * (rng.random((m, n)) < 0.1) / 0.1**0.5,
    "rank 2": lambda rng, m, n: rng.standard_normal((m, 2)) @ rng.standard_normal((2, n)) / 2**0.5,
    "rank 1": lambda rng, m, n: rng.standard_normal((m, 1)) @ rng.standard_normal((1, n)),
    "positive": lambda rng, m, n: np.abs(rng.standard_normal((m, n))),
    "x 0.01": lambda rng, m, n: 0.01 * rng.standard_normal((m, n)),
    "constant": lambda rng, m, n: np.ones((m, n)),
}
SETTINGS = {
    "tiny": {"data": "digits", "train": 200, "test": 100, "epochs": 1},
    "cpu": {"data": "mnist", "train": 5000, "test": 2000, "epochs": 4},
}


@keras.saving.register_keras_serializable("frozenfit_examples")
class Distribution(keras.initializers.Initializer):
    """One of DISTRIBUTIONS, the same values on every backend."""

    def __init__(self, name: str, seed: int | None = None):
        self.name = name
        # The estimator seeds Python's stream from its random_state while a network is built.
        self.seed = random.randrange(2**31) if seed is None else seed

    def __call__(self, shape, dtype=None):
        """Draw the values of one kernel."""
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


def summarize(rows: Sequence[common.Row]) -> list[common.Row]:
    return common.over_seeds(rows, ("frozen", "distribution", "trainable"), ("accuracy",))


def main(given=None) -> list[common.Row]:
    args = common.arguments(__doc__, given)
    if args.redraw:
        return common.redraw(args, "frozen_distributions", summarize, draw)
    budget = SETTINGS[args.budget]
    X, y, X_test, y_test = common.images(budget["data"], args, budget["train"], budget["test"])
    distributions = list(DISTRIBUTIONS) if args.budget == "cpu" else ["signs"]
    stacks = list(STACKS) if args.budget == "cpu" else ["conv1-conv2"]
    cases = [(stack, distribution) for stack in stacks for distribution in distributions]
    if args.budget == "cpu":
        cases.insert(0, ("none", "normal"))
    rows = []
    for (stack, distribution), seed in common.each(args, cases, "LeNet-5, frozen layers"):
        names = STACKS.get(stack, ())
        clf = PartialNetClassifier(
            lenet,
            model_params={"stack": stack, "distribution": distribution},
            trainable=" - ".join(["everything()", *(f"layers({name!r})" for name in names)]),
            epochs=budget["epochs"],
            random_state=seed,
        ).fit(X, y)
        row = {"frozen": stack, "distribution": distribution, "seed": seed}
        row |= {"trainable": common.trainable(clf), "accuracy": float(clf.score(X_test, y_test))}
        rows.append(row)
    return common.finish(args, "frozen_distributions", budget, rows, summarize, draw)


def draw(results: dict):
    """Draw a heat map, one cell for each stack and distribution."""
    table = results["summary"]
    stacks = list(dict.fromkeys(row["frozen"] for row in table if row["frozen"] != "none"))
    names = list(dict.fromkeys(row["distribution"] for row in table))
    figure, (axes,) = common.figure(width=7.4, height=4)
    cells = [[common.pick(table, frozen=s, distribution=d)[0] for d in names] for s in stacks]
    values = [[row["accuracy"] for row in line] for line in cells]
    axes.imshow(values, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    for i, line in enumerate(cells):
        for j, row in enumerate(line):
            text = f"{row['accuracy']:.3f}\n±{row['accuracy sd']:.3f}"
            color = "black" if row["accuracy"] > 0.6 else "white"
            axes.text(j, i, text, ha="center", va="center", fontsize=8, color=color)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(stacks)), stacks)
    axes.set(xlabel="distribution of the frozen kernels", ylabel="frozen layers, first-last")
    title = f"test accuracy, mean ± sd of {results['seeds']} seeds"
    for row in common.pick(table, frozen="none"):
        title += f"; nothing frozen: {row['accuracy']:.3f}"
    axes.set_title(title, fontsize=10)
    return figure


if __name__ == "__main__":
    main()
