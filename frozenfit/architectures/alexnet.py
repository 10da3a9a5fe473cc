"""AlexNet for small images, after the CIFAR networks of bearpaw/pytorch-classification."""

from __future__ import annotations

from typing import Any

import keras

from frozenfit.architectures import parts
from frozenfit.architectures.registry import register

__all__ = ["alexnet"]


@register("alexnet")
def alexnet(input_shape: tuple[int, ...], n_outputs: int, *, width: float = 1.0) -> keras.Model:
    """Build the AlexNet that Rosenfeld and Tsotsos 2018 (arXiv 1802.00844) use on CIFAR.

    Layers: ``conv1`` (64 filters of 11 x 11, stride 4, padding 5), ``conv2`` (192 of 5 x 5),
    ``conv3`` (384 of 3 x 3), ``conv4``, ``conv5`` (256), each with ``_activation`` and 1, 2 and 5
    with ``_pool``, then ``head``. All with biases, none normalized: on CIFAR it wants a learning
    rate of .01 in SGD, not .1.

    Parameters
    ----------
    input_shape : tuple of int
        ``(height, width, channels)``. Maps of 32 x 32 images have 8, 4, 2 and 1 pixels; smaller
        images work too, for a map of one pixel is not pooled any more.
    n_outputs : int
        Number of outputs.
    width : float, default=1.0
        Factor on every number of filters.

    Returns
    -------
    keras.Model
        Logits of shape ``(batch, n_outputs)``.

    Raises
    ------
    ValueError
        If the input is not an image or the width is not positive.

    Examples
    --------
    >>> alexnet((32, 32, 3), 10, width=0.125).count_params()
    41586
    """

    def convolve(x: Any, number: int, filters: int, size: int, stride: int = 1) -> Any:
        filters = parts.scaled("alexnet", filters, width)
        x = parts.conv(x, filters, size, f"conv{number}", stride=stride, bias=True)
        return parts.activate(x, f"conv{number}_activation")

    inputs = parts.image_input("alexnet", input_shape)
    x = parts.pool(convolve(inputs, 1, 64, 11, stride=4), "conv1_pool")
    x = parts.pool(convolve(x, 2, 192, 5), "conv2_pool")
    x = convolve(x, 3, 384, 3)
    x = convolve(x, 4, 256, 3)
    x = parts.pool(convolve(x, 5, 256, 3), "conv5_pool")
    return keras.Model(inputs, parts.head(x, n_outputs), name="alexnet")
