"""Training data that a source yields batch by batch, with the interface of `Data`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeAlias

import keras
import numpy as np

from frozenfit.training.data import Data, as_inputs, stack_length
from frozenfit.training.sources import Source, checked, numbered, regrouped
from frozenfit.training.token_ids import check_ids, count_ids


@dataclass(frozen=True, eq=False)
class StreamedData:
    """Samples that are read again in each epoch; the source decides their order and the batches.

    Attributes
    ----------
    source : Source
        The source.
    prepare : callable
        ``f(x, y, weight) -> (x, y, weight)``: samples as the network receives them, encoded
        targets and weights in float32, from a checked batch of the source.
    first : Data
        The first samples, for checks before training and for scores of weights.
    n_batches : int or None
        Number of batches of a pass, where it is known.
    about : mapping of str to str
        What a fit that continues from a checkpoint must have in common with the one before.
    dtype : str or None, default=None
        The dtype of the batches, see `input_dtype`; None is that of floats.
    n_ids : int or None, default=None
        The number of ids that the network accepts, see `count_ids`.
    """

    is_stream: ClassVar[bool] = True

    source: Source
    prepare: Callable[[np.ndarray, np.ndarray, Any], tuple]
    first: Data
    n_batches: int | None
    about: Mapping[str, str] = field(default_factory=dict)
    dtype: str | None = None
    n_ids: int | None = None

    def for_network(self, model: keras.Model) -> StreamedData:
        """Return the data with batches of the dtype that a network asks for; see `Data`.

        Parameters
        ----------
        model : keras.Model
            The network.

        Returns
        -------
        StreamedData
            The same source.
        """
        first = self.first.for_network(model)
        return replace(self, first=first, dtype=first.dtype, n_ids=count_ids(model))

    def steps(self, batch_size: int) -> int | None:
        """Return the number of steps of an epoch, where it is known; see `Data`."""
        return self.n_batches

    def digests(self) -> dict[str, str]:
        """Return what describes the data in a checkpoint; see `Data`."""
        batches = "?" if self.n_batches is None else self.n_batches
        return {"sample_weight": "", **self.about, "batches": str(batches)}

    def skip_epochs(self, count: int) -> None:
        """Let the source begin and end epochs that were trained in a process that was killed."""
        for _ in range(count):
            self.source.begin_epoch()
            self.source.end_epoch()

    def stacks(
        self, batch_size: int, rng: np.random.Generator, pad: bool = False, one_shape: bool = False
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield the batches of an epoch in stacks of shape (steps, batch, ...); see `Data`.

        Parameters
        ----------
        batch_size, rng, one_shape : object
            Not used, because the source decides the batches.
        pad : bool, default=False
            Whether to fill smaller batches with rows of weight 0.

        Yields
        ------
        x, y, weight : ndarray
            Consecutive batches of one size.
        """
        self.source.begin_epoch()
        stack: _Stack | None = None
        largest = 0
        for batch in self._batches():
            if stack is not None and not stack.takes(len(batch[0]), pad):
                yield stack.arrays()
                stack = None
            if stack is None:
                largest = max(largest, len(batch[0]))
                stack = _Stack(batch, largest if pad else len(batch[0]))
            stack.add(batch)
        assert stack is not None  # `_batches` yields at least one
        yield stack.arrays()
        self.source.end_epoch()

    def parts(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield samples, targets and weights in parts of bounded size, for an evaluation."""
        return regrouped(self._batches())

    def full_batches(self, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield samples in batches of one size, for statistics; see `Data`.

        Parameters
        ----------
        size : int
            Number of rows.
        rng : numpy.random.Generator
            Not used, because the source decides the order.

        Yields
        ------
        ndarray of shape (size, ...)
            All samples in one batch where there are fewer.
        """
        none_yet = True
        for x, _, _ in regrouped(self._batches(), size):
            if none_yet or len(x) == size:
                yield x
            none_yet = False

    def _batches(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        dtype, empty = self.dtype or keras.config.floatx(), True
        for number, batch in enumerate(checked(self.source)):
            with numbered(number):
                x, y, weight = self.prepare(*batch)
                x = as_inputs(x, dtype)
                check_ids([x], self.n_ids)
            kept = weight > 0
            if not kept.all():
                # As in arrays, where a weight of 0 is the absence of a sample.
                x, y, weight = x[kept], y[kept], weight[kept]
            if len(x):
                empty = False
                yield x, y, weight
        if empty:
            raise ValueError(
                f"The {self.source.name} that X is has yielded no batch with a sample of positive "
                "weight. It must yield its batches in each pass over it: a function must return a "
                "fresh iterator in each call."
            )


AnyData: TypeAlias = Data | StreamedData


class _Stack:
    """Consecutive batches of one size, in arrays that are allocated once."""

    def __init__(self, first: tuple[np.ndarray, ...], size: int):
        self.size, self.count = size, 0
        self.length = stack_length(first[0].shape[1:], size)
        # Memory that is not written to is not used, so short stacks cost no more than they hold.
        self._parts = [np.empty((self.length, size, *a.shape[1:]), a.dtype) for a in first]

    def takes(self, rows: int, pad: bool) -> bool:
        """Return whether there is room for a batch of this size."""
        fits = rows <= self.size if pad else rows == self.size
        return fits and self.count < self.length

    def add(self, batch: tuple[np.ndarray, ...]) -> None:
        """Add a batch, and fill it with rows of weight 0 where it is smaller."""
        rows = len(batch[0])
        for part, values in zip(self._parts, batch, strict=True):
            part[self.count, :rows] = values
            # A real row: on a row of zeros the loss may not be finite, and 0 * inf is nan.
            part[self.count, rows:] = values[-1]
        self._parts[2][self.count, rows:] = 0
        self.count += 1

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the batches that were added."""
        x, y, weight = (part[: self.count] for part in self._parts)
        return x, y, weight
