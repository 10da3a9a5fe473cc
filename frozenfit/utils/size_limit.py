"""A limit on the memory that the content of a file, or the trial of a search, may ask for.

A file of a few kilobytes may describe a network of any size, and so may the parameters of a trial.
What builds a network charges each allocation whose size is not known before to the limit before it
is made, so that an error is raised in place of it. The limit belongs to one thread and to one
block, so that nothing has to pass it on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["charge", "size_limit"]


_OF_A_FILE = (
    "the limit of {:,.0f} bytes; pass a larger `max_bytes` to frozenfit.load where the file is "
    "trusted"
)


class _Limit:
    def __init__(self, n_bytes: float, description: str):
        self.n_bytes = n_bytes
        self.remaining = n_bytes
        self.description = description


_active: ContextVar[_Limit | None] = ContextVar("size_limit", default=None)


@contextmanager
def size_limit(n_bytes: float, description: str = _OF_A_FILE) -> Iterator[None]:
    """Limit what `charge` accepts in a block and in this thread.

    Parameters
    ----------
    n_bytes : float
        Number of bytes that may be charged in total.
    description : str, default="the limit of {:,.0f} bytes; pass a larger `max_bytes` to ..."
        What an array exceeds and what to do, for the error; `n_bytes` is formatted into it.

    See Also
    --------
    charge : Charge an allocation to the limit.

    Examples
    --------
    >>> with size_limit(100):
    ...     charge("an array", (10,))
    ...     charge("an array", (10**9, 8))
    Traceback (most recent call last):
    ValueError: an array of shape (1000000000, 8) exceeds the limit of 100 bytes; pass a larger \
`max_bytes` to frozenfit.load where the file is trusted
    """
    token = _active.set(_Limit(n_bytes, description))
    try:
        yield
    finally:
        _active.reset(token)


def charge(what: str, shape: Iterable[int], item_bytes: float = 4, *, kept: bool = True) -> None:
    """Charge an array to the limit of the block; without a limit nothing happens.

    Parameters
    ----------
    what : str
        Name of the array, for the error.
    shape : iterable of int
        Shape of the array.
    item_bytes : float, default=4
        Bytes of one element.
    kept : bool, default=True
        Whether the array stays in memory. Otherwise the limit applies to this array alone.

    Raises
    ------
    ValueError
        If the array does not fit into what remains of the limit.

    See Also
    --------
    size_limit : Set the limit.

    Examples
    --------
    >>> charge("an array", (10**9, 8))  # no limit is set
    """
    limit = _active.get()
    if limit is None:
        return
    shape = tuple(shape)
    n_bytes = math.prod(shape) * item_bytes  # Python's integers, which do not overflow
    if n_bytes > (limit.remaining if kept else limit.n_bytes):
        text = limit.description.format(limit.n_bytes)
        raise ValueError(f"{what} of shape {shape} exceeds {text}")
    if kept:
        limit.remaining -= n_bytes
