"""Random augmentation of the training images, drawn from the generator of the fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from frozenfit.isolation import SEED_LIMIT, isolated
from frozenfit.utils.arrays import to_numpy
from frozenfit.utils.names import did_you_mean

_PAD = 4

Augmentation = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def crop(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut a random window of the same size from each image padded by 4 zeros on every side.

    Parameters
    ----------
    x : ndarray, shape (n, height, width, channels)
        Images.
    rng : numpy.random.Generator
        Generator that draws the positions.

    Returns
    -------
    ndarray
        Cropped images, of the shape of `x`.

    Notes
    -----
    This is the usual augmentation for CIFAR, together with `flip`.
    """
    n, height, width, _ = x.shape
    # He et al. (2016), "Deep Residual Learning for Image Recognition": the augmentation of the
    # CIFAR experiments.
    padded = np.pad(x, ((0, 0), (_PAD, _PAD), (_PAD, _PAD), (0, 0)))
    top, left = rng.integers(0, 2 * _PAD + 1, size=(2, n))
    rows = top[:, None] + np.arange(height)
    columns = left[:, None] + np.arange(width)
    return padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]


def flip(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirror each image from left to right with probability 0.5.

    Parameters
    ----------
    x : ndarray, shape (n, height, width, channels)
        Images.
    rng : numpy.random.Generator
        Generator that chooses the images to mirror.

    Returns
    -------
    ndarray
        Images, of the shape of `x`.
    """
    mirrored = rng.random(len(x)) < 0.5
    return np.where(mirrored[:, None, None, None], x[:, :, ::-1], x)


_KNOWN = {"crop": crop, "flip": flip}


def make(augment: Any, input_shape: tuple[int, ...]) -> Augmentation | None:
    """Create the augmentation function for the `augment` parameter of an estimator.

    Parameters
    ----------
    augment : None, str, keras.Layer or sequence of keras.Layer
        ``"crop"``, ``"flip"``, ``"crop+flip"``, or Keras layers without weights, which are called
        in sequence with ``training=True``.
    input_shape : tuple of int
        Shape of one sample.

    Returns
    -------
    callable or None
        A function ``f(x, rng) -> x`` of a batch and a generator, or None for no augmentation.

    Raises
    ------
    ValueError
        If a name is unknown, the samples are not images, or a layer has weights.
    TypeError
        If `augment` is not None, a string or Keras layers.
    """
    if augment is None:
        return None
    if isinstance(augment, str):
        names = augment.split("+")
        unknown = [name for name in names if name not in _KNOWN]
        if unknown:
            raise ValueError(
                "`augment` must consist of the names 'crop' and 'flip' joined by '+', got "
                f"{augment!r}. {did_you_mean(unknown[0], _KNOWN)}"
            )
        if len(input_shape) != 3:
            raise ValueError(
                f"augment={augment!r} needs images of shape (height, width, channels), got "
                f"samples of shape {input_shape}. Set image_shape, or augment=None."
            )
        return lambda x, rng: _chain([_KNOWN[name] for name in names], x, rng)
    layers = list(augment) if isinstance(augment, Sequence) else [augment]
    if not all(isinstance(layer, keras.Layer) for layer in layers):
        raise TypeError(f"`augment` must be None, a str or Keras layers, got {augment!r}.")
    with_weights = [layer.name for layer in layers if layer.weights]
    if with_weights:
        raise ValueError(
            "`augment` must contain only layers without weights, because a copy is created for "
            f"each batch, got weights in layer {with_weights[0]!r}."
        )
    return lambda x, rng: _chain([_from_layer(layer) for layer in layers], x, rng)


def _chain(steps: Sequence[Augmentation], x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    for step in steps:
        x = step(x, rng)
    return x


def _from_layer(layer: keras.Layer) -> Augmentation:
    """Return a function that calls a copy of the layer with seeds drawn from the generator.

    A Keras layer keeps the state of its seed from call to call, so that the same layer object in
    two fits would give two results. A copy with a new seed per batch depends on `rng` only.
    """

    def step(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        # A fresh copy with drawn seeds for each batch: a seed generator of Keras is a variable,
        # whose state would carry over from fit to fit.
        with isolated(int(rng.integers(SEED_LIMIT))):
            fresh = type(layer).from_config(_reseeded(layer.get_config(), rng))
            return np.asarray(to_numpy(fresh(x, training=True)))

    return step


def _reseeded(config: Any, rng: np.random.Generator) -> Any:
    if isinstance(config, dict):
        return {
            name: int(rng.integers(SEED_LIMIT)) if name == "seed" else _reseeded(value, rng)
            for name, value in config.items()
        }
    return [_reseeded(item, rng) for item in config] if isinstance(config, list) else config
