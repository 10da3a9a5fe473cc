"""Random numbers that are the same on every machine and in every version of NumPy.

They come from the integers of NumPy's counter-based generator Philox, the only stream that NumPy
promises to keep. A stream is keyed by a text, which says what is drawn, for which seed and where.
The texts are part of every result that was drawn with a seed, and of files, which store seeds
instead of values: a changed text changes the numbers.
"""

from __future__ import annotations

import hashlib

import numpy as np


def integers(key: str, count: int) -> np.ndarray:
    """Return random 64-bit integers.

    Parameters
    ----------
    key : str
        The key of the stream.
    count : int
        How many.

    Returns
    -------
    ndarray of uint64, shape (count,)
        Uniform over all integers of 64 bits; the first ones of a longer stream.

    Examples
    --------
    >>> from frozenfit.utils.counter_streams import integers
    >>> bool((integers("a", 2) == integers("a", 3)[:2]).all())
    True
    """
    digest = hashlib.sha256(key.encode()).digest()
    return np.random.Philox(key=int.from_bytes(digest[:16], "little")).random_raw(count)


def uniforms(key: str, count: int) -> np.ndarray:
    """Return random numbers between 0, which is included, and 1.

    Parameters
    ----------
    key : str
        The key of the stream.
    count : int
        How many.

    Returns
    -------
    ndarray of float64, shape (count,)
        Multiples of 2 ** -53.

    Examples
    --------
    >>> from frozenfit.utils.counter_streams import uniforms
    >>> numbers = uniforms("a", 1000)
    >>> bool(numbers.min() >= 0 and numbers.max() < 1)
    True
    """
    return (integers(key, count) >> np.uint64(11)) * 2.0**-53


def seed_of(key: str) -> int:
    """Return a seed, for what cannot be keyed by a text.

    Parameters
    ----------
    key : str
        What the seed is for.

    Returns
    -------
    int
        Of 48 bits: an integer that every reader of JSON keeps.

    Examples
    --------
    >>> from frozenfit.utils.counter_streams import seed_of
    >>> seed_of("a") == seed_of("a") != seed_of("b")
    True
    """
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "little")
