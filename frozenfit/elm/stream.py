"""Data that does not fit into memory: memory maps and dask arrays."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from sklearn.utils import check_array

from frozenfit.elm import ridge
from frozenfit.elm.config import Config
from frozenfit.elm.memory import Block, Gathered, Memory
from frozenfit.training.objective import Task

__all__ = [
    "dask_blocks",
    "dask_labels",
    "is_dask",
    "is_map",
    "map_blocks",
    "sum_blocks",
]

_check: Any = check_array


def is_dask(X: Any) -> bool:
    """Return whether X is a dask array."""
    return hasattr(X, "__dask_graph__") and hasattr(X, "to_delayed")


def is_map(X: Any) -> bool:
    """Return whether X is an array in a file."""
    return isinstance(X, np.memmap)


def map_blocks(X: np.memmap, rows: int, prepare: Callable[[slice], Block]) -> Iterator[Block]:
    """Yield blocks of an array in a file, and release the pages that were read.

    Parameters
    ----------
    X : memmap
        The array.
    rows : int
        Number of rows per block.
    prepare : callable
        Returns the block of a slice.

    Yields
    ------
    X, y, weight : ndarray
    """
    for start in range(0, len(X), rows):
        yield prepare(slice(start, min(start + rows, len(X))))
        # The system can restore pages of a shared map, but would drop changes to a private one.
        if X.mode in ("r", "r+") and isinstance(getattr(X, "_mmap", None), mmap.mmap):
            getattr(X, "_mmap").madvise(mmap.MADV_DONTNEED)  # noqa: B009


def dask_labels(y: Any) -> np.ndarray:
    """Return the distinct labels of a dask array or of an array."""
    if not is_dask(y):
        return np.unique(np.asarray(y))
    from dask.base import compute
    from dask.delayed import delayed

    parts = compute(*[delayed(np.unique)(part) for part in y.to_delayed().ravel()])
    return np.unique(np.concatenate(parts))


def dask_blocks(
    X: Any,
    y: Any,
    weight: Any,
    classes: np.ndarray | None,
    shape: tuple[int, ...],
    task: Task,
) -> list[Any]:
    """Return one delayed block for each block of rows of a dask array.

    Parameters
    ----------
    X : dask.array.Array, shape (n, ...)
        Samples.
    y, weight : array-like or dask array
        Targets, and weights or None.
    classes : ndarray or None
        Labels of a classifier.
    shape : tuple of int
        Shape of one sample.
    task : {"classification", "multilabel", "regression"}
        The kind of the targets.

    Returns
    -------
    list of delayed
    """
    from dask.delayed import delayed

    if any(np.isnan(size) for size in X.chunks[0]):
        X = X.compute_chunk_sizes()
    X = X.rechunk({axis: -1 for axis in range(1, X.ndim)})
    sizes = X.chunks[0]
    columns = [_aligned(values, sizes) for values in (y, weight)]
    prepare = delayed(_prepared)
    samples = X.to_delayed().ravel()
    return [prepare(*parts, classes, shape, task) for parts in zip(samples, *columns, strict=True)]


def _aligned(values: Any, sizes: tuple[int, ...]) -> list[Any]:
    if values is None:
        return [None] * len(sizes)
    if is_dask(values):
        if any(np.isnan(size) for size in values.chunks[0]):
            values = values.compute_chunk_sizes()
        _check_rows(values.shape[0], sum(sizes))
        rest = {axis: -1 for axis in range(1, values.ndim)}
        return list(values.rechunk({0: sizes, **rest}).to_delayed().ravel())
    values = np.asarray(values)
    _check_rows(len(values), sum(sizes))
    return np.split(values, np.cumsum(sizes)[:-1])


def _check_rows(n_targets: int, n_rows: int) -> None:
    if n_targets != n_rows:
        raise ValueError(
            "X, y and sample_weight must have the same number of rows, got "
            f"{n_rows} and {n_targets}."
        )


def _prepared(
    X: Any, y: Any, weight: Any, classes: Any, shape: tuple[int, ...], task: Task
) -> Block:
    dtypes = [keras.config.floatx(), np.uint8]
    X = _check(X, dtype=dtypes, allow_nd=True, accept_sparse="csr", input_name="X")
    if X.ndim > 2 or len(shape) > 1:
        X = X.reshape(len(X), *shape)
    y = np.asarray(y)
    w = np.ones(len(y)) if weight is None else np.asarray(weight, np.float64)
    if task != "classification":
        y = _check(y, ensure_2d=False, dtype=np.float64, input_name="y").reshape(len(y), -1)
        if task == "multilabel" and not np.isin(y, (0, 1)).all():
            raise ValueError("y must contain 0 and 1 alone for each label, got other values.")
    else:
        y = np.searchsorted(classes, y).astype(np.int32)
    return X, y, w


def sum_blocks(config: Config, blocks: list[Any]) -> Memory:
    """Fit on delayed blocks: each is summed by the worker that has it, and the sums are added.

    Parameters
    ----------
    config : Config
        The settings.
    blocks : list of delayed
        From `dask_blocks`.

    Returns
    -------
    Memory
    """
    from dask.delayed import delayed

    gather = delayed(Gathered.of)
    join = delayed(_join)
    gathered = _tree([gather(config, block) for block in blocks], join).compute()
    if gathered.sample.complete:
        return Memory(config, gathered.sample, target_range=gathered.target_range)
    memory = gathered.freeze(config)
    # The tasks need the frozen part, which is sent to each worker once, and not the sample.
    bare = delayed(
        Memory(config, gathered.sample.nothing(), memory.frozen, memory.sums, memory.factors)
    )
    sums = _tree([delayed(_summed)(bare, block) for block in blocks], delayed(_added))
    return replace(memory, sums=sums.compute())


def _join(a: Gathered, b: Gathered) -> Gathered:
    return a.plus(b)


def _summed(memory: Memory, block: Block) -> tuple[ridge.Sums, ...]:
    sums = memory.added([block]).sums
    assert sums is not None
    return sums


def _added(a: tuple[ridge.Sums, ...], b: tuple[ridge.Sums, ...]) -> tuple[ridge.Sums, ...]:
    return tuple(left.plus(right) for left, right in zip(a, b, strict=True))


def _tree(parts: list[Any], join: Callable[[Any, Any], Any]) -> Any:
    """Join parts in pairs, and the results in pairs, so that no worker receives all of them."""
    while len(parts) > 1:
        pairs = [parts[i : i + 2] for i in range(0, len(parts), 2)]
        parts = [join(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return parts[0]
