"""Trained slices along the four dimensions of a convolution's kernel, at similar counts.

python examples/slicing_dimensions.py
python examples/slicing_dimensions.py --budget cpu --data-dir FOLDER --out docs/results
"""

from __future__ import annotations

from functools import partial

import lab
from lab import figures

from frozenfit import PartialNetClassifier

# The dimensions of the source, (out, in, height, width), by our names.
DIMENSIONS = {
    "1, outputs": "filters({})",
    "2, inputs": "inputs({})",
    "3, rows": "rows({})",
    "4, columns": "columns({})",
}
SETTINGS = {
    "tiny": {
        "dimensions": ("2, inputs",),
        "parts": (0.4,),
        "data": "digits",
        "train": 100,
        "test": 100,
        "rates": (0.006,),
    },
    "cpu": {
        "dimensions": tuple(DIMENSIONS),
        "parts": (0.1, 0.4),
        "data": "cifar10",
        "shrink": 2,
        "train": 2000,
        "test": 4000,
        "rates": (0.006,),
    },
    "long": {
        "dimensions": tuple(DIMENSIONS),
        "parts": (0.1, 0.4, 0.7),
        "data": "cifar10",
        "train": 50000,
        "test": 10000,
        "rates": (0.002, 0.006, 0.02),
    },
}
for name, budget in SETTINGS.items():
    small = {"hidden_layer_sizes": (20,)}
    budget["network"] = "mlp" if name == "tiny" else "densenet"
    budget["params"] = small if name == "tiny" else {"depth": 16, "growth": 12}
    budget |= {"epochs": 2 if name == "cpu" else 1, "optimizer": "adam", "batch_size": 32}


def arms(settings):
    return [
        {"dimension": dimension, "part": str(part)}
        for part in settings["parts"]
        for dimension in settings["dimensions"]
    ]


def run(arm, seed, run):
    settings = run.settings
    part = DIMENSIONS[arm["dimension"]].format(arm["part"])

    def make(rate):
        return PartialNetClassifier(
            settings["network"],
            model_params=settings["params"],
            trainable=f"{part} | head() | batch_norm()",
            epochs=settings["epochs"],
            learning_rate=rate,
            lr_schedule="cosine",
            random_state=seed,
        )

    return run.fit(arm, make, run.images(seed))[1]


def claims(settings):
    first, *others = settings["dimensions"]
    for part in settings["parts"]:
        for other in others:
            arms = [{"dimension": name, "part": str(part)} for name in (first, other)]
            yield lab.Claim(f"{part}: dimension {first} − {other}", *arms, "larger")


EXPERIMENT = lab.Experiment(
    name="slicing_dimensions",
    title="Along which dimension of a kernel should it be cut?",
    claim=(
        "Slices along the first dimension, which are whole filters, are better than slices of the "
        "same size along the second, third or fourth."
    ),
    source="Rosenfeld and Tsotsos (2018), arXiv:1802.00844, Figure 2.",
    setting=(
        "The first part of every kernel along one dimension is trained, at least one element, with "
        "the head and batch normalization. Kernels of 1 x 1 have one row and one column, so that "
        "dimensions 3 and 4 train these kernels whole; compare the numbers of parameters."
    ),
    settings=SETTINGS,
    arms=arms,
    run=run,
    claims=claims,
    table=lab.Table(("part", "dimension"), plain=("parameters", "bytes", "cpu_seconds")),
    figure=partial(figures.dots, lines="part", series="dimension", chance=0.1, width=6),
    published_setting={
        "network": "DenseNet-BC-100-12",
        "train": "50,000",
        "shrink": "1",
        "epochs": "1",
        "optimizer": "momentum SGD",
        "parts": "0.07 to 0.7; 1, 5, 10",
    },
    published_source="Figure 2 shows curves; no number is given.",
)

if __name__ == "__main__":
    lab.main(EXPERIMENT)
