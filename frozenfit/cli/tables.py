"""Tables and arrays in files: csv, parquet and npz."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from frozenfit.utils.names import did_you_mean
from frozenfit.utils.optional import require

_ENDINGS = (".csv", ".parquet", ".npz")
_SEPARATORS = ";\t|"


class Samples(NamedTuple):
    """What a file contains.

    Parameters
    ----------
    X : pandas.DataFrame or ndarray
        The columns of a table without the target, or the array ``X`` of an npz file.
    y : pandas.Series, ndarray or None
        The target, where one was requested.
    """

    X: Any
    y: Any


def check_ending(path: str, what: str) -> str:
    """Return the ending of the path of a table.

    Parameters
    ----------
    path : str
        The path.
    what : str
        What the path was given as, for errors.

    Returns
    -------
    str
        ".csv", ".parquet" or ".npz".

    Raises
    ------
    ValueError
        If the path has another ending.
    """
    ending = Path(path).suffix.lower()
    if ending not in _ENDINGS:
        raise ValueError(f"{what} must end in {', '.join(_ENDINGS)}, got {path!r}.")
    return ending


def read_samples(
    path: str,
    target: str | None = None,
    *,
    drop: Iterable[str] = (),
    text: Iterable[str] = (),
) -> Samples:
    """Read the samples of a file, and their target.

    Parameters
    ----------
    path : str
        A csv file with names in its first line, a parquet file, or an npz file with an array ``X``.
    target : str or None, default=None
        Name of the column of the target, or of the array in an npz file. None reads no target.
    drop : iterable of str, default=()
        Names of columns to leave out.
    text : iterable of str, default=()
        Names of columns of a csv file that are text even where all values look like numbers.

    Returns
    -------
    Samples
        The samples and the target.

    Raises
    ------
    ValueError
        If the file cannot be read, has no rows, or lacks a column; the message suggests another.
    ImportError
        If pandas or pyarrow is not installed.
    OSError
        If the file does not exist.
    """
    if check_ending(path, "The file of the data") == ".npz":
        if list(drop):
            raise ValueError("--drop names columns of a table, and an npz file has none.")
        return _read_npz(path, target)
    frame = _read_frame(path, set(text))
    for name in (*([target] if target is not None else []), *drop):
        if name not in frame.columns:
            known = did_you_mean(name, map(str, frame.columns))
            raise ValueError(f"{path} has no column {name!r}. {known}")
    if len(frame) == 0:
        raise ValueError(f"{path} is a table without rows.")
    X = frame.drop(columns=[*drop, *([target] if target is not None else [])])
    if len(X.columns) == 0:
        raise ValueError(f"{path} has no columns besides the target and those of --drop.")
    return Samples(X, None if target is None else frame[target])


def _read_frame(path: str, text: set[str]) -> Any:
    pandas = require("pandas", "tables", f"Reading {path}")
    if not os.path.isfile(path):
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        if Path(path).suffix.lower() == ".parquet":
            require("pyarrow", "tables", f"Reading {path}")
            return pandas.read_parquet(path)
        with open(path, encoding="utf-8-sig") as file:
            header = file.readline()
        separator = "," if "," in header else max(_SEPARATORS, key=header.count)
        separator = separator if separator in header else ","
        # A column of several types is read in one piece, so that its values have one type.
        options = {"sep": separator, "encoding": "utf-8-sig", "low_memory": False}
        return pandas.read_csv(path, dtype=dict.fromkeys(text, str), **options)
    except (ImportError, OSError):
        raise
    except Exception as error:  # pyarrow raises other classes
        raise ValueError(f"{path} cannot be read: {_first_line(error)}") from error


def _read_npz(path: str, target: str | None) -> Samples:
    if not os.path.isfile(path):
        raise FileNotFoundError(f"There is no file {path}.")
    names = ["X", *([target] if target is not None else [])]
    try:
        with np.load(path, allow_pickle=False) as file:
            found = file.files if isinstance(file, np.lib.npyio.NpzFile) else []
            missing = [name for name in names if name not in found]
            if not missing:
                arrays = [file[name] for name in names]
    except Exception as error:  # a damaged archive raises errors of zipfile and zlib
        raise ValueError(f"{path} cannot be read: {_first_line(error)}") from error
    if missing:
        raise ValueError(f"{path} has no array {missing[0]!r}. {did_you_mean(missing[0], found)}")
    X, y = arrays[0], arrays[1] if target is not None else None
    if X.ndim < 2 or len(X) == 0:
        raise ValueError(f"X in {path} must have rows and columns, got the shape {X.shape}.")
    if y is not None and y.shape != (len(X),):
        raise ValueError(
            f"{target} in {path} must contain one value for each of the {len(X):,} rows of X, got "
            f"the shape {y.shape}."
        )
    if X.ndim > 2 and X.dtype.kind == "u":  # images, as `frozenfit.datasets.load` scales them
        X = np.divide(X, np.float32(np.iinfo(X.dtype).max), dtype=np.float32)
    return Samples(X, y)


def select_columns(frame: Any, names: Iterable[str], path: str) -> Any:
    """Return the columns that a model was trained on, in their order.

    Parameters
    ----------
    frame : pandas.DataFrame
        The table.
    names : iterable of str
        Names of the columns.
    path : str
        Its file, for errors.

    Returns
    -------
    pandas.DataFrame
        The columns.

    Raises
    ------
    ValueError
        If columns are missing.
    """
    names = list(names)
    missing = [name for name in names if name not in frame.columns]
    if missing:
        several = "s" if len(missing) > 1 else ""
        listed = ", ".join(map(repr, missing[:8])) + (", ..." if len(missing) > 8 else "")
        raise ValueError(
            f"{path} lacks the column{several} {listed}, which the model was trained on."
        )
    return frame[names]


def write_columns(columns: Mapping[str, np.ndarray], path: str) -> None:
    """Write columns of equal length to a file.

    Parameters
    ----------
    columns : mapping of str to ndarray
        The columns; an npz file receives one array for each.
    path : str
        A path that ends in ".csv", ".parquet" or ".npz".
    """
    from frozenfit.utils import atomic_write

    buffer = io.BytesIO()
    ending = check_ending(path, "--out")
    if ending == ".npz":
        arrays: dict[str, Any] = {name: _plain(values) for name, values in columns.items()}
        np.savez(buffer, **arrays)
    elif ending == ".parquet":
        require("pyarrow", "tables", f"Writing {path}")
        _frame(columns).to_parquet(buffer, index=False)
    else:
        _frame(columns).to_csv(buffer, index=False)
    atomic_write.write(buffer.getvalue(), path)


def csv_text(columns: Mapping[str, np.ndarray]) -> str:
    """Return columns of equal length as the text of a csv file.

    Parameters
    ----------
    columns : mapping of str to ndarray
        The columns.

    Returns
    -------
    str
        The text.
    """
    return _frame(columns).to_csv(index=False)


def _frame(columns: Mapping[str, np.ndarray]) -> Any:
    return require("pandas", "tables", "Writing a table").DataFrame(dict(columns))


def _plain(values: np.ndarray) -> np.ndarray:
    """Return text as an array that is read without pickle."""
    return values.astype(str) if values.dtype == object else values


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
