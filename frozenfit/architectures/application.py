"""The networks of keras.applications, with a head of the right size."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from frozenfit.architectures.registry import register
from frozenfit.utils.names import did_you_mean

__all__ = ["application"]

# The smallest side of an image that a network of keras.applications accepts, where it is not 32.
_SMALLEST = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}
# Arguments of the functions of keras.applications that are fixed, or are parameters here.
_SET_HERE = {"include_top", "weights", "input_tensor", "input_shape", "pooling", "classes"}
_SET_HERE |= {"classifier_activation", "name", "kwargs"}


@register("application")
def application(
    input_shape: tuple[int, ...],
    n_outputs: int,
    *,
    network: str = "MobileNetV2",
    weights: str | None = None,
    size: int | None = None,
    value_range: tuple[float, float] = (0, 1),
    pooling: str = "avg",
    **params: Any,
) -> keras.Model:
    """Build a network of keras.applications with its own preprocessing and a new head.

    Layers: ``resize`` where the images are too small, ``rescale``, those of the network, ``head``.
    The graph is flat, so that selectors can name the layers of a block.

    Parameters
    ----------
    input_shape : tuple of int
        Shape (height, width, channels) of an image with one or three channels.
    n_outputs : int
        Number of outputs.
    network : str, default="MobileNetV2"
        A function of `keras.applications`; the default is small and widely used.
    weights : {"imagenet", None} or path, default=None
        Pretrained weights; Keras downloads "imagenet" once. The estimators keep them with
        ``frozen="keep"``.
    size : int or None, default=None
        Height and width to which images are resized; None resizes images that are smaller than
        the network accepts.
    value_range : tuple of float, default=(0, 1)
        Values of a black and of a white pixel; the default is that of `frozenfit.datasets`.
    pooling : {"avg", "max"}, default="avg"
        Pooling over the last feature maps.
    **params
        Further arguments of the function of `keras.applications`, such as ``alpha`` of MobileNetV2.

    Returns
    -------
    keras.Model
        Logits of shape ``(batch, n_outputs)``.

    Raises
    ------
    ValueError
        If the network or a parameter is unknown, or the input is not an image with one or three
        channels.

    Examples
    --------
    >>> from frozenfit import architectures
    >>> model = architectures.build("application", (32, 32, 3), 5, network="MobileNetV2")
    >>> model.output_shape
    (None, 5)
    >>> architectures.build("application", (32, 32, 3), 5, alpha=0.35).count_params()
    416613
    """
    builders = _builders()
    if network not in builders:
        raise ValueError(
            f"`network` must be the name of a network of keras.applications, got {network!r}. "
            f"{did_you_mean(network, sorted(builders))}"
        )
    if len(input_shape) != 3 or input_shape[-1] not in (1, 3):
        raise ValueError(
            "`input_shape` of application must be (height, width, channels) with 1 or 3 channels, "
            f"got {input_shape}. Set image_shape if the samples are rows of a table."
        )
    build, preprocess = builders[network]
    _check_params(network, build, params)
    x = inputs = keras.Input(input_shape)
    smallest = _SMALLEST.get(network, 32)
    if size is not None or min(input_shape[:2]) < smallest:
        side = size or smallest
        x = layers.Resizing(side, side, name="resize")(x)
    low, high = value_range
    scale = 255 / (high - low)
    x = layers.Rescaling(scale, offset=-low * scale, name="rescale")(x)
    if input_shape[-1] == 1:
        x = layers.Concatenate(name="channels")([x, x, x])
    body = build(
        include_top=False, weights=weights, input_tensor=preprocess(x), pooling=pooling, **params
    )
    return keras.Model(inputs, layers.Dense(n_outputs, name="head")(body.output), name=network)


def _check_params(network: str, build: Callable, params: dict[str, Any]) -> None:
    known = [name for name in inspect.signature(build).parameters if name not in _SET_HERE]
    for name in params:
        if name not in known:
            hint = did_you_mean(name, known) if known else "It has no further parameters."
            raise ValueError(f"{network} has no parameter {name!r}. {hint}")


def _builders() -> dict:
    """Return the function of each network and the preprocessing of its family."""
    builders = {}
    for name, function in vars(keras.applications).items():
        if inspect.isfunction(function) and "include_top" in inspect.signature(function).parameters:
            # The module of a family does not export all of its networks.
            family = function.__module__.rpartition(".")[2]
            preprocess = importlib.import_module(f"keras.applications.{family}").preprocess_input
            builders[name] = function, preprocess
    return builders
