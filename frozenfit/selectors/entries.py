"""Selectors of individual parameters: at random, by a mask, or by a function.

Random positions come from a Philox counter stream keyed by seed and weight path and are chosen by
integer comparisons only, so that they are identical on every machine.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from .core import Selector, call, count_of, quoted, share, whole
from .forms import Form, difference, from_mask, leading
from .kinds import Everything, Nothing, size, to_mask
from .weights import Context, Layout, WeightInfo, near


def lowest(keys: np.ndarray, count: int) -> np.ndarray:
    """Return a mask of the `count` lowest keys; among equal keys the first ones."""
    if count >= keys.size:
        return np.ones(keys.shape, dtype=bool)
    if count <= 0:
        return np.zeros(keys.shape, dtype=bool)
    last = np.partition(keys, count - 1)[count - 1]
    chosen = keys < last
    ties = np.flatnonzero(keys == last)
    chosen[ties[: count - np.count_nonzero(chosen)]] = True
    return chosen


def lowest_scored(part: Form, shape: tuple[int, ...], keys: np.ndarray, count: int) -> Form:
    """Return the `count` parameters of `part` with the lowest keys (one key per parameter)."""
    if count >= size(part, shape):
        return part
    if isinstance(part, Everything):
        return from_mask(lowest(keys, count).reshape(shape))
    inside = np.flatnonzero(to_mask(part, shape))
    chosen = np.zeros(math.prod(shape), dtype=bool)
    chosen[inside[lowest(keys[inside], count)]] = True
    return from_mask(chosen.reshape(shape))


def _stream(seed: int, info: WeightInfo) -> np.ndarray:
    """Return one random 64-bit integer for each parameter of a weight."""
    # The prefix is part of the key: another text would change every drawn position, and with it
    # the results of every stored or published seed.
    digest = hashlib.sha256(f"frozenfit.subset {seed} {info.path}".encode()).digest()
    return np.random.Philox(key=int.from_bytes(digest[:16], "little")).random_raw(info.size)


def parts_of(within: Selector | None, layout: Layout, context: Context) -> dict[str, Form]:
    """Return the forms of `within`, or `Everything` for each weight if it is None."""
    if within is None:
        return {info.path: Everything() for info in layout.weights}
    return within._forms(layout, context)


def checked_within(selector: str, within: object) -> Selector | None:
    """Check the argument `within` of a selector."""
    if within is not None and not isinstance(within, Selector):
        raise TypeError(
            f"`within` of `{selector}` must be a selector or None, got {within!r}. "
            "Use within=kernels(), for example."
        )
    return within


def _seed(selector: str, seed: object) -> int | None:
    return None if seed is None else whole(selector, "seed", seed, 0)


@dataclass(frozen=True, eq=False, repr=False)
class _Random(Selector):
    """Random parameters of each weight."""

    p: float | int
    seed: int | None
    within: Selector | None

    def _forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        seed = context.seed if self.seed is None else self.seed
        parts = parts_of(self.within, layout, context)
        return {info.path: self._form(info, parts[info.path], seed) for info in layout.weights}

    def _form(self, info: WeightInfo, part: Form, seed: int) -> Form:
        count = count_of(self.p, size(part, info.shape))
        return lowest_scored(part, info.shape, _stream(seed, info), count) if count else Nothing()

    def _text(self) -> str:
        return call("random", self.p, seed=self.seed, within=self.within)


def random(p: float, seed: int | None = None, within: Selector | None = None) -> Selector:
    """Select random parameters, the same fraction of every weight.

    With the same seed, the parameters of a smaller fraction are a subset of those of a larger one.

    Parameters
    ----------
    p : float or int
        A fraction in (0, 1] of the parameters of each weight, rounded down but at least one, or
        their number.
    seed : int, default=None
        Seed of the draw. If None, the seed of the context is used, which an estimator derives
        from ``random_state``.
    within : Selector, default=None
        Draw from the parameters of this selector; `p` is relative to their number. If None, draw
        from all parameters.

    Returns
    -------
    Selector
        The selector.

    Raises
    ------
    ValueError
        If `p` is a float outside (0, 1] or an int below 1, or `seed` is negative.
    TypeError
        If an argument has another type.

    Examples
    --------
    >>> from frozenfit.selectors import kernels
    >>> random(0.1, seed=3, within=kernels())
    random(0.1, seed=3, within=kernels())
    """
    return _Random(share("random", p), _seed("random", seed), checked_within("random", within))


@dataclass(frozen=True, eq=False, repr=False)
class _Disjoint(Selector):
    """One of several disjoint random parts."""

    p: float
    part: int
    of: int
    seed: int | None

    def _forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        seed = context.seed if self.seed is None else self.seed
        return {info.path: self._form(info, seed) for info in layout.weights}

    def _form(self, info: WeightInfo, seed: int) -> Form:
        # Parts are adjacent runs of one random order, so they cannot overlap. A weight with fewer
        # parameters than parts leaves the last parts empty.
        each = count_of(self.p, info.size)
        before, after = (min(each * k, info.size) for k in (self.part, self.part + 1))
        keys = _stream(seed, info)
        upto, below = (lowest_scored(Everything(), info.shape, keys, n) for n in (after, before))
        return difference(upto, below, info.shape)

    def _text(self) -> str:
        return call("disjoint", self.p, self.part, self.of, seed=self.seed)


def disjoint(p: float, part: int, of: int, seed: int | None = None) -> Selector:
    """Select one of several disjoint random parts, for the members of an ensemble.

    Parameters
    ----------
    p : float
        Fraction of each weight in each part, rounded down but at least one parameter; ``p * of``
        must not exceed 1.
    part : int
        Index of the part, from 0 to ``of - 1``.
    of : int
        Number of parts. In a weight with fewer parameters, the last parts are empty.
    seed : int, default=None
        Seed of the draw, which all parts must share. If None, the seed of the context is used.

    Returns
    -------
    Selector
        The selector.

    Raises
    ------
    ValueError
        If ``p * of`` exceeds 1, or `p`, `part` or `of` is out of range.
    TypeError
        If an argument has another type.

    Examples
    --------
    >>> disjoint(0.2, 0, 5, seed=1) | disjoint(0.2, 1, 5, seed=1)
    disjoint(0.2, 0, 5, seed=1) | disjoint(0.2, 1, 5, seed=1)
    """
    fraction = share("disjoint", p)
    if isinstance(fraction, int):
        raise TypeError(
            f"`p` of `disjoint` must be a float in (0, 1], got {fraction}. "
            "Use 0.2 for a fifth of each weight."
        )
    of, part = whole("disjoint", "of", of), whole("disjoint", "part", part, 0)
    if fraction * of > 1 + 1e-9:
        raise ValueError(
            f"`p * of` must be at most 1, got {fraction} * {of}. "
            f"Use a fraction of at most {1 / of:.6g}."
        )
    if part >= of:
        raise ValueError(f"`part` of `disjoint` must be an int from 0 to {of - 1}, got {part}.")
    return _Disjoint(fraction, part, of, _seed("disjoint", seed))


@dataclass(frozen=True, eq=False, repr=False)
class _Given(Selector):
    """Explicit masks: path, shape and packed bits of each weight."""

    entries: tuple[tuple[str, tuple[int, ...], bytes], ...]

    def _forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        forms: dict[str, Form] = {info.path: Nothing() for info in layout.weights}
        for path, shape, packed in self.entries:
            if path not in forms:
                raise ValueError(
                    f"a mask names the weight {quoted(path)}, and there is none: "
                    f"{near(path, layout.paths)}"
                )
            if shape != layout[path].shape:
                raise ValueError(
                    f"the mask of {quoted(path)} has the shape {shape} and the weight "
                    f"{layout[path].shape}: write a mask of the weight's shape"
                )
            bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=math.prod(shape))
            forms[path] = from_mask(bits.astype(bool).reshape(shape))
        return forms

    def _text(self) -> str:
        entries = [
            f"{quoted(path)}: ({shape!r}, {quoted(base64.b64encode(packed).decode())})"
            for path, shape, packed in self.entries
        ]
        return f"mask({{{', '.join(entries)}}})"


def mask(arrays: Mapping[str, Any]) -> Selector:
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

    Examples
    --------
    >>> import numpy as np
    >>> mask({"out/bias": np.array([True, False, True])})
    mask({"out/bias": ((3,), "oA==")})
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
    return _Given(tuple(sorted(_packed(path, array) for path, array in arrays.items())))


def _packed(path: object, array: Any) -> tuple[str, tuple[int, ...], bytes]:
    """Return path, shape and packed bits of one array, or of its pair in text."""
    if not isinstance(path, str):
        raise TypeError(f"The weight paths in `arrays` must be strings, got {path!r}.")
    if isinstance(array, tuple) and len(array) == 2 and isinstance(array[1], str):
        return path, *_unwritten(path, *array)
    array = np.asarray(array)
    if array.dtype != bool and not (
        np.issubdtype(array.dtype, np.integer) and np.isin(array, (0, 1)).all()
    ):
        raise ValueError(
            f"The mask of {quoted(path)} must contain only 0 and 1, got an array of type "
            f"{array.dtype}. Use an array of booleans."
        )
    return path, array.shape, np.packbits(array.astype(bool)).tobytes()


def _unwritten(path: str, shape: Any, text: str) -> tuple[tuple[int, ...], bytes]:
    """Decode the shape and packed bits of a mask in text."""
    wrong = f"the written mask of {quoted(path)} is damaged: write it as mask() itself prints it"
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(wrong)
    try:
        packed = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(wrong) from None
    entries = math.prod(shape)
    # Selectors compare by packed bits: set padding bits would make equal masks differ.
    spare = 8 * len(packed) - entries
    if not 0 <= spare < 8 or (packed and packed[-1] & ((1 << spare) - 1)):
        raise ValueError(wrong)
    return shape, packed


@dataclass(frozen=True, eq=False, repr=False)
class _Where(Selector):
    """Parameters chosen by a function of each weight."""

    fn: Callable[[WeightInfo], Any]

    def _forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        return {info.path: self._form(info) for info in layout.weights}

    def _form(self, info: WeightInfo) -> Form:
        answer = self.fn(info)
        if answer is None:
            return Nothing()
        if isinstance(answer, str) and answer == "all":
            return Everything()
        counted = isinstance(answer, Integral) and not isinstance(answer, bool)
        if counted and int(answer) >= 0:
            return leading(info.shape, info.output_axes, int(answer), info.gates)
        array = np.asarray(answer)
        if array.dtype == bool and array.shape == info.shape and not isinstance(answer, bool):
            return from_mask(array)
        shown = f"an array of {array.dtype} {array.shape}" if array.ndim else repr(answer)
        raise ValueError(
            f"{self} said {shown} of {quoted(info.path)} of shape {info.shape}: return None, "
            '"all", a count of outputs, or an array of booleans of that shape'
        )

    def _text(self) -> str:
        return f"where({getattr(self.fn, '__name__', type(self.fn).__name__)})"

    @property
    def storable(self) -> bool:
        """False, because a function cannot be written to a file."""
        return False


def where(fn: Callable[[WeightInfo], Any]) -> Selector:
    """Select parameters by a function of each weight.

    The selector cannot be stored in a file, because it contains a Python function.

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

    Examples
    --------
    >>> def wide(info):
    ...     return 2 if info.n_outputs > 64 else None
    >>> where(wide)
    where(wide)
    """
    if not callable(fn):
        raise TypeError(
            f"`fn` must be a callable that takes a WeightInfo, got {fn!r}. "
            'Use where(lambda info: "all" if info.role == "kernel" else None), for example.'
        )
    return _Where(fn)
