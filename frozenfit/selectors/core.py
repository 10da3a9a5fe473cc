"""The base class of selectors, their operators, and the checks of their arguments."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from numbers import Integral, Real
from typing import Any

from .forms import Form, Selection, difference, intersection, union
from .kinds import Everything, Nothing
from .weights import Context, Layout, WeightInfo, near

_CALL = 5
_OPERATORS: dict[str, tuple[Callable[..., Form], int]] = {
    "|": (union, 1),
    "&": (intersection, 2),
    "-": (difference, 3),
}


class Selector:
    """A rule that chooses the trainable parameters of any network.

    Selectors are created by functions (`filters`, `head`, `layers`, ...) and combined by ``|``
    (union), ``&`` (intersection), ``-`` (difference) and ``~`` (complement). They are immutable
    values: two selectors with the same arguments are equal, and ``parse`` reads their ``repr``.

    Examples
    --------
    >>> from frozenfit.selectors import Layout, WeightInfo, filters, head
    >>> hidden = WeightInfo("hidden/kernel", (4, 10), "hidden", "Dense", "kernel", (1,), (0,))
    >>> out = WeightInfo("out/kernel", (10, 3), "out", "Dense", "kernel", (1,), (0,))
    >>> layout = Layout((hidden, out), layers=("hidden", "out"), heads=("out",))
    >>> selector = filters(0.2) | head()
    >>> selector
    filters(0.2) | head()
    >>> dict(selector.resolve(layout).items())
    {'hidden/kernel': Leading(axis=1, count=2), 'out/kernel': Everything()}
    """

    _precedence = _CALL

    def _forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        """Return the form of every weight, in the order of the layout."""
        raise NotImplementedError

    def _text(self) -> str:
        """Return the selector call."""
        raise NotImplementedError

    def resolve(
        self, layout: Layout, context: Context | None = None, allow_empty: bool = False
    ) -> Selection:
        """Apply the selector to the layout of a network.

        Parameters
        ----------
        layout : Layout
            The weights of the network.
        context : Context, optional
            Seed, values of the base and Fisher information, for the selectors that use them.
        allow_empty : bool, default=False
            Whether a selection without trainable parameters is valid.

        Returns
        -------
        Selection
            One form for each weight, in the order of the layout.

        Raises
        ------
        ValueError
            If no parameter is selected, a name matches no weight, or the context lacks a value
            that the selector needs.
        """
        selection = Selection(self._forms(layout, context or Context()), layout)
        if not allow_empty and selection.n_trainable == 0:
            raise ValueError(
                f"{shortened(self)} selects no parameters of this network, which has "
                f"{len(layout.weights)} trainable weights. Use a selector that selects some, such "
                "as filters(0.1) | head()."
            )
        return selection

    def on(self, *globs: str) -> Selector:
        """Restrict to the weights or layers whose path matches one of the globs.

        Parameters
        ----------
        *globs : str
            Patterns as in `layers`.

        Returns
        -------
        Selector
            The restricted selector.

        Raises
        ------
        ValueError
            If there is no glob or, when the selector is resolved, if a glob matches no weight.
        """
        return _Restricted(self, texts("on", globs))

    def __or__(self, other: Selector) -> Selector:
        """Select the parameters of either selector."""
        return _Combined("|", self, other) if isinstance(other, Selector) else NotImplemented

    def __and__(self, other: Selector) -> Selector:
        """Select the parameters of both selectors."""
        return _Combined("&", self, other) if isinstance(other, Selector) else NotImplemented

    def __sub__(self, other: Selector) -> Selector:
        """Select the parameters of the first selector that the second does not select."""
        return _Combined("-", self, other) if isinstance(other, Selector) else NotImplemented

    def __invert__(self) -> Selector:
        """Select all other parameters."""
        return _Inverted(self)

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self))  # type: ignore[arg-type]

    def _key(self) -> tuple:
        # The types are compared too: 1 == 1.0, but filters(1) is one filter, filters(1.0) all.
        return (type(self), *((type(value), value) for value in self._values()))

    def __eq__(self, other: object) -> bool:
        """Compare selector and arguments."""
        return self._key() == other._key() if isinstance(other, Selector) else NotImplemented

    def __hash__(self) -> int:
        """Hash selector and arguments."""
        return hash(self._key())

    def __repr__(self) -> str:
        """Return the selector call, which `parse` reads back."""
        return self._text()

    @property
    def storable(self) -> bool:
        """Whether the selector can be written to a file; a selector with a function cannot."""
        return all(part.storable for part in self._values() if isinstance(part, Selector))

    def to_json(self) -> str:
        """Return the text of the selector, a valid JSON value.

        Raises
        ------
        ValueError
            If the selector contains a function.
        """
        if not self.storable:
            raise ValueError(
                f"{shortened(self)} contains a Python function and cannot be stored. Use a "
                "storable selector, such as layers(...), filters(...) or mask({path: array})."
            )
        return str(self)

    @staticmethod
    def from_json(value: str) -> Selector:
        """Return the selector of a text that `to_json` wrote.

        Raises
        ------
        ValueError
            If the text is not a selector.
        TypeError
            If the value is not a string.
        """
        # A module-level import would be circular: parse imports all selectors, and they import
        # this module.
        from .parse import parse

        return parse(value)


@dataclass(frozen=True, eq=False, repr=False)
class _Combined(Selector):
    """Two selectors joined by an operator."""

    operator: str
    left: Selector
    right: Selector

    @property
    def _precedence(self) -> int:  # type: ignore[override]
        return _OPERATORS[self.operator][1]

    def _forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        join = _OPERATORS[self.operator][0]
        left, right = (part._forms(layout, context) for part in (self.left, self.right))
        return {
            info.path: join(left[info.path], right[info.path], info.shape)
            for info in layout.weights
        }

    def _text(self) -> str:
        own = self._precedence
        # a - b - c is left-associative, so a right operand of equal precedence needs parentheses.
        left = _bracketed(self.left, self.left._precedence < own)
        right = _bracketed(self.right, self.right._precedence <= own)
        return f"{left} {self.operator} {right}"


@dataclass(frozen=True, eq=False, repr=False)
class _Inverted(Selector):
    """The complement of another selector."""

    inner: Selector
    _precedence = 4

    def _forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        inner = self.inner._forms(layout, context)
        return {
            info.path: difference(Everything(), inner[info.path], info.shape)
            for info in layout.weights
        }

    def _text(self) -> str:
        return "~" + _bracketed(self.inner, self.inner._precedence < self._precedence)


@dataclass(frozen=True, eq=False, repr=False)
class _Restricted(Selector):
    """Another selector, restricted to the weights that match."""

    inner: Selector
    globs: tuple[str, ...]

    def _forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        kept = matching(layout, self.globs)
        inner = self.inner._forms(layout, context)
        return {path: form if path in kept else Nothing() for path, form in inner.items()}

    def _text(self) -> str:
        inner = _bracketed(self.inner, self.inner._precedence < _CALL)
        return f"{inner}.{call('on', *self.globs)}"


def _bracketed(selector: Selector, needed: bool) -> str:
    return f"({selector})" if needed else str(selector)


def shortened(selector: Selector) -> str:
    """Return the text of the selector, shortened if a mask makes it long."""
    text = str(selector)
    return text if len(text) <= 200 else f"{text[:150]}...{text[-30:]}"


def quoted(text: str) -> str:
    """Return a Python string literal, in double quotes where that needs no escapes."""
    if '"' in text:
        return repr(text)
    # With a single quote inside, repr takes double quotes; that quote is cut off again.
    return '"' + repr(f"'{text}")[2:]


def call(selector: str, *args: object, **options: object) -> str:
    """Return the text of a selector call; options that are None are left out."""

    def written(value: object) -> str:
        return quoted(value) if isinstance(value, str) else repr(value)

    given = [written(value) for value in args]
    given += [f"{name}={written(value)}" for name, value in options.items() if value is not None]
    return f"{selector}({', '.join(given)})"


def texts(selector: str, values: Iterable[object], optional: bool = False) -> tuple[str, ...]:
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
    return tuple(str(value) for value in values)


def whole(selector: str, name: str, value: object, least: int = 1) -> int:
    """Check an integer argument of a selector."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"`{name}` of `{selector}` must be an int >= {least}, got {value!r}.")
    if value < least:
        raise ValueError(f"`{name}` of `{selector}` must be an int >= {least}, got {int(value)}.")
    return int(value)


def share(selector: str, p: object) -> float | int:
    """Check the fraction or count of a selector, and return it as a float or an int."""
    rule = f"`p` of `{selector}` must be a float in (0, 1] or an int >= 1"
    if isinstance(p, bool) or not isinstance(p, Real):
        raise TypeError(f"{rule}, got {p!r}.")
    if isinstance(p, Integral):
        if p < 1:
            raise ValueError(f"{rule}, got {int(p)}.")
        return int(p)
    fraction = float(p)
    if not 0 < fraction <= 1:
        # The negated comparison refuses nan as well.
        raise ValueError(f"{rule}, got {fraction}.")
    return fraction


def count_of(p: float | int, n: int, least: int = 1) -> int:
    """Return the count for a fraction or count `p` of `n`: ``max(least, floor(p * n))``, at most n.

    The floor is the rule behind the published parameter counts (Rosenfeld & Tsotsos 2018,
    arXiv 1802.00844); 1e-9 compensates for rounding errors, so that 0.1 of 30 is 3.
    """
    wanted = p if isinstance(p, int) else max(least, math.floor(p * n + 1e-9))
    return min(wanted, n)


def whole_weights(layout: Layout, chosen: Callable[[WeightInfo], bool]) -> dict[str, Form]:
    """Return `Everything` for the chosen weights and `Nothing` for the others."""
    return {info.path: Everything() if chosen(info) else Nothing() for info in layout.weights}


def matching(layout: Layout, globs: tuple[str, ...]) -> set[str]:
    """Return the paths of the weights that match a glob, themselves or by an enclosing layer.

    Raises
    ------
    ValueError
        If a glob matches no weight and no layer.
    """
    found: set[str] = set()
    names = {info.path: _names(info) for info in layout.weights}
    for glob in globs:
        paths = {
            path for path, own in names.items() if any(fnmatchcase(name, glob) for name in own)
        }
        if not paths:
            plain = glob.replace("*", "").replace("?", "")
            known = [info.layer for info in layout.weights] + list(layout.paths)
            raise ValueError(f"{quoted(glob)} matches no weight and no layer: {near(plain, known)}")
        found |= paths
    return found


def _names(info: WeightInfo) -> list[str]:
    """Return the path of a weight and of every enclosing layer."""
    parts = info.layer.split("/")
    return [info.path, *("/".join(parts[: end + 1]) for end in range(len(parts)))]
