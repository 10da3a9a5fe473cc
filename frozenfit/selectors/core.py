"""What every selector can do: be resolved, combined, restricted, written and read again."""

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
    """Which entries of a network's trainable weights are learned, before the network is known.

    Selectors are created by functions (`filters`, `head`, `layers`, ...) and combined by ``|``
    (union), ``&`` (intersection), ``-`` (difference) and ``~`` (complement). They are immutable
    values: two with the same arguments are equal, and ``parse`` reads their ``repr``.

    Examples
    --------
    >>> from frozenfit.selectors import filters, head
    >>> filters(0.1) | head()
    filters(0.1) | head()
    >>> (filters(0.1) - head()).on("block1_*")
    (filters(0.1) - head()).on("block1_*")
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
        """Meet a network: give each of its trainable weights one form.

        Parameters
        ----------
        layout : Layout
            The network's weights.
        context : Context, optional
            Seed, base values and Fisher information, for the selectors that ask for them.
        allow_empty : bool, default=False
            Whether nothing at all may be learned; as the whole of what a network learns that
            is nearly always a mistake.

        Returns
        -------
        Selection
            One form for each weight, in the order of the layout.

        Raises
        ------
        ValueError
            If nothing is learned, a name matches nothing, or the context lacks what is asked.
        """
        selection = Selection(self._forms(layout, context or Context()), layout)
        if not allow_empty and selection.n_trainable == 0:
            raise ValueError(
                f"{shortened(self)} learns nothing in this network of {len(layout.weights)} "
                "trainable weights: write a selector that reaches some, such as "
                "filters(0.1) | head()"
            )
        return selection

    def on(self, *globs: str) -> Selector:
        """Restrict to the weights or layers whose path matches one of the globs.

        Parameters
        ----------
        *globs : str
            Patterns as in `layers`.

        Raises
        ------
        ValueError
            If there is no glob; on resolving, if a glob matches nothing.
        """
        return _Restricted(self, texts("on", globs))

    def __or__(self, other: Selector) -> Selector:
        """Learn what either learns."""
        return _Combined("|", self, other) if isinstance(other, Selector) else NotImplemented

    def __and__(self, other: Selector) -> Selector:
        """Learn what both learn."""
        return _Combined("&", self, other) if isinstance(other, Selector) else NotImplemented

    def __sub__(self, other: Selector) -> Selector:
        """Learn what the first learns and the second does not."""
        return _Combined("-", self, other) if isinstance(other, Selector) else NotImplemented

    def __invert__(self) -> Selector:
        """Learn all other entries."""
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
        """Whether the selector can be written to a file; one that holds a function cannot."""
        return all(part.storable for part in self._values() if isinstance(part, Selector))

    def to_json(self) -> str:
        """Return a value that JSON can hold: the selector call as a string.

        Raises
        ------
        ValueError
            If the selector holds a function.
        """
        if not self.storable:
            raise ValueError(
                f"{shortened(self)} holds a Python function and cannot be stored: write a storable "
                "selector instead, such as layers(...), filters(...) or mask({path: array})"
            )
        return str(self)

    @staticmethod
    def from_json(value: str) -> Selector:
        """Return the selector that `to_json` wrote.

        Raises
        ------
        ValueError
            If the text is no selector.
        TypeError
            If it is no text.
        """
        # Imported here because parse knows all selectors, and they are built on this module.
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
        # Python reads a - b - c from the left, so an equal operator on the right needs brackets.
        left = _bracketed(self.left, self.left._precedence < own)
        right = _bracketed(self.right, self.right._precedence <= own)
        return f"{left} {self.operator} {right}"


@dataclass(frozen=True, eq=False, repr=False)
class _Inverted(Selector):
    """All entries another selector leaves out."""

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
    """Another selector, in the weights that match."""

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
    """Return the selector call, cut where a mask makes it long."""
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
                f"{selector} takes names as strings, and {value!r} was given: "
                f'write {selector}("block1_*") for instance'
            )
    if not (optional or values) or "" in values:
        raise ValueError(
            f"{selector} was given no name or an empty one: write "
            f'{selector}("block1_*") for instance'
        )
    return tuple(str(value) for value in values)


def whole(selector: str, name: str, value: object, least: int = 1) -> int:
    """Check a whole number argument of a selector."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(
            f"{selector} takes a whole number as {name}, and {value!r} was given: "
            f"write {least} for instance"
        )
    if value < least:
        raise ValueError(
            f"{selector} takes {name} >= {least}, and {int(value)} was given: "
            f"write {least} for instance"
        )
    return int(value)


def share(selector: str, p: object) -> float | int:
    """Check the fraction or count of a selector, and return it as Python's own float or int."""
    rule = f"{selector} takes a fraction in (0, 1] or a whole count >= 1"
    instead = "write 0.1 for a tenth or 5 for five"
    if isinstance(p, bool) or not isinstance(p, Real):
        raise TypeError(f"{rule}, and {p!r} was given: {instead}")
    if isinstance(p, Integral):
        if p < 1:
            raise ValueError(f"{rule}, and {int(p)} was given: {instead}")
        return int(p)
    fraction = float(p)
    if not 0 < fraction <= 1:
        # The negated comparison refuses nan as well.
        raise ValueError(f"{rule}, and {fraction} was given: {instead}")
    return fraction


def count_of(p: float | int, n: int, least: int = 1) -> int:
    """Return how many of `n` a fraction or count means: ``max(least, floor(p * n))``, at most n.

    The floor is the rule behind the published parameter counts (Rosenfeld & Tsotsos 2018,
    arXiv 1802.00844); 1e-9 is added against float noise, so that 0.1 of 30 is 3.
    """
    wanted = p if isinstance(p, int) else max(least, math.floor(p * n + 1e-9))
    return min(wanted, n)


def whole_weights(layout: Layout, chosen: Callable[[WeightInfo], bool]) -> dict[str, Form]:
    """Return all of the weights that are chosen, and nothing of the others."""
    return {info.path: Everything() if chosen(info) else Nothing() for info in layout.weights}


def matching(layout: Layout, globs: tuple[str, ...]) -> set[str]:
    """Return the paths of the weights that match any glob, by themselves or by a layer around.

    Raises
    ------
    ValueError
        If a glob matches nothing; near names are listed.
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
    """Return the path of a weight, and of every layer around it."""
    parts = info.layer.split("/")
    return [info.path, *("/".join(parts[: end + 1]) for end in range(len(parts)))]
