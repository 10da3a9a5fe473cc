"""Accuracy against the number of trained filters, with frozen values random or zero.

python examples/filter_fractions.py
python examples/filter_fractions.py --budget cpu --data-dir FOLDER --out docs/results
"""

from __future__ import annotations

import lab
import numpy as np
from lab import figures

from frozenfit import PartialNetClassifier, plots

ALL = "all"
TENTHS = (1, 0.1, 0.4, 0.7, ALL)
# Of a network without batch normalization and with most parameters in dense layers, the units of
# these layers are cut too. Elsewhere the selection is that of the publication.
CONVOLUTIONS = "conv_filters({}) | head() | batch_norm()"
UNITS = "filters({}) | head()"


def network(model, params, data, train, test, shrink=1, epochs=10, **more):
    """Return a network with its data and its recipe."""
    return {
        "model": model,
        "params": params,
        "data": data,
        "train": train,
        "test": test,
        "shrink": shrink,
        "epochs": epochs,
        "trained": CONVOLUTIONS,
        "optimizer": "adam",
        "batch_size": 32,
        "rates": (0.006,),
        **more,
    }


CIFAR = ("cifar10", 50000, 10000)
LENET = {"trained": UNITS, "rates": (0.002,)}
WRN = {"depth": 16, "width": 1}
# Keras subtracts the decay apart from the momentum, so that 0.005 shrinks a weight as much as the
# 0.0005 that the reference implementation adds to the gradient: 0.0005 / (1 - 0.9).
PUBLISHED = {
    "optimizer": "momentum SGD",
    "batch_size": 128,
    "rates": (0.1,),
    "weight_decay": 5e-3,
    "lr_schedule": "steps",
    "augment": "crop+flip",
}
SETTINGS = {
    "tiny": {
        "networks": {
            "densenet": network(
                "mlp", {"hidden_layer_sizes": (20,)}, "digits", 200, 100, epochs=1, trained=UNITS
            )
        },
        "parts": (1, 0.4),
    },
    "cpu": {
        "networks": {
            "wide_resnet": network("wide_resnet", WRN, "cifar10", 4000, 4000, 2, epochs=6),
            "lenet5": network("lenet5", {}, "mnist", 20000, 10000, epochs=4, **LENET),
        },
        "parts": TENTHS,
    },
    "long": {
        "networks": {
            "lenet5": network("lenet5", {}, "mnist", 60000, 10000, **LENET),
            "wide_resnet": network("wide_resnet", WRN, *CIFAR, **PUBLISHED),
            "densenet": network("densenet", {"depth": 22, "growth": 12}, *CIFAR, **PUBLISHED),
        },
        "parts": TENTHS,
        "seeds": 3,
    },
    "gpu": {
        "networks": {
            "densenet": network("densenet", {"depth": 100, "growth": 12}, *CIFAR, **PUBLISHED),
            "wide_resnet": network("wide_resnet", {"depth": 28, "width": 4}, *CIFAR, **PUBLISHED),
        },
        "parts": (1, 5, 10, 0.07, 0.08, 0.09, 0.1, 0.4, 0.7, ALL),
    },
}


def arms(settings):
    return [
        {"network": network, "filters": str(part), "frozen": frozen}
        for network in settings["networks"]
        for part in settings["parts"]
        for frozen in (("random",) if part == ALL else ("random", "zero"))
    ]


def optimizer(recipe, rate):
    """Return the parameters of an estimator that set its optimizer."""
    if recipe["optimizer"] == "adam":
        return {"learning_rate": rate}
    import keras

    return {"optimizer": keras.optimizers.SGD(rate, momentum=0.9)}


def images(recipe, seed, run):
    """Draw the images of a network."""
    return run.images(seed, *(recipe[name] for name in ("data", "train", "test", "shrink")))


def estimator(recipe, trainable, rate):
    """Return an estimator with the recipe of a network."""
    return PartialNetClassifier(
        recipe["model"],
        model_params=recipe["params"],
        trainable=trainable,
        epochs=recipe["epochs"],
        batch_size=recipe["batch_size"],
        weight_decay=recipe.get("weight_decay", 0.0),
        lr_schedule=recipe.get("lr_schedule", "cosine"),
        augment=recipe.get("augment"),
        **optimizer(recipe, rate),
    )


def run(arm, seed, run):
    recipe = run.settings["networks"][arm["network"]]
    part = arm["filters"]
    trainable = "everything()" if part == ALL else recipe["trained"].format(part)

    def make(rate):
        model = estimator(recipe, trainable, rate)
        return model.set_params(frozen=arm["frozen"], random_state=seed)

    return run.fit(arm, make, images(recipe, seed, run), recipe["rates"])[1]


def claims(settings):
    for network in settings["networks"]:
        for part in settings["parts"]:
            arm = {"network": network, "filters": str(part)}
            random, zero = arm | {"frozen": "random"}, arm | {"frozen": "zero"}
            if part != ALL:
                relation = "larger" if part in (1, 5, 10) or part <= 0.1 else "equal"
                yield lab.Claim(f"{network}, {part}: random − zero", random, zero, relation)
            if part == 0.7:
                text = f"{network}: 0.7 − all, random"
                yield lab.Claim(text, random, arm | {"filters": ALL}, "not smaller")


NAMES = {
    "mlp": "mlp",
    "lenet5": "LeNet-5",
    "wide_resnet": "WRN-{depth}-{width}",
    "densenet": "DenseNet-BC-{depth}-{growth}",
}
DATA = {"digits": "digits", "mnist": "MNIST", "cifar10": "CIFAR-10"}


def title(recipe):
    """Name a network and its data."""
    name = NAMES[recipe["model"]].format(**recipe["params"])
    size = ", images at half size" if recipe["shrink"] == 2 else ""
    return f"{name}, {DATA[recipe['data']]}{size}"


def draw(results):
    """Plot accuracy against the fraction of trained parameters, one panel per network."""
    from matplotlib.ticker import PercentFormatter

    arms = results.arms()
    networks = list(dict.fromkeys(arm["network"] for arm in arms))
    figure, pictures = figures.new(len(networks), 3.8, 3.9)
    for axes, network in zip(pictures, networks, strict=True):
        low = 1.0
        for i, frozen in enumerate(("random", "zero")):
            style = {"color": figures.COLORS[i], "marker": figures.MARKERS[i]}
            for arm in lab.pick(arms, network=network, frozen=frozen):
                x = results.spread(arm, "fraction").mean
                low = min(low, x)
                figures.points(axes, results, arm, "accuracy", x, style)
                y = 100 * results.spread(arm, "accuracy").mean
                if arm["filters"] != ALL or frozen == "random":
                    _name(axes, arm, (x, y), style["color"])
        heading = title(results.settings["networks"][network])
        rows = lab.pick(results.rows, network=network, frozen="random")
        # Where little is frozen, the fractions are too close for a slope.
        if low < 0.5 and len({row["fraction"] for row in rows}) > 1:
            line = plots.fit_log_fraction(rows, "accuracy")
            ends = np.array([low, 1])
            fitted = 100 * (line.intercept + line.slope * np.log10(ends))
            axes.plot(ends, fitted, color="#8c8c8c", zorder=0, ls="--")
            heading += f"\n{100 * line.slope:.1f} points per decade, R² {line.r2:.2f}"
        axes.set_title(heading, fontsize=9)
        axes.set_xlabel("fraction of all parameters trained")
        if low < 0.5:
            axes.set(xscale="log", xlim=(low / 1.4, 1.4))
            axes.set_xticks([tick for tick in (0.01, 0.03, 0.1, 0.3, 1) if tick > low / 1.4])
            axes.minorticks_off()
        else:
            axes.set_xlim(low - 0.2 * (1 - low), 1 + 0.2 * (1 - low))
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.margins(y=0.15)
        one = lab.pick(results.rows, network=network)[0]
        _count_axis(axes, one["parameters"] / one["fraction"])
        axes.set_ylim(bottom=min(axes.get_ylim()[0], 0))
        figures.chance_line(axes.axhline, axes.get_ylim, axes.set_ylim, 0.1)
        axes.grid(alpha=0.25)
    pictures[0].set_ylabel(figures.ACCURACY)
    figures.legend(figure, results, ("random frozen values", "zeros"), "accuracy", 0.1)
    return figure


def _count_axis(axes, total):
    """Add the number of trained parameters above the fraction of all `total` parameters."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    scales = lambda x: x * total, lambda x: x / total
    counts = axes.secondary_xaxis("top", functions=scales)
    counts.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    counts.xaxis.set_minor_formatter(NullFormatter())
    if axes.get_xscale() == "log":
        counts.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    counts.tick_params(labelsize=8)
    counts.set_xlabel(f"number of trained parameters of {total:,.0f}", fontsize=8)


def _name(axes, arm, place, color):
    """Name a point: fractions above or below it and counts beside it, as some nearly coincide."""
    above = arm["frozen"] == "random"
    shift, align = ((0, 6 if above else -6), ("center", "bottom" if above else "top"))
    if arm["filters"].isdigit():
        # Zeros may be at the line of guessing, which would cross a name at their height.
        shift, align = ((-8, 0), ("right", "center")) if above else ((8, 0), ("left", "bottom"))
    style = {"textcoords": "offset points", "size": 8, "color": color}
    axes.annotate(arm["filters"], place, shift, ha=align[0], va=align[1], **style)


EXPERIMENT = lab.Experiment(
    name="filter_fractions",
    title="How many filters must be trained?",
    claim=(
        "If only a fraction or a count of the filters of every convolution is trained, with the "
        "head and batch normalization, accuracy falls slowly, about linearly in the logarithm of "
        "the trained fraction. Random frozen values are better than zeros where few filters are "
        "trained; seven tenths are as good as all."
    ),
    source="Rosenfeld and Tsotsos (2018), arXiv:1802.00844, Figures 1 and 3, Table 2.",
    setting=(
        "The first filters of every convolution are trained, by fraction or, for whole numbers, by "
        "count. The dashed line is fitted to the runs with random frozen values. Keras subtracts "
        "weight decay apart from the momentum: 0.005 shrinks the weights as much as 0.0005 in the "
        "gradient, as published. `steps` divides the rate by 10 after half and after three "
        "quarters of the epochs."
    ),
    settings=SETTINGS,
    arms=arms,
    run=run,
    claims=claims,
    table=lab.Table(("network", "filters", "frozen"), plain=("parameters", "bytes", "cpu_seconds")),
    figure=draw,
    published_setting={
        "networks": (
            "DenseNet-BC-100-12, WRN-28-4 (WRN-28-10 in Table 2), VGG19, AlexNet; all 50,000 "
            "images of 32 x 32, 10 epochs (200 and 300 for the published values below), momentum "
            "SGD, crop and flip; in the reference implementation batches of 128, rate 0.1, weight "
            "decay 0.0005"
        ),
        "parts": "1, 5, 10 filters; 0.07, 0.08, 0.09, 0.1, 0.4, 0.7",
    },
    published=[
        lab.Published({"network": network, "filters": part, "frozen": frozen}, value)
        for network, part, random, zero in (
            ("wide_resnet", "0.1", 0.9412, 0.9153),
            ("wide_resnet", "0.4", 0.9575, 0.9549),
            ("densenet", "0.1", 0.8873, 0.8211),
            ("densenet", "0.4", 0.9333, 0.9246),
        )
        for frozen, value in (("random", random), ("zero", zero))
    ],
    published_source=(
        "Table 2: WRN-28-10 after 200 epochs and DenseNet-BC-100-12 after 300. The values of the "
        "runs of ten epochs are published as curves only."
    ),
    remarks=(
        "In LeNet-5 nearly all parameters are in dense layers, whose units are cut too, with their "
        "biases; 0.1 of its six first filters is a single one. A first version of this experiment "
        "cut its convolutions alone, on 2,000 CIFAR-10 images with a rate of 0.006: accuracies "
        "were 16 to 30 %, with standard deviations of 4 to 9 points, and all five comparisons "
        "undetermined. It was replaced because the dense layers, trained in all arms, leave "
        "little to compare."
    ),
)

if __name__ == "__main__":
    lab.main(EXPERIMENT)
