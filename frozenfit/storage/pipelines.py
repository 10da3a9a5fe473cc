"""A pipeline of an encoder and an estimator in one file.

The state of an encoder of this package is numbers and texts, written as JSON. Other transformers
are refused: their fitted state is private to scikit-learn and has no such form.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from frozenfit.storage import encoders
from frozenfit.storage.codec import decode, encode
from frozenfit.storage.fitted_state import check_parameters
from frozenfit.storage.keras_config import first_line
from frozenfit.utils.container import Record, StorageError

# The class that a file of a pipeline names.
NAME = "Pipeline"
_NOT_WRITTEN = ("steps", "memory")  # `memory` is a folder of this machine


def join(pipeline: Pipeline, record_of: Callable[[Any], Record]) -> Record:
    """Return one record of a pipeline.

    Parameters
    ----------
    pipeline : Pipeline
        A fitted pipeline of a `TableEncoder` or `TokenEncoder` and an estimator of this package.
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
    if len(steps) != 2 or not encoders.is_encoder(steps[0]):
        found = ", ".join(type(step).__name__ for step in steps)
        raise ValueError(
            f"a Pipeline must consist of a frozenfit.{' or '.join(encoders.NAMES)} and an "
            f"estimator of this package, got {found}; a file stores no other transformers"
        )
    encoder, estimator = steps
    check_is_fitted(encoder)
    last = record_of(estimator)
    given = {k: v for k, v in pipeline.get_params(deep=False).items() if k not in _NOT_WRITTEN}
    names = [name for name, _ in pipeline.steps]
    parameters = {
        "names": names,
        "settings": encode(given, "the parameters of the pipeline"),
        "encoder class": type(encoder).__name__,
        "encoder": encode(encoder.get_params(), f"the parameters of {names[0]!r}"),
        "estimator": {"class": last.class_name, "parameters": last.parameters},
    }
    fitted = {
        "encoder": encode(encoders.state_of(encoder), "the encoder"),
        "estimator": last.fitted,
    }
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
        encoder = encoders.restore(
            parameters["encoder class"],
            decode(parameters["encoder"], "the parameters of the encoder"),
            decode(fitted["encoder"], "the encoder"),
        )
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
        encoders.check_fits(encoder, estimator)
    except Exception as error:
        raise StorageError(first_line(error)) from error
    return pipeline


def _require(valid: Any, name: str) -> None:
    if not valid:
        raise ValueError(f"the pipeline contains an invalid {name!r}")
