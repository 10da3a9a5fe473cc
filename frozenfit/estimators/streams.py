"""Sources of batches as the training data of an estimator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from frozenfit.training.data import Data
from frozenfit.training.sources import Batch, Source, checked, numbered, regrouped
from frozenfit.training.streamed import StreamedData
from frozenfit.utils.describe import digest

if TYPE_CHECKING:
    from frozenfit.estimators.base import NetworkEstimator

# What checks before training look at: enough to know columns by, and little to read.
_FIRST_ROWS = 2048
_FIRST_BYTES = 16 * 2**20


def streamed(
    estimator: NetworkEstimator,
    source: Source,
    reset: bool,
    unknown: bool,
    *,
    training: bool = True,
    needs_steps: bool = False,
) -> StreamedData:
    """Return the data that a source yields, after one pass over its targets where that is needed.

    Parameters
    ----------
    estimator : NetworkEstimator
        The estimator that is being fitted. Its attributes of the data are set where `reset`.
    source : Source
        The source.
    reset : bool
        Whether this is a first fit.
    unknown : bool
        Whether the classes, or the scale of the targets, are to be found out.
    training : bool, default=True
        Whether the data are trained on; validation data have no class weights.
    needs_steps : bool, default=False
        Whether the number of batches must be known.

    Returns
    -------
    StreamedData
        The data; the source is read when they are.

    Raises
    ------
    ValueError
        If a batch is invalid, or there is none.
    """
    batches = checked(source)
    head = list(_head(batches))
    if not head:
        raise _empty(source)
    x, y = (np.concatenate([batch[i] for batch in head]) for i in range(2))
    x, y = estimator._check_data(x, y, reset=reset)
    estimator._as_samples(x, reset=reset)
    n_batches = source.n_batches
    counter = estimator._counter(y, unknown) if training else None
    if counter is not None or (needs_steps and n_batches is None):
        n_batches = 0
        for _, targets, weights in chain(head, batches):
            n_batches += 1
            if counter is not None:
                counter.add(_flat(targets, y.ndim), weights)
    batches.close()
    encode = estimator._encoding(y, counter, unknown, training)
    prepare = _preparation(estimator, y.ndim, encode)
    first = _first(head, prepare)
    return StreamedData(source, prepare, first, n_batches, _about(estimator, source, first))


def blocks(estimator: NetworkEstimator, source: Source) -> Iterator[Any]:
    """Yield the samples of a source in blocks of rows, validated as `predict` does.

    Parameters
    ----------
    estimator : NetworkEstimator
        A fitted estimator.
    source : Source
        The source; targets and weights are ignored.

    Yields
    ------
    ndarray
        Samples as the network receives them.
    """
    samples = ((x,) for x, _, _ in checked(source, needs_targets=False))
    empty = True
    for (x,) in regrouped(samples):
        empty = False
        yield estimator._as_samples(estimator._check_input(x, reset=False), reset=False)
    if empty:
        raise _empty(source)


def _empty(source: Source) -> ValueError:
    return ValueError(f"A {source.name} must yield at least one batch, got none.")


def _head(batches: Iterator[Batch]) -> Iterator[Batch]:
    rows = size = 0
    for batch in batches:
        yield batch
        rows, size = rows + len(batch[0]), size + batch[0].nbytes
        if rows >= _FIRST_ROWS or size >= _FIRST_BYTES:
            return


def _flat(targets: np.ndarray, ndim: int) -> np.ndarray:
    """Return labels that come as one column as the check of the first ones has returned them."""
    return targets[:, 0] if targets.ndim == 2 and ndim == 1 else targets


def _preparation(estimator: NetworkEstimator, ndim: int, encode: Callable) -> Callable:
    def prepare(x: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> tuple:
        each = np.ones(len(y)) if weight is None else weight
        targets, each = encode(_flat(y, ndim), each)
        return estimator._as_samples(x, reset=False), targets, each.astype(np.float32)

    return prepare


def _first(batches: list[Batch], prepare: Callable) -> Data:
    prepared = []
    for number, batch in enumerate(batches):
        with numbered(number):
            prepared.append(prepare(*batch))
    x, y, weight = map(np.concatenate, zip(*prepared, strict=True))
    rows = np.flatnonzero(weight > 0)
    rows = rows if len(rows) else np.arange(len(x))
    return Data(x, y, rows, weight[rows])


def _about(estimator: NetworkEstimator, source: Source, first: Data) -> dict[str, str]:
    """Describe what a fit that continues from a checkpoint can check: not the order of batches."""
    classes = digest(getattr(estimator, "classes_", None))
    return {
        "X": f"{source.name} {first.X.shape[1:]} {first.X.dtype}",
        "y": f"{first.y.shape[1:]} {classes}",
    }
