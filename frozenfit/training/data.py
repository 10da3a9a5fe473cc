"""Training data as a weighted set of distinct samples, and the batches drawn from it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import keras
import numpy as np

from frozenfit.training.sparse_rows import SparseRows
from frozenfit.training.token_ids import check_ids, count_ids
from frozenfit.utils.describe import digest

# Temporary arrays stay below these sizes, so that a memory map is never read as a whole.
_HASH_BYTES = 32 * 2**20
_STACK_BYTES = 64 * 2**20
# Integers up to here are exact in float32.
_EXACT = 2**24


@dataclass(frozen=True)
class Data:
    """Arrays of samples and the rows that are used.

    Attributes
    ----------
    X : ndarray of shape (n, ...) or SparseRows
        Inputs. Memory maps and sparse samples are kept, and are read batch by batch.
    y : ndarray, shape (n,) or (n, n_targets)
        Class indices or regression targets.
    rows : ndarray of int, shape (m,)
        Indices of the rows of `X` and `y` that are used, in canonical order.
    weight : ndarray of float32, shape (m,)
        Sample weight of each of these rows.
    dtype : str or None, default=None
        The dtype of the batches, see `input_dtype`; None is that of floats.
    """

    is_stream: ClassVar[bool] = False

    X: Any
    y: np.ndarray
    rows: np.ndarray
    weight: np.ndarray
    dtype: str | None = None

    def __len__(self) -> int:
        """Return the number of samples that are used."""
        return len(self.rows)

    def part(self, chosen: np.ndarray) -> Data:
        """Return the data restricted to some of its rows.

        Parameters
        ----------
        chosen : ndarray of int
            Positions in `rows`.

        Returns
        -------
        Data
            The same arrays, not copied, with the chosen rows only.
        """
        return replace(self, rows=self.rows[chosen], weight=self.weight[chosen])

    def inputs(self, rows: Any) -> np.ndarray:
        """Return samples as the network receives them.

        Parameters
        ----------
        rows : int or ndarray of int
            Indices of rows of `X`.

        Returns
        -------
        ndarray
            Of the dtype of the batches.
        """
        return as_inputs(self.X[rows], self.dtype or keras.config.floatx())

    @property
    def first(self) -> Data:
        """The samples that checks before training look at: all of them."""
        return self

    def steps(self, batch_size: int) -> int:
        """Return the number of steps of an epoch."""
        return -(-len(self) // batch_size)

    def digests(self) -> dict[str, str]:
        """Return what describes the data in a checkpoint."""
        # By row of X, because the order of `rows` depends on X and y.
        weight = np.zeros(len(self.X), np.float32)
        weight[self.rows] = self.weight
        X = self.X.matrix if isinstance(self.X, SparseRows) else self.X
        return {"X": digest(X), "y": digest(self.y), "sample_weight": digest(weight)}

    def skip_epochs(self, count: int) -> None:
        """Continue after a number of epochs: nothing to do, as the generator has the order."""

    def stacks(
        self, batch_size: int, rng: np.random.Generator, pad: bool = False, one_shape: bool = False
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield the batches of an epoch in stacks of shape (steps, batch, ...).

        Parameters
        ----------
        batch_size : int
            Number of rows in a batch.
        rng : numpy.random.Generator
            Draws the order of the samples, and nothing else.
        pad : bool, default=False
            Whether the last batch may be filled with rows of weight 0.
        one_shape : bool, default=False
            Whether to do so also where all samples are fewer than a batch.

        Yields
        ------
        x, y, weight : ndarray
            See `batches`.
        """
        # The only draw of an epoch without augmentation, so that the batches depend on seed and
        # number of samples alone.
        order = rng.permutation(len(self))
        size = batch_size if pad and one_shape else min(batch_size, len(order))
        return batches(self, order, size, pad)

    def parts(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield samples, targets and weights in parts of bounded size, for an evaluation.

        `X` may be a memory map or sparse.

        Yields
        ------
        x, y, weight : ndarray
            All but the last have a multiple of 512 rows, as the batches of predictions have.
        """
        block = 512 * 4 * max(1, int(np.prod(self.X.shape[1:])))
        step = 512 * max(1, _STACK_BYTES // block)
        for start in range(0, len(self), step):
            rows = self.rows[start : start + step]
            yield self.X[rows], self.y[rows], self.weight[start : start + step]

    def full_batches(self, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield samples in batches of one size, for statistics.

        Parameters
        ----------
        size : int
            Number of rows.
        rng : numpy.random.Generator
            Shuffles the samples, which may be sorted.

        Yields
        ------
        ndarray of shape (size, ...)
            All samples in one batch where there are fewer; the rest after the last full one is
            left out.
        """
        order, size = rng.permutation(len(self)), min(size, len(self))
        order = order[: len(order) // size * size]
        for stack, _, _ in batches(self, order, size):
            yield from stack

    def for_network(self, model: keras.Model) -> Data:
        """Return the data with batches of the dtype that a network asks for.

        Parameters
        ----------
        model : keras.Model
            The network.

        Returns
        -------
        Data
            The same arrays, not copied.

        Raises
        ------
        ValueError
            If the input of the network cannot hold an integer of `X`, or its embedding has no row
            for it. Where it is an input of
            floats that cannot, a UserWarning is issued.
        """
        dtype = input_dtype(model)
        check_integers(self.X, dtype)
        if (count := count_ids(model)) is not None:
            check_ids(_parts(self.X), count)
        if self.X.dtype.kind in "iu" and np.dtype(dtype).kind == "f":
            for part in _parts(self.X):
                if (part.astype(dtype).astype(np.float64) != part).any():
                    warnings.warn(
                        f"X contains integers that {dtype}, the dtype of the input of the network, "
                        "cannot represent, such as 2**24 + 1. They are rounded. For numbers of "
                        "words or categories, use a network with keras.Input(..., dtype='int32').",
                        UserWarning,
                        stacklevel=2,
                    )
                    break
        return replace(self, dtype=dtype)


def input_dtype(model: Any) -> str:
    """Return the dtype of the samples that a network receives.

    Parameters
    ----------
    model : keras.Model
        A built network.

    Returns
    -------
    str
        The integer dtype that its `keras.Input` asks for, as the backend provides it, else that of
        floats.
    """
    inputs: Any = getattr(model, "inputs", None)
    declared = keras.backend.standardize_dtype(inputs[0].dtype) if inputs else ""
    if "int" not in declared:
        return keras.config.floatx()
    # JAX replaces 64 bits by 32, unless it is configured otherwise.
    provided: Any = keras.ops.convert_to_tensor(np.zeros(1, declared))
    return keras.backend.standardize_dtype(provided.dtype)


def as_inputs(x: np.ndarray, dtype: str) -> np.ndarray:
    """Convert samples to the dtype that a network asks for.

    Parameters
    ----------
    x : ndarray
        Samples.
    dtype : str
        The dtype.

    Returns
    -------
    ndarray of `dtype`
        The samples.

    Raises
    ------
    ValueError
        If `dtype` is that of integers and cannot hold the samples.
    """
    check_integers(x, dtype)
    return np.asarray(x, dtype)


def check_integers(X: np.ndarray, dtype: str) -> None:
    """Raise an error where an input of integers cannot hold the samples.

    Parameters
    ----------
    X : ndarray
        Samples.
    dtype : str
        The dtype that the network asks for; one of floats accepts everything.

    Raises
    ------
    ValueError
        If an integer is out of range, or `X` has floats too large to be exact integers.
    """
    if np.dtype(dtype).kind not in "iu" or X.dtype == dtype or not X.size:
        return
    limits, integers = np.iinfo(dtype), X.dtype.kind in "iu"
    if integers and limits.min <= np.iinfo(X.dtype).min and np.iinfo(X.dtype).max <= limits.max:
        return
    low = min(part.min() for part in _parts(X))
    high = max(part.max() for part in _parts(X))
    if integers and (low < limits.min or high > limits.max):
        raise ValueError(
            f"X must contain integers from {limits.min} to {limits.max}, because the input of the "
            f"network has the dtype {dtype}, got {low if low < limits.min else high}. Number the "
            "categories from 0, or give the keras.Input a larger integer dtype."
        )
    if not integers and X.dtype.itemsize <= 4 and max(-low, high) > _EXACT:
        raise ValueError(
            "X must have an integer dtype, because the input of the network asks for integers and "
            f"{X.dtype} cannot represent all of those above 2**24, got {high:.0f}. Use "
            "X.astype('int64')."
        )


def _parts(X: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the rows of an array in parts of bounded size."""
    step = max(1, _HASH_BYTES // (8 * max(1, int(np.prod(X.shape[1:])))))
    for start in range(0, len(X), step):
        yield np.asarray(X[start : start + step])


def distinct(X: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> Data:
    """Merge equal samples and sort the result by value.

    A sample of weight 2 then trains bit for bit as the same sample given twice, and a sample of
    weight 0 as an omitted one. Without the canonical order, sums of floats would differ in the
    last bit.

    Parameters
    ----------
    X : ndarray, shape (n, ...)
        Inputs.
    y : ndarray, shape (n,) or (n, n_targets)
        Class indices or regression targets.
    weight : ndarray of shape (n,) or None, default=None
        Sample weights, at least one of which is positive. None counts each row once.

    Returns
    -------
    Data
        The distinct (X, y) rows with their weights summed; rows of weight 0 are omitted. If all
        the sums are equal, each weight is 1.
    """
    keys = row_keys(X, y)
    order = np.argsort(keys, kind="stable")
    if weight is not None:
        order = order[np.asarray(weight)[order] > 0]
    # Equal keys only make rows candidates: the values decide, so a collision merges nothing.
    same = keys[order[1:]] == keys[order[:-1]]
    candidates = np.flatnonzero(same)
    step = max(1, _HASH_BYTES // (8 * max(1, int(np.prod(X.shape[1:])))))
    for start in range(0, len(candidates), step):
        part = candidates[start : start + step]
        a, b = order[part], order[part + 1]
        same[part] = _equal_rows(X[a], X[b]) & _equal_rows(y[a], y[b])
    first = np.concatenate([[True], ~same]) if len(order) else np.zeros(0, bool)
    each = np.ones(len(order)) if weight is None else np.asarray(weight, np.float64)[order]
    total = np.add.reduceat(each, np.flatnonzero(first)) if len(order) else each
    # Equal weights, of whatever size, are no weights: scikit-learn expects the same fit bit for
    # bit, and a common factor would change the rounding of every sum.
    if len(total) and np.all(total == total[0]):
        total = np.ones_like(total)
    return Data(X, y, order[first], total.astype(np.float32))


def _equal_rows(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a == b).reshape(len(a), -1).all(axis=1)


def row_keys(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Hash each row on its own.

    The hash uses integer arithmetic, because a float reduction may depend on the shape of the
    block a row is in, and the key of a row must not depend on the other rows.

    Parameters
    ----------
    X : ndarray, shape (n, ...)
        Inputs.
    y : ndarray, shape (n,) or (n, n_targets)
        Class indices or regression targets.

    Returns
    -------
    ndarray of uint64, shape (n,)
        Equal (X, y) rows have equal keys.
    """
    flat = X if X.ndim == 2 else X.reshape(len(X), -1)
    # The hash decides the order of the samples, so it depends on their values alone, never on their
    # places.
    targets = np.asarray(y, np.float64).reshape(len(y), -1)
    step = max(1, _HASH_BYTES // (8 * (flat.shape[1] + 1)))
    keys = np.empty(len(X), np.uint64)
    for start in range(0, len(X), step):
        part = slice(start, start + step)
        keys[part] = _hash(np.asarray(flat[part], np.float32)) * np.uint64(3)
        keys[part] ^= _hash(targets[part])
        if X.dtype.kind in "iu" and X.dtype.itemsize > 2:
            # Equal float32 values may then be different integers.
            rows = np.asarray(flat[part]).astype(np.int64)
            wide = ((rows > _EXACT) | (rows < -_EXACT)).any(axis=1)
            keys[part][wide] ^= _hash(rows[wide])
    return keys


def _hash(rows: np.ndarray) -> np.ndarray:
    # -0.0 and 0.0 compare equal but differ in their bits; adding 0 turns the first into the second.
    words = np.ascontiguousarray(rows + rows.dtype.type(0)).view(np.uint32).astype(np.uint64)
    words *= np.uint64(0x9E3779B97F4A7C15)
    words ^= words >> np.uint64(29)
    # Philox, because NumPy promises its integers in every version; odd factors, because they are
    # invertible modulo 2**64.
    factors = np.random.Philox(key=words.shape[1]).random_raw(words.shape[1]) | np.uint64(1)
    return (words * factors).sum(axis=1, dtype=np.uint64)


def split(
    data: Data, fraction: float, rng: np.random.Generator, stratify: bool
) -> tuple[Data, Data]:
    """Split the data into a training and a validation set.

    Parameters
    ----------
    data : Data
        At least two distinct samples.
    fraction : float
        Fraction of the samples in the validation set.
    rng : numpy.random.Generator
        Generator that chooses the validation samples.
    stratify : bool
        Whether to take the fraction from each class. At least one sample of each class stays
        in the training set.

    Returns
    -------
    training, validation : Data
        Two disjoint sets, neither of which is empty.

    Raises
    ------
    ValueError
        If no class has two distinct samples.
    """
    y = data.y[data.rows]
    groups = [np.flatnonzero(y == c) for c in np.unique(y)] if stratify else [np.arange(len(data))]
    held = []
    for group in groups:
        count = min(round(fraction * len(group)), len(group) - 1)
        held.append(rng.permutation(group)[:count])
    # Both parts keep the canonical order, on which the batches of a seed depend.
    chosen = np.sort(np.concatenate(held))
    if not len(chosen):
        largest = max(groups, key=len)
        if len(largest) < 2:
            raise ValueError(
                "early stopping needs at least one class with two distinct samples, got "
                f"{len(data)} distinct samples in {len(groups)} classes. Pass X_val and y_val to "
                "fit, or set early_stopping=False."
            )
        chosen = rng.permutation(largest)[:1]
    rest = np.setdiff1d(np.arange(len(data)), chosen, assume_unique=True)
    return data.part(rest), data.part(chosen)


def batches(
    data: Data, order: np.ndarray, batch_size: int, pad: bool = False
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield the batches of an epoch in stacks of shape (steps, batch, ...).

    Parameters
    ----------
    data : Data
        The samples to draw from.
    order : ndarray of int
        Positions in `data.rows`, in training order.
    batch_size : int
        Number of rows in a batch. The last batch is smaller if the number of samples is not a
        multiple of it.
    pad : bool, default=False
        Whether to fill the last batch with rows of weight 0, so that it can be stacked with the
        others. Only valid for networks whose result such rows do not change.

    Yields
    ------
    x, y, weight : ndarray
        A stack holds at most 64 MiB of inputs, and at least one batch.
    """
    steps = stack_length(data.X.shape[1:], batch_size)
    missing = -len(order) % batch_size if pad else 0
    # Padding repeats a real row: on a row of zeros the loss may not be finite, and 0 * inf is nan.
    order = np.concatenate([order, order[-1:].repeat(missing)])
    whole = len(order) // batch_size * batch_size
    for start in range(0, whole, steps * batch_size):
        end = min(whole, start + steps * batch_size)
        x, y, weight = _stack(data, order[start:end], batch_size)
        if missing and end == whole:
            weight[-1, batch_size - missing :] = 0
        yield x, y, weight
    if whole < len(order):
        yield _stack(data, order[whole:], len(order) - whole)


def stack_length(shape: tuple[int, ...], batch_size: int) -> int:
    """Return how many batches a stack of bounded size holds.

    Parameters
    ----------
    shape : tuple of int
        Shape of a sample.
    batch_size : int
        Number of rows in a batch.

    Returns
    -------
    int
        At least 1.
    """
    sample = max(1, int(np.prod(shape)) * 4)
    return max(1, _STACK_BYTES // (sample * batch_size))


def _stack(data: Data, order: np.ndarray, size: int):
    rows = data.rows[order]
    x = data.inputs(rows)
    steps = len(order) // size
    x, y, weight = (
        a.reshape(steps, size, *a.shape[1:]) for a in (x, data.y[rows], data.weight[order])
    )
    return x, y, weight
