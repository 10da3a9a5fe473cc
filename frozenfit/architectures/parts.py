"""Layers that several architectures share, with the settings of the reference networks."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import keras
from keras import layers

__all__ = [
    "activate",
    "check_dropout",
    "check_size",
    "conv",
    "embed_tokens",
    "head",
    "image_input",
    "norm",
    "pool",
    "pool_average",
    "scaled",
    "units",
]


def image_input(family: str, input_shape: tuple[int, ...]) -> Any:
    """Return the input of a network for images, and check its shape."""
    if len(input_shape) != 3:
        raise ValueError(
            f"`input_shape` of {family} must be (height, width, channels), got "
            f"{tuple(input_shape)}."
        )
    return keras.Input(input_shape, name="input")


def embed_tokens(
    family: str,
    input_shape: tuple[int, ...],
    max_tokens: int,
    embedding_dim: int,
    mask_zero: bool = False,
) -> tuple[Any, Any]:
    """Return the input of a network for rows of token ids, and their embedding.

    Vectors are uniform in [-0.25, 0.25], as those of Kim 2014. With Keras's default, a fifth of
    that, the outputs of frozen filters would be small against those that are trained.
    """
    if len(input_shape) != 1:
        raise ValueError(
            f"`input_shape` of {family} must be (length,), a row of token ids, got "
            f"{tuple(input_shape)}."
        )
    rows = check_size(family, "max_tokens", max_tokens)
    dimensions = check_size(family, "embedding_dim", embedding_dim)
    inputs = keras.Input(input_shape, dtype="int32", name="input")
    embedding = layers.Embedding(
        rows,
        dimensions,
        embeddings_initializer=keras.initializers.RandomUniform(-0.25, 0.25),  # pyright: ignore
        mask_zero=mask_zero,
        name="embedding",
    )
    return inputs, embedding(inputs)


def conv(x: Any, filters: int, size: int, name: str, *, stride: int = 1, bias: bool = False) -> Any:
    """Convolve with the padding (size - 1) / 2 on every side, as the reference networks do.

    With a stride, Keras's "same" pads an image with an even side at the right and at the bottom
    only, which shifts the features; a separate padding layer avoids this. Kernels are drawn from a
    normal distribution of variance 2 / fan-out (He et al. 2015), not truncated.
    """
    padding = "same"
    if stride > 1:
        padding = "valid"
        if size > 1:
            x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
    return layers.Conv2D(
        filters,
        size,
        strides=stride,
        padding=padding,
        use_bias=bias,
        kernel_initializer=keras.initializers.VarianceScaling(  # pyright: ignore
            2.0, mode="fan_out", distribution="untruncated_normal"
        ),
        name=name,
    )(x)


def norm(x: Any, name: str) -> Any:
    """Apply batch normalization with the constants of the reference networks.

    Momentum 0.9 in Keras is momentum 0.1 in PyTorch.
    """
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)


def activate(x: Any, name: str, activation: Any = "relu") -> Any:
    """Apply an activation as a layer with this name."""
    return layers.Activation(activation, name=name)(x)


def pool(x: Any, name: str, *, average: bool = False) -> Any:
    """Halve those sides of a feature map that are longer than one pixel."""
    sides = tuple(min(2, int(side)) for side in x.shape[1:3])
    if sides == (1, 1):
        return x
    kind = layers.AveragePooling2D if average else layers.MaxPooling2D
    return kind(sides, name=name)(x)


def pool_average(x: Any, name: str, size: int = 8) -> Any:
    """Average windows of `size` x `size` pixels, or all pixels of a smaller feature map."""
    sides = tuple(min(size, int(side)) for side in x.shape[1:3])
    return x if sides == (1, 1) else layers.AveragePooling2D(sides, name=name)(x)


def head(x: Any, n_outputs: int, kernel_initializer: Any = None) -> Any:
    """Flatten and map to logits, at least in float32 under any precision policy.

    Kernels are uniform within 1 / sqrt(inputs), as in the reference networks; biases are zero.
    """
    if len(x.shape) > 2:
        x = layers.Flatten(name="flatten")(x)
    if kernel_initializer is None:
        kernel_initializer = keras.initializers.VarianceScaling(
            1 / 3, mode="fan_in", distribution="uniform"
        )
    double = keras.config.dtype_policy().compute_dtype == "float64"
    return layers.Dense(
        n_outputs,
        kernel_initializer=kernel_initializer,
        dtype="float64" if double else "float32",
        name="head",
    )(x)


def scaled(family: str, base: int, width: float) -> int:
    """Return the number of filters of a layer at a width factor, at least one."""
    if isinstance(width, bool) or not isinstance(width, Real) or not width > 0:
        raise ValueError(f"`width` of {family} must be a number > 0, got {width!r}.")
    return max(1, round(base * float(width)))


def units(family: str, depth: int, per_unit: int, besides: int) -> int:
    """Return the number of units in each of three blocks of a network with `depth` layers."""
    count, remainder = (
        divmod(depth - besides, 3 * per_unit) if isinstance(depth, Integral) else (0, 1)
    )
    if remainder or count < 1:
        step = 3 * per_unit
        known = ", ".join(str(step * n + besides) for n in (1, 2, 3))
        raise ValueError(
            f"`depth` of {family} must be {step}n + {besides} ({known}, ...), got {depth!r}."
        )
    return count


def check_dropout(family: str, dropout: float) -> None:
    """Check that the dropout rate is in [0, 1)."""
    if isinstance(dropout, bool) or not isinstance(dropout, Real) or not 0 <= dropout < 1:
        raise ValueError(f"`dropout` of {family} must be in [0, 1), got {dropout!r}.")


def check_size(family: str, name: str, size: Any) -> int:
    """Check that a parameter is an integer >= 1."""
    if isinstance(size, bool) or not isinstance(size, Integral) or size < 1:
        raise ValueError(f"`{name}` of {family} must be an int >= 1, got {size!r}.")
    return int(size)
