"""Where features are computed: on an accelerator by the backend, else by BLAS on the CPU.

On a CPU the backends' products are no quicker than BLAS, and some have none in float64.
"""

from __future__ import annotations

from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import keras
import numpy as np
from scipy import sparse

from frozenfit.elm import as_keras
from frozenfit.elm.hidden import Frozen
from frozenfit.utils.arrays import to_numpy

__all__ = ["accelerated", "features", "groups"]

_models: WeakKeyDictionary[Frozen, keras.Model] = WeakKeyDictionary()


@cache
def accelerated() -> bool:
    """Tell whether the backend puts its tensors on another device than the CPU."""
    tensor: Any = keras.ops.convert_to_tensor(0.0)
    return "cpu" not in str(getattr(tensor, "device")).lower()  # noqa: B009 - not all have one


def groups(frozen: Frozen, X: Any) -> list[list[np.ndarray]]:
    """Compute features as `Frozen.groups` does; those in float32 on an accelerator if there is one.

    Parameters
    ----------
    frozen : Frozen
        The frozen part.
    X : ndarray of shape (n, ...) or CSR
        Samples.

    Returns
    -------
    list of list of ndarray
        For each ridge its features, in parts that lie side by side.
    """
    keras_knows = frozen.stage is None or not hasattr(frozen.stage, "transform")
    if frozen.dtype != "float32" or sparse.issparse(X) or not keras_knows or not accelerated():
        return frozen.groups(X)
    if frozen not in _models:
        _models[frozen] = as_keras.features(frozen)
    found = _models[frozen](np.asarray(X, np.float32), training=False)
    found = found if isinstance(found, list | tuple) else [found]
    return [[np.array(to_numpy(part), np.float32)] for part in found]


def features(frozen: Frozen, X: Any) -> list[np.ndarray]:
    """Compute the features of samples, one new array for each ridge."""
    return [parts[0] if len(parts) == 1 else np.hstack(parts) for parts in groups(frozen, X)]
