"""Summaries of a fitted estimator as text and HTML."""

from __future__ import annotations

import html
from typing import Any

from frozenfit.partial import format_table

_ROWS_SHOWN = 60


def print_summary(estimator: Any) -> None:
    """Print the network, the parameter table and one line that sums up.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator with `model_` and `parameter_table`.
    """
    model = estimator.model_
    model.summary()
    rows = estimator.parameter_table()
    trainable, total = sum(r[3] for r in rows), sum(r[4] for r in rows)
    print(f"{trainable:,} of {total:,} parameters trained, {estimator.freeze_fraction_:.2%} frozen")


def fit_summary(estimator: Any) -> str:
    """Summarize in a few words how many parameters a fit trained.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator with a `parameter_table`.

    Returns
    -------
    str
        Such as "trained 5,079 of 44,426 parameters (11.4 %)".
    """
    rows = estimator.parameter_table()
    trained, total = sum(r[3] for r in rows), sum(r[4] for r in rows)
    return f"trained {trained:,} of {total:,} parameters ({trained / total:.1%})".replace("%", " %")


def table_text(estimator: Any) -> str:
    """Format the parameter table of an estimator as text.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator.

    Returns
    -------
    str
        One line per weight and the sums.
    """
    return format_table(estimator.parameter_table())


def html_table(estimator: Any) -> str:
    """Format the parameter table of an estimator as HTML, with a bar for each weight.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator.

    Returns
    -------
    str
        A ``<details>`` element with at most 60 rows, and the number of further rows.
    """
    rows = estimator.parameter_table()
    trainable, total = sum(r[3] for r in rows), sum(r[4] for r in rows)
    body = "".join(_html_row(*row) for row in rows[:_ROWS_SHOWN])
    if len(rows) > _ROWS_SHOWN:
        body += f"<tr><td colspan=5>and {len(rows) - _ROWS_SHOWN} more weights</td></tr>"
    title = f"{trainable:,} of {total:,} parameters trained ({trainable / total:.1%})"
    heads = "".join(f"<th>{h}</th>" for h in ("weight", "shape", "form", "trainable", ""))
    return (
        f"<details><summary>{title}</summary><table><thead><tr>{heads}</tr></thead>"
        f"<tbody>{body}</tbody></table></details>"
    )


def _html_row(path: str, shape: tuple, form: str, trainable: int, total: int) -> str:
    bar = (
        '<div style="width:8em;background:#8884"><div style="background:#2a78b5;height:.7em;'
        f'width:{trainable / total:.1%}"></div></div>'
    )
    cells = (html.escape(path), "×".join(map(str, shape)), html.escape(form), f"{trainable:,}", bar)
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
