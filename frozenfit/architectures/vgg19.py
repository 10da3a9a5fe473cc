"""VGG19 for small images (Simonyan and Zisserman 2014), as used on CIFAR."""

from __future__ import annotations

import keras

from frozenfit.architectures import parts
from frozenfit.architectures.registry import register

__all__ = ["vgg19"]

_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))


@register("vgg19")
def vgg19(
    input_shape: tuple[int, ...],
    n_outputs: int,
    *,
    width: float = 1.0,
    batch_norm: bool = True,
) -> keras.Model:
    """Build VGG19 with one dense layer: five blocks of 2, 2, 4, 4 and 4 convolutions of 3 x 3.

    Layers: ``block1_conv1``, ``block1_norm1``, ``block1_activation1``, ..., ``block1_pool``, ...,
    ``head``. Convolutions keep their biases beside a normalization, as the reference network of
    bearpaw/pytorch-classification does: 20,040,522 trainable parameters on CIFAR-10.

    Parameters
    ----------
    input_shape : tuple of int
        ``(height, width, channels)``. Each block halves the sides of the feature map; a map of
        one pixel is not pooled, so that images with sides under 32 pixels are accepted.
    n_outputs : int
        Number of outputs.
    width : float, default=1.0
        Factor that multiplies every number of filters.
    batch_norm : bool, default=True
        Whether to normalize by the batch after each convolution. Without it the network of
        Rosenfeld and Tsotsos 2018 (arXiv 1802.00844) never learned more than chance.

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
    >>> vgg19((32, 32, 3), 10, width=0.0625, batch_norm=False).count_params()
    78974
    """
    x = inputs = parts.image_input("vgg19", input_shape)
    for block, (filters, count) in enumerate(_BLOCKS, 1):
        for number in range(1, count + 1):
            name = f"block{block}_conv{number}"
            x = parts.conv(x, parts.scaled("vgg19", filters, width), 3, name, bias=True)
            if batch_norm:
                x = parts.norm(x, f"block{block}_norm{number}")
            x = parts.activate(x, f"block{block}_activation{number}")
        x = parts.pool(x, f"block{block}_pool")
    # The initializer of the head in the reference network.
    initializer = keras.initializers.RandomNormal(stddev=0.01)
    return keras.Model(inputs, parts.head(x, n_outputs, initializer), name="vgg19")
