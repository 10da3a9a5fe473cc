"""Images that are read and decoded batch by batch, as Keras takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from frozenfit.datasets.readers import Reader

__all__ = ["ImageStream", "StreamedDataset"]


class ImageStream(keras.utils.PyDataset):
    """Batches of images that are read and decoded when they are asked for.

    `frozenfit.datasets.load` makes them. The attribute ``workers`` of Keras can be set, to read
    several batches at once in threads.

    Parameters
    ----------
    reader : Reader
        Reads the images and labels of rows.
    scale : callable
        Turns stored images into those of a batch.
    batch_size : int
        Number of images in a batch; the last one of an epoch may be smaller.
    seed : int or None, default=None
        Seed of the order of the images, which is another one in each epoch; None keeps the stored
        order.

    Attributes
    ----------
    n_images : int
        Number of images.
    image_shape : tuple of int
        Shape (height, width, channels) of each image.
    epoch : int
        Number of calls of `on_epoch_end`; Keras makes one before the first epoch of a fit. The
        order of an epoch depends on `seed` and this number alone.

    See Also
    --------
    frozenfit.datasets.load : Returns streams with ``stream=True``.

    Examples
    --------
    >>> from frozenfit.datasets import load
    >>> stream = load("digits", stream=True, batch_size=100).train
    >>> images, labels = stream[0]
    >>> len(stream), images.shape, labels.shape
    (13, (100, 8, 8, 1), (100,))
    """

    def __init__(
        self,
        reader: Reader,
        scale: Callable[[np.ndarray], np.ndarray],
        batch_size: int,
        seed: int | None = None,
    ):
        super().__init__()
        self.n_images, self.batch_size, self.seed, self.epoch = len(reader), batch_size, seed, 0
        self._reader, self._scale = reader, scale
        # What cannot be read at all is an error now rather than in the middle of an epoch.
        self.image_shape: tuple[int, ...] = scale(reader.read(np.zeros(1, int))[0]).shape[1:]
        self._shuffle()

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-self.n_images // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Read one batch of images and labels."""
        if not 0 <= index < len(self):
            raise IndexError(f"`index` must be at least 0 and less than {len(self)}, got {index}.")
        start = index * self.batch_size
        images, labels = self._reader.read(self._order[start : start + self.batch_size])
        if images.shape[1:] != self.image_shape:
            raise ValueError(
                f"All images must have the shape of the first, {self.image_shape}, got "
                f"{images.shape[1:]} in batch {index}. Set image_size=(height, width) to resize "
                "them."
            )
        return self._scale(images), labels

    def on_epoch_end(self) -> None:
        """Draw the order of the next epoch; Keras calls it."""
        self.epoch += 1
        self._shuffle()

    def _shuffle(self) -> None:
        self._order = np.arange(self.n_images)
        if self.seed is not None:
            np.random.default_rng([self.seed, self.epoch]).shuffle(self._order)


@dataclass(frozen=True, eq=False, repr=False)
class StreamedDataset:
    """A data set whose images stay on disk.

    Parameters
    ----------
    name : str
        The name or path that was loaded.
    train : ImageStream
        Batches of training images and labels.
    test : ImageStream
        Batches of test images and labels, in the stored order.
    class_names : tuple of str
        Names of the classes; labels are positions in it.
    split : str, default=""
        A description of how the training and test images were separated.

    See Also
    --------
    load : Loads one with ``stream=True``.

    Examples
    --------
    >>> from frozenfit.datasets import load
    >>> load("digits", stream=True)
    <StreamedDataset digits: 1257 train, 540 test, batches of 32, 10 classes>
    """

    name: str
    train: ImageStream
    test: ImageStream
    class_names: tuple[str, ...]
    split: str = ""

    def __repr__(self) -> str:
        """Return name and counts."""
        return (
            f"<StreamedDataset {self.name}: {self.train.n_images} train, {self.test.n_images} "
            f"test, batches of {self.train.batch_size}, {len(self.class_names)} classes>"
        )
