"""Values that some selectors need in addition to the layout of a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Context:
    """Values that some selectors need in addition to the layout.

    Parameters
    ----------
    seed : int, default=0
        Seed of the random selectors that have no explicit seed.
    values : mapping of str to ndarray, default=None
        Values of the base by weight path, which `magnitude` reads.
    fisher : callable, default=None
        Returns the diagonal Fisher information by weight path, for the selector `fisher`. It is a
        function because the computation is expensive.

    See Also
    --------
    Selector.resolve : Apply a selector to a layout, with a context.

    Examples
    --------
    >>> from frozenfit.selectors import Context, example_layout, random
    >>> layout = example_layout()
    >>> first = random(0.1).resolve(layout, Context(seed=0))
    >>> second = random(0.1).resolve(layout, Context(seed=1))
    >>> first.n_trainable == second.n_trainable, first == second
    (True, False)
    """

    seed: int = 0
    values: Mapping[str, np.ndarray] | None = None
    fisher: Callable[[], Mapping[str, np.ndarray]] | None = field(default=None, repr=False)
