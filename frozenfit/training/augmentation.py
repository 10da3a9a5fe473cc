"""Random changes of the training images, drawn from a private stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from frozenfit.isolation import isolated
from frozenfit.utils.arrays import to_numpy

_PAD = 4

Augmentation = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def crop(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut a random window of the same size from each image padded by 4 zeros on every side.

    Parameters
    ----------
    x : ndarray, shape (n, height, width, channels)
        Images.
    rng : numpy.random.Generator
        Source of the positions.

    Returns
    -------
    ndarray
        As `x`. The recipe of the CIFAR experiments.
    """
    n, height, width, _ = x.shape
    padded = np.pad(x, ((0, 0), (_PAD, _PAD), (_PAD, _PAD), (0, 0)))
    top, left = rng.integers(0, 2 * _PAD + 1, size=(2, n))
    rows = top[:, None] + np.arange(height)
    columns = left[:, None] + np.arange(width)
    return padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]


def flip(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirror each image left to right with probability one half.

    Parameters
    ----------
    x : ndarray, shape (n, height, width, channels)
        Images.
    rng : numpy.random.Generator
        Source of the choice.

    Returns
    -------
    ndarray
        As `x`.
    """
    mirrored = rng.random(len(x)) < 0.5
    return np.where(mirrored[:, None, None, None], x[:, :, ::-1], x)


_KNOWN = {"crop": crop, "flip": flip}


def make(augment: Any, input_shape: tuple[int, ...]) -> Augmentation | None:
    """Turn an estimator's `augment` into a function of a batch of inputs and a stream.

    Parameters
    ----------
    augment : None, str, keras.Layer or sequence of keras.Layer
        ``"crop"``, ``"flip"``, ``"crop+flip"``, or Keras layers called one after the other with
        ``training=True``.
    input_shape : tuple of int
        Shape of one sample.

    Returns
    -------
    callable or None
        ``f(x, rng) -> x``; None for no augmentation.

    Raises
    ------
    ValueError
        For an unknown name, names that need images where the samples are none, or layers with
        weights.
    """
    if augment is None:
        return None
    if isinstance(augment, str):
        names = augment.split("+")
        unknown = [name for name in names if name not in _KNOWN]
        if unknown:
            raise ValueError(
                f"augment must be made of 'crop' and 'flip' joined by '+', found {augment!r}"
            )
        if len(input_shape) != 3:
            raise ValueError(
                f"augment={augment!r} needs images of shape (height, width, channels), found "
                f"samples of shape {input_shape}; give image_shape, or augment=None"
            )
        return lambda x, rng: _chain([_KNOWN[name] for name in names], x, rng)
    layers = list(augment) if isinstance(augment, Sequence) else [augment]
    if not all(isinstance(layer, keras.Layer) for layer in layers):
        raise TypeError(f"augment must be None, a string or Keras layers, found {augment!r}")
    trainable = [layer.name for layer in layers if layer.weights]
    if trainable:
        raise ValueError(
            f"augment must be made of layers without weights, for they are built anew for each "
            f"batch, found weights in {trainable[0]!r}"
        )
    return lambda x, rng: _chain([_from_layer(layer) for layer in layers], x, rng)


def _chain(steps: Sequence[Augmentation], x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    for step in steps:
        x = step(x, rng)
    return x


def _from_layer(layer: keras.Layer) -> Augmentation:
    """Call a copy of a layer, the seeds in it replaced by some from the stream."""

    def step(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        with isolated(int(rng.integers(2**31 - 1))):
            fresh = type(layer).from_config(_reseeded(layer.get_config(), rng))
            return np.asarray(to_numpy(fresh(x, training=True)))

    return step


def _reseeded(config: Any, rng: np.random.Generator) -> Any:
    if isinstance(config, dict):
        return {
            name: int(rng.integers(2**31 - 1)) if name == "seed" else _reseeded(value, rng)
            for name, value in config.items()
        }
    return [_reseeded(item, rng) for item in config] if isinstance(config, list) else config
