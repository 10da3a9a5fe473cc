"""Wide residual networks (Zagoruyko and Komodakis 2016, arXiv 1605.07146)."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from frozenfit.architectures import parts
from frozenfit.architectures.registry import register

__all__ = ["wide_resnet"]


@register("wide_resnet")
def wide_resnet(
    input_shape: tuple[int, ...],
    n_outputs: int,
    *,
    depth: int = 28,
    width: float = 10,
    dropout: float = 0,
) -> keras.Model:
    """Build a wide residual network: three blocks of units that normalize first.

    Layers: ``conv1``; in a unit ``block1_unit1_norm1``, ``block1_unit1_conv1``,
    ``block1_unit1_norm2``, ``block1_unit1_conv2`` and, where the width changes, a convolution of
    1 x 1, ``block1_unit1_shortcut``, which the normalized input feeds as well; then ``norm`` and
    ``head``. No convolution has a bias. 36,479,194 parameters to learn on CIFAR-10 by default,
    5,849,050 at width 4.

    Parameters
    ----------
    input_shape : tuple of int
        ``(height, width, channels)``. The last maps, a quarter of the image's sides, are averaged
        over 8 x 8 pixels, or whole where they are smaller: 64 x 64 images leave 2 x 2 pixels and
        so four times the inputs of ``head``.
    n_outputs : int
        Number of outputs.
    depth : int, default=28
        Layers of weights, 6n + 4; the depth of the paper's best network.
    width : float, default=10
        Factor on the 16, 32 and 64 filters of the blocks; the first layer always has 16.
    dropout : float, default=0
        Fraction of the features dropped between the convolutions of a unit in training, in
        [0, 1).

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
    >>> wide_resnet((8, 8, 1), 10, depth=10, width=1).name
    'wide_resnet'
    """
    count = parts.units("wide_resnet", depth, per_unit=2, besides=4)
    parts.check_dropout("wide_resnet", dropout)
    inputs = parts.image_input("wide_resnet", input_shape)
    x = parts.conv(inputs, 16, 3, "conv1")
    for block, base in enumerate((16, 32, 64), 1):
        filters = parts.scaled("wide_resnet", base, width)
        for number in range(1, count + 1):
            stride = 2 if block > 1 and number == 1 else 1
            x = _unit(x, filters, stride, dropout, f"block{block}_unit{number}")
    x = parts.activate(parts.norm(x, "norm"), "activation")
    outputs = parts.head(parts.pool_average(x, "pool"), n_outputs)
    return keras.Model(inputs, outputs, name="wide_resnet")


def _unit(x: Any, filters: int, stride: int, dropout: float, name: str) -> Any:
    y = parts.activate(parts.norm(x, f"{name}_norm1"), f"{name}_activation1")
    if stride > 1 or x.shape[-1] != filters:
        # From the normalized input, as in the reference network; the other units pass the raw one
        # on.
        x = parts.conv(y, filters, 1, f"{name}_shortcut", stride=stride)
    y = parts.conv(y, filters, 3, f"{name}_conv1", stride=stride)
    y = parts.activate(parts.norm(y, f"{name}_norm2"), f"{name}_activation2")
    if dropout:
        y = layers.Dropout(dropout, name=f"{name}_dropout")(y)
    y = parts.conv(y, filters, 3, f"{name}_conv2")
    return layers.Add(name=f"{name}_add")([x, y])
