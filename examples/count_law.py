"""Whether accuracy follows the fraction or the number of trained parameters, over widths.

python examples/count_law.py
python examples/count_law.py --budget cpu --data-dir FOLDER --tabular FOLDER --out docs/results
"""

from __future__ import annotations

from itertools import pairwise

import lab
import numpy as np
from lab import figures, statistics
from sklearn.isotonic import IsotonicRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from frozenfit import PartialNetClassifier

IMAGES = ("digits", "mnist")
SETTINGS = {
    "tiny": {"data": ("digits",), "train": 200, "test": 100, "widths": (10, 20), "parts": (0.1, 1)},
    "cpu": {
        "data": ("digits", "mnist", "satimage", "spambase"),
        "train": 3000,
        "test": 10000,
        "widths": (50, 200, 800),
        "parts": (0.02, 0.05, 0.1, 0.2, 0.5, 1),
    },
}
for name, budget in SETTINGS.items():
    budget |= {
        "network": "mlp with one hidden layer",
        "trained": "the first units, the head, and batch normalization",
        "optimizer": "the default, with its default learning rate",
        "epochs": 1 if name == "tiny" else 20,
    }


def named(narrow: int, wide: int, what: str) -> tuple[str, str]:
    """Return the columns with the accuracies of two widths."""
    return f"{narrow} at {what} of {wide}", f"{wide} at {what} of {narrow}"


COLUMNS = tuple(
    column
    for what in ("counts", "fractions")
    for widths in pairwise(SETTINGS["cpu"]["widths"])
    for column in named(*widths, what)
)
COLUMNS += ("by count", "by fraction")


def arms(settings):
    return [{"data": name} for name in settings["data"]]


def samples(name: str, settings, seed: int, run) -> lab.Data:
    """Draw `train` samples, or four fifths of a smaller training part."""
    if name in IMAGES:
        train = settings["train"] if name == "mnist" else min(settings["train"], 1000)
        return run.images(seed, name, train, settings["test"]).flat()
    return run.table(seed, name, 0.5)


def explained(of: list[float], accuracies: list[float]) -> float:
    """Return R² of the best function of one quantity that never decreases."""
    line = IsotonicRegression(out_of_bounds="clip")
    return float(line.fit(of, accuracies).score(of, accuracies))


def compared(points, narrow: int, wide: int) -> dict[str, float]:
    """Return the mean accuracies of two widths at equal counts, and at equal fractions.

    Counts are those that both curves contain, between whose points the accuracy is linear in the
    logarithm of the count.
    """
    curves = [[point for point in points if point["width"] == width] for width in (narrow, wide)]
    counts = [np.log([point["parameters"] for point in curve]) for curve in curves]
    accuracies = [[point["accuracy"] for point in curve] for curve in curves]
    low, high = max(c.min() for c in counts), min(c.max() for c in counts)
    if low >= high:
        raise RuntimeError(f"The counts of {narrow} and {wide} units have no common range.")
    grid = np.linspace(low, high, 20)
    means = [np.interp(grid, *curve).mean() for curve in zip(counts, accuracies, strict=True)]
    columns = named(narrow, wide, "counts"), named(narrow, wide, "fractions")
    return {
        **dict(zip(columns[0], map(float, means), strict=True)),
        **dict(zip(columns[1], map(float, map(np.mean, accuracies)), strict=True)),
    }


def run(arm, seed, run):
    settings = run.settings
    data = samples(arm["data"], settings, seed, run)
    points = []
    for width in settings["widths"]:
        for part in settings["parts"]:
            model = make_pipeline(
                StandardScaler(),
                PartialNetClassifier(
                    "mlp",
                    model_params={"hidden_layer_sizes": (width,)},
                    trainable=float(part),
                    epochs=settings["epochs"],
                    random_state=seed,
                ),
            ).fit(data.X, data.y)
            values = lab.measure(model[-1], data._replace(X_test=model[0].transform(data.X_test)))
            found = {name: values[name] for name in ("accuracy", "parameters", "fraction")}
            points.append({"width": width, "part": part, **found})
    columns = {name: [point[name] for point in points] for name in points[0]}
    by_count = explained(columns["parameters"], columns["accuracy"])
    by_fraction = explained(columns["fraction"], columns["accuracy"])
    values = {"points": points, "by count": by_count, "by fraction": by_fraction}
    for narrow, wide in pairwise(settings["widths"]):
        values |= compared(points, narrow, wide)
    return values


def claims(settings):
    for name in settings["data"]:
        arm = {"data": name}
        for widths in pairwise(settings["widths"]):
            for what, relation in (("counts", "equal"), ("fractions", "larger")):
                columns = named(*widths, what)[::-1]
                text = f"{name}, equal {what}: {widths[1]} − {widths[0]} units"
                yield lab.Claim(text, arm, arm, relation, columns)


def draw(results):
    """Plot accuracy against the count and against the fraction, a color for each width."""
    from matplotlib.ticker import NullFormatter

    arms = results.arms()
    figure, pictures = figures.new(2 * len(arms), 3.1, 2.9, columns=len(arms))
    widths = results.settings["widths"]
    for column, arm in enumerate(arms):
        runs = [run["points"] for run in results.of(arm)]
        for row, of in enumerate(("parameters", "fraction")):
            axes = pictures[row * len(arms) + column]
            for i, width in enumerate(widths):
                own = [[p for p in points if p["width"] == width] for points in runs]
                spreads = [
                    statistics.spread([100 * points[k]["accuracy"] for points in own])
                    for k in range(len(own[0]))
                ]
                axes.errorbar(
                    [point[of] for point in own[0]],
                    [spread.mean for spread in spreads],
                    [spread.sd for spread in spreads] if len(runs) > 1 else None,
                    color=figures.COLORS[i],
                    marker=figures.MARKERS[i],
                    ls=figures.DASHES[i],
                    ms=4,
                    lw=1,
                    capsize=2,
                )
            r2 = results.spread(arm, "by count" if of == "parameters" else "by fraction").mean
            axes.set_title(f"{arm['data']}: R² {r2:.2f}", fontsize=9)
            axes.set(xscale="log", xlabel="trained fraction" if row else "trained parameters")
            axes.xaxis.set_minor_formatter(NullFormatter())
            if row:
                low, _ = axes.get_xlim()
                ticks = [tick for tick in (0.02, 0.05, 0.1, 0.2, 0.5, 1) if tick > low]
                axes.set_xticks(ticks, map(str, ticks))
            axes.grid(alpha=0.25)
            if column == 0:
                axes.set_ylabel(figures.ACCURACY)
    named = [f"{width} hidden units" for width in widths]
    figures.legend(figure, results, named, "accuracy")
    return figure


EXPERIMENT = lab.Experiment(
    name="count_law",
    title="Does accuracy follow the number of trained parameters or their fraction?",
    claim=(
        "Networks of different width have the same accuracy where they train the same number of "
        "parameters, and different accuracies where they train the same fraction: the number that "
        "a task needs does not grow with the network."
    ),
    source="This project. Nothing is published on it.",
    setting=(
        "Networks with one hidden layer of three widths, of which six fractions of the units are "
        "trained. Two widths are compared by their mean accuracies at the counts that both reach, "
        "interpolated in the logarithm of the count, and by their mean accuracies over the six "
        'fractions. "By count" and "by fraction" are R²: the share of the variance of the eighteen '
        "accuracies of a seed that the best function explains that never decreases in the number, "
        "or in the fraction, of trained parameters. Tables have half of their training part drawn."
    ),
    settings=SETTINGS,
    arms=arms,
    run=run,
    claims=claims,
    table=lab.Table(("data",), COLUMNS, plain=()),
    figure=draw,
    remarks=(
        "R² is given in hundredths. It favors counts where the widths hardly have a count in "
        "common, as on letter, with which a first version was run; the comparisons at equal counts "
        "replaced it as the claim, and spambase replaced letter. On the other sets its R² were .98 "
        "to 1.00 by count and .34 to .50 by fraction."
    ),
)

if __name__ == "__main__":
    lab.main(EXPERIMENT)
