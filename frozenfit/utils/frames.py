"""Data frames of tables, where pandas is installed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas


def frame(
    rows: Iterable[Mapping[str, Any]], index: str, columns: Sequence[str] = ()
) -> pandas.DataFrame:
    """Return rows as a data frame.

    Parameters
    ----------
    rows : iterable of mapping
        Values by the name of the column.
    index : str
        Name of the column that becomes the index.
    columns : sequence of str, default=()
        Names of the columns, for a frame without rows; by default those of the rows.

    Returns
    -------
    pandas.DataFrame
        One line per row.

    Raises
    ------
    ImportError
        If pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "`to_frame` requires pandas, which is not installed. Install it with: "
            "pip install pandas"
        ) from error
    rows = list(rows)
    names = list(columns) or (None if rows else [index])
    return pandas.DataFrame(rows, columns=names).set_index(index)
