"""Training data as a weighted set of distinct samples, and its batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import keras
import numpy as np

_HASH_BYTES = 32 * 2**20
_STACK_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Data:
    """Arrays and the rows of them that take part.

    Attributes
    ----------
    X : ndarray, shape (n, ...)
        Inputs; a memory map stays one.
    y : ndarray, shape (n,) or (n, n_targets)
        Class indices or targets.
    rows : ndarray of int, shape (m,)
        Rows of X and y that take part, in canonical order.
    weight : ndarray of float32, shape (m,)
        Weight of each of these rows.
    """

    X: np.ndarray
    y: np.ndarray
    rows: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        """Return how many samples take part."""
        return len(self.rows)

    def part(self, chosen: np.ndarray) -> Data:
        """Return the data with some of its rows.

        Parameters
        ----------
        chosen : ndarray of int
            Positions in `rows`.

        Returns
        -------
        Data
            The same arrays, fewer rows.
        """
        return replace(self, rows=self.rows[chosen], weight=self.weight[chosen])


def distinct(X: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> Data:
    """Make the weighted set of distinct samples, in an order that only depends on their values.

    A weight of 2 then trains exactly as the row given twice, and a weight of 0 as the row left
    out; otherwise a sum of floats would differ in its last bit.

    Parameters
    ----------
    X : ndarray, shape (n, ...)
        Inputs.
    y : ndarray, shape (n,) or (n, n_targets)
        Class indices or targets.
    weight : ndarray of shape (n,) or None, default=None
        Weights, at least one of them positive; None counts each row once.

    Returns
    -------
    Data
        Equal (X, y) rows merged with their weights summed, rows of weight 0 left out. Where all
        weights come out equal they are 1.
    """
    keys = row_keys(X, y)
    order = np.argsort(keys, kind="stable")
    if weight is not None:
        order = order[np.asarray(weight)[order] > 0]
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
    if len(total) and np.all(total == total[0]):
        total = np.ones_like(total)
    return Data(X, y, order[first], total.astype(np.float32))


def _equal_rows(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a == b).reshape(len(a), -1).all(axis=1)


def row_keys(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Hash each row by itself in integers, so that its key never depends on the other rows."""
    flat = X.reshape(len(X), -1)
    targets = np.asarray(y, np.float64).reshape(len(y), -1)
    step = max(1, _HASH_BYTES // (8 * (flat.shape[1] + 1)))
    keys = np.empty(len(X), np.uint64)
    for start in range(0, len(X), step):
        part = slice(start, start + step)
        keys[part] = _hash(np.asarray(flat[part], np.float32)) * np.uint64(3)
        keys[part] ^= _hash(targets[part])
    return keys


def _hash(rows: np.ndarray) -> np.ndarray:
    # Adding 0 turns -0.0 into 0.0, which compares equal to it.
    words = np.ascontiguousarray(rows + rows.dtype.type(0)).view(np.uint32).astype(np.uint64)
    words *= np.uint64(0x9E3779B97F4A7C15)
    words ^= words >> np.uint64(29)
    factors = np.random.Philox(key=words.shape[1]).random_raw(words.shape[1]) | np.uint64(1)
    return (words * factors).sum(axis=1, dtype=np.uint64)


def split(data: Data, fraction: float, rng: np.random.Generator, stratify: bool) -> tuple:
    """Split off a validation part.

    Parameters
    ----------
    data : Data
        At least two samples.
    fraction : float
        Part to split off.
    rng : numpy.random.Generator
        Source of the choice.
    stratify : bool
        Take the fraction of each class; a class keeps at least one sample to train on.

    Returns
    -------
    training, validation : Data
        Two disjoint parts, neither empty.
    """
    y = data.y[data.rows]
    groups = [np.flatnonzero(y == c) for c in np.unique(y)] if stratify else [np.arange(len(data))]
    held = []
    for group in groups:
        count = min(round(fraction * len(group)), len(group) - 1)
        held.append(rng.permutation(group)[:count])
    chosen = np.sort(np.concatenate(held))
    if not len(chosen):
        largest = max(groups, key=len)
        if len(largest) < 2:
            raise ValueError(
                "early stopping needs a class with two distinct samples, to hold one out; "
                f"found {len(data)} samples in {len(groups)} classes; give X_val, y_val or use "
                "early_stopping=False"
            )
        chosen = rng.permutation(largest)[:1]
    rest = np.setdiff1d(np.arange(len(data)), chosen, assume_unique=True)
    return data.part(rest), data.part(chosen)


def batches(
    data: Data, order: np.ndarray, batch_size: int, pad: bool = False
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield stacks of batches: x (steps, batch, ...), y and weight.

    Parameters
    ----------
    data : Data
        The samples.
    order : ndarray of int
        Positions in `data.rows`, in the order of training.
    batch_size : int
        Rows of a batch; the last batch is smaller where they do not divide.
    pad : bool, default=False
        Fill the last batch with rows of weight 0 instead, where they change nothing: it then
        goes in one stack with the others.

    Yields
    ------
    x, y, weight : ndarray
        At most 64 MiB of inputs at a time.
    """
    sample = max(1, int(np.prod(data.X.shape[1:])) * 4)
    steps = max(1, _STACK_BYTES // (sample * batch_size))
    missing = -len(order) % batch_size if pad else 0
    # Copies of a row, for a row of zeros may be one on which the loss is not finite.
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


def _stack(data: Data, order: np.ndarray, size: int):
    rows = data.rows[order]
    x = np.asarray(data.X[rows], keras.config.floatx())
    steps = len(order) // size
    x, y, weight = (
        a.reshape(steps, size, *a.shape[1:]) for a in (x, data.y[rows], data.weight[order])
    )
    return x, y, weight
