"""The selectors that choose single entries: at random, as given, or as a function says.

Random entries come from a Philox counter stream keyed by seed and weight path, and are chosen by
integer comparisons alone, so that they are the same on every machine.
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
    """Return the `count` entries of `part` with the lowest keys (one key for each entry)."""
    if count >= size(part, shape):
        return part
    if isinstance(part, Everything):
        return from_mask(lowest(keys, count).reshape(shape))
    inside = np.flatnonzero(to_mask(part, shape))
    chosen = np.zeros(math.prod(shape), dtype=bool)
    chosen[inside[lowest(keys[inside], count)]] = True
    return from_mask(chosen.reshape(shape))


def _stream(seed: int, info: WeightInfo) -> np.ndarray:
    """Return one random 64-bit integer for each entry of a weight."""
    digest = hashlib.sha256(f"frozenfit.subset {seed} {info.path}".encode()).digest()
    return np.random.Philox(key=int.from_bytes(digest[:16], "little")).random_raw(info.size)


def parts_of(within: Selector | None, layout: Layout, context: Context) -> dict[str, Form]:
    """Return the forms of a selector to choose within, all of every weight where there is none."""
    if within is None:
        return {info.path: Everything() for info in layout.weights}
    return within._forms(layout, context)


def checked_within(selector: str, within: object) -> Selector | None:
    """Check the argument `within` of a selector."""
    if within is not None and not isinstance(within, Selector):
        raise TypeError(
            f"{selector} takes a selector as within, and {within!r} was given: "
            "write within=kernels() for instance"
        )
    return within


def _seed(selector: str, seed: object) -> int | None:
    return None if seed is None else whole(selector, "seed", seed, 0)


@dataclass(frozen=True, eq=False, repr=False)
class _Random(Selector):
    """Entries at random, in each weight."""

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
    """Learn entries at random, the same share of every weight.

    The entries for a small share are among those for a larger one with the same seed.

    Parameters
    ----------
    p : float or int
        A fraction in (0, 1] of each weight's entries, rounded down but at least one, or how
        many of each.
    seed : int, optional
        Seed of the draw; by default the one of the context, an estimator's ``random_state``.
    within : Selector, optional
        Draw among these entries only, and take the share of them.

    Raises
    ------
    ValueError, TypeError
        If `p` is neither a fraction in (0, 1] nor a count >= 1, or the seed no integer >= 0.

    Examples
    --------
    >>> from frozenfit.selectors import kernels
    >>> random(0.1, seed=3, within=kernels())
    random(0.1, seed=3, within=kernels())
    """
    return _Random(share("random", p), _seed("random", seed), checked_within("random", within))


@dataclass(frozen=True, eq=False, repr=False)
class _Disjoint(Selector):
    """One of several random parts that share no entry."""

    p: float
    part: int
    of: int
    seed: int | None

    def _forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        seed = context.seed if self.seed is None else self.seed
        return {info.path: self._form(info, seed) for info in layout.weights}

    def _form(self, info: WeightInfo, seed: int) -> Form:
        # Parts are neighboring runs of one random order; in a weight of fewer entries than
        # parts the late ones get nothing.
        each = count_of(self.p, info.size)
        before, after = (min(each * k, info.size) for k in (self.part, self.part + 1))
        keys = _stream(seed, info)
        upto, below = (lowest_scored(Everything(), info.shape, keys, n) for n in (after, before))
        return difference(upto, below, info.shape)

    def _text(self) -> str:
        return call("disjoint", self.p, self.part, self.of, seed=self.seed)


def disjoint(p: float, part: int, of: int, seed: int | None = None) -> Selector:
    """Learn one of several random parts that share no entry, for the members of an ensemble.

    Parameters
    ----------
    p : float
        Fraction of each weight in each part, rounded down but at least one entry; ``p * of``
        is at most 1.
    part : int
        Which part, from 0 to ``of - 1``.
    of : int
        How many parts there are. In a weight with fewer entries the late parts learn nothing.
    seed : int, optional
        Seed of the draw, equal for all parts; by default the one of the context.

    Raises
    ------
    ValueError, TypeError
        If the parts do not fit, or an argument is no number of its kind.

    Examples
    --------
    >>> disjoint(0.2, 0, 5, seed=1) | disjoint(0.2, 1, 5, seed=1)
    disjoint(0.2, 0, 5, seed=1) | disjoint(0.2, 1, 5, seed=1)
    """
    fraction = share("disjoint", p)
    if isinstance(fraction, int):
        raise TypeError(
            f"disjoint takes a fraction in (0, 1], and the count {fraction} was given: "
            "write 0.2 for a fifth"
        )
    of, part = whole("disjoint", "of", of), whole("disjoint", "part", part, 0)
    if fraction * of > 1 + 1e-9:
        raise ValueError(
            f"disjoint cannot take {of} parts of {fraction} each from one whole: "
            f"write a fraction of at most {1 / of:.6g}"
        )
    if part >= of:
        raise ValueError(f"disjoint has no part {part} of {of}: write a part from 0 to {of - 1}")
    return _Disjoint(fraction, part, of, _seed("disjoint", seed))


@dataclass(frozen=True, eq=False, repr=False)
class _Given(Selector):
    """Exactly given entries: path, shape and packed bits of each weight."""

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
    """Learn exactly these entries.

    Parameters
    ----------
    arrays : mapping of str to array of bool
        For each weight path an array of the weight's shape, True (or 1) where it is learned;
        weights without an array are frozen. Kept as shape and packed bits; in written form an
        array is the pair of both, the bits in base 64.

    Raises
    ------
    ValueError
        If there is no array, one holds other values than 0 and 1 or, on resolving, one does not
        fit the network.
    TypeError
        If it is no mapping of paths to arrays.

    Examples
    --------
    >>> import numpy as np
    >>> mask({"out/bias": np.array([True, False, True])})
    mask({"out/bias": ((3,), "oA==")})
    """
    if not isinstance(arrays, Mapping):
        raise TypeError(
            f"mask takes a mapping of weight path to array, and {type(arrays).__name__} was "
            'given: write mask({"conv1/kernel": array})'
        )
    if not arrays:
        raise ValueError('mask was given no array: write mask({"conv1/kernel": array})')
    return _Given(tuple(sorted(_packed(path, array) for path, array in arrays.items())))


def _packed(path: object, array: Any) -> tuple[str, tuple[int, ...], bytes]:
    """Return one entry of a mask, from an array or from the written pair."""
    if not isinstance(path, str):
        raise TypeError(f"mask takes weight paths as strings, and {path!r} was given: write a path")
    if isinstance(array, tuple) and len(array) == 2 and isinstance(array[1], str):
        return path, *_unwritten(path, *array)
    array = np.asarray(array)
    if array.dtype != bool and not (
        np.issubdtype(array.dtype, np.integer) and np.isin(array, (0, 1)).all()
    ):
        raise ValueError(
            f"the mask of {quoted(path)} has the type {array.dtype} and not only 0 and 1: "
            "write an array of booleans"
        )
    return path, array.shape, np.packbits(array.astype(bool)).tobytes()


def _unwritten(path: str, shape: Any, text: str) -> tuple[tuple[int, ...], bytes]:
    """Read shape and packed bits as they stand in a written mask."""
    wrong = f"the written mask of {quoted(path)} is damaged: write it as mask() itself prints it"
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(wrong)
    try:
        packed = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(wrong) from None
    entries = math.prod(shape)
    # Bits past the last entry would make equal masks differ.
    spare = 8 * len(packed) - entries
    if not 0 <= spare < 8 or (packed and packed[-1] & ((1 << spare) - 1)):
        raise ValueError(wrong)
    return shape, packed


@dataclass(frozen=True, eq=False, repr=False)
class _Where(Selector):
    """Whatever a function says of each weight."""

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
        """Never: a function cannot be written to a file."""
        return False


def where(fn: Callable[[WeightInfo], Any]) -> Selector:
    """Learn whatever a function says of each weight; it cannot be stored in a file.

    Parameters
    ----------
    fn : callable
        Takes a `WeightInfo` and returns None (nothing), "all", how many of the weight's first
        outputs, or an array of booleans of the weight's shape.

    Raises
    ------
    TypeError
        If `fn` cannot be called.
    ValueError
        On resolving, if it returns anything else.

    Examples
    --------
    >>> def wide(info):
    ...     return 2 if info.n_outputs > 64 else None
    >>> where(wide)
    where(wide)
    """
    if not callable(fn):
        raise TypeError(
            f"where takes a function of a WeightInfo, and {fn!r} was given: "
            'write where(lambda info: "all" if info.role == "kernel" else None)'
        )
    return _Where(fn)
