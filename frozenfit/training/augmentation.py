"""Random augmentation of the training images, drawn from the generator of the fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from frozenfit.isolation import SEED_LIMIT, isolated
from frozenfit.utils.arrays import to_numpy
from frozenfit.utils.names import did_you_mean

_PAD = 4
# Number of integers that each name draws for an image.
_COLUMNS = {"crop": 2, "flip": 1}


@dataclass(frozen=True)
class CropAndFlip:
    """Crops and flips that are drawn on the host and applied in the compiled step.

    A few small integers per image travel with the batch, and the device moves the pixels: on the
    host, that takes longer than the epoch of a small network on a GPU, and on a CPU longer than in
    the compiled step. The images are the same on every backend, bit for bit.

    Attributes
    ----------
    names : tuple of {"crop", "flip"}
        The augmentations, in the order in which they are applied. "crop" cuts a window of the size
        of the image at a random place of the image padded by 4 zeros on every side; "flip" mirrors
        the image from left to right with probability 0.5.

    Notes
    -----
    "crop+flip" is the augmentation of He et al. (2016), "Deep Residual Learning for Image
    Recognition", for CIFAR.

    Examples
    --------
    >>> import numpy as np
    >>> augment = CropAndFlip(("crop", "flip"))
    >>> moves = augment.draw(np.ones((3, 16)), np.random.default_rng(0))
    >>> moves.shape, moves.dtype, int(moves[..., :2].max()), int(moves[..., 2].max())
    ((3, 16, 3), dtype('int32'), 8, 1)
    >>> x = np.zeros((16, 32, 32, 3), "float32")
    >>> tuple(augment(x, moves[0]).shape)
    (16, 32, 32, 3)
    """

    names: tuple[str, ...]

    def draw(self, weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw how each image of a stack of batches is moved.

        Parameters
        ----------
        weight : ndarray of shape (steps, batch)
            Sample weights. Rows of weight 0, which fill a batch, draw nothing, because their number
            depends on the backend.
        rng : numpy.random.Generator
            Source of the numbers.

        Returns
        -------
        ndarray of int32, shape (steps, batch, n)
            For each name its integers: row and column of the window, or 1 for a mirrored image.
        """
        real = np.flatnonzero(weight)
        drawn = [_draw(name, len(real), rng) for name in self.names]
        moves = np.zeros((weight.size, sum(map(len, drawn))), np.int32)
        moves[real] = np.concatenate(drawn).T
        return moves.reshape(*weight.shape, -1)

    def __call__(self, x: Any, moves: Any) -> Any:
        """Move the images of a batch.

        Parameters
        ----------
        x : tensor of shape (batch, height, width, channels)
            Images.
        moves : tensor of int32, shape (batch, n)
            The integers of `draw` for this batch.

        Returns
        -------
        tensor
            Images, of the shape and dtype of `x`.
        """
        x, moves = ops.convert_to_tensor(x), ops.convert_to_tensor(moves)
        start = 0
        for name in self.names:
            end = start + _COLUMNS[name]
            x = _crop(x, moves[:, start:end]) if name == "crop" else _flip(x, moves[:, start])
            start = end
        return x


def _draw(name: str, count: int, rng: np.random.Generator) -> np.ndarray:
    if name == "crop":
        return rng.integers(0, 2 * _PAD + 1, size=(2, count))
    return rng.random((1, count)) < 0.5


def _crop(x: Any, corners: Any) -> Any:
    height, width, channels = x.shape[1:]
    padded = ops.pad(x, ((0, 0), (_PAD, _PAD), (_PAD, _PAD), (0, 0)))
    rows: Any = corners[:, :1] + ops.arange(height, dtype="int32")
    columns: Any = corners[:, 1:] + ops.arange(width, dtype="int32")
    shape: Any = ops.shape(x)
    images: Any = ops.arange(shape[0], dtype="int32")
    # Of the pixels in one list: a gather of whole pixels is fast on every backend.
    rows = rows + images[:, None] * (height + 2 * _PAD)
    index = rows[:, :, None] * (width + 2 * _PAD) + columns[:, None, :]
    return ops.take(ops.reshape(padded, (-1, channels)), index, axis=0)


def _flip(x: Any, mirrored: Any) -> Any:
    return ops.where(mirrored[:, None, None, None] > 0, ops.flip(x, 2), x)


class LayerAugmentation:
    """Keras layers without weights, called on the host with ``training=True``.

    Parameters
    ----------
    layers : sequence of keras.Layer
        The layers, in the order in which they are called.
    """

    def __init__(self, layers: Sequence[keras.Layer]):
        self.layers = layers

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Augment a stack of batches.

        A Keras layer keeps the state of its seed from call to call, so that the same layer object
        in two fits would give two results. A copy with a new seed per stack depends on `rng` only.

        Parameters
        ----------
        x : ndarray of shape (steps, batch, ...)
            Samples.
        rng : numpy.random.Generator
            Source of the seeds.

        Returns
        -------
        ndarray
            Samples, of the shape and dtype of `x`.
        """
        changed: Any = x.reshape(-1, *x.shape[2:])
        for layer in self.layers:
            with isolated(int(rng.integers(SEED_LIMIT))):
                fresh = type(layer).from_config(_reseeded(layer.get_config(), rng))
                changed = to_numpy(fresh(changed, training=True))
        return np.asarray(changed, x.dtype).reshape(x.shape)


def make(augment: Any, input_shape: tuple[int, ...]) -> CropAndFlip | LayerAugmentation | None:
    """Create the augmentation for the `augment` parameter of an estimator.

    Parameters
    ----------
    augment : None, str, keras.Layer or sequence of keras.Layer
        ``"crop"``, ``"flip"``, ``"crop+flip"``, or Keras layers without weights, which are called
        in sequence with ``training=True``.
    input_shape : tuple of int
        Shape of one sample.

    Returns
    -------
    CropAndFlip, LayerAugmentation or None
        The augmentation; None for none.

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
        unknown = [name for name in names if name not in _COLUMNS]
        if unknown:
            raise ValueError(
                "`augment` must consist of the names 'crop' and 'flip' joined by '+', got "
                f"{augment!r}. {did_you_mean(unknown[0], _COLUMNS)}"
            )
        if len(input_shape) != 3:
            raise ValueError(
                f"augment={augment!r} needs images of shape (height, width, channels), got "
                f"samples of shape {input_shape}. Set image_shape, or augment=None."
            )
        return CropAndFlip(tuple(names))
    layers = list(augment) if isinstance(augment, Sequence) else [augment]
    if not all(isinstance(layer, keras.Layer) for layer in layers):
        raise TypeError(f"`augment` must be None, a str or Keras layers, got {augment!r}.")
    with_weights = [layer.name for layer in layers if layer.weights]
    if with_weights:
        raise ValueError(
            "`augment` must contain only layers without weights, because a copy is created for "
            f"each batch, got weights in layer {with_weights[0]!r}."
        )
    return LayerAugmentation(layers)


def _reseeded(config: Any, rng: np.random.Generator) -> Any:
    if isinstance(config, dict):
        return {
            name: int(rng.integers(SEED_LIMIT)) if name == "seed" else _reseeded(value, rng)
            for name, value in config.items()
        }
    return [_reseeded(item, rng) for item in config] if isinstance(config, list) else config
