"""Sources of data that do not fit in memory: memory maps, iterators of batches, dask arrays."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from sklearn.utils import check_array

from frozenfit.elm import ridge
from frozenfit.elm.config import Config
from frozenfit.elm.memory import Block, Gathered, Memory

__all__ = ["dask_blocks", "dask_labels", "is_dask", "is_iterator", "is_map", "learn", "map_blocks"]

_check: Any = check_array


def is_iterator(X: Any, y: Any) -> bool:
    """Tell whether X gives batches of (X, y) or (X, y, weight)."""
    arrays = hasattr(X, "shape") or hasattr(X, "__array__") or hasattr(X, "columns")
    return y is None and not arrays and hasattr(X, "__iter__") and not hasattr(X, "__len__")


def is_dask(X: Any) -> bool:
    """Tell whether X is a dask array."""
    return hasattr(X, "__dask_graph__") and hasattr(X, "to_delayed")


def is_map(X: Any) -> bool:
    """Tell whether X is an array in a file."""
    return isinstance(X, np.memmap)


def map_blocks(X: np.memmap, rows: int, prepare: Callable[[slice], Block]) -> Iterator[Block]:
    """Yield blocks of an array in a file, and give the pages back that were read.

    Parameters
    ----------
    X : memmap
        The array.
    rows : int
        Rows of a block.
    prepare : callable
        Makes a block from a slice.

    Yields
    ------
    X, y, weight : ndarray
    """
    for start in range(0, len(X), rows):
        yield prepare(slice(start, min(start + rows, len(X))))
        # Pages of a shared map are clean or kept by the system; those of a private one are not.
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
    X: Any, y: Any, weight: Any, classes: np.ndarray | None, shape: tuple[int, ...]
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
    return [prepare(*parts, classes, shape) for parts in zip(samples, *columns, strict=True)]


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


def _check_rows(found: int, wanted: int) -> None:
    if found != wanted:
        raise ValueError(f"X and y must have as many rows, found {wanted} and {found}")


def _prepared(X: Any, y: Any, weight: Any, classes: Any, shape: tuple[int, ...]) -> Block:
    dtypes = [keras.config.floatx(), np.uint8]
    X = _check(X, dtype=dtypes, allow_nd=True, accept_sparse="csr", input_name="X")
    if X.ndim > 2 or len(shape) > 1:
        X = X.reshape(len(X), *shape)
    y = np.asarray(y)
    w = np.ones(len(y)) if weight is None else np.asarray(weight, np.float64)
    if classes is None:
        y = _check(y, ensure_2d=False, dtype=np.float64, input_name="y").reshape(len(y), -1)
    else:
        y = np.searchsorted(classes, y).astype(np.int32)
    return X, y, w


def learn(config: Config, blocks: list[Any]) -> Memory:
    """Learn from delayed blocks: each is summed where it lies, and the sums are added up.

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
        return Memory(config, gathered.sample, span=gathered.span)
    memory = gathered.frozen_on(config)
    # The blocks' tasks need the frozen part alone; it is sent to each worker once.
    bare = delayed(
        Memory(config, gathered.sample.nothing(), memory.frozen, memory.sums, memory.factors)
    )
    sums = _tree([delayed(_summed)(bare, block) for block in blocks], delayed(_added))
    return Memory(config, memory.sample, memory.frozen, sums.compute(), memory.factors, memory.span)


def _join(a: Gathered, b: Gathered) -> Gathered:
    return a.plus(b)


def _summed(memory: Memory, block: Block) -> tuple[ridge.Sums, ...]:
    sums = memory.added([block]).sums
    assert sums is not None
    return sums


def _added(a: tuple[ridge.Sums, ...], b: tuple[ridge.Sums, ...]) -> tuple[ridge.Sums, ...]:
    return tuple(left.plus(right) for left, right in zip(a, b, strict=True))


def _tree(parts: list[Any], join: Callable[[Any, Any], Any]) -> Any:
    while len(parts) > 1:
        pairs = [parts[i : i + 2] for i in range(0, len(parts), 2)]
        parts = [join(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return parts[0]
