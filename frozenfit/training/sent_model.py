"""A given Keras model that the workers of a dask cluster receive once."""

from __future__ import annotations

import hashlib
import math
from functools import partial
from typing import Any

import keras

from frozenfit.training.model_structure import structure_key
from frozenfit.utils import sent_once
from frozenfit.utils.arrays import digest_arrays, to_numpy


def send(model: keras.Model) -> None:
    """Send a model to the workers of the dask cluster that joblib uses at present, if any.

    Parameters
    ----------
    model : keras.Model
        A built model.
    """
    n_bytes = sum(math.prod(v.shape) for v in model.variables) * 4
    sent_once.send(model, n_bytes, partial(_content, model))


def referenced(source: Any) -> Any:
    """Return what the pickle that is being made contains for a model.

    Parameters
    ----------
    source : keras.Model or object
        The model.

    Returns
    -------
    object
        A reference where dask's workers have the model with its present values, else the argument.
    """
    if not isinstance(source, keras.Model):
        return source
    return sent_once.referenced(source, partial(_content, source))


def _content(model: keras.Model) -> str:
    """Return a digest of the structure of a model and of all its values."""
    values = {f"{i}": to_numpy(v) for i, v in enumerate(model.variables)}
    structure = repr(structure_key(model)).encode()
    return hashlib.sha256(structure + digest_arrays(values)).hexdigest()
