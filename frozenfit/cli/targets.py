"""The target of a table: whether it asks for classification or regression, and what is wrong."""

from __future__ import annotations

from numbers import Number
from typing import Any

import numpy as np

TASKS = ("classification", "regression")
# Integers with more distinct values are taken for quantities rather than for classes.
_MOST_CLASSES = 20


def read_target(y: Any, name: str, task: str | None = None) -> tuple[np.ndarray, str]:
    """Return the values of a target, and the task that they ask for.

    Parameters
    ----------
    y : pandas.Series or ndarray of shape (n_samples,)
        The target.
    name : str
        Its name, for errors.
    task : {"classification", "regression"} or None, default=None
        The task. None finds it: text, booleans, categories and integers of at most 20 distinct
        values are classes, all other numbers are quantities.

    Returns
    -------
    values : ndarray
        Classes of one type (text, booleans or numbers), or floats.
    task : str
        The task.

    Raises
    ------
    ValueError
        If values are missing, if text is to be predicted by a regression, or if nearly every row
        is a separate class.
    """
    values = _of_one_type(y, name)
    found = task or _task_of(values)
    if found == "regression":
        if values.dtype.kind not in "biuf":
            raise ValueError(
                f"The target {name!r} must contain numbers for a regression, got {values[0]!r}."
            )
        if not np.isfinite(values).all():
            raise ValueError(f"The target {name!r} must contain finite numbers, got infinity.")
        return values.astype(np.float64), found
    n_classes = len(np.unique(values))
    if n_classes < 2:
        raise ValueError(
            f"The target {name!r} must contain at least 2 classes, got {values[0]!r} in all rows."
        )
    if 2 * n_classes > len(values):
        raise ValueError(
            f"The target {name!r} has {n_classes:,} classes in {len(values):,} rows, which is too "
            "few rows to learn from. Name another --target"
            + (", or use --task regression." if values.dtype.kind in "iuf" else ".")
        )
    return values, found


def _of_one_type(y: Any, name: str) -> np.ndarray:
    values = np.asarray(y)
    if values.dtype.kind not in "biufUOT":
        raise ValueError(
            f"The target {name!r} must contain numbers, text, booleans or categories, got "
            f"{values.dtype}."
        )
    if values.dtype.kind == "f":
        missing = np.isnan(values)
    elif values.dtype.kind == "O":
        missing = np.array([_is_missing(value) for value in values], dtype=bool)
    else:
        missing = np.zeros(len(values), dtype=bool)
    if missing.any():
        raise ValueError(
            f"The target {name!r} is missing in {missing.sum():,} of {len(values):,} rows, the "
            f"first of which is row {int(missing.argmax()) + 1:,}. Remove these rows."
        )
    if values.dtype.kind != "O":
        return values.astype(object) if values.dtype.kind == "T" else values
    plain = values.tolist()
    if all(isinstance(value, bool | np.bool_) for value in plain):
        return np.array(plain, dtype=bool)
    if all(isinstance(v, Number) and not isinstance(v, bool | np.bool_) for v in plain):
        return np.array(plain)
    return np.array([str(value) for value in plain], dtype=object)


def _is_missing(value: Any) -> bool:
    return value is None or type(value).__name__ in ("NAType", "NaTType") or value != value


def _task_of(values: np.ndarray) -> str:
    if values.dtype.kind not in "iuf":
        return "classification"
    whole = values.dtype.kind in "iu" or bool((values == np.floor(values)).all())
    return "classification" if whole and len(np.unique(values)) <= _MOST_CLASSES else "regression"


def as_classes(y: Any, name: str, classes: np.ndarray) -> np.ndarray:
    """Return the values of a target as indices of the classes of a model.

    Parameters
    ----------
    y : pandas.Series or ndarray of shape (n_samples,)
        The target.
    name : str
        Its name, for errors.
    classes : ndarray
        The classes of the model, in ascending order.

    Returns
    -------
    ndarray of int
        The indices.

    Raises
    ------
    ValueError
        If values are missing, or not among the classes.
    """
    values = _of_one_type(y, name)
    if classes.dtype.kind in "UO":  # a part of a table may have no text although the whole had
        values = np.array([str(value) for value in values.tolist()], dtype=object)
    places = {value: i for i, value in enumerate(classes.tolist())}
    found = np.array([places.get(value, -1) for value in values.tolist()])
    if (found < 0).any():
        odd = values[found < 0].tolist()[0]
        listed = ", ".join(map(repr, classes.tolist()[:8])) + (", ..." if len(classes) > 8 else "")
        raise ValueError(
            f"The target {name!r} contains {odd!r}, which is not among the {len(classes):,} "
            f"classes of the model: {listed}."
        )
    return found
