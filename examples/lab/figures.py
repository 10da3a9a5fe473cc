"""Figures of experiments: points by category, a map of cells, and parts for other figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .experiment import Results, pick

# Okabe and Ito: distinguishable with color vision deficiency; markers and dashes for gray prints.
COLORS = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#8c8c8c"
MARKERS = "o", "s", "^", "D", "v", "P", "X", "*"
DASHES = "-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 2))
ACCURACY = "test accuracy, %"


def dots(
    results: Results,
    *,
    lines: str,
    series: str | None = None,
    panels: str | None = None,
    of: str = "accuracy",
    also: str | None = None,
    label: str = ACCURACY,
    chance: float | None = None,
    width: float = 4.4,
) -> Any:
    """Draw one line of points for each value of a factor, one color for each series.

    `also` is a second column, drawn in gray.
    """
    arms = results.arms()
    titles = _values(arms, panels)
    names, groups = _values(arms, lines), _values(arms, series)
    height = 1.3 + max(0.34, 0.17 * len(groups)) * len(names)
    figure, pictures = new(len(titles), width, height)
    top = len(names) - 1
    for axes, title in zip(pictures, titles, strict=True):
        for i, group in enumerate(groups):
            shift = 0.55 * (i / max(1, len(groups) - 1) - 0.5) if len(groups) > 1 else 0
            style = {"color": COLORS[i], "marker": MARKERS[i]}
            place = {lines: None} | _where(panels, title) | _where(series, group)
            for name in names:
                arm, y = {**place, lines: name}, top - names.index(name) - shift
                points(axes, results, arm, of, y, style, flat=True)
                if also is not None:
                    gray = {"color": "#8c8c8c", "marker": "D"}
                    points(axes, results, arm, also, y - 0.25, gray, flat=True)
        if title is not None:
            axes.set_title(title, fontsize=10)
        if chance is not None:
            chance_line(axes.axvline, axes.get_xlim, axes.set_xlim, chance)
        axes.set_ylim(-0.6, top + 0.6)
        first = axes.get_subplotspec().is_first_col()
        axes.set_yticks(range(top, -1, -1), names if first else [""] * len(names))
        axes.locator_params(axis="x", nbins=max(4, round(1.4 * width)))
        axes.set_xlabel(label)
        axes.grid(alpha=0.25)
    more = [(of, COLORS[0], MARKERS[0]), (also, "#8c8c8c", "D")] if also else ()
    named = [f"{series}: {group}" if isinstance(group, int) else group for group in groups]
    legend(figure, results, named, of, chance, more)
    return figure


def cells(
    results: Results,
    *,
    lines: str,
    columns: str,
    panels: str | None = None,
    of: str = "accuracy",
    label: str = ACCURACY,
    span: tuple[float, float] | None = (0, 1),
    titles: str = "{}",
) -> Any:
    """Draw a map with mean and standard deviation in each cell.

    `span` has the values with the first and the last color; None takes the smallest and the largest
    mean. Arms without a value of `columns` are references: their means stand in the titles.
    """
    arms = results.arms()
    values_of_panels, names = _values(arms, panels), _values(arms, columns)
    names = [name for name in names if name is not None]
    groups = [pick(arms, **_where(panels, title)) for title in values_of_panels]
    means = [results.spread(arm, of).mean for arm in arms if arm.get(columns) is not None]
    low, high = span or (min(means), max(means))
    tallest = max(len(_values(group, lines)) for group in groups)
    figure, pictures = new(
        len(groups), max(6.5, 1.6 + 0.72 * len(names)), 1.4 + 0.55 * tallest, columns=1
    )
    for axes, title, group in zip(pictures, values_of_panels, groups, strict=True):
        inner = [arm for arm in group if arm.get(columns) is not None]
        rows = _values(inner, lines)
        values = np.full((len(rows), len(names)), np.nan)
        for arm in inner:
            mean, sd, _ = results.spread(arm, of)
            i, j = rows.index(arm[lines]), names.index(arm[columns])
            values[i, j] = 100 * mean
            text = f"{100 * mean:.1f}" + (f"\n±{100 * sd:.1f}" if sd == sd else "")
            color = "black" if mean - low > 0.55 * (high - low) else "white"
            axes.text(j, i, text, ha="center", va="center", fontsize=7.5, color=color)
        axes.imshow(values, vmin=100 * low, vmax=100 * high, cmap="viridis", aspect="auto")
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
        axes.set_yticks(range(len(rows)), rows)
        axes.set_ylabel(lines)
        references = [arm for arm in group if arm.get(columns) is None]
        parts = [] if title is None else [titles.format(title)]
        for arm in references:
            parts.append(f"{lines} {arm[lines]}: {100 * results.spread(arm, of).mean:.1f}")
        axes.set_title("; ".join(parts), fontsize=9)
    pictures[-1].set_xlabel(columns)
    text = f"{label}: mean ± standard deviation, n = {results.n} seeds"
    figure.suptitle(text, fontsize=9)
    return figure


def new(count: int, width: float, height: float, columns: int = 3) -> tuple[Any, list[Any]]:
    """Create a figure outside pyplot's registry, with `count` axes in rows of `columns`."""
    from matplotlib.figure import Figure

    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for unused in axes[count:]:
        unused.set_axis_off()
    return figure, list(axes[:count])


def points(
    axes: Any,
    results: Results,
    arm: Mapping[str, Any],
    of: str,
    place: Any,
    style: Mapping[str, str],
    flat: bool = False,
) -> None:
    """Draw the mean of an arm with its standard deviation, and its published value if any."""
    if pick(results.rows, **arm):
        mean, sd, n = results.spread(arm, of)
        at = (100 * mean, place) if flat else (place, 100 * mean)
        bar = {"xerr" if flat else "yerr": 100 * sd} if n > 1 else {}
        axes.errorbar(*at, **bar, ls="none", capsize=2.5, ms=5, lw=1.2, **style)
    for known in results.experiment.published:
        if known.of == of and all(known.arm.get(name) == arm[name] for name in arm):
            at = (100 * known.value, place) if flat else (place, 100 * known.value)
            axes.plot(*at, ls="none", ms=6, mfc="none", mew=1.3, **style)


def end_labels(axes: Any, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write a name at the right end of each line, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    step = 0.062 * (high - low)
    heights: list[float] = []
    for height, _, _ in sorted(ends):
        heights.append(max(height, heights[-1] + step) if heights else height)
    surplus = max(0.0, heights[-1] - high) if heights else 0.0
    for place, (_, text, color) in zip(heights, sorted(ends), strict=True):
        axes.annotate(
            text,
            (1.02, place - surplus),
            xycoords=("axes fraction", "data"),
            color=color,
            va="center",
            fontsize=8,
            annotation_clip=False,
        )


def chance_line(draw: Any, limits: Any, set_limits: Any, level: float) -> None:
    """Mark the accuracy of guessing, without moving the limits of an axis.

    The axes show the differences between the arms; the legend has the number.
    """
    seen = limits()
    draw(100 * level, color="#8c8c8c", ls=":", zorder=0)
    set_limits(seen)


def note(results: Results) -> str:
    """Return the meaning of points and bars."""
    bars = "bars: ± 1 standard deviation" if results.n != "1" else "one run, no bars"
    return f"filled: mean of n = {results.n} seeds; {bars}"


def legend(
    figure: Any,
    results: Results,
    names: Sequence[Any],
    of: str,
    chance: float | None = None,
    more: Sequence[tuple[str, str, str]] = (),
) -> None:
    """Name the series above the axes, and what points, bars and other signs mean.

    `more` has a name, a color and a marker for each further series.
    """
    from matplotlib.lines import Line2D

    entries = [*zip(names, COLORS, MARKERS, strict=False), *more]
    handles = [
        Line2D([], [], ls="none", marker=marker, color=color, label=name)
        for name, color, marker in entries
        if name is not None
    ]
    arms = results.arms()
    columns = {of, *(name for name, _, _ in more)}
    if any(
        known.of in columns and pick(arms, **known.arm) for known in results.experiment.published
    ):
        open_ = {"mfc": "none", "marker": "o", "color": "#555555"}
        handles.append(Line2D([], [], ls="none", label="open: published", **open_))
    if chance is not None:
        label = f"chance: {100 * chance:g} %"
        handles.append(Line2D([], [], ls=":", color="#8c8c8c", label=label))
    longest = max((len(str(handle.get_label())) for handle in handles), default=1)
    width = int(figure.get_figwidth() / (0.45 + 0.06 * longest))
    figure.legend(
        handles=handles,
        title=note(results),
        title_fontsize=8,
        loc="outside upper center",
        ncols=max(1, min(width, len(handles))),
        frameon=False,
        fontsize=8,
    )


def _values(arms: Sequence[Mapping[str, Any]], factor: str | None) -> list[Any]:
    return list(dict.fromkeys(arm.get(factor) for arm in arms)) if factor else [None]


def _where(factor: str | None, value: Any) -> dict[str, Any]:
    return {factor: value} if factor else {}


def save(figure: Any, path: Path) -> None:
    """Write a figure as .png with 200 dots per inch and as .svg."""
    import matplotlib

    # The same file for the same data: no date, and names of elements that do not change.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": path.stem}):
        figure.savefig(path.with_suffix(".png"), dpi=200, metadata={"Software": None})
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
