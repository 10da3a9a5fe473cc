"""The table of trainable parameters: as a list, as text, as HTML, as a data frame."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, NamedTuple

from frozenfit.utils.frames import frame

if TYPE_CHECKING:
    import pandas

_HTML_ROWS = 60


class TableRow(NamedTuple):
    """One weight in the table of trainable parameters.

    Parameters
    ----------
    path : str
        Path of the weight, such as "hidden/kernel".
    shape : tuple of int
        Shape of the weight.
    form : str
        Description of the trainable part of the weight.
    trainable : int
        Number of trainable parameters.
    total : int
        Number of all parameters.

    See Also
    --------
    ParameterTable : The table.

    Examples
    --------
    >>> from frozenfit.selectors import TableRow
    >>> TableRow("hidden/bias", (8,), "first 2 of 8 on axis 0", 2, 8).trainable
    2
    """

    path: str
    shape: tuple[int, ...]
    form: str
    trainable: int
    total: int


class ParameterTable(list[TableRow]):
    """One row per weight of a network, with the number of its trainable parameters.

    A list of named tuples ``(path, shape, form, trainable, total)``. ``print`` shows it as text,
    a notebook as HTML.

    Parameters
    ----------
    iterable : iterable of TableRow, default=()
        The rows.

    Attributes
    ----------
    trainable : int
        Number of trainable parameters.
    total : int
        Number of all parameters.

    See Also
    --------
    PartialModel.parameter_table : The table of a Keras model.
    PartialNetClassifier.parameter_table : The table of a fitted estimator.

    Examples
    --------
    >>> import keras
    >>> from frozenfit import PartialModel
    >>> layers = [keras.layers.Dense(8, name="hidden"), keras.layers.Dense(2, name="out")]
    >>> base = keras.Sequential([keras.Input((4,)), *layers])
    >>> table = PartialModel(base, "filters(0.25) | head()").parameter_table()
    >>> print(table)
    weight         shape   form                    trainable  total
    hidden/kernel  (4, 8)  first 2 of 8 on axis 1          8     32
    hidden/bias    (8,)    first 2 of 8 on axis 0          2      8
    out/kernel     (8, 2)  all                            16     16
    out/bias       (2,)    all                             2      2
    sum                    48.28%                         28     58
    >>> table.trainable, table.total, table[0].path
    (28, 58, 'hidden/kernel')
    """

    @property
    def trainable(self) -> int:
        """Number of trainable parameters."""
        return sum(row.trainable for row in self)

    @property
    def total(self) -> int:
        """Number of all parameters."""
        return sum(row.total for row in self)

    @property
    def summary(self) -> str:
        """The sums in one phrase, such as "trained 5,079 of 44,426 parameters (11.4 %)"."""
        share = f"{self.trainable / self.total:.1%}".replace("%", " %")
        return f"trained {self.trainable:,} of {self.total:,} parameters ({share})"

    def to_frame(self) -> pandas.DataFrame:
        """Return the table as a data frame.

        Returns
        -------
        pandas.DataFrame
            Columns ``shape``, ``form``, ``trainable`` and ``total``, indexed by ``path``.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        return frame((row._asdict() for row in self), "path", TableRow._fields)

    def __str__(self) -> str:
        """Return one line per weight, and the sums."""
        cells = [("weight", *TableRow._fields[1:])]
        cells += [(p, str(tuple(s)), f, f"{n:,}", f"{m:,}") for p, s, f, n, m in self]
        share = f"{self.trainable / self.total:.2%}"
        cells.append(("sum", "", share, f"{self.trainable:,}", f"{self.total:,}"))
        widths = [max(len(row[i]) for row in cells) for i in range(5)]
        lines = (
            "  ".join(r[i].ljust(w) if i < 3 else r[i].rjust(w) for i, w in enumerate(widths))
            for r in cells
        )
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self) -> str:
        """Return an HTML table of the first rows, with a bar for each weight."""
        return self._html(" open")

    def _html(self, state: str = "") -> str:
        """Return an HTML element that can be folded; it is folded without a `state`."""
        body = "".join(_html_row(row) for row in self[:_HTML_ROWS])
        if len(self) > _HTML_ROWS:
            body += f"<tr><td colspan=5>and {len(self) - _HTML_ROWS} more weights</td></tr>"
        heads = "".join(f"<th>{name}</th>" for name in ("weight", *TableRow._fields[1:4], ""))
        return (
            f"<details{state}><summary>{self.summary}</summary><table><thead><tr>{heads}</tr></thead>"
            f"<tbody>{body}</tbody></table></details>"
        )


def _html_row(row: TableRow) -> str:
    bar = (
        '<div style="width:8em;background:#8884"><div style="background:#2a78b5;height:.7em;'
        f'width:{row.trainable / row.total:.1%}"></div></div>'
    )
    shape = "×".join(map(str, row.shape))
    cells = (html.escape(row.path), shape, html.escape(row.form), f"{row.trainable:,}", bar)
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
