"""Pictures of tables: matplotlib alone, rows in, Axes out.

Every function draws on `ax`, or on a figure of its own that is no part of pyplot's, so nothing
pops up and nothing has to be closed; ``ax.figure.savefig("picture.png")`` writes it. Needs
``pip install "frozenfit[plot]"``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "LogFit",
    "fit_log_fraction",
    "importances",
    "pareto_front",
    "score_against_fraction",
    "search_pictures",
]

# Dark enough on white, and told apart by those who see few colors.
_BLUE, _ORANGE, _GREY = "#1f6fb2", "#d95f02", "#9a9a9a"
_NAMES = {
    "score": "score (mean over folds)",
    "trainable": "trainable parameters",
    "bytes": "stored bytes",
    "fit_time": "seconds to fit a fold",
    "predict_time": "seconds to predict a fold",
    "fraction": "fraction learned",
}
_LOGARITHMIC = ("trainable", "bytes", "fit_time", "predict_time", "fraction")


class LogFit(NamedTuple):
    """A line through scores against the logarithm of the fraction learned.

    Attributes
    ----------
    slope : float
        Score per decade.
    intercept : float
        Score with everything trained.
    r2 : float
        Share of the variance explained.
    """

    slope: float
    intercept: float
    r2: float


def fit_log_fraction(rows: Sequence[Mapping[str, Any]], y: str = "score") -> LogFit:
    """Fit ``y = intercept + slope * log10(fraction)`` by least squares.

    Parameters
    ----------
    rows : sequence of mapping
        Each with ``fraction`` in (0, 1] and `y`.
    y : str, default="score"
        What is explained.

    Returns
    -------
    LogFit
        The line.

    Raises
    ------
    ValueError
        With fewer than 2 different fractions.

    Examples
    --------
    >>> rows = [{"fraction": f, "score": 0.9 + 0.1 * i} for i, f in enumerate((0.01, 0.1))]
    >>> tuple(round(value, 6) for value in fit_log_fraction(rows))
    (0.1, 1.1, 1.0)
    """
    x = np.log10([row["fraction"] for row in rows]) if rows else np.zeros(0)
    values = np.array([row[y] for row in rows], float)
    if len(set(x.tolist())) < 2:
        raise ValueError(
            f"a line needs rows with 2 different fractions, found {len(set(x.tolist()))}"
        )
    slope, intercept = np.polyfit(x, values, 1)
    unexplained = np.sum((values - intercept - slope * x) ** 2)
    all_ = np.sum((values - values.mean()) ** 2)
    r2 = float(1 - unexplained / all_) if all_ > 0 else 1.0
    return LogFit(float(slope), float(intercept), r2)


def pareto_front(
    rows: Sequence[Mapping[str, Any]], x: str = "trainable", y: str = "score", *, ax: Any = None
) -> Any:
    """Draw trials in two objectives, and the front among them.

    Parameters
    ----------
    rows : sequence of mapping
        Each with `x`, `y` and ``pareto`` (bool); ``feasible`` (bool) where there were constraints.
    x, y : str
        The objectives. Counts, bytes and seconds are on a logarithmic scale.
    ax : matplotlib Axes, default=None
        Where to draw; None makes a figure.

    Returns
    -------
    matplotlib.axes.Axes
        The picture.

    Examples
    --------
    >>> rows = [{"trainable": 10, "score": 0.8, "pareto": True}]
    >>> pareto_front(rows).get_xlabel()
    'trainable parameters'
    """
    ax = _axes(ax)
    kinds = {
        "misses a constraint": [r for r in rows if not r.get("feasible", True)],
        "trial": [r for r in rows if r.get("feasible", True) and not r["pareto"]],
        "pareto": sorted((r for r in rows if r["pareto"]), key=lambda r: (r[x], r[y])),
    }
    styles = {
        "misses a constraint": {"marker": "x", "color": _GREY, "linestyle": "none"},
        "trial": {"marker": "o", "color": _BLUE, "alpha": 0.6, "linestyle": "none"},
        "pareto": {"marker": "o", "color": _ORANGE, "linewidth": 1.2, "markersize": 7},
    }
    for kind, some in kinds.items():
        if some:
            ax.plot([r[x] for r in some], [r[y] for r in some], label=kind, **styles[kind])
    _finish(ax, x, y)
    return ax


def score_against_fraction(
    rows: Sequence[Mapping[str, Any]], y: str = "score", *, by: str | None = None, ax: Any = None
) -> Any:
    """Draw scores against the fraction learned, on a logarithmic axis, with the fitted line.

    Parameters
    ----------
    rows : sequence of mapping
        Each with ``fraction`` and `y`.
    y : str, default="score"
        What is drawn.
    by : str, default=None
        A key of ``params`` whose values get colors of their own.
    ax : matplotlib Axes, default=None
        Where to draw; None makes a figure.

    Returns
    -------
    matplotlib.axes.Axes
        The picture. The line is left out where all fractions are the same.

    Examples
    --------
    >>> rows = [{"fraction": 0.01, "score": 0.8}, {"fraction": 0.1, "score": 0.9}]
    >>> score_against_fraction(rows).get_xscale()
    'log'
    """
    ax = _axes(ax)
    values = dict.fromkeys(_kind(row, by) for row in rows)
    for kind, color in zip(values, _colors(len(values)), strict=True):
        some = [row for row in rows if _kind(row, by) == kind]
        x = [row["fraction"] for row in some]
        ax.plot(x, [row[y] for row in some], "o", color=color, alpha=0.7, label=kind or "trial")
    fractions = sorted({row["fraction"] for row in rows})
    if len(fractions) > 1:
        line = fit_log_fraction(rows, y)
        ends = np.array([fractions[0], fractions[-1]])
        told = f"{line.intercept:.3f} {line.slope:+.3f} log10(fraction), R² {line.r2:.2f}"
        ax.plot(ends, line.intercept + line.slope * np.log10(ends), color=_GREY, label=told)
    _finish(ax, "fraction", y)
    return ax


def importances(shares: Mapping[str, float], *, title: str = "", ax: Any = None) -> Any:
    """Draw how much each part of a space matters.

    Parameters
    ----------
    shares : mapping of str to float
        Share of each, summing to 1.
    title : str, default=""
        Words above.
    ax : matplotlib Axes, default=None
        Where to draw; None makes a figure.

    Returns
    -------
    matplotlib.axes.Axes
        The picture, the largest share on top.

    Examples
    --------
    >>> importances({"fraction": 0.8, "frozen": 0.2}).get_xlabel()
    'share of the variance'
    """
    ax = _axes(ax, height=0.9 + 0.4 * max(len(shares), 2))
    names = sorted(shares, key=lambda name: shares[name])
    bars = ax.barh(names, [shares[name] for name in names], color=_BLUE)
    ax.bar_label(bars, fmt="%.2f", padding=3)
    ax.set_xlim(0, 1.1)
    ax.set_xlabel("share of the variance")
    ax.set_title(title)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def search_pictures(
    rows: Sequence[Mapping[str, Any]], shares: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Draw what can be drawn of the table of a search.

    Parameters
    ----------
    rows : sequence of mapping
        As `frozenfit.search.table` gives them.
    shares : mapping of str to float, default=None
        As `frozenfit.search.importances` gives them.

    Returns
    -------
    dict of str to matplotlib Axes
        Title to picture.

    Examples
    --------
    >>> rows = [{"trainable": 9, "fraction": 0.1, "score": 0.8, "pareto": True, "params": {}}]
    >>> list(search_pictures(rows))
    ['Score against trainable parameters', 'Score against the fraction learned']
    """
    pictures = {}
    if rows and "fraction" in rows[0]:
        by = "kind" if all("kind" in row["params"] for row in rows) else None
        pictures["Score against trainable parameters"] = pareto_front(rows)
        pictures["Score against the fraction learned"] = score_against_fraction(rows, by=by)
    if shares:
        pictures["What the score depends on"] = importances(shares)
    return pictures


def _kind(row: Mapping[str, Any], by: str | None) -> str | None:
    return None if by is None else str(row["params"].get(by))


def _colors(n: int) -> list[Any]:
    if n <= 2:
        return [_BLUE, _ORANGE][:n]
    from matplotlib import colormaps

    return [colormaps["viridis"](v) for v in np.linspace(0, 0.9, n)]


def _axes(ax: Any, height: float = 3.6) -> Any:
    if ax is not None:
        return ax
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            'pictures need matplotlib, which is not installed; run: pip install "frozenfit[plot]"'
        ) from error
    figure = Figure(figsize=(6, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def _finish(ax: Any, x: str, y: str) -> None:
    ax.set_xlabel(_NAMES.get(x, x))
    ax.set_ylabel(_NAMES.get(y, y))
    if x in _LOGARITHMIC:
        ax.set_xscale("log")
        _label_plainly(ax.xaxis)
    if y in _LOGARITHMIC:
        ax.set_yscale("log")
        _label_plainly(ax.yaxis)
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, fontsize=8)


def _label_plainly(axis: Any) -> None:
    """Label 1, 2 and 5 of each decade; matplotlib's own labels overlap on a short axis."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(NullFormatter())
