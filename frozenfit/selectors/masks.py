"""The selector of explicit masks, and their text."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .arguments import quoted
from .context import Context
from .forms import Form, from_mask
from .layout import Layout
from .registry import register
from .selector import Selector

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True, eq=False, repr=False)
class _Masks(Selector):
    """Explicit masks: path, shape and packed bits of each weight."""

    masks: tuple[tuple[str, tuple[int, ...], bytes], ...]

    @property
    def names_layers(self) -> bool:
        return True

    def forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        forms = {}
        for path, shape, packed in self.masks:
            bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=math.prod(shape))
            forms[path] = from_mask(bits.astype(bool).reshape(shape))
            # A mask without or with all parameters is canonical for any shape.
            if path in layout and shape != layout[path].shape:
                raise ValueError(
                    f"The mask of {path!r} must be of the weight's shape {layout[path].shape}, "
                    f"got the shape {shape}."
                )
        return forms

    def text(self) -> str:
        masks = [
            f"{quoted(path)}: ({shape!r}, {quoted(base64.b64encode(packed).decode())})"
            for path, shape, packed in self.masks
        ]
        return f"mask({{{', '.join(masks)}}})"


@register("mask")
def mask(arrays: Mapping[str, ArrayLike]) -> Selector:
    """Select the parameters given by Boolean arrays.

    Parameters
    ----------
    arrays : mapping of str to array of bool
        An array in the shape of the weight for each weight path, True (or 1) for trainable
        parameters. Weights without an array are frozen. In the text of the selector, an array is
        the pair of its shape and its packed bits in base 64.

    Returns
    -------
    Selector
        The selector.

    Raises
    ------
    ValueError
        If `arrays` is empty or an array has values other than 0 and 1 or, when the selector is
        resolved, if a path or shape does not match the network.
    TypeError
        If `arrays` is not a mapping of paths to arrays.

    See Also
    --------
    where : Select by a function of each weight.
    magnitude : Select by absolute value.

    Examples
    --------
    >>> import numpy as np
    >>> from frozenfit.selectors import example_layout, mask
    >>> chosen = np.zeros((84, 10), dtype=bool)
    >>> chosen[::2, 3] = True
    >>> print(mask({"head/kernel": chosen}).resolve(example_layout("lenet5")))
    weight         shape          form                  trainable   total
    head/kernel    (84, 10)       42 of 840 parameters         42     840
    sum                           0.09%                        42  44,426
    """
    if not isinstance(arrays, Mapping):
        raise TypeError(
            "`arrays` must be a mapping of weight path to array, got "
            f'{type(arrays).__name__}. Use mask({{"conv1/kernel": array}}).'
        )
    if not arrays:
        raise ValueError(
            '`arrays` must contain at least one array. Use mask({"conv1/kernel": array}).'
        )
    return _Masks(tuple(sorted(_packed(path, array) for path, array in arrays.items())))


def _packed(path: object, array: ArrayLike) -> tuple[str, tuple[int, ...], bytes]:
    """Return path, shape and packed bits of one array, or of its pair in text."""
    if not isinstance(path, str):
        raise TypeError(f"The weight paths in `arrays` must be strings, got {path!r}.")
    if isinstance(array, tuple) and len(array) == 2 and isinstance(array[1], str):
        return path, *_decoded(path, array[0], array[1])
    array = np.asarray(array)
    if array.dtype != bool and not (
        np.issubdtype(array.dtype, np.integer) and np.isin(array, (0, 1)).all()
    ):
        raise ValueError(
            f"The mask of {path!r} must contain only 0 and 1, got an array of type "
            f"{array.dtype}. Use an array of booleans."
        )
    return path, array.shape, np.packbits(array.astype(bool)).tobytes()


def _decoded(path: str, shape: object, text: str) -> tuple[tuple[int, ...], bytes]:
    """Decode the shape and packed bits of a mask in text."""
    damaged = ValueError(
        f"The text of the mask of {path!r} is damaged. Use the text that a mask prints."
    )
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise damaged
    try:
        packed = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise damaged from None
    # Selectors compare by packed bits: padding bits that are set would make equal masks differ.
    # The length limits the array that is later unpacked to the size of the text.
    spare = 8 * len(packed) - math.prod(shape)
    if not 0 <= spare < 8 or (packed and packed[-1] & ((1 << spare) - 1)):
        raise damaged
    return shape, packed
