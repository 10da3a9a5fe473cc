"""Random matrices that map the coordinates of a subspace to parameters.

Only a seed determines a matrix, so that it is the same on every backend and in every process.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops
from scipy.linalg import hadamard

from frozenfit.draws import draw
from frozenfit.utils import counter_streams

_NORMAL = '{"class_name": "RandomNormal", "config": {"stddev": 1.0}}'


def draw_projection(kind: str, d: int, total: int, seed: int) -> dict[str, np.ndarray]:
    """Draw a random matrix with `total` rows and `d` columns of unit length.

    Parameters
    ----------
    kind : {"dense", "sparse", "fastfood"}
        Kind of the matrix.
    d : int
        Number of coordinates.
    total : int
        Number of parameters.
    seed : int
        The seed.

    Returns
    -------
    dict of str to ndarray
        The arrays of float32 and int32 that `project` needs.
    """
    return _DRAWS[kind](d, total, seed)


def project(kind: str, arrays: Mapping[str, Any], coordinates: Any, total: int) -> Any:
    """Multiply a random matrix with coordinates.

    Parameters
    ----------
    kind : {"dense", "sparse", "fastfood"}
        Kind of the matrix.
    arrays : mapping of str to tensor
        The result of `draw_projection`.
    coordinates : tensor of shape (d,)
        The coordinates.
    total : int
        Number of parameters.

    Returns
    -------
    tensor of shape (total,)
        The product.
    """
    return _PRODUCTS[kind](arrays, coordinates, total)


def n_values(kind: str, d: int, total: int) -> int:
    """Return how many numbers the arrays of a matrix have.

    Parameters
    ----------
    kind : {"dense", "sparse", "fastfood"}
        Kind of the matrix.
    d : int
        Number of coordinates.
    total : int
        Number of parameters.

    Returns
    -------
    int
        The sum of the sizes.
    """
    if kind == "dense":
        return d * total
    if kind == "sparse":
        return 2 * d * _entries(total)
    blocks, n = _blocks(d, total)
    return 3 * blocks * n


def _dense(d: int, total: int, seed: int) -> dict[str, np.ndarray]:
    directions = np.empty((d, total), np.float32)
    for i, row in enumerate(directions):
        values = draw(_NORMAL, (total,), seed, f"subspace/dense/{i}")
        row[:] = values / np.linalg.norm(values.astype(np.float64))
    return {"directions": directions}


def _dense_product(arrays: Mapping[str, Any], coordinates: Any, total: int) -> Any:
    return ops.matmul(coordinates, arrays["directions"])


def _entries(total: int) -> int:
    """Return the number of entries in a column of a sparse matrix."""
    return max(1, round(math.sqrt(total)))


def _sparse(d: int, total: int, seed: int) -> dict[str, np.ndarray]:
    # One entry in each block of the vector, so that every column has equally many.
    entries = _entries(total)
    borders = np.arange(entries + 1) * total // entries
    integers = _integers(seed, "sparse", 2 * d * entries).reshape(2, d, entries)
    lengths = np.diff(borders).astype(np.uint64)
    rows = borders[:-1] + (integers[0] % lengths).astype(np.int64)
    signs = np.where(integers[1] >> np.uint64(63), -1.0, 1.0) / math.sqrt(entries)
    return {"rows": rows.ravel().astype(np.int32), "values": signs.astype(np.float32)}


def _sparse_product(arrays: Mapping[str, Any], coordinates: Any, total: int) -> Any:
    entries = ops.expand_dims(coordinates, -1) * arrays["values"]
    return ops.segment_sum(ops.reshape(entries, (-1,)), arrays["rows"], num_segments=total)


def _blocks(d: int, total: int) -> tuple[int, int]:
    """Return the number and the size of the blocks of a matrix of Fastfood."""
    n = 1 << (d - 1).bit_length()
    return -(-total // n), n


def _fastfood(d: int, total: int, seed: int) -> dict[str, np.ndarray]:
    blocks, n = shape = _blocks(d, total)
    signs = np.where(_integers(seed, "signs", blocks * n) >> np.uint64(63), -1.0, 1.0)
    keys = _integers(seed, "order", blocks * n).reshape(shape)
    order = keys.argsort(axis=1, kind="stable") + n * np.arange(blocks)[:, None]
    gains = draw(_NORMAL, shape, seed, "subspace/fastfood").astype(np.float64)
    # Every column of a block has the length sqrt(n) |gains|; of the last block, only some rows
    # are used.
    shares = np.full(blocks, float(n))
    shares[-1] = total - (blocks - 1) * n
    gains /= math.sqrt(shares @ (gains**2).sum(axis=1))
    return {
        "signs": signs.reshape(shape).astype(np.float32),
        "order": order.ravel().astype(np.int32),
        "gains": gains.astype(np.float32),
    }


def _fastfood_product(arrays: Mapping[str, Any], coordinates: Any, total: int) -> Any:
    blocks, n = arrays["signs"].shape
    padded: Any = ops.pad(coordinates, [[0, n - coordinates.shape[0]]])
    mixed = ops.reshape(_hadamard(padded * arrays["signs"], blocks, n), (-1,))
    shuffled = ops.reshape(ops.take(mixed, arrays["order"]), (blocks, n))
    changes: Any = ops.reshape(_hadamard(shuffled * arrays["gains"], blocks, n), (-1,))
    return changes[:total]


def _hadamard(rows: Any, blocks: int, n: int) -> Any:
    """Multiply each row with the Hadamard matrix of order `n`, which is a Kronecker product."""
    first = 1 << (n.bit_length() // 2)  # about the square root
    left, right = (
        ops.convert_to_tensor(hadamard(size).astype(np.float32)) for size in (first, n // first)
    )
    left, right = ops.cast(left, rows.dtype), ops.cast(right, rows.dtype)
    return ops.matmul(left, ops.matmul(ops.reshape(rows, (blocks, first, n // first)), right))


def _integers(seed: int, name: str, count: int) -> np.ndarray:
    return counter_streams.integers(f"frozenfit.subspace {seed} {name}", count)


_DRAWS = {"dense": _dense, "sparse": _sparse, "fastfood": _fastfood}
_PRODUCTS = {"dense": _dense_product, "sparse": _sparse_product, "fastfood": _fastfood_product}
