"""Max pooling on JAX with a gradient that is cheap on a CPU.

XLA's CPU compiler runs the gradient of a maximum over windows as a loop over single elements,
which can cost more than the convolution before it. Where windows do not overlap, the gradient is a
few operations on whole arrays: the first maximum of each window, in the order of rows, gets the
gradient of the window.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import keras
from keras import layers as kl


def pooling_layers(model: keras.Model) -> list[Any]:
    """Return the max-pooling layers of a network whose windows do not overlap.

    Parameters
    ----------
    model : keras.Model
        The network.

    Returns
    -------
    list of keras.Layer
        Layers with Keras's own computation on channels-last data.
    """
    layers = {id(layer): layer for layer in model._flatten_layers()}
    return [layer for layer in layers.values() if _can_be_replaced(layer)]


@contextmanager
def pooled(layers: Iterable[Any]) -> Iterator[None]:
    """Give max-pooling layers the gradient of `max_pool` in the calls of a block.

    Parameters
    ----------
    layers : iterable of keras.Layer
        What `pooling_layers` returned.

    Yields
    ------
    None
        Until the block ends.
    """
    layers = list(layers)
    for layer in layers:
        layer.__dict__["call"] = _call(layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.__dict__["call"]


def max_pool(x: Any, sizes: tuple[int, ...]) -> Any:
    """Return the maxima over windows that do not overlap.

    Parameters
    ----------
    x : array of shape (batch, *sides, channels)
        The input. Where a side is no multiple of the size, its end is in no window.
    sizes : tuple of int
        The size of a window along each side.

    Returns
    -------
    array
        As `keras.ops.max_pool` with ``padding="valid"``.

    Notes
    -----
    The gradient has the bits of JAX's own where no input is NaN. A window that contains NaN
    has a gradient of 0, while its maximum is NaN as in JAX.
    """
    return _function()(x, sizes)


def _can_be_replaced(layer: Any) -> bool:
    if not isinstance(layer, kl.MaxPooling1D | kl.MaxPooling2D | kl.MaxPooling3D):
        return False
    if type(layer).call is not kl.MaxPooling2D.call or "call" in layer.__dict__:
        return False
    return layer.strides == layer.pool_size and layer.data_format == "channels_last"


def _call(layer: Any) -> Any:
    def call(inputs: Any) -> Any:
        sides, sizes = inputs.shape[1:-1], layer.pool_size
        # Padding that adds something, and windows that are larger than the input, are Keras's.
        exact = all(side % size == 0 for side, size in zip(sides, sizes, strict=True))
        fits = all(side >= size for side, size in zip(sides, sizes, strict=True))
        if exact or (layer.padding == "valid" and fits):
            return max_pool(inputs, tuple(sizes))
        return type(layer).call(layer, inputs)

    return call


@cache
def _function() -> Any:
    import jax
    from jax import numpy as jnp

    def forward(x, sizes):
        y = keras.ops.max_pool(x, sizes, sizes, "valid", "channels_last")
        return y, (x, y)

    def backward(sizes, residuals, upstream):
        x, y = residuals
        sides, windows = x.shape[1:-1], y.shape[1:-1]
        covered = [n * s for n, s in zip(windows, sizes, strict=True)]
        places = list(itertools.product(*map(range, sizes)))
        taken = jnp.zeros(y.shape, bool)
        parts = []
        for place in places:
            ends = [end - s + p + 1 for end, s, p in zip(covered, sizes, place, strict=True)]
            limits = (len(y), *ends, y.shape[-1])
            part = jax.lax.slice(x, (0, *place, 0), limits, (1, *sizes, 1))
            first = (part == y) & ~taken
            taken = taken | first
            parts.append(jnp.where(first, upstream, 0))
        rank = len(sizes)
        # Axes: batch, the windows, the places in a window, channels.
        whole = jnp.stack(parts, rank + 1).reshape(len(y), *windows, *sizes, y.shape[-1])
        between = [axis for i in range(rank) for axis in (1 + i, 1 + rank + i)]
        whole = whole.transpose(0, *between, 1 + 2 * rank)
        whole = whole.reshape(len(y), *covered, y.shape[-1])
        rest = [(0, side - end) for side, end in zip(sides, covered, strict=True)]
        return (jnp.pad(whole, [(0, 0), *rest, (0, 0)]),)

    pool = jax.custom_vjp(lambda x, sizes: forward(x, sizes)[0], nondiff_argnums=(1,))
    pool.defvjp(forward, backward)
    return pool
