"""Plots of search results with matplotlib: table rows in, Axes out.

Every function draws on the Axes `ax`, or on a new figure. A new figure is not registered with
pyplot, so no window opens and nothing has to be closed; ``ax.figure.savefig("plot.png")`` saves it.
Requires ``pip install "frozenfit[plot]"``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from frozenfit.utils.optional import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

__all__ = [
    "LogFit",
    "fit_log_fraction",
    "importances",
    "pareto_front",
    "score_against_fraction",
    "search_plots",
]

# Sufficient contrast on white, and distinguishable by readers with a color vision deficiency.
_BLUE, _ORANGE, _GREY = "#1f6fb2", "#d95f02", "#9a9a9a"
_NAMES = {
    "score": "score (mean over folds)",
    "trainable": "trainable parameters",
    "bytes": "stored bytes",
    "fit_time": "seconds to fit a fold",
    "predict_time": "seconds to predict a fold",
    "fraction": "trained fraction",
}
_LOGARITHMIC = ("trainable", "bytes", "fit_time", "predict_time", "fraction")


class LogFit(NamedTuple):
    """A line fitted to scores against the logarithm of the trained fraction.

    Parameters
    ----------
    slope : float
        Change of the score per decade.
    intercept : float
        Score of the line at fraction 1.
    r2 : float
        Coefficient of determination; 1 if all scores are equal.

    See Also
    --------
    fit_log_fraction : Fit the line.

    Examples
    --------
    >>> line = LogFit(slope=0.1, intercept=0.9, r2=1.0)
    >>> round(line.intercept + line.slope * -1, 2)  # the score at a tenth
    0.8
    """

    slope: float
    intercept: float
    r2: float


def fit_log_fraction(rows: Sequence[Mapping[str, Any]], y: str = "score") -> LogFit:
    """Fit ``y = intercept + slope * log10(fraction)`` by least squares.

    Parameters
    ----------
    rows : sequence of mapping
        Rows with the keys ``fraction``, in (0, 1], and `y`.
    y : str, default="score"
        The metric to fit.

    Returns
    -------
    LogFit
        The line.

    Raises
    ------
    ValueError
        If the rows have fewer than 2 different fractions.

    See Also
    --------
    score_against_fraction : Plot the scores with this line.

    Notes
    -----
    Rosenfeld and Tsotsos (2018), arXiv:1802.00844, observe this relation in their Figure 3.

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
            "`rows` must have at least 2 different fractions to fit a line, got "
            f"{len(set(x.tolist()))}."
        )
    slope, intercept = np.polyfit(x, values, 1)
    residual = np.sum((values - intercept - slope * x) ** 2)
    total = np.sum((values - values.mean()) ** 2)
    r2 = float(1 - residual / total) if total > 0 else 1.0
    return LogFit(float(slope), float(intercept), r2)


def pareto_front(
    rows: Sequence[Mapping[str, Any]],
    x: str = "trainable",
    y: str = "score",
    *,
    ax: Axes | None = None,
) -> Axes:
    """Plot trials in two metrics and connect the Pareto-optimal ones.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of `FreezeSearchCV.trials_table`: with the keys `x`, `y`, ``pareto_optimal`` and
        optionally ``feasible``.
    x : str, default="trainable"
        Metric on the horizontal axis. Counts, bytes and seconds have a logarithmic scale.
    y : str, default="score"
        Metric on the vertical axis.
    ax : matplotlib Axes, default=None
        The Axes to draw on. None makes a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes.

    See Also
    --------
    score_against_fraction : Plot scores against the trained fraction.
    frozenfit.search.FreezeSearchCV.trials_table : The rows.

    Examples
    --------
    >>> rows = [{"trainable": 10, "score": 0.8, "pareto_optimal": True}]
    >>> pareto_front(rows).get_xlabel()
    'trainable parameters'
    """
    ax = _axes(ax)
    kinds = {
        "infeasible": [r for r in rows if not r.get("feasible", True)],
        "trial": [r for r in rows if r.get("feasible", True) and not r["pareto_optimal"]],
        "Pareto front": sorted(
            (r for r in rows if r["pareto_optimal"]), key=lambda r: (r[x], r[y])
        ),
    }
    styles = {
        "infeasible": {"marker": "x", "color": _GREY, "linestyle": "none"},
        "trial": {"marker": "o", "color": _BLUE, "alpha": 0.6, "linestyle": "none"},
        "Pareto front": {"marker": "o", "color": _ORANGE, "linewidth": 1.2, "markersize": 7},
    }
    for kind, some in kinds.items():
        if some:
            ax.plot([r[x] for r in some], [r[y] for r in some], label=kind, **styles[kind])
    _finish(ax, x, y)
    return ax


def score_against_fraction(
    rows: Sequence[Mapping[str, Any]],
    y: str = "score",
    *,
    by: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot scores against the trained fraction on a logarithmic axis, with a fitted line.

    Parameters
    ----------
    rows : sequence of mapping
        Rows with the keys ``fraction`` and `y`.
    y : str, default="score"
        The metric to plot.
    by : str, default=None
        A key of ``params``; each of its values has a different color.
    ax : matplotlib Axes, default=None
        The Axes to draw on. None makes a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes. If all fractions are equal, there is no line.

    See Also
    --------
    fit_log_fraction : The fitted line.
    pareto_front : Plot two metrics and their Pareto front.

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
        equation = f"{line.intercept:.3f} {line.slope:+.3f} log10(fraction), R² {line.r2:.2f}"
        ax.plot(ends, line.intercept + line.slope * np.log10(ends), color=_GREY, label=equation)
    _finish(ax, "fraction", y)
    return ax


def importances(shares: Mapping[str, float], *, title: str = "", ax: Axes | None = None) -> Axes:
    """Plot parameter importances as horizontal bars.

    Parameters
    ----------
    shares : mapping of str to float
        Importance of each parameter, see `FreezeSearchCV.param_importances`.
    title : str, default=""
        Title of the Axes.
    ax : matplotlib Axes, default=None
        The Axes to draw on. None makes a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes; the largest importance is at the top.

    See Also
    --------
    frozenfit.search.FreezeSearchCV.param_importances : Compute the importances.

    Examples
    --------
    >>> importances({"fraction": 0.8, "frozen": 0.2}).get_xlabel()
    'importance (fraction of variance)'
    """
    ax = _axes(ax, height=0.9 + 0.4 * max(len(shares), 2))
    names = sorted(shares, key=lambda name: shares[name])
    bars = ax.barh(names, [shares[name] for name in names], color=_BLUE)
    ax.bar_label(bars, fmt="%.2f", padding=3)
    ax.set_xlim(0, 1.1)
    ax.set_xlabel("importance (fraction of variance)")
    ax.set_title(title)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def search_plots(
    rows: Sequence[Mapping[str, Any]], shares: Mapping[str, float] | None = None
) -> dict[str, Axes]:
    """Draw every plot that the results of a search allow.

    Parameters
    ----------
    rows : sequence of mapping
        The result of `FreezeSearchCV.trials_table`.
    shares : mapping of str to float, default=None
        The result of `FreezeSearchCV.param_importances`.

    Returns
    -------
    dict of str to matplotlib Axes
        The Axes by title. Empty if the estimator has no parameter table.

    See Also
    --------
    frozenfit.search.FreezeSearchCV.write_report : Write a report with these plots.

    Examples
    --------
    >>> rows = [{"trainable": 9, "fraction": 0.1, "score": 0.8}]
    >>> rows[0] |= {"pareto_optimal": True, "params": {}}
    >>> list(search_plots(rows))
    ['Score against trainable parameters', 'Score against trained fraction']
    """
    plots: dict[str, Axes] = {}
    if rows and "fraction" in rows[0]:
        by = "kind" if all("kind" in row["params"] for row in rows) else None
        plots["Score against trainable parameters"] = pareto_front(rows)
        plots["Score against trained fraction"] = score_against_fraction(rows, by=by)
    if shares:
        plots["Parameter importances"] = importances(shares)
    return plots


def _kind(row: Mapping[str, Any], by: str | None) -> str | None:
    return None if by is None else str(row["params"].get(by))


def _colors(n: int) -> list[Any]:
    if n <= 2:
        return [_BLUE, _ORANGE][:n]
    from matplotlib import colormaps

    return [colormaps["viridis"](v) for v in np.linspace(0, 0.9, n)]


def _axes(ax: Axes | None, height: float = 3.6) -> Axes:
    if ax is not None:
        return ax
    # pyplot keeps every figure until it is closed, and may start a GUI event loop.
    backend = require("matplotlib.backends.backend_agg", "plot", "Plotting")
    figure = require("matplotlib.figure", "plot", "Plotting").Figure(
        figsize=(6, height), layout="constrained"
    )
    backend.FigureCanvasAgg(figure)
    return figure.add_subplot()


def _finish(ax: Axes, x: str, y: str) -> None:
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


def _label_plainly(axis: Axis) -> None:
    """Label 1, 2 and 5 of each decade; matplotlib's default labels overlap on a short axis."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(NullFormatter())
