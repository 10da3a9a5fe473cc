"""LeNet-5 (LeCun, Bottou, Bengio and Haffner 1998), with today's activation and pooling."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from frozenfit.architectures import parts
from frozenfit.architectures.registry import register

__all__ = ["lenet5"]


@register("lenet5")
def lenet5(
    input_shape: tuple[int, ...],
    n_outputs: int,
    *,
    activation: Any = "relu",
    batch_norm: bool = False,
) -> keras.Model:
    """Build LeNet-5: 6 and 16 filters of 5 x 5, each pooled by 2, then 120 and 84 units.

    Layers: ``conv1``, ``conv2``, ``dense1``, ``dense2``, ``head``, and ``conv1_norm``,
    ``conv1_activation``, ``conv1_pool`` and so on between them. Every filter of ``conv2`` sees all
    six maps. 44,426 parameters on 28 x 28 x 1 and 62,006 on 32 x 32 x 3 with 10 outputs, the
    network of Li et al. 2018 (arXiv 1804.08838). Kernels start from Keras's default, Glorot's
    uniform distribution.

    Parameters
    ----------
    input_shape : tuple of int
        ``(height, width, channels)``. From 28 pixels on, convolutions do not pad; where a side is
        shorter they keep the size of the map, and a map of one pixel is not pooled, so that 8 x 8
        digits leave 2 x 2 pixels for the first dense layer.
    n_outputs : int
        Number of outputs.
    activation : str or callable, default="relu"
        A Keras activation. The network of 1998 had a scaled tanh, which learns more slowly.
    batch_norm : bool, default=False
        Whether to normalize by the batch before each activation; the layer's bias then gives way
        to the offset of the normalization.

    Returns
    -------
    keras.Model
        Logits of shape ``(batch, n_outputs)``.

    Raises
    ------
    ValueError
        If the input is not an image.

    Examples
    --------
    >>> lenet5((28, 28, 1), 10).count_params()
    44426
    """
    x = inputs = parts.image_input("lenet5", input_shape)
    # Two convolutions of 5 x 5 without padding would leave nothing of a smaller image.
    padding = "valid" if min(input_shape[:2]) >= 28 else "same"
    # A normalization has an offset, which a bias before it would duplicate.
    bias = not batch_norm

    def finish(x: Any, name: str) -> Any:
        if batch_norm:
            x = parts.norm(x, f"{name}_norm")
        return parts.activate(x, f"{name}_activation", activation)

    for name, filters in (("conv1", 6), ("conv2", 16)):
        x = layers.Conv2D(filters, 5, padding=padding, use_bias=bias, name=name)(x)
        x = parts.pool(finish(x, name), f"{name}_pool")
    x = layers.Flatten(name="flatten")(x)
    for name, size in (("dense1", 120), ("dense2", 84)):
        x = finish(layers.Dense(size, use_bias=bias, name=name)(x), name)
    return keras.Model(inputs, parts.head(x, n_outputs, "glorot_uniform"), name="lenet5")
