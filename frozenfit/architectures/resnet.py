"""Residual networks for small images (He, Zhang, Ren and Sun 2015)."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from frozenfit.architectures import parts
from frozenfit.architectures.registry import register

__all__ = ["resnet"]


@register("resnet")
def resnet(
    input_shape: tuple[int, ...], n_outputs: int, *, depth: int = 20, width: float = 1
) -> keras.Model:
    """Build a residual network of three blocks of basic units, the normalization after each sum.

    Layers: ``conv1``, ``norm1``; in a unit ``block1_unit1_conv1``, ``block1_unit1_norm1``,
    ``block1_unit1_conv2``, ``block1_unit1_norm2`` and, where the width changes, a convolution of
    1 x 1 with its normalization, ``block2_unit1_shortcut`` and ``block2_unit1_shortcut_norm``; then
    ``head``. Units are basic at any depth. 272,474 parameters to learn at depth 20 on CIFAR-10.

    Parameters
    ----------
    input_shape : tuple of int
        ``(height, width, channels)``. The last maps, a quarter of the image's sides, are averaged
        over 8 x 8 pixels, or whole where they are smaller.
    n_outputs : int
        Number of outputs.
    depth : int, default=20
        Layers of weights, 6n + 2; 20 is the smallest network of the paper.
    width : float, default=1
        Factor on the 16, 32 and 64 filters of the blocks and on the 16 of the first layer.

    Returns
    -------
    keras.Model
        Logits of shape ``(batch, n_outputs)``.

    Raises
    ------
    ValueError
        If the input is not an image, the depth does not fit, or the width is not positive.

    Examples
    --------
    >>> resnet((8, 8, 1), 10, depth=8, width=0.5).name
    'resnet'
    """
    count = parts.units("resnet", depth, per_unit=2, besides=2)
    inputs = parts.image_input("resnet", input_shape)
    x = parts.conv(inputs, parts.scaled("resnet", 16, width), 3, "conv1")
    x = parts.activate(parts.norm(x, "norm1"), "activation1")
    for block, base in enumerate((16, 32, 64), 1):
        filters = parts.scaled("resnet", base, width)
        for number in range(1, count + 1):
            stride = 2 if block > 1 and number == 1 else 1
            x = _unit(x, filters, stride, f"block{block}_unit{number}")
    return keras.Model(inputs, parts.head(parts.pool_average(x, "pool"), n_outputs), name="resnet")


def _unit(x: Any, filters: int, stride: int, name: str) -> Any:
    y = parts.conv(x, filters, 3, f"{name}_conv1", stride=stride)
    y = parts.activate(parts.norm(y, f"{name}_norm1"), f"{name}_activation1")
    y = parts.norm(parts.conv(y, filters, 3, f"{name}_conv2"), f"{name}_norm2")
    # A projection only where the shapes differ: option B of the paper, as the published counts
    # require.
    if stride > 1 or x.shape[-1] != filters:
        x = parts.conv(x, filters, 1, f"{name}_shortcut", stride=stride)
        x = parts.norm(x, f"{name}_shortcut_norm")
    return parts.activate(layers.Add(name=f"{name}_add")([x, y]), f"{name}_activation2")
