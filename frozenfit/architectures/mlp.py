"""A multi-layer perceptron for inputs of any rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from frozenfit.architectures import parts
from frozenfit.architectures.registry import register

__all__ = ["mlp"]


@register("mlp")
def mlp(
    input_shape: tuple[int, ...],
    n_outputs: int,
    *,
    hidden_layer_sizes: Sequence[int] = (512,),
    activation: Any = "relu",
    batch_norm: bool = False,
    dropout: float = 0,
) -> keras.Model:
    """Build a multi-layer perceptron.

    Layers: ``dense1``, ``dense1_norm``, ``dense1_activation``, ``dense1_dropout``, ``dense2``, ...,
    ``head``. Kernels have the default initializer of Keras, Glorot's uniform distribution.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of one sample; several axes are flattened.
    n_outputs : int
        Number of outputs.
    hidden_layer_sizes : sequence of int, default=(512,)
        Number of units of each hidden layer; an empty sequence gives a linear model.
    activation : str or callable, default="relu"
        A Keras activation.
    batch_norm : bool, default=False
        Whether to apply batch normalization before each activation. The layers then have no bias,
        because the normalization has an offset.
    dropout : float, default=0
        Fraction of the hidden units dropped in training, in [0, 1).

    Returns
    -------
    keras.Model
        Logits of shape ``(batch, n_outputs)``.

    Raises
    ------
    ValueError
        If a size is not an integer >= 1, or the dropout rate is not in [0, 1).

    Examples
    --------
    >>> mlp((8, 8, 1), 10, hidden_layer_sizes=(50, 20)).count_params()
    4480
    """
    sizes = _checked_sizes(hidden_layer_sizes)
    parts.check_dropout("mlp", dropout)
    x = inputs = keras.Input(input_shape, name="input")
    if len(input_shape) > 1:
        x = layers.Flatten(name="flatten")(x)
    for number, size in enumerate(sizes, 1):
        name = f"dense{number}"
        x = layers.Dense(size, use_bias=not batch_norm, name=name)(x)
        if batch_norm:
            x = parts.norm(x, f"{name}_norm")
        x = parts.activate(x, f"{name}_activation", activation)
        if dropout:
            x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
    return keras.Model(inputs, parts.head(x, n_outputs, "glorot_uniform"), name="mlp")


def _checked_sizes(sizes: Any) -> list[int]:
    try:
        checked = [size.__index__() for size in sizes]
    except (TypeError, AttributeError):
        checked = [0]
    if any(size < 1 for size in checked):
        raise ValueError(
            "`hidden_layer_sizes` of mlp must be a sequence of integers >= 1 such as (100, 50), "
            f"got {sizes!r}."
        )
    return checked
