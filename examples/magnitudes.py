"""Magnitudes of trained weights, by how many filters are trained.

python examples/magnitudes.py
python examples/magnitudes.py --budget cpu --data-dir FOLDER --out docs/results
"""

from __future__ import annotations

import filter_fractions
import lab
import numpy as np
from lab import figures

from frozenfit.analysis import weight_magnitudes

PARTS = (0.1, 0.4, 0.7, 1.0)
SETTINGS = {
    budget: {**settings, "parts": (0.4,) if budget == "tiny" else PARTS}
    for budget, settings in filter_fractions.SETTINGS.items()
}


def arms(settings):
    return [
        {"network": network, "trained": str(part)}
        for network in settings["networks"]
        for part in settings["parts"]
    ]


def run(arm, seed, run):
    recipe = run.settings["networks"][arm["network"]]
    data = filter_fractions.images(recipe, seed, run)
    (rate,) = recipe["rates"]  # one for all arms: magnitudes depend on it
    model = filter_fractions.estimator(recipe, recipe["trained"].format(arm["trained"]), rate)
    model.set_params(random_state=seed).fit(data.X, data.y)
    rows = weight_magnitudes(model)
    hidden = [row for row in rows if row.path.endswith("/kernel") and row.path != "head/kernel"]
    trained = {row.path: row for row in hidden if row.part == "trained"}
    if recipe["trained"] == filter_fractions.CONVOLUTIONS:
        trained = {path: row for path, row in trained.items() if "conv" in path}
    frozen = [row for row in hidden if row.part == "frozen" and row.path in trained]
    growth = {path.removesuffix("/kernel"): r.final / r.initial for path, r in trained.items()}
    values = {
        "layers": {name: round(value, 5) for name, value in growth.items()},
        "growth": float(np.mean(list(growth.values()))) - 1,
        "variance": float(np.mean([row.variance for row in trained.values()])),
        "distance": float(np.mean([row.distance for row in trained.values()])),
    }
    if any(row.final != row.initial for row in frozen):
        raise RuntimeError("A frozen parameter was changed.")
    return values | lab.measure(model, data)


def claims(settings):
    for network in settings["networks"]:
        few, *more = ({"network": network, "trained": str(part)} for part in settings["parts"])
        if not more:
            continue
        *between, everything = more
        name = f"{network}, growth: {few['trained']} − {everything['trained']}"
        yield lab.Claim(name, few, everything, "larger", "growth")
        for arm in between:
            name = f"{network}, growth: {arm['trained']} − {everything['trained']}"
            yield lab.Claim(name, arm, everything, "equal", "growth", 0.1)


def draw(results):
    """Plot the growth of the magnitudes by layer, one panel per network."""
    arms = results.arms()
    networks = list(dict.fromkeys(arm["network"] for arm in arms))
    parts = list(dict.fromkeys(arm["trained"] for arm in arms))
    figure, pictures = figures.new(len(networks), 6, 4.2, columns=2)
    for axes, network in zip(pictures, networks, strict=True):
        for arm in lab.pick(arms, network=network):
            i = parts.index(arm["trained"])
            rows = [row["layers"] for row in results.of(arm)]
            names = list(rows[0])
            values = np.array([[row[name] for name in names] for row in rows])
            bars = values.std(axis=0, ddof=1) if len(rows) > 1 else None
            axes.errorbar(
                np.arange(len(names)) + 0.08 * (i - 1.5),
                values.mean(axis=0),
                bars,
                color=figures.COLORS[i],
                marker=figures.MARKERS[i],
                ls=figures.DASHES[i],
                ms=5,
                lw=1,
                capsize=2,
            )
        axes.axhline(1, color="#8c8c8c", lw=1, zorder=0)
        axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=7)
        axes.set(title=network, ylabel="mean |weight| after ÷ before training")
        axes.grid(alpha=0.25)
    named = [f"{part} of the filters trained" for part in parts]
    figures.legend(figure, results, named, "growth")
    return figure


EXPERIMENT = lab.Experiment(
    name="magnitudes",
    title="Do trained weights grow if few are trained?",
    claim=(
        "With a tenth of the filters trained, the trained weights become clearly larger in absolute"
        " value than with all of them trained; with four tenths and more they do not differ."
    ),
    source="Rosenfeld and Tsotsos (2018), arXiv:1802.00844, Figure 6.",
    setting=(
        "The first filters of every convolution are trained, with the head and batch "
        'normalization; the other filters are random. "Growth" is the mean absolute value of the '
        "trained parameters of a kernel after training relative to before, minus 1, averaged over "
        "the layers that are cut: frozen parameters have 0. The margin of equal growths is 10 "
        "points. All arms have the same learning rate, because magnitudes depend on it."
    ),
    settings=SETTINGS,
    arms=arms,
    run=run,
    claims=claims,
    table=lab.Table(
        ("network", "trained"), ("growth", "accuracy"), plain=("variance", "distance", "parameters")
    ),
    figure=draw,
    published_setting={
        "networks": (
            "those of Figure 1, on Tiny-ImageNet: 45 epochs of YellowFin, rate 0.1, divided by 10 "
            "after 15 and 30 epochs"
        ),
    },
    published_source="Figure 6 shows curves; no number is given.",
    remarks=(
        "The networks and recipes are those of [filter fractions](filter-fractions.md). A first "
        "version trained LeNet-5 on 4,000 CIFAR-10 images, with its dense layers trained in all "
        "arms: the growth was 0.4 [-49, 50] percent larger with a tenth than with everything. It "
        "was replaced together with that experiment."
    ),
)

if __name__ == "__main__":
    lab.main(EXPERIMENT)
