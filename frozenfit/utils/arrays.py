"""Tensors and variables of any backend as NumPy arrays."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np


def to_numpy(value: Any) -> np.ndarray:
    """Copy a tensor or a Keras variable to a NumPy array.

    `keras.ops.convert_to_numpy` hands variables, and tensors on torch, to ``numpy.array``, which
    NumPy 2 deprecates for objects whose ``__array__`` has no `copy` argument.

    Parameters
    ----------
    value : tensor, keras.Variable or array-like
        The value.

    Returns
    -------
    ndarray
        A new array that shares no memory with the value: backends reuse buffers.

    Examples
    --------
    >>> import keras
    >>> from frozenfit.utils.arrays import to_numpy
    >>> to_numpy(keras.ops.ones(2))
    array([1., 1.], dtype=float32)
    """
    import keras

    if isinstance(value, keras.Variable):
        value = keras.ops.convert_to_tensor(value)
    if hasattr(value, "detach"):  # torch
        value = value.detach().cpu()
        if keras.backend.standardize_dtype(value.dtype) == "bfloat16":
            import ml_dtypes

            return value.float().numpy().astype(ml_dtypes.bfloat16)
        return value.numpy().copy()
    if hasattr(value, "numpy"):  # TensorFlow
        value = value.numpy()
    return np.array(value)


@contextmanager
def keras_reads_variables() -> Iterator[None]:
    """Ignore the deprecation that `to_numpy` avoids while Keras converts variables.

    The ``get_config`` of an optimizer reads its learning rate as ``numpy.array(variable)``. Under
    ``-W error`` that warning would make a fit fail for a reason that no user can change.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        yield


def digest_arrays(values: Mapping[str, np.ndarray]) -> bytes:
    """Return a digest of the name, shape, type and bytes of every array.

    Parameters
    ----------
    values : mapping of str to ndarray
        Arrays by name.

    Returns
    -------
    bytes
        SHA-256; it does not depend on the order.
    """
    digest = hashlib.sha256()
    for path, value in sorted(values.items()):
        digest.update(f"{path}{value.shape}{value.dtype}".encode())
        digest.update(np.ascontiguousarray(value).view(np.uint8).data)
    return digest.digest()
