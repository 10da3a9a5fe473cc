"""The ids that a network accepts whose inputs are rows of an embedding.

Outside their range TensorFlow and torch raise their own errors, and JAX returns NaN.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import layers as kl

from frozenfit.layout import steps

__all__ = ["check_ids", "count_ids"]


def count_ids(model: Any) -> int | None:
    """Return the number of rows of the embedding that a network applies to its input.

    Parameters
    ----------
    model : keras.Model
        A built network.

    Returns
    -------
    int or None
        The smallest number, where there are several embeddings; None where there is none, or the
        network shows no graph.
    """
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        return None
    found: list[Any] = [
        step.operation
        for step in steps(model)
        if isinstance(step.operation, kl.Embedding) and step.inputs[0] is model.inputs[0]
    ]
    return min((layer.input_dim for layer in found), default=None)


def check_ids(parts: Iterable[np.ndarray], count: int | None) -> None:
    """Raise an error where samples contain an id that the embedding has no row for.

    Parameters
    ----------
    parts : iterable of ndarray
        Samples.
    count : int or None
        The result of `count_ids`; None accepts everything.

    Raises
    ------
    ValueError
        If an id is negative, or not less than `count`.
    """
    if count is None:
        return
    for part in parts:
        if part.size and (part.min() < 0 or part.max() >= count):
            odd = part.min() if part.min() < 0 else part.max()
            raise ValueError(
                f"X must contain ids from 0 to {count - 1}, because the embedding of the network "
                f"has {count} rows, got {odd:.0f}. Set max_tokens, in model_params, to the number "
                "of ids, or give an embedding of your own more rows."
            )
