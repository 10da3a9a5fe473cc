"""Arguments of selectors: how they are checked, counted and written as text."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral, Real


def check_names(selector: str, values: Iterable[object], optional: bool = False) -> tuple[str, ...]:
    """Check that the arguments of a selector are non-empty strings, and at least one."""
    values = tuple(values)
    for value in values:
        if not isinstance(value, str):
            raise TypeError(
                f"The names in `{selector}` must be strings, got {value!r}. "
                f'Use {selector}("block1_*"), for example.'
            )
    if not (optional or values) or "" in values:
        raise ValueError(
            f"`{selector}` needs at least one name, and no name may be empty. "
            f'Use {selector}("block1_*"), for example.'
        )
    # A subclass of str, such as numpy.str_, may have a repr that `parse` does not read.
    return tuple(str(value) for value in values)


def check_int(selector: str, name: str, value: object, least: int = 1) -> int:
    """Check an integer argument of a selector."""
    # True and False are ints in Python, and never meant as numbers here.
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"`{name}` of `{selector}` must be an int >= {least}, got {value!r}.")
    if value < least:
        raise ValueError(f"`{name}` of `{selector}` must be an int >= {least}, got {int(value)}.")
    return int(value)


def check_seed(selector: str, seed: object) -> int | None:
    """Check the seed of a selector, which may be None."""
    return None if seed is None else check_int(selector, "seed", seed, 0)


def check_p(selector: str, p: object) -> float | int:
    """Check the fraction or count of a selector, and return it as a float or an int.

    The two types mean different things, a fraction and a count, so that 1 must stay an int and
    1.0 a float.
    """
    rule = f"`p` of `{selector}` must be a float in (0, 1] or an int >= 1"
    if isinstance(p, bool) or not isinstance(p, Real):
        raise TypeError(f"{rule}, got {p!r}.")
    if isinstance(p, Integral):
        if p < 1:
            raise ValueError(f"{rule}, got {int(p)}.")
        return int(p)
    fraction = float(p)
    # The negated comparison rejects nan as well.
    if not 0 < fraction <= 1:
        raise ValueError(f"{rule}, got {fraction}.")
    return fraction


def count_of(p: float | int, n: int, least: int = 1) -> int:
    """Return the count for a fraction or count `p` of `n`: ``max(least, floor(p * n))``, at most n.

    The floor is the rule behind the published parameter counts (Rosenfeld & Tsotsos 2018,
    arXiv 1802.00844); 1e-9 compensates for rounding errors, so that 0.1 of 30 is 3.
    """
    wanted = p if isinstance(p, int) else max(least, math.floor(p * n + 1e-9))
    return min(wanted, n)


def quoted(text: str) -> str:
    """Return a Python string literal, in double quotes where that needs no escapes."""
    if '"' in text:
        return repr(text)
    # With a single quote inside, repr uses double quotes; that single quote is removed again.
    return '"' + repr(f"'{text}")[2:]


def call(selector: str, *args: object, **options: object) -> str:
    """Return the text of a selector call; options that are None are omitted."""

    def written(value: object) -> str:
        return quoted(value) if isinstance(value, str) else repr(value)

    given = [written(value) for value in args]
    given += [f"{name}={written(value)}" for name, value in options.items() if value is not None]
    return f"{selector}({', '.join(given)})"
