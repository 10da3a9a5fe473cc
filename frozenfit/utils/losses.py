"""Configurations of Keras losses."""

from __future__ import annotations

from typing import Any

import keras


def arguments(loss: keras.losses.Loss) -> dict[str, Any]:
    """Return the arguments that build a loss of Keras again.

    Parameters
    ----------
    loss : keras.losses.Loss
        A loss whose class is part of Keras.

    Returns
    -------
    dict of str to object
        Its configuration, completed: Keras leaves out some arguments, such as the `delta` of
        ``Huber``.

    Examples
    --------
    >>> import keras
    >>> from frozenfit.utils.losses import arguments
    >>> arguments(keras.losses.Huber(delta=0.5))["delta"]
    0.5
    """
    return {**loss.get_config(), **getattr(loss, "_fn_kwargs", {})}


def is_of_keras(loss: object) -> bool:
    """Return whether an object is a loss whose class is part of Keras."""
    kind = type(loss)
    return issubclass(kind, keras.losses.Loss) and getattr(keras.losses, kind.__name__, 0) is kind
