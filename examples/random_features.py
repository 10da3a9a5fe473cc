"""Random features: accuracy by units and samples, and distances after frozen layers.

python examples/random_features.py
python examples/random_features.py --budget cpu --data-dir FOLDER --out docs/results
"""

from __future__ import annotations

from functools import lru_cache

import lab
import numpy as np
from lab import figures
from scipy.spatial.distance import pdist, squareform

from frozenfit import ELMClassifier

UNITS = {
    "√n": lambda n: n**0.5,
    "√n ln n": lambda n: n**0.5 * np.log(n),
    "n": lambda n: n,
}
SETTINGS = {
    "tiny": {"data": "digits", "test": 100, "samples": (100,), "layers": 1, "widths": (20,)},
    "cpu": {
        "data": "mnist",
        "test": 10000,
        "samples": (250, 500, 1000, 2000),
        "layers": 4,
        "widths": (100, 1000),
    },
    "long": {
        "data": "mnist",
        "test": 10000,
        "samples": (500, 1000, 2000, 4000, 8000),
        "layers": 8,
        "widths": (100, 1000, 4000),
    },
}
for name, budget in SETTINGS.items():
    budget |= {"activation": "relu", "images for distances": 50 if name == "tiny" else 500}


def arms(settings):
    listed = [{"samples": n, "units": units} for n in settings["samples"] for units in UNITS]
    return listed + [
        {"width": width, "layer": layer}
        for width in settings["widths"]
        for layer in range(1, settings["layers"] + 1)
    ]


def run(arm, seed, run):
    settings = run.settings
    if "layer" in arm:
        data = run.images(seed, train=settings["images for distances"]).flat()
        return distances(arm["width"], seed, run)[arm["layer"] - 1] | {"images": len(data.X)}
    n = arm["samples"]
    data = run.images(seed, train=n).flat()
    units = round(UNITS[arm["units"]](n))
    model = ELMClassifier(units, activation=settings["activation"], random_state=seed)
    model.fit(data.X, data.y)
    return lab.measure(model, data) | {"number of units": units, "alpha": float(model.alpha_)}


@lru_cache(maxsize=1)
def distances(width: int, seed: int, run) -> list[dict[str, float]]:
    """Measure the layers of one width, once for all arms of a seed."""
    settings = run.settings
    data = run.images(seed, train=settings["images for distances"]).flat()
    return after_layers(data.X, data.y, width, settings["layers"], seed)


def after_layers(X, y, width: int, layers: int, seed: int) -> list[dict[str, float]]:
    """Compare the distances between samples after each of several random layers with theory.

    The samples are centered.
    """
    X = X - X.mean(axis=0)
    first, measured = pdist(X), []
    same = squareform(y[:, None] == y, checks=False).astype(bool)
    for layer in range(layers):
        expected = expected_distances(X)
        rng = np.random.default_rng((seed, layer))
        X = np.maximum(X @ rng.normal(0, width**-0.5, (X.shape[1], width)), 0)
        after = pdist(X)
        measured.append(
            {
                "error": float(np.mean(np.abs(after / expected - 1))),
                "correlation": float(np.corrcoef(first, after)[0, 1]),
                "same class": float(after[same].mean() / after[~same].mean()),
                "same class, pixels": float(first[same].mean() / first[~same].mean()),
            }
        )
    return measured


def expected_distances(X) -> np.ndarray:
    """Return the distances that rows of X have in expectation after a layer of `after_layers`.

    For two rows x and y at an angle a, the squared distance after Gaussian weights of variance 1 /
    width and a rectifier is |x - y|^2 / 2 - |x| |y| (sin a - a cos a) / pi in expectation, by the
    kernel of Cho and Saul (2009).
    """
    norms = np.linalg.norm(X, axis=1)
    products = np.outer(norms, norms)
    cosines = np.clip(X @ X.T / products, -1, 1)
    angles = np.arccos(cosines)
    loss = products * (np.sin(angles) - angles * cosines) / np.pi
    return np.sqrt(pdist(X) ** 2 / 2 - squareform(loss, checks=False))


def claims(settings):
    for n in settings["samples"]:
        arms = [{"samples": n, "units": units} for units in ("√n ln n", "n")]
        text = f"{n:,} samples: accuracy with √n ln n units − with n units"
        yield lab.Claim(text, *arms, "not smaller")
    narrow, *_, wide = (*settings["widths"], settings["widths"][-1])
    if narrow == wide:
        return
    for layer in range(1, settings["layers"] + 1):
        arms = [{"width": width, "layer": layer} for width in (wide, narrow)]
        text = f"layer {layer}: error of distances with {wide:,} units − with {narrow:,}"
        yield lab.Claim(text, *arms, "smaller", "error")
        both = ("same class", "same class, pixels")
        text = f"layer {layer}, {wide:,} units: distances within a class − those of the pixels"
        yield lab.Claim(text, arms[0], arms[0], "smaller", both)


def draw(results):
    """Plot accuracy by samples, and what happens to distances by layers."""
    arms, settings = results.arms(), results.settings
    figure, (left, middle, right) = figures.new(3, 4.2, 3.6)
    for i, units in enumerate(UNITS):
        style = {"color": figures.COLORS[i], "marker": figures.MARKERS[i]}
        some = lab.pick(arms, units=units)
        _line(left, results, some, "samples", "accuracy", style, figures.DASHES[i])
    ticks = list(settings["samples"])
    left.set(xscale="log", xlabel="training samples n", ylabel=figures.ACCURACY)
    left.set_xticks(ticks, [f"{n:,}" for n in ticks])
    left.minorticks_off()
    left.set_title("accuracy, by number of units", fontsize=9)
    titles = "error of distances against theory, %", "distance within ÷ between classes, %"
    for axes, of, title in zip((middle, right), ("error", "same class"), titles, strict=True):
        for i, width in enumerate(settings["widths"]):
            style = {"color": figures.COLORS[3 + i], "marker": figures.MARKERS[3 + i]}
            some = lab.pick(arms, width=width)
            _line(axes, results, some, "layer", of, style, figures.DASHES[i])
        axes.set(xlabel="frozen layers")
        axes.set_xticks(range(1, settings["layers"] + 1))
        axes.set_title(title, fontsize=9)
    for axes in (left, middle, right):
        axes.grid(alpha=0.25)
    names = [*(f"{units} units" for units in UNITS), *(f"{w:,} units" for w in settings["widths"])]
    figures.legend(figure, results, names, "accuracy")
    return figure


def _line(axes, results, arms, by, of, style, dash):
    for arm in arms:
        figures.points(axes, results, arm, of, arm[by], style)
    means = [100 * results.spread(arm, of).mean for arm in arms]
    axes.plot([arm[by] for arm in arms], means, ls=dash, lw=1.2, color=style["color"])


EXPERIMENT = lab.Experiment(
    name="random_features",
    title="Random features: how many units for how many samples?",
    claim=(
        "About √n ln n random features are as accurate as n for n samples. A random Gaussian layer "
        "keeps the distances between samples, up to an error that falls with the number of units, "
        "and treats samples of one class differently, which is tested here as: it brings them "
        "closer together relative to those of other classes."
    ),
    source=(
        "Rudi and Rosasco (2017), arXiv:1602.04474; Giryes, Sapiro and Bronstein (2016), "
        "arXiv:1504.08291; both cited for random networks."
    ),
    setting=(
        "Accuracies are those of one random hidden layer with a ridge solution, whose penalty is "
        "chosen by leave-one-out. Distances are between the outputs of several Gaussian layers with"
        ' rectifiers in NumPy, without biases, on centered pixels. "Error" is the mean relative '
        "difference between the distance of two images after a layer and its expectation given "
        'their distance and angle before the layer. "Same class" is the mean distance within a '
        "class divided by that between classes."
    ),
    settings=SETTINGS,
    arms=arms,
    run=run,
    claims=claims,
    table=lab.Table(
        ("samples", "units", "width", "layer"),
        ("accuracy", "error", "correlation", "same class", "same class, pixels"),
        plain=("number of units", "alpha"),
    ),
    figure=draw,
    published_setting={"data": "several", "layers": "a theorem for any number"},
    published_source="Theorems on rates of convergence and on expectations; no numbers.",
    remarks=(
        "The theorem on √n ln n features is about rates of convergence, up to a constant factor, "
        "which these comparisons take as 1. A rectifier shrinks distances at large angles more than"
        " those at small ones, so that all distances become more alike with depth."
    ),
)

if __name__ == "__main__":
    lab.main(EXPERIMENT)
