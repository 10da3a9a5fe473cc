"""Choice of the parameters with the lowest keys, which random and score-based selectors share."""

from __future__ import annotations

import math

import numpy as np

from .context import Context
from .forms import Everything, Form, from_mask, size, to_mask
from .layout import Layout
from .selector import Selector


def lowest(keys: np.ndarray, count: int) -> np.ndarray:
    """Return a mask of the `count` lowest keys; among equal keys the first ones."""
    if count >= keys.size:
        return np.ones(keys.shape, dtype=bool)
    if count <= 0:
        return np.zeros(keys.shape, dtype=bool)
    # The order in which a partition leaves equal keys depends on the processor. The value at the
    # boundary does not, so that ties are resolved by position.
    last = np.partition(keys, count - 1)[count - 1]
    chosen = keys < last
    ties = np.flatnonzero(keys == last)
    chosen[ties[: count - np.count_nonzero(chosen)]] = True
    return chosen


def lowest_in(part: Form, shape: tuple[int, ...], keys: np.ndarray, count: int) -> Form:
    """Return the `count` parameters of `part` with the lowest keys, one key for each parameter."""
    if count >= size(part, shape):
        return part
    if isinstance(part, Everything):
        return from_mask(lowest(keys, count).reshape(shape))
    inside = np.flatnonzero(to_mask(part, shape))
    chosen = np.zeros(math.prod(shape), dtype=bool)
    chosen[inside[lowest(keys[inside], count)]] = True
    return from_mask(chosen.reshape(shape))


def parts_of(within: Selector | None, layout: Layout, context: Context) -> dict[str, Form]:
    """Return the forms of `within`, or `Everything` for each weight if it is None."""
    if within is None:
        return {info.path: Everything() for info in layout.weights}
    return within.resolve(layout, context, allow_empty=True).forms


def check_within(selector: str, within: object) -> Selector | None:
    """Check the argument `within` of a selector."""
    if within is not None and not isinstance(within, Selector):
        raise TypeError(
            f"`within` of `{selector}` must be a selector or None, got {within!r}. "
            "Use within=kernels(), for example."
        )
    return within
