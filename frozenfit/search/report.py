"""What a search found, on one page: self-contained HTML with its pictures inside."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from frozenfit.search._optional import load_optuna, quiet

_ROWS_SHOWN = 100
_COLUMNS = ("trial", "score", "trainable", "fraction", "bytes", "fit_time", "predict_time")
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}
img{max-width:100%;height:auto;margin:.5em 0} table{border-collapse:collapse;font-size:13px}
th,td{padding:.2em .7em;text-align:right;border-bottom:1px solid #ddd}
td:last-child,th:last-child{text-align:left;font-family:ui-monospace,monospace}
tr.best{background:#fff3c4} tr.front td:first-child{font-weight:bold}
"""


def importances(search: Any, metric: str = "score") -> dict[str, float]:
    """Say how much each part of the space matters for a metric.

    Parameters
    ----------
    search : FreezeSearchCV
        Fitted.
    metric : str, default="score"
        Any that was measured.

    Returns
    -------
    dict of str to float
        Shares that sum to 1, the largest first, by functional ANOVA (Optuna's fANOVA, seeded);
        empty where fewer than 4 trials are finished, or all are alike. Only parts that every
        trial has count.

    Raises
    ------
    ValueError
        If the metric was not measured.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from frozenfit import PartialNetClassifier, search
    >>> X, y = load_iris(return_X_y=True)
    >>> net = PartialNetClassifier(epochs=2)
    >>> found = search.FreezeSearchCV(net, n_trials=6, cv=2, random_state=0).fit(X, y)
    >>> round(sum(search.importances(found, "trainable").values()), 6)
    1.0
    """
    optuna = load_optuna()
    values = {row["trial"]: row for row in search._rows}
    if any(metric not in row for row in search._rows):
        known = [n for n in _COLUMNS[1:] if n in search._rows[0]]
        raise ValueError(f"{metric!r} was not measured; take one of {', '.join(known)}")
    if len(values) < 4 or len({row[metric] for row in values.values()}) < 2:
        return {}
    with quiet():
        finished = optuna.create_study()
    for trial in search.study_.get_trials(deepcopy=False):
        if trial.number in values:
            finished.add_trial(
                optuna.trial.create_trial(
                    params=trial.params,
                    distributions=trial.distributions,
                    value=values[trial.number][metric],
                )
            )
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    shares = optuna.importance.get_param_importances(finished, evaluator=evaluator)
    return {name: float(share) for name, share in shares.items()}


def report(
    search: Any, path: str | os.PathLike[str], pictures: Mapping[str, Any] | None = None
) -> None:
    """Write what a search found to one HTML file that needs no other.

    Parameters
    ----------
    search : FreezeSearchCV
        Fitted.
    path : str or path-like
        The file; it is replaced where it exists.
    pictures : mapping of str to matplotlib Axes, default=None
        Title to picture, such as those of ``frozenfit.plots.search_pictures``; they are put into
        the file as PNG.

    Raises
    ------
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn.datasets import load_iris
    >>> from frozenfit import PartialNetClassifier, plots, search
    >>> net = PartialNetClassifier(epochs=2)
    >>> found = search.FreezeSearchCV(net, n_trials=2, cv=2, random_state=0)
    >>> found = found.fit(*load_iris(return_X_y=True))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "report.html")
    ...     search.report(found, path, plots.search_pictures(search.table(found)))
    ...     os.path.getsize(path) > 10_000
    True
    """
    best = search._rows[search.best_index_]
    shown = "".join(_figure(title, axes) for title, axes in (pictures or {}).items())
    settings = {
        "estimator": search.estimator,
        "directions": search.directions or {"score": "maximize"},
        "constraints": list(search.constraints or []),
        "folds": search.n_splits_,
        "trials": _states(search.study_),
        "best parameters": search.best_params_,
    }
    listed = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(_text(value))}</td></tr>"
        for name, value in settings.items()
    )
    text = (
        "<!DOCTYPE html><html lang=en><head><meta charset=utf-8>"
        f"<title>{html.escape(search.study_.study_name)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>Search over what to learn</h1><p>{html.escape(_summary(best))}</p>"
        f"<table>{listed}</table>{shown}<h2>Trials</h2>{_table(search)}</body></html>"
    )
    Path(path).write_text(text, encoding="utf-8")


def _summary(best: Mapping[str, Any]) -> str:
    told = f"The best is trial {best['trial']} with a score of {best['score']:.4f}"
    if "total" in best:
        told += (
            f", learning {best['trainable']:,.0f} of {best['total']:,.0f} entries "
            f"({best['fraction']:.1%})"
        )
    return told + "."


def _states(study: Any) -> str:
    states = [trial.state.name.lower() for trial in study.get_trials(deepcopy=False)]
    return ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states))


def _text(value: Any) -> str:
    return " ".join(str(value).split())


def _figure(title: str, axes: Any) -> str:
    file = io.BytesIO()
    axes.figure.savefig(file, format="png", dpi=120, bbox_inches="tight")
    data = base64.b64encode(file.getvalue()).decode("ascii")
    name = html.escape(title)
    return f'<h2>{name}</h2><img alt="{name}" src="data:image/png;base64,{data}">'


def _table(search: Any) -> str:
    rows = sorted(search._rows, key=lambda row: -row["score"])
    columns = [name for name in _COLUMNS if name in rows[0]]
    head = "".join(f"<th>{name}</th>" for name in [*columns, "parameters"])
    best = search._rows[search.best_index_]
    body = "".join(_row(row, columns, row is best) for row in rows[:_ROWS_SHOWN])
    rest = len(rows) - _ROWS_SHOWN
    more = f"<p>and {rest} trials with lower scores</p>" if rest > 0 else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _row(row: Mapping[str, Any], columns: list[str], best: bool) -> str:
    cells = [_number(row[name]) for name in columns]
    params = ", ".join(f"{name}={_number(value)}" for name, value in row["params"].items())
    kind = " ".join(["best"] * best + ["pareto"] * row["pareto"])
    tds = "".join(f"<td>{html.escape(cell)}</td>" for cell in [*cells, params])
    return f'<tr class="{kind}">{tds}</tr>'


def _number(value: Any) -> str:
    if isinstance(value, float | np.floating) and not float(value).is_integer():
        return f"{value:.4g}"
    return f"{value:,.0f}" if isinstance(value, float | np.floating) else str(value)
