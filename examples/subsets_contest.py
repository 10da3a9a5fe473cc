"""Which parameters are best trained, at equal numbers of trained parameters.

python examples/subsets_contest.py
python examples/subsets_contest.py --budget cpu --data-dir FOLDER --out docs/results
"""

from __future__ import annotations

import math

import lab
from lab import figures

from frozenfit import PartialNetClassifier
from frozenfit import selectors as fs

# Network, its parameters, and the number of parameters in the kernels below the head.
NETWORKS = {
    "mlp": ("mlp", {"hidden_layer_sizes": (200, 200)}, 196_800),
    "lenet5": ("lenet5", {}, 43_350),
}
STYLES = (
    *zip(figures.COLORS, figures.MARKERS, strict=True),
    *zip(figures.COLORS, "<>pH", strict=False),
)
HIDDEN = "(kernels() - head())"
# Trained parameters below the head: as many as biases, as many as scales, a tenth of the kernels,
# and as many as their entries.
COUNTS = {
    "mlp": {"few": 400, "some": 1_384, "many": 19_680, "all": 196_800},
    "lenet5": {"few": 226, "some": 609, "many": 4_335, "all": 43_350},
}
EVERYWHERE = ("random", "magnitude", "movement", "Fisher", "subspace")
ONLY = {"few": ("biases",), "some": ("scales",), "many": ("first filters",)}
# The ranks whose factors have at most as many parameters; other counts are too small for them.
FACTORS = {
    "mlp": {"some": "lora(1)", "many": "lora(14)"},
    "lenet5": {"many": 'lora(5).on("conv1", "dense1") | lora(6).on("conv2", "dense2")'},
}
SETTINGS = {
    "tiny": {
        "networks": ("lenet5",),
        "counts": ("some", "all"),
        "data": "digits",
        "train": 200,
        "test": 100,
        "epochs": 1,
        "rates": (0.006,),
    },
    "cpu": {
        "networks": tuple(NETWORKS),
        "counts": ("few", "some", "many", "all"),
        "data": "mnist",
        "train": 2000,
        "test": 10000,
        "epochs": 8,
        "rates": (0.002, 0.006, 0.02),
    },
    "long": {
        "networks": tuple(NETWORKS),
        "counts": ("few", "some", "many", "all"),
        "data": "mnist",
        "train": 60000,
        "test": 10000,
        "epochs": 10,
        "rates": (0.002, 0.006, 0.02),
    },
}
for budget in SETTINGS.values():
    budget |= {"batch_size": 64, "optimizer": "Adam, cosine decay"}


def arms(settings):
    return [
        {"network": network, "selected": name, "count": count}
        for network in settings["networks"]
        for count in settings["counts"]
        for name in selections(network, count)
    ]


def selections(network, count):
    """Return the names of the arms of a network at one count."""
    if count == "all":
        return "random", "supermask"
    factors = ("LoRA",) if count in FACTORS[network] else ()
    return (*EVERYWHERE, *ONLY[count], *factors)


def run(arm, seed, run):
    settings = run.settings
    network, params, _ = NETWORKS[arm["network"]]
    data = run.images(seed)

    def make(rate, trainable=None):
        return PartialNetClassifier(
            network,
            model_params=params,
            trainable=selector(arm, make, data, settings) if trainable is None else trainable,
            epochs=settings["epochs"],
            batch_size=settings["batch_size"],
            learning_rate=rate,
            lr_schedule="cosine",
            random_state=seed,
        )

    rates = settings["rates"]
    if arm["selected"] == "subspace":
        # A step of Adam is then as long as one of the parameters that the subspace is made of.
        _, _, total = NETWORKS[arm["network"]]
        factor = math.sqrt(total / COUNTS[arm["network"]][arm["count"]])
        rates = tuple(factor * rate for rate in rates)
    return run.fit(arm, make, data, rates)[1]


def selector(arm, make, data, settings):
    """Return the selector of an arm; the head is trained in all of them."""
    _, _, total = NETWORKS[arm["network"]]
    count = COUNTS[arm["network"]][arm["count"]]
    name, p = arm["selected"], count / total
    if name == "movement":
        return moved(make, data, settings["rates"][0], p)
    if name == "LoRA":
        return f"({FACTORS[arm['network']][arm['count']]}) & {HIDDEN} | head()"
    texts = {
        "random": f"random({p}, within={HIDDEN})",
        "magnitude": f"magnitude({p}, within={HIDDEN})",
        "Fisher": f"fisher({p}, within={HIDDEN})",
        "subspace": f"subspace({count}) & {HIDDEN}",
        "biases": "biases()",
        "scales": "scales()",
        "first filters": f"filters({p}) & {HIDDEN}",
        "supermask": f"supermask(0.5) & {HIDDEN}",
    }
    return f"({texts[name]}) | head()"


def moved(make, data, rate, p):
    """Select the parameters of each kernel that a fit of the whole network changes most."""
    whole = make(rate, trainable=1.0).fit(data.X, data.y)
    changed = fs.movement(p, whole.base_.to_keras(), whole.to_keras())
    return (changed & fs.parse(HIDDEN)) | fs.head()


def claims(settings):
    for network in settings["networks"]:
        for count in settings["counts"]:
            for name in selections(network, count)[1:]:
                pair = [
                    {"network": network, "selected": each, "count": count}
                    for each in (name, "random")
                ]
                relation = "equal" if name in ("first filters", "supermask") else "larger"
                yield lab.Claim(f"{network}, {count}: {name} − random", *pair, relation)


def draw(results):
    """Plot the accuracy of each kind of selection over the number of trained parameters."""
    settings = results.settings
    figure, pictures = figures.new(len(settings["networks"]), 5.2, 4.0)
    names = list(dict.fromkeys(arm["selected"] for arm in results.arms()))
    for axes, network in zip(pictures, settings["networks"], strict=True):
        for i, name in enumerate(names):
            style = {"color": STYLES[i][0], "marker": STYLES[i][1]}
            own = [
                arm
                for arm in results.arms()
                if arm["network"] == network and arm["selected"] == name
            ]
            for arm in own:
                count = COUNTS[network][arm["count"]]
                # Moved apart, because the counts are the same.
                place = count * 1.06 ** (i - len(names) / 2)
                figures.points(axes, results, arm, "accuracy", place, style)
        axes.set_xscale("log")
        axes.set(ylabel=figures.ACCURACY, title=network)
        axes.set_xlabel("trained parameters below the head\n(arms of equal count side by side)")
        axes.grid(alpha=0.25)
    plain = len(figures.COLORS)
    more = [(name, *style) for name, style in zip(names[plain:], STYLES[plain:], strict=False)]
    figures.legend(figure, results, names[:plain], "accuracy", more=more)
    return figure


EXPERIMENT = lab.Experiment(
    name="subsets_contest",
    title="Which parameters are best at an equal count?",
    claim=(
        "A selection by a score, by role, by low-rank factors or by a random projection reaches a "
        "higher accuracy than random parameters of the same number; the first filters are as good "
        "as random parameters, and masks of frozen kernels as good as trained kernels."
    ),
    source=(
        "Rosenfeld and Tsotsos (2018), arXiv:1802.00844, train the first filters; Zhou et al. "
        "(2019), arXiv:1905.01067, rank by magnitude and movement; Sung et al. (2021), "
        "arXiv:2111.09839, by Fisher information; Li et al. (2018), arXiv:1804.08838, train along "
        "random directions; Hu et al. (2021), arXiv:2106.09685, train low-rank factors; "
        "Ramanujan et al. (2020), arXiv:1911.13299, train masks."
    ),
    setting=(
        "The head is trained in all arms. Below it, arms have equal numbers of trained parameters: "
        "as many as there are biases, as many as there are scales of inputs and outputs, a "
        "tenth of the parameters of kernels, and all of them. In the last case the random "
        "parameters are whole kernels, and a supermask keeps half of their frozen entries and "
        "trains a score of each one. Rankings select the same fraction of each kernel. Movement is "
        "that of a fit of the whole network, which the other arms do not need. LoRA has the "
        "largest ranks with at most as many parameters."
    ),
    settings=SETTINGS,
    # Many arms differ by about a point, and an interval of five seeds is as wide.
    seeds=10,
    arms=arms,
    run=run,
    claims=claims,
    table=lab.Table(
        ("network", "selected"),
        ("accuracy",),
        columns=("count",),
    ),
    figure=draw,
    remarks=(
        "The first filters are compared at a tenth of the parameters only: one filter of each "
        "layer has more parameters than the others. Neither network has batch normalization, so "
        "that its arm is missing. LoRA is missing where a rank of one has more parameters. "
        "Rounding down leaves a few parameters less in arms that select a fraction of each "
        "kernel, and up to 2 % less in LoRA."
    ),
)

if __name__ == "__main__":
    lab.main(EXPERIMENT)
