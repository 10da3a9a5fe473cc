"""LeNet-5 on MNIST: everything trained, and each layer in turn frozen at random values.

python examples/lenet_layers.py
python examples/lenet_layers.py --budget cpu --data-dir FOLDER --out docs/results
"""

from __future__ import annotations

import lab
import numpy as np
from lab import figures

from frozenfit import PartialNetClassifier

LAYERS = ("conv1", "conv2", "dense1", "dense2", "head")
COMMON = {"network": "LeNet-5, 44,426 parameters", "optimizer": "Adam, constant rate"}
SETTINGS = {
    "tiny": {"layers": ("conv2",), "data": "digits", "train": 200, "test": 100, "epochs": 2},
    "cpu": {"layers": LAYERS, "data": "mnist", "train": 6000, "test": 10000, "epochs": 12},
    "long": {"layers": LAYERS, "data": "mnist", "train": 60000, "test": 10000, "epochs": 12},
}
for budget in SETTINGS.values():
    budget |= {"batch_size": 64, "rates": (0.001, 0.002, 0.004), **COMMON}
SETTINGS["tiny"]["rates"] = (0.003,)


def arms(settings):
    return [{"frozen": name} for name in ("nothing", *settings["layers"])]


def run(arm, seed, run):
    data = run.images(seed)
    frozen = arm["frozen"]

    def make(rate):
        return PartialNetClassifier(
            "lenet5",
            trainable=1.0 if frozen == "nothing" else f"~layers({frozen!r})",
            epochs=run.settings["epochs"],
            batch_size=run.settings["batch_size"],
            learning_rate=rate,
            # Without a decay, the plateau is one of the network and not of the schedule.
            lr_schedule=None,
            random_state=seed,
        )

    values = run.choose(arm, make, data.X, data.y)
    # The test set is evaluated after each epoch, and decides nothing.
    model = make(values["rate"]).fit(data.X, data.y, X_val=data.X_test, y_val=data.y_test)
    curve = [round(float(value), 5) for value in model.history_["val_accuracy"]]
    values |= {"curve": curve, "second epoch": curve[1], "plateau": float(np.mean(curve[-3:]))}
    return values | lab.measure(model, data)


def claims(settings):
    nothing = {"frozen": "nothing"}
    for name in settings["layers"]:
        arm = {"frozen": name}
        plateau, early = ("plateau", 0.005), ("second epoch", 0.01)
        for of, margin in (plateau, early):
            text = f"{name} − nothing, {of}"
            yield lab.Claim(text, arm, nothing, "not smaller", of, margin)


def draw(results):
    """Plot a curve for each frozen layer, and the plateau with its spread."""
    figure, (curves, ends) = figures.new(2, 4.6, 3.8)
    labels = []
    arms = results.arms()
    for i, arm in enumerate(arms):
        style = {"color": figures.COLORS[i], "marker": figures.MARKERS[i]}
        values = 100 * np.array([row["curve"] for row in results.of(arm)])
        epochs, mean = range(1, values.shape[1] + 1), values.mean(axis=0)
        curves.plot(epochs, mean, ls=figures.DASHES[i], ms=4, **style)
        labels.append((mean[-1], arm["frozen"], style["color"]))
        figures.points(ends, results, arm, "plateau", len(arms) - 1 - i, style, flat=True)
    figures.end_labels(curves, labels)
    curves.set(xlabel="epoch", ylabel=figures.ACCURACY, title="by epoch")
    ends.set_yticks(range(len(arms) - 1, -1, -1), [arm["frozen"] for arm in arms])
    ends.set(xlabel=figures.ACCURACY, ylabel="frozen layer", title="mean of the last three epochs")
    figures.chance_line(curves.axhline, curves.get_ylim, curves.set_ylim, 0.1)
    figures.chance_line(ends.axvline, ends.get_xlim, ends.set_xlim, 0.1)
    for axes in (curves, ends):
        axes.grid(alpha=0.25)
    figures.legend(figure, results, (), "plateau", 0.1)
    return figure


EXPERIMENT = lab.Experiment(
    name="lenet_layers",
    title="May one layer of LeNet-5 stay random?",
    claim=(
        "Whichever single layer of LeNet-5 is frozen at random values, the accuracy on MNIST "
        "reaches the same plateau, above 99 %, and rises about as fast."
    ),
    source="A question on a forum, without error bars and with one run of each network.",
    setting=(
        "Each layer in turn is frozen at the values of its initializer; everything else is trained."
        " The plateau is the mean accuracy of the last three epochs. The margins are half a point "
        "for the plateau and one point after the second epoch."
    ),
    settings=SETTINGS,
    arms=arms,
    run=run,
    claims=claims,
    table=lab.Table(("frozen",), ("second epoch", "plateau", "accuracy"), plain=("parameters",)),
    figure=draw,
    remarks=(
        "How fast accuracy rises depends on the learning rate, which is chosen for each arm by the "
        "accuracy at the end: a network with a frozen layer may be ahead after two epochs because "
        "its rate is larger."
    ),
    published_setting={"train": "60,000", "epochs": "to convergence"},
    published=[lab.Published({"frozen": name}, 0.99, "plateau") for name in ("nothing", *LAYERS)],
    published_source='The source states "99+ %" for each network.',
)

if __name__ == "__main__":
    lab.main(EXPERIMENT)
