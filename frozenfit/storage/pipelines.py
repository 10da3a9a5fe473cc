"""A pipeline of a TableEncoder and an estimator in one file.

The state of the encoder is a few numbers and texts for each column, written as JSON. Other
transformers are refused: their fitted state is private to scikit-learn and has no such form.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from frozenfit.storage.codec import decode, encode
from frozenfit.storage.fitted_state import check_parameters
from frozenfit.storage.keras_config import first_line
from frozenfit.table_encoder import CategoryColumn, NumberColumn, TableEncoder
from frozenfit.utils.container import Record, StorageError

# The class that a file of a pipeline names.
NAME = "Pipeline"
_NOT_WRITTEN = ("steps", "memory")  # `memory` is a folder of this machine
_LARGEST = float(np.finfo(np.float32).max)  # of an encoded number


def join(pipeline: Pipeline, record_of: Callable[[Any], Record]) -> Record:
    """Return one record of a pipeline.

    Parameters
    ----------
    pipeline : Pipeline
        A fitted pipeline of a `TableEncoder` and an estimator of this package.
    record_of : callable
        Creates the record of the estimator.

    Returns
    -------
    Record
        A record of the class `NAME`, with the arrays of the estimator.

    Raises
    ------
    ValueError
        If the pipeline has other steps.
    """
    steps = [step for _, step in pipeline.steps]
    if len(steps) != 2 or type(steps[0]) is not TableEncoder:
        raise ValueError(
            "a Pipeline must consist of a frozenfit.TableEncoder and an estimator of this package, "
            f"got {', '.join(type(step).__name__ for step in steps)}; a file stores no other "
            "transformers"
        )
    encoder, estimator = steps
    check_is_fitted(encoder)
    last = record_of(estimator)
    given = {k: v for k, v in pipeline.get_params(deep=False).items() if k not in _NOT_WRITTEN}
    names = [name for name, _ in pipeline.steps]
    parameters = {
        "names": names,
        "settings": encode(given, "the parameters of the pipeline"),
        "encoder": encode(encoder.get_params(), f"the parameters of {names[0]!r}"),
        "estimator": {"class": last.class_name, "parameters": last.parameters},
    }
    fitted = {"encoder": encode(_state(encoder), "the encoder"), "estimator": last.fitted}
    return Record(NAME, parameters, fitted, last.arrays)


def split(record: Record, estimator_of: Callable[[Record], Any]) -> Pipeline:
    """Return the pipeline of a record that `join` created.

    Parameters
    ----------
    record : Record
        The record, from an untrusted file.
    estimator_of : callable
        Creates the estimator.

    Returns
    -------
    Pipeline
        The fitted pipeline.

    Raises
    ------
    StorageError
        If a value is invalid, or the encoder and the estimator do not fit together.
    """
    try:
        parameters, fitted = record.parameters, record.fitted
        written, names = parameters["estimator"], parameters["names"]
        _require(type(written["class"]) is str and isinstance(written["parameters"], dict), "class")
        _require(isinstance(names, list) and len(names) == 2, "names")
        _require(all(type(name) is str for name in names), "names")
        encoder = TableEncoder(**decode(parameters["encoder"], "the parameters of the encoder"))
        check_parameters(encoder)
        _restore(encoder, decode(fitted["encoder"], "the encoder"))
        settings = decode(parameters["settings"], "the parameters of the pipeline")
        _require(isinstance(settings, dict) and not set(settings) & set(_NOT_WRITTEN), "settings")
        last = Record(written["class"], written["parameters"], fitted["estimator"], record.arrays)
    except Exception as error:  # whatever a wrong type raises
        raise StorageError(first_line(error)) from error
    estimator = estimator_of(last)
    try:
        steps = [(names[0], encoder), (names[1], estimator)]
        pipeline = Pipeline(steps, **settings)
        check_parameters(pipeline)
        pipeline._validate_steps()
        _check_width(encoder, estimator)
    except Exception as error:
        raise StorageError(first_line(error)) from error
    return pipeline


def _state(encoder: TableEncoder) -> dict[str, Any]:
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


def _restore(encoder: TableEncoder, state: Any) -> None:
    """Set the fitted attributes of an encoder after checking that `fit` can compute them."""
    _require(isinstance(state, dict), "state")
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


def _check_width(encoder: TableEncoder, estimator: Any) -> None:
    width = sum(column.width for column in encoder.columns_)
    settings = getattr(estimator, "_settings", estimator)
    rows = len(estimator.input_shape_) == 1 or getattr(settings, "image_shape", None) is not None
    if width != estimator.n_features_in_ or not rows:
        raise ValueError(
            f"the encoder returns rows of {width} numbers, and the estimator was trained on "
            f"samples of shape {tuple(estimator.input_shape_)}"
        )


def _require(valid: Any, name: str) -> None:
    if not valid:
        raise ValueError(f"the encoder of the table contains an invalid {name!r}")
