"""Keras networks that charge their weights and tensors to the size limit while they are built."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from frozenfit.utils.size_limit import charge

__all__ = ["charged_networks"]

# Each weight and each tensor takes some time and memory, however small it is.
_SMALLEST = 2**14  # elements
_DRAWING = 16  # bytes for each element
_swap = threading.Lock()
_users = 0


@contextmanager
def charged_networks() -> Iterator[None]:
    """Charge every weight and symbolic tensor that Keras creates in a block, before it exists.

    A weight is charged when a layer asks for it, and thus before its initial value is computed. A
    tensor stays below the limit by itself for one sample, because most of them are never in memory
    at the same time. The methods of Keras are replaced for the whole process, but other threads
    have no limit, and in them `charge` does nothing.
    """
    global _users
    with _swap:
        _users += 1
        if _users == 1:
            keras.Layer.add_weight = _charging_weight(keras.Layer.add_weight)
            keras.KerasTensor.__init__ = _charging_tensor(keras.KerasTensor.__init__)
    try:
        yield
    finally:
        with _swap:
            _users -= 1
            if _users == 0:
                keras.Layer.add_weight = keras.Layer.add_weight.__wrapped__  # type: ignore[attr-defined]
                keras.KerasTensor.__init__ = keras.KerasTensor.__init__.__wrapped__  # type: ignore[attr-defined]


def _charging_weight(original: Any) -> Any:
    @functools.wraps(original)
    def add_weight(self, shape=None, initializer=None, *args, **kwargs):
        sizes = _sizes(shape)
        charge(f"a weight of the layer {self.name!r}", sizes)
        # Drawing random values needs several temporary arrays of double precision.
        charge(f"a weight of the layer {self.name!r}", sizes, _DRAWING, kept=False)
        charge(f"the small weights up to {self.name!r}", (_SMALLEST,))
        if isinstance(initializer, keras.initializers.Orthogonal) and len(sizes) > 1:
            # Its QR decomposition costs this many times more than drawing numbers.
            slow = max(1, min(sizes[-1], _product(sizes[:-1])) // 256)
            charge(f"the orthogonal matrix of the layer {self.name!r}", (*sizes, slow))
        return original(self, shape, initializer, *args, **kwargs)

    return add_weight


def _charging_tensor(original: Any) -> Any:
    @functools.wraps(original)
    def init(self, shape, *args, **kwargs):
        charge("a tensor of the network", _sizes(shape), kept=False)
        charge("the tensors of the network", (_SMALLEST // 4,))
        return original(self, shape, *args, **kwargs)

    return init


def _product(sizes: tuple[int, ...]) -> int:
    total = 1
    for size in sizes:
        total *= size
    return total


def _sizes(shape: Any) -> tuple[int, ...]:
    """Return a shape in which unknown sizes, such as that of the batch, count once."""
    if isinstance(shape, int):
        return (shape,)
    return tuple(int(size) if isinstance(size, int) else 1 for size in shape or ())
