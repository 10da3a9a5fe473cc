"""How much to train, by the number of training samples.

python examples/sample_sizes.py
python examples/sample_sizes.py --budget cpu --data-dir FOLDER --tabular FOLDER --out docs/results
"""

from __future__ import annotations

import math

import lab
from lab import figures
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from frozenfit import PartialNetClassifier

NETWORKS = {"mnist": "lenet5", "digits": "mlp", "pendigits": "mlp", "satimage": "mlp"}
SETTINGS = {
    "tiny": {
        "data": ("digits",),
        "samples": (50,),
        "parts": (0.1,),
        "steps": 20,
        "rates": (0.006,),
    },
    "cpu": {
        "data": ("mnist", "pendigits", "satimage"),
        "samples": (100, 300, 1000, 3000),
        "parts": (0.05, 0.1, 0.3, 1),
        "steps": 1000,
        "rates": (0.002, 0.006, 0.02),
    },
}
for budget in SETTINGS.values():
    budget |= {"test": 10000, "batch_size": 32, "optimizer": "Adam, cosine decay"}


def arms(settings):
    return [
        {"data": name, "samples": count, "trained": str(part)}
        for name in settings["data"]
        for count in settings["samples"]
        for part in settings["parts"]
    ]


def run(arm, seed, run):
    settings, name, count = run.settings, arm["data"], arm["samples"]
    if NETWORKS[name] == "mlp" and name != "digits":
        data = run.table(seed, name, 1.0)
        chosen = lab.drawn(data.y, count, seed)
        data = data._replace(X=data.X[chosen], y=data.y[chosen])
    else:
        data = run.images(seed, name, count, settings["test"])
    scale = StandardScaler() if NETWORKS[name] == "mlp" else FunctionTransformer()
    data = data.flat() if NETWORKS[name] == "mlp" else data

    def make(rate):
        return make_pipeline(
            scale,
            PartialNetClassifier(
                NETWORKS[name],
                trainable=float(arm["trained"]),
                epochs=math.ceil(settings["steps"] * settings["batch_size"] / count),
                batch_size=settings["batch_size"],
                learning_rate=rate,
                lr_schedule="cosine",
                random_state=seed,
            ),
        )

    model, values = run.fit(arm, make, data)
    return values | {"parameters": model[-1].parameter_table().trainable}


def claims(settings):
    for name in settings["data"]:
        for count in settings["samples"]:
            arm = {"data": name, "samples": count}
            pair = (arm | {"trained": part} for part in ("0.1", "1"))
            few = count <= 300
            text = f"{name}, {count:,} samples: 0.1 − everything"
            yield lab.Claim(text, *pair, "not smaller" if few else "smaller")


def draw(results):
    """Plot accuracy against the number of samples, a line for each fraction."""
    settings = results.settings
    figure, pictures = figures.new(len(settings["data"]), 4.0, 3.6)
    for axes, name in zip(pictures, settings["data"], strict=True):
        for i, part in enumerate(settings["parts"]):
            style = {"color": figures.COLORS[i], "marker": figures.MARKERS[i]}
            own = lab.pick(results.arms(), data=name, trained=str(part))
            for arm in own:
                # Moved apart, because bars would cover each other.
                place = arm["samples"] * 1.04 ** (i - 1.5)
                figures.points(axes, results, arm, "accuracy", place, style)
            means = [100 * results.spread(arm, "accuracy").mean for arm in own]
            places = [arm["samples"] * 1.04 ** (i - 1.5) for arm in own]
            axes.plot(places, means, color=figures.COLORS[i], ls=figures.DASHES[i], lw=1)
        axes.set(xscale="log", xlabel="training samples", title=f"{name}, {NETWORKS[name]}")
        axes.grid(alpha=0.25)
    pictures[0].set_ylabel(figures.ACCURACY)
    named = [f"{part} trained" for part in settings["parts"]]
    figures.legend(figure, results, named, "accuracy")
    return figure


EXPERIMENT = lab.Experiment(
    name="sample_sizes",
    title="How much to train for how many samples?",
    claim=(
        "Frozen parameters cannot overfit: with few samples a tenth reaches what everything does, "
        "and with many it falls behind."
    ),
    source="This project. Nothing is published on it for random frozen values.",
    setting=(
        "`trainable=p` trains the first p of the filters or units of every hidden layer, and the "
        "head. All arms take the same number of steps, so that the number of epochs falls with the "
        "number of samples."
    ),
    settings=SETTINGS,
    arms=arms,
    run=run,
    claims=claims,
    table=lab.Table(("data", "samples", "trained"), plain=("loss", "parameters", "cpu_seconds")),
    figure=draw,
)

if __name__ == "__main__":
    lab.main(EXPERIMENT)
