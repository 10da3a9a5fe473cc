"""The networks of the plans in the paper's recipe, and the arithmetic of their training steps."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers as kl

from frozenfit import architectures

# Mean and standard deviation of the pixels of CIFAR-10 in the reference implementation, which
# divides them by 255. Here the network receives them as they are stored.
MEAN, SD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


def paper_network(
    input_shape: tuple[int, ...], n_outputs: int, *, family: str, weight_decay: float, **params: Any
) -> keras.Model:
    """Build a network that normalizes its input and decays all its trainable weights.

    The normalization is part of the network, so that a random crop pads an image with black: in
    the reference implementation, images are cropped first. Its weight decay adds
    ``weight_decay * w`` to the gradient before the momentum. L2 regularizers of half the strength
    do the same; the decoupled `weight_decay` of Keras's optimizers does not.
    """
    if family == "transformer":
        plain = transformer(input_shape, n_outputs, **params)
    else:
        plain = architectures.build(family, input_shape, n_outputs, **params)
    l2 = keras.regularizers.L2(weight_decay / 2)
    first = plain.layers[1].name
    normalize = kl.Normalization(
        mean=[255 * mean for mean in MEAN],
        variance=[(255 * sd) ** 2 for sd in SD],
        dtype="float32",
        name="normalization",
    )

    def decayed(layer: Any) -> Any:
        config = layer.get_config()
        names = [
            name for name in config if name.endswith("_regularizer") and "activity" not in name
        ]
        return type(layer).from_config({**config, **dict.fromkeys(names, l2)})

    def called(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if layer.name == first:
            args = (normalize(args[0]), *args[1:])
        return layer(*args, **kwargs)

    return keras.models.clone_model(plain, clone_function=decayed, call_function=called)


def transformer(
    input_shape: tuple[int, ...],
    n_outputs: int,
    *,
    depth: int = 6,
    width: int = 256,
    heads: int = 4,
    patch: int = 4,
) -> keras.Model:
    """Build a small encoder on the patches of an image."""
    inputs = keras.Input(input_shape, name="input")
    x = kl.Conv2D(width, patch, strides=patch, name="patches")(inputs)
    x = kl.Reshape((-1, width), name="tokens")(x)
    for number in range(1, depth + 1):
        name = f"block{number}"
        y = kl.LayerNormalization(name=f"{name}_norm1")(x)
        attention = kl.MultiHeadAttention(heads, width // heads, name=f"{name}_attention")
        x = kl.Add(name=f"{name}_add1")([x, attention(y, y)])
        y = kl.LayerNormalization(name=f"{name}_norm2")(x)
        y = kl.Dense(4 * width, activation="gelu", name=f"{name}_dense1")(y)
        x = kl.Add(name=f"{name}_add2")([x, kl.Dense(width, name=f"{name}_dense2")(y)])
    x = kl.LayerNormalization(name="norm")(x)
    x = kl.GlobalAveragePooling1D(name="pool")(x)
    outputs = kl.Dense(n_outputs, dtype="float32", name="head")(x)
    return keras.Model(inputs, outputs, name="transformer")


def step_flops(model: keras.Model, trained: dict[str, float]) -> float:
    """Return the floating-point operations that one sample needs in a training step.

    Those of matrix products and convolutions are counted, two for a multiplication with an
    addition: forward, the gradient of the inputs from the first trained kernel on, and the gradient
    of the trained part of each kernel. The figure is that of the arithmetic needed, whatever the
    program does.

    Parameters
    ----------
    model : keras.Model
        The network.
    trained : dict of str to float
        The trained fraction of each kernel, by the path of the weight.
    """
    forward = backward = 0.0
    started = False
    for layer in model.layers:
        kernels = [w for w in layer.weights if w.path.endswith("kernel")]
        positions = math.prod(layer.output.shape[1:-1])
        # Each kernel is applied once at each position of the output.
        products = {w.path: 2.0 * positions * math.prod(w.shape) for w in kernels}
        attention = 0.0
        if isinstance(layer, kl.MultiHeadAttention):
            # Scores, and the average of the values by them.
            attention = 4.0 * positions**2 * layer.num_heads * layer.key_dim
        forward += sum(products.values()) + attention
        if started:
            backward += sum(products.values()) + 2 * attention
        for path, product in products.items():
            fraction = trained.get(path, 0.0)
            backward += fraction * product
            started = started or fraction > 0
    return forward + backward
