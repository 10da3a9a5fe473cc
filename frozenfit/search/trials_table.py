"""The table of the trials of a search: as a list, as text, as HTML, as a data frame."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from frozenfit.utils.frames import frame

if TYPE_CHECKING:
    import pandas

_HTML_ROWS = 60


class TrialsTable(list[dict[str, Any]]):
    """One row per completed trial of a search.

    A list of dicts. ``print`` shows it as text, a notebook as HTML.

    Parameters
    ----------
    iterable : iterable of dict, default=()
        The rows, as `FreezeSearchCV.trials_table` describes them.

    See Also
    --------
    FreezeSearchCV.trials_table : The table of a search.

    Examples
    --------
    >>> from frozenfit.search import TrialsTable
    >>> row = {"params": {"frozen": "zero"}, "score": 0.9, "pareto_optimal": True}
    >>> print(TrialsTable([{"trial": 0, **row}, {"trial": 3, **row, "score": 0.75}]))
    trial  frozen  score  pareto_optimal
    0      zero    0.9    True
    3      zero    0.75   True
    """

    def to_frame(self) -> pandas.DataFrame:
        """Return the table as a data frame.

        Returns
        -------
        pandas.DataFrame
            One row per trial, indexed by its number. A column ``param_NAME`` for each suggested
            value, as in ``cv_results_``, with missing values in trials that did not suggest it.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        rows = [
            {"trial": row["trial"]}
            | {f"param_{name}": value for name, value in row["params"].items()}
            | {name: value for name, value in row.items() if name not in ("trial", "params")}
            for row in self
        ]
        return frame(rows, "trial")

    def __str__(self) -> str:
        """Return one line per trial."""
        heads, cells = self._cells()
        table = [heads, *cells]
        widths = [max(len(row[i]) for row in table) for i in range(len(heads))]
        lines = ("  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) for r in table)
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self) -> str:
        """Return an HTML table of the first rows; those of the Pareto front are bold."""
        heads, cells = self._cells()
        body = ""
        for row, texts in list(zip(self, cells, strict=True))[:_HTML_ROWS]:
            style = " style='font-weight:bold'" if row.get("pareto_optimal") else ""
            body += f"<tr{style}>" + "".join(f"<td>{html.escape(t)}</td>" for t in texts) + "</tr>"
        if len(self) > _HTML_ROWS:
            more = f"and {len(self) - _HTML_ROWS} more trials"
            body += f"<tr><td colspan={len(heads)}>{more}</td></tr>"
        head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        """Return the names of the columns and the texts of the rows, for people."""
        params = list(dict.fromkeys(name for row in self for name in row["params"]))
        names = [n for n in dict.fromkeys(n for row in self for n in row) if n != "params"]
        names = [name for name in names if name != "trial"]
        rows = [
            [str(row["trial"])]
            + [_text(row["params"].get(name, "")) for name in params]
            + [_text(row.get(name, "")) for name in names]
            for row in self
        ]
        return ["trial", *params, *names], rows


def _text(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if value.is_integer() else f"{value:.4g}"
