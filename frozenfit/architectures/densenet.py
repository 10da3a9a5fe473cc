"""Densely connected networks for small images (Huang et al. 2016, arXiv 1608.06993)."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import keras
from keras import layers

from frozenfit.architectures import parts
from frozenfit.architectures.registry import register

__all__ = ["densenet"]


@register("densenet")
def densenet(
    input_shape: tuple[int, ...],
    n_outputs: int,
    *,
    depth: int = 100,
    growth: int = 12,
    bottleneck: bool = True,
    compression: float = 0.5,
) -> keras.Model:
    """Build a DenseNet: three blocks whose units add `growth` feature maps to all earlier ones.

    Layers: ``conv1``; in a unit ``block1_unit1_norm1``, ``block1_unit1_conv1`` (1 x 1, four times
    the growth), ``block1_unit1_norm2``, ``block1_unit1_conv2`` (3 x 3), or the first two (3 x 3)
    without bottleneck; between blocks ``transition1_norm``, ``transition1_conv``,
    ``transition1_pool``, which belong to no block; then ``norm`` and ``head``. The default is
    DenseNet-BC-100-12 with 769,162 trainable parameters on CIFAR-10.

    Parameters
    ----------
    input_shape : tuple of int
        ``(height, width, channels)``. The sides of the last feature maps are a quarter of those
        of the image. Windows of 8 x 8 pixels are averaged, or all pixels of a smaller map; a map
        of one pixel is not pooled.
    n_outputs : int
        Number of outputs.
    depth : int, default=100
        Layers of weights: 6n + 4, or 3n + 4 without bottleneck.
    growth : int, default=12
        Maps that each unit adds; the first layer has twice as many.
    bottleneck : bool, default=True
        Whether a convolution of 1 x 1 narrows the input of each unit.
    compression : float, default=0.5
        Part of the maps that a transition keeps, in (0, 1], rounded down.

    Returns
    -------
    keras.Model
        Logits of shape ``(batch, n_outputs)``.

    Raises
    ------
    ValueError
        If the input is not an image or a parameter does not fit.

    Examples
    --------
    >>> densenet((8, 8, 1), 10, depth=10, growth=4).name
    'densenet'
    """
    count = parts.units("densenet", depth, per_unit=2 if bottleneck else 1, besides=4)
    if isinstance(growth, bool) or not isinstance(growth, Integral) or growth < 1:
        raise ValueError(f"`growth` of densenet must be an int >= 1, got {growth!r}.")
    if not isinstance(compression, Real) or not 0 < compression <= 1:
        raise ValueError(f"`compression` of densenet must be in (0, 1], got {compression!r}.")
    inputs = parts.image_input("densenet", input_shape)
    x = parts.conv(inputs, 2 * growth, 3, "conv1")
    for block in (1, 2, 3):
        for number in range(1, count + 1):
            x = _unit(x, growth, bottleneck, f"block{block}_unit{number}")
        if block < 3:
            x = _transition(x, compression, f"transition{block}")
    x = parts.activate(parts.norm(x, "norm"), "activation")
    outputs = parts.head(parts.pool_average(x, "pool"), n_outputs)
    return keras.Model(inputs, outputs, name="densenet")


def _unit(x: Any, growth: int, bottleneck: bool, name: str) -> Any:
    y = parts.activate(parts.norm(x, f"{name}_norm1"), f"{name}_activation1")
    if bottleneck:
        # Four times the growth: DenseNet-B of the paper.
        y = parts.conv(y, 4 * growth, 1, f"{name}_conv1")
        y = parts.activate(parts.norm(y, f"{name}_norm2"), f"{name}_activation2")
    y = parts.conv(y, growth, 3, f"{name}_conv2" if bottleneck else f"{name}_conv1")
    return layers.Concatenate(name=f"{name}_concat")([x, y])


def _transition(x: Any, compression: float, name: str) -> Any:
    # Compensates for rounding errors, so that half of 30 is 15.
    filters = max(1, math.floor(x.shape[-1] * compression + 1e-9))
    x = parts.activate(parts.norm(x, f"{name}_norm"), f"{name}_activation")
    return parts.pool(parts.conv(x, filters, 1, f"{name}_conv"), f"{name}_pool", average=True)
