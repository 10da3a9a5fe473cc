"""Draw docs/figures/concepts.svg: base and delta, and what each selector picks in a kernel.

    python docs/figures/concepts.py

The masks are those that the selectors return for the two layers; no backend is needed.
"""

from __future__ import annotations

import pathlib
import re

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from frozenfit import selectors as fs
from frozenfit.selectors import Context, Layout, WeightInfo, forms

FROZEN, TRAINED, INK = "#d9dde2", "#0072b2", "#222222"
N_INPUTS, N_OUTPUTS, WINDOW, GAP = 4, 8, 3, 0.7

CONV = Layout(
    (
        WeightInfo("conv/kernel", (3, 3, 4, 8), "conv", "Conv2D", "kernel", (3,), (2,), (0, 1)),
        WeightInfo("conv/bias", (8,), "conv", "Conv2D", "bias", (0,)),
    ),
    ("conv",),
    (),
)
DENSE = Layout(
    (
        WeightInfo("dense/kernel", (12, 8), "dense", "Dense", "kernel", (1,), (0,)),
        WeightInfo("dense/bias", (8,), "dense", "Dense", "bias", (0,)),
    ),
    ("dense",),
    (),
)
CONV_SELECTORS = (
    fs.filters(0.25),
    fs.inputs(0.25),
    fs.rows(1),
    fs.columns(1),
    fs.random(0.25, seed=0),
    fs.magnitude(0.25),
)
DENSE_SELECTORS = (
    fs.filters(0.25),
    fs.inputs(0.25),
    fs.kernels(),
    fs.biases(),
    fs.random(0.25, seed=0),
    fs.magnitude(0.25),
)


def main() -> None:
    """Write the SVG beside this script."""
    matplotlib.rcParams |= {"svg.fonttype": "none", "font.size": 9, "svg.hashsalt": "frozenfit"}
    figure = Figure(figsize=(9, 5.6), layout="constrained")
    top, conv, dense = figure.subfigures(3, 1, height_ratios=(1.15, 0.9, 1.15))
    draw_split(top)
    title = "A convolution kernel of 3 × 3, 4 inputs (down) and 8 filters (across), and its bias"
    draw_selectors(conv, title, CONV, CONV_SELECTORS, draw_convolution)
    title = "A dense kernel of 12 inputs (down) and 8 units (across), and its bias"
    draw_selectors(dense, title, DENSE, DENSE_SELECTORS, draw_dense)
    out = pathlib.Path(__file__).with_suffix(".svg")
    figure.savefig(out, metadata={"Date": None, "Creator": None})
    # Two decimals of a point are enough, and a third of the bytes.
    short = re.sub(r"(\d\.\d\d)\d+", r"\1", out.read_text("utf-8"))
    out.write_text(re.sub(r" +\n", "\n", short), "utf-8")


def draw_split(panel) -> None:
    """Draw a fitted network as the sum of a base and a delta."""
    panel.suptitle("A fitted network = base + delta", fontsize=11, x=0.01, ha="left")
    parts = panel.subplots(1, 3)
    panel.text(0.335, 0.45, "+", fontsize=22, ha="center", va="center")
    panel.text(0.665, 0.45, "=", fontsize=22, ha="center", va="center")
    titles = ("base: never modified", "delta: owned by one estimator", "the network that predicts")
    notes = (
        "drawn again from a seed, or pretrained;\nshared by members and tasks",
        "the trained parameters alone; only\nthey take optimizer state and file space",
        "frozen and trained parameters,\nput together at each call",
    )
    for axes, title, note, colors in zip(
        parts, titles, notes, ((FROZEN, FROZEN), (None, TRAINED), (FROZEN, TRAINED)), strict=True
    ):
        for layer, (left, width, height) in enumerate(((0, 8, 6), (12, 8, 5), (24, 3, 5))):
            trained = width if layer == 2 else 2
            if colors[0] is not None:
                axes.add_patch(Rectangle((left, -height / 2), width, height, color=colors[0], lw=0))
            axes.add_patch(Rectangle((left, -height / 2), trained, height, color=colors[1], lw=0))
            if colors[0] is None:
                outline = Rectangle((left, -height / 2), width, height, fill=False, ls=":", lw=0.6)
                axes.add_patch(outline)
        axes.set_title(title, fontsize=9.5)
        axes.text(13.5, -4.2, note, ha="center", va="top", fontsize=8.5, color=INK)
        axes.set(xlim=(-1.5, 28.5), ylim=(-7.6, 3.4))
        axes.set_axis_off()


def draw_selectors(panel, title: str, layout: Layout, selectors, draw) -> None:
    """Draw one panel per selector."""
    panel.suptitle(title, fontsize=11, x=0.01, ha="left")
    values = {
        info.path: np.random.default_rng(1).standard_normal(info.shape) for info in layout.weights
    }
    kernel, bias = layout.weights
    for axes, selector in zip(panel.subplots(1, len(selectors)), selectors, strict=True):
        selection = selector.resolve(layout, Context(values=values))
        masks = [forms.to_mask(selection[info.path], info.shape) for info in (kernel, bias)]
        draw(axes, *masks)
        axes.set_title(str(selector), fontsize=9, family="monospace")
        axes.set_aspect("equal")
        axes.set_axis_off()


def draw_convolution(axes: Axes, kernel: np.ndarray, bias: np.ndarray) -> None:
    """Draw a window for each pair of an input and a filter, and the bias below."""
    step = WINDOW + GAP
    cells = [
        (o * step + column, i * step + row, kernel[row, column, i, o])
        for row, column, i, o in np.ndindex(kernel.shape)
    ]
    below = N_INPUTS * step + 0.6
    cells += [(o * step + 1, below, trained) for o, trained in enumerate(bias)]
    draw_cells(axes, cells)
    axes.set(xlim=(-0.5, N_OUTPUTS * step), ylim=(below + 1.6, -0.5))


def draw_dense(axes: Axes, kernel: np.ndarray, bias: np.ndarray) -> None:
    """Draw the matrix, and the bias below."""
    cells = [(column, row, kernel[row, column]) for row, column in np.ndindex(kernel.shape)]
    below = len(kernel) + 0.6
    cells += [(column, below, trained) for column, trained in enumerate(bias)]
    draw_cells(axes, cells)
    axes.set(xlim=(-0.3, N_OUTPUTS + 0.3), ylim=(below + 1.3, -0.3))


def draw_cells(axes: Axes, cells: list[tuple]) -> None:
    """Draw squares; one path for each color keeps the file small."""
    square = Path.unit_rectangle()
    for color, wanted in ((FROZEN, False), (TRAINED, True)):
        corners = [(x, y) for x, y, trained in cells if trained == wanted]
        if corners:
            squares = [Path(0.9 * square.vertices + corner, square.codes) for corner in corners]
            axes.add_patch(PathPatch(Path.make_compound_path(*squares), color=color, lw=0))


if __name__ == "__main__":
    main()
