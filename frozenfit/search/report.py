"""The result of a search as one self-contained HTML page."""

from __future__ import annotations

import base64
import html
import importlib.util
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frozenfit import plots
from frozenfit.search.results import standard_errors_from

if TYPE_CHECKING:
    import optuna
    from matplotlib.axes import Axes

    from frozenfit import types

_ROWS_SHOWN = 100
_COLUMNS = (
    *("trial", "score", "standard_error", "trainable", "fraction"),
    *("bytes", "fit_time", "predict_time"),
)
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}
img{max-width:100%;height:auto;margin:.5em 0} table{border-collapse:collapse;font-size:13px}
th,td{padding:.2em .7em;text-align:right;border-bottom:1px solid #ddd}
td:last-child,th:last-child{text-align:left;font-family:ui-monospace,monospace}
tr.best{background:#fff3c4} tr.pareto-optimal td:first-child{font-weight:bold}
"""


def html_page(
    study: optuna.Study,
    rows: Sequence[Mapping[str, Any]],
    best_index: int,
    best_score_index: int,
    settings: Mapping[str, object],
    importances: Mapping[str, float],
) -> str:
    """Lay out the result of a search as HTML.

    Parameters
    ----------
    study : optuna.Study
        The study.
    rows : sequence of mapping
        The completed trials, as `FreezeSearchCV.trials_table` returns them.
    best_index : int
        Row of the chosen trial.
    best_score_index : int
        Row of the Pareto-optimal trial with the best score.
    settings : mapping of str to object
        Settings to list, by name.
    importances : mapping of str to float
        The parameter importances to plot.

    Returns
    -------
    str
        The page. Its plots are embedded as PNG; without matplotlib there are none.
    """
    best = rows[best_index]
    figures: Mapping[str, Axes] = {}
    if importlib.util.find_spec("matplotlib") is not None:
        figures = plots.search_plots(rows, importances)
    images = "".join(_image(title, axes) for title, axes in figures.items())
    # Every text is escaped: a parameter may contain anything the user searched over.
    listed = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(_one_line(value))}</td></tr>"
        for name, value in {**settings, "trials": _states(study)}.items()
    )
    return (
        "<!DOCTYPE html><html lang=en><head><meta charset=utf-8>"
        f"<title>{html.escape(study.study_name)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>Search over trainable parameters</h1><p>{html.escape(_summary(best))}</p>"
        f"<table>{listed}</table>{_alternatives(rows, best, best_score_index)}{images}"
        f"<h2>Trials</h2>{_table(rows, best)}</body></html>"
    )


def write_page(path: types.Path, page: str) -> None:
    """Write an HTML page.

    Parameters
    ----------
    path : str or path-like
        The file; it is replaced where it exists.
    page : str
        The HTML.
    """
    Path(path).write_text(page, encoding="utf-8")


def _summary(best: Mapping[str, Any]) -> str:
    text = f"The best trial is trial {best['trial']} with a score of {best['score']:.4f}"
    text += f" (standard error {best['standard_error']:.4f})"
    if "total" in best:
        text += (
            f"; it trains {best['trainable']:,.0f} of {best['total']:,.0f} parameters "
            f"({best['fraction']:.1%})"
        )
    return text + "."


def _states(study: optuna.Study) -> str:
    states = [trial.state.name.lower() for trial in study.get_trials(deepcopy=False)]
    return ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states))


def _one_line(value: object) -> str:
    return " ".join(str(value).split())


def _image(title: str, axes: Axes) -> str:
    file = io.BytesIO()
    figure = axes.get_figure(root=True)
    assert figure is not None  # the Axes of frozenfit.plots always have one
    figure.savefig(file, format="png", dpi=120, bbox_inches="tight")
    data = base64.b64encode(file.getvalue()).decode("ascii")
    name = html.escape(title)
    return f'<h2>{name}</h2><img alt="{name}" src="data:image/png;base64,{data}">'


def _alternatives(rows: Sequence[Mapping[str, Any]], best: Mapping[str, Any], top: int) -> str:
    """Return a table of the Pareto front with what each trial costs; empty for a single trial."""
    front = [(standard_errors_from(row, rows[top]), row) for row in rows if row["pareto_optimal"]]
    if len(front) < 2:
        return ""
    columns = [name for name in ("trial", "score", "trainable") if name in rows[top]]
    head = "".join(f"<th>{name}</th>" for name in [*columns, "standard errors from best score"])
    body = ""
    for distance, row in sorted(front, key=lambda pair: pair[0])[:_ROWS_SHOWN]:
        cells = [*(_number(row[name]) for name in columns), f"{distance:.2f}"]
        kind = ' class="best"' if row is best else ""
        body += f"<tr{kind}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    score, error = rows[top]["score"], rows[top]["standard_error"]
    return (
        f"<h2>Alternatives on the Pareto front</h2><p>The best score is {score:.4f}, with a "
        f"standard error of {error:.4f} over the folds.</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _table(rows: Sequence[Mapping[str, Any]], best: Mapping[str, Any]) -> str:
    ordered = sorted(rows, key=lambda row: -row["score"])
    columns = [name for name in _COLUMNS if name in ordered[0]]
    head = "".join(f"<th>{name}</th>" for name in [*columns, "parameters"])
    body = "".join(_row(row, columns, row is best) for row in ordered[:_ROWS_SHOWN])
    omitted = len(ordered) - _ROWS_SHOWN
    more = f"<p>and {omitted} trials with lower scores</p>" if omitted > 0 else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _row(row: Mapping[str, Any], columns: Sequence[str], best: bool) -> str:
    cells = [_number(row[name]) for name in columns]
    params = ", ".join(f"{name}={_number(value)}" for name, value in row["params"].items())
    kind = " ".join(["best"] * best + ["pareto-optimal"] * row["pareto_optimal"])
    tds = "".join(f"<td>{html.escape(cell)}</td>" for cell in [*cells, params])
    return f'<tr class="{kind}">{tds}</tr>'


def _number(value: object) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"
    return str(value)
