"""The state of a fitted encoder as JSON, and an encoder from it after checks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from frozenfit.storage.fitted_state import check_parameters
from frozenfit.table_encoder import CategoryColumn, NumberColumn, TableEncoder
from frozenfit.token_encoder import TokenEncoder

__all__ = ["NAMES", "check_fits", "is_encoder", "restore", "state_of"]

_LARGEST = float(np.finfo(np.float32).max)  # of an encoded number
_LONGEST = 2**20  # of a text, in tokens: what a forged file may cost in each row


@dataclass(frozen=True)
class _Kind:
    """How the encoders of one class are stored.

    Attributes
    ----------
    type : type
        The class.
    state : callable
        Returns what `fit` has computed.
    restore : callable
        Sets it after checking that `fit` can compute it.
    width : callable
        Returns the number of encoded columns.
    """

    type: Any
    state: Callable[[Any], dict[str, Any]]
    restore: Callable[[Any, dict[str, Any]], None]
    width: Callable[[Any], int]


def is_encoder(step: Any) -> bool:
    """Return whether a file stores a transformer.

    Parameters
    ----------
    step : object
        A step of a pipeline.

    Returns
    -------
    bool
    """
    return type(step).__name__ in _KINDS and _KINDS[type(step).__name__].type is type(step)


def state_of(encoder: Any) -> dict[str, Any]:
    """Return what an encoder has computed in `fit`.

    Parameters
    ----------
    encoder : TableEncoder or TokenEncoder
        A fitted encoder.

    Returns
    -------
    dict
        Numbers and texts, which JSON can represent.
    """
    return _KINDS[type(encoder).__name__].state(encoder)


def restore(name: str, parameters: Any, state: Any) -> Any:
    """Return a fitted encoder.

    Parameters
    ----------
    name : str
        Name of its class.
    parameters : dict
        Arguments of its constructor, from an untrusted file.
    state : dict
        What `state_of` returned, from an untrusted file.

    Returns
    -------
    TableEncoder or TokenEncoder
        The encoder.

    Raises
    ------
    ValueError, TypeError, KeyError
        If a value is invalid, depending on what is wrong with it.
    """
    _require(type(name) is str and name in _KINDS, "class")
    encoder = _KINDS[name].type(**parameters)
    check_parameters(encoder)
    _require(isinstance(state, dict), "state")
    _KINDS[name].restore(encoder, state)
    return encoder


def check_fits(encoder: Any, estimator: Any) -> None:
    """Check that an estimator was trained on samples as an encoder returns them.

    Parameters
    ----------
    encoder : TableEncoder or TokenEncoder
        A fitted encoder.
    estimator : NetworkEstimator
        A fitted estimator.

    Raises
    ------
    ValueError
        If it was not.
    """
    width = _KINDS[type(encoder).__name__].width(encoder)
    settings = getattr(estimator, "_settings", estimator)
    rows = len(estimator.input_shape_) == 1 or getattr(settings, "image_shape", None) is not None
    if width != estimator.n_features_in_ or not rows:
        raise ValueError(
            f"the encoder returns rows of {width} numbers, and the estimator was trained on "
            f"samples of shape {tuple(estimator.input_shape_)}"
        )


def _table_state(encoder: TableEncoder) -> dict[str, Any]:
    names = getattr(encoder, "feature_names_in_", None)
    return {
        "names": None if names is None else list(map(str, names)),
        "target_name": encoder.target_name_,
        "columns": [_written(column) for column in encoder.columns_],
    }


def _written(column: NumberColumn | CategoryColumn) -> dict[str, Any]:
    if isinstance(column, NumberColumn):
        return {"median": column.median, "mean": column.mean, "scale": column.scale}
    categories = [None if each is None else str(each) for each in column.categories]
    return {"categories": categories, "infrequent": column.infrequent}


def _restore_table(encoder: TableEncoder, state: dict[str, Any]) -> None:
    columns, names = state["columns"], state["names"]
    _require(isinstance(columns, list) and columns, "columns")
    encoder.columns_ = [_column(each) for each in columns]
    encoder.n_features_in_ = len(columns)
    if names is not None:
        _require(isinstance(names, list) and len(names) == len(columns), "names")
        _require(all(type(name) is str for name in names), "names")
        _require(len(set(names)) == len(names), "names")
        encoder.feature_names_in_ = np.array(names, dtype=object)
    _require(state["target_name"] is None or type(state["target_name"]) is str, "target_name")
    encoder.target_name_ = state["target_name"]


def _column(written: Any) -> NumberColumn | CategoryColumn:
    _require(isinstance(written, dict), "columns")
    if set(written) == {"median", "mean", "scale"}:
        values = list(written.values())
        _require(all(type(value) is float and math.isfinite(value) for value in values), "columns")
        column = NumberColumn(**written)
        _require(column.scale > 0, "scale")
        # An encoded zero and an encoded missing value are numbers that a network accepts.
        limit = _LARGEST * column.scale
        _require(abs(column.mean) < limit and abs(column.median - column.mean) < limit, "scale")
        return column
    _require(set(written) == {"categories", "infrequent"}, "columns")
    categories, infrequent = written["categories"], written["infrequent"]
    _require(isinstance(categories, list) and categories, "categories")
    _require(all(each is None or type(each) is str for each in categories), "categories")
    _require(len(set(categories)) == len(categories), "categories")
    _require(type(infrequent) is bool, "infrequent")
    return CategoryColumn(tuple(categories), infrequent)


def _table_width(encoder: TableEncoder) -> int:
    return sum(column.width for column in encoder.columns_)


def _token_state(encoder: TokenEncoder) -> dict[str, Any]:
    return {"tokens": list(encoder.tokens_), "length": int(encoder.length_)}


def _restore_tokens(encoder: TokenEncoder, state: dict[str, Any]) -> None:
    tokens, length = state["tokens"], state["length"]
    _require(isinstance(tokens, list) and 0 < len(tokens) <= encoder.max_tokens - 2, "tokens")
    _require(all(type(token) is str and token for token in tokens), "tokens")
    _require(len(set(tokens)) == len(tokens), "tokens")
    _require(type(length) is int and 1 <= length <= _LONGEST, "length")
    _require(encoder.length is None or encoder.length == length, "length")
    encoder.tokens_, encoder.length_ = tokens, length


def _token_width(encoder: TokenEncoder) -> int:
    return encoder.length_


def _require(valid: Any, name: str) -> None:
    if not valid:
        raise ValueError(f"the encoder in the pipeline contains an invalid {name!r}")


_KINDS = {
    "TableEncoder": _Kind(TableEncoder, _table_state, _restore_table, _table_width),
    "TokenEncoder": _Kind(TokenEncoder, _token_state, _restore_tokens, _token_width),
}
NAMES = tuple(_KINDS)
