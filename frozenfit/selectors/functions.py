"""The selector of a function of each weight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Literal, TypeAlias

import numpy as np

from .context import Context
from .forms import Everything, Form, Nothing, from_mask, leading
from .layout import Layout
from .registry import register
from .selector import Selector
from .weight_info import WeightInfo

WeightRule: TypeAlias = Callable[[WeightInfo], "None | Literal['all'] | int | np.ndarray"]


@dataclass(frozen=True, eq=False, repr=False)
class _Where(Selector):
    """Parameters chosen by a function of each weight."""

    fn: WeightRule

    def forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        return {info.path: self._form(info) for info in layout.weights}

    def _form(self, info: WeightInfo) -> Form:
        answer = self.fn(info)
        if answer is None:
            return Nothing()
        if isinstance(answer, str) and answer == "all":
            return Everything()
        # A function that returns a comparison means "all" or None, and not one output or none: a
        # bool is refused, although it is an int.
        counted = isinstance(answer, Integral) and not isinstance(answer, bool)
        if counted and int(answer) >= 0:
            return leading(info.shape, info.output_axes, int(answer), info.gates)
        array = np.asarray(answer)
        if array.dtype == bool and array.shape == info.shape and not isinstance(answer, bool):
            return from_mask(array)
        shown = f"an array of {array.dtype} {array.shape}" if array.ndim else repr(answer)
        raise ValueError(
            f'The function of {self} must return None, "all", a number of outputs, or an array of '
            f"booleans in the shape of the weight, got {shown} for {info.path!r} of shape "
            f"{info.shape}."
        )

    def text(self) -> str:
        # The parser rejects this text, because the argument is neither a literal nor a selector.
        return f"where({getattr(self.fn, '__name__', type(self.fn).__name__)})"


@register("where")
def where(fn: WeightRule) -> Selector:
    """Select parameters by a function of each weight.

    The selector cannot be written as text or stored in a file, because it contains a Python
    function. `register` makes a selector of your own that can.

    Parameters
    ----------
    fn : callable
        Takes a `WeightInfo` and returns None (no parameters), "all", the number of leading
        outputs, or a Boolean array in the shape of the weight.

    Returns
    -------
    Selector
        The selector.

    Raises
    ------
    TypeError
        If `fn` is not callable.
    ValueError
        When the selector is resolved, if `fn` returns anything else.

    See Also
    --------
    mask : Select by explicit arrays.
    register : Make a selector of your own available in text and files.

    Examples
    --------
    >>> from frozenfit.selectors import example_layout, where
    >>> def wide(info):
    ...     return 2 if info.n_outputs > 64 else None
    >>> print(where(wide).resolve(example_layout("lenet5")))
    weight         shape          form                      trainable   total
    dense1/kernel  (256, 120)     first 2 of 120 on axis 1        512  30,720
    dense1/bias    (120,)         first 2 of 120 on axis 0          2     120
    dense2/kernel  (120, 84)      first 2 of 84 on axis 1         240  10,080
    dense2/bias    (84,)          first 2 of 84 on axis 0           2      84
    sum                           1.70%                           756  44,426
    """
    if not callable(fn):
        raise TypeError(
            f"`fn` must be a callable that takes a WeightInfo, got {fn!r}. "
            'Use where(lambda info: "all" if info.role == "kernel" else None), for example.'
        )
    return _Where(fn)
