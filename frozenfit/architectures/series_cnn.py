"""A fully convolutional network for time series (Wang, Yan and Oates 2017)."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from frozenfit.architectures import parts
from frozenfit.architectures.registry import register

__all__ = ["series_cnn"]


@register("series_cnn")
def series_cnn(input_shape: tuple[int, ...], n_outputs: int, *, width: float = 1.0) -> keras.Model:
    """Build a fully convolutional network for time series, averaged over time.

    Layers: ``conv1``, ``conv1_norm``, ``conv1_activation``, and so on for ``conv2`` and ``conv3``,
    ``pool``, ``head``. The convolutions have 128, 256 and 128 filters of 8, 5 and 3 steps: the
    network FCN of Wang, Yan and Oates 2017 (arXiv 1611.06455). Where the reference network has
    biases before its normalizations, this one has none, because the normalization has an offset.

    Parameters
    ----------
    input_shape : tuple of int
        ``(length, channels)``. Convolutions keep the length, so that any length is accepted.
    n_outputs : int
        Number of outputs.
    width : float, default=1.0
        Factor that multiplies every number of filters.

    Returns
    -------
    keras.Model
        Logits of shape ``(batch, n_outputs)``.

    Raises
    ------
    ValueError
        If the input is not a time series or the width is not positive.

    Examples
    --------
    >>> series_cnn((24, 1), 2).count_params()
    265474
    """
    if len(input_shape) != 2:
        raise ValueError(
            f"`input_shape` of series_cnn must be (length, channels), got {tuple(input_shape)}. "
            "Set image_shape, for example to (24, 1), if the samples are rows of a table."
        )
    x: Any = keras.Input(input_shape, name="input")
    inputs = x
    for name, filters, size in (("conv1", 128, 8), ("conv2", 256, 5), ("conv3", 128, 3)):
        count = parts.scaled("series_cnn", filters, width)
        x = layers.Conv1D(count, size, padding="same", use_bias=False, name=name)(x)
        x = parts.activate(parts.norm(x, f"{name}_norm"), f"{name}_activation")
    x = layers.GlobalAveragePooling1D(name="pool")(x)
    return keras.Model(inputs, parts.head(x, n_outputs, "glorot_uniform"), name="series_cnn")
