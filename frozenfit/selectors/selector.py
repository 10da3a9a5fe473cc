"""The base class of selectors, and their operators."""

from __future__ import annotations

import dataclasses
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from frozenfit.utils.names import did_you_mean

from .arguments import call, check_names
from .context import Context
from .forms import (
    Everything,
    Form,
    Nothing,
    canonical,
    difference,
    intersection,
    union,
)
from .layout import Layout
from .selection import Selection

_CALL = 5
_OPERATORS: dict[str, tuple[Callable[..., Form], int]] = {
    "|": (union, 1),
    "&": (intersection, 2),
    "-": (difference, 3),
}


class Selector(ABC):
    """A rule that chooses the trainable parameters of any network.

    Selectors are created by functions (`filters`, `head`, `layers`, ...) and combined by ``|``
    (union), ``&`` (intersection), ``-`` (difference) and ``~`` (complement). They are immutable
    values: two selectors with the same arguments are equal, and `parse` reads their ``repr``.

    Derive a frozen dataclass from this class to write a selector of your own: implement `forms`,
    and decorate the class with `register` so that it can be written as text and stored.

    Attributes
    ----------
    may_be_empty : bool, default=False
        Whether the selector describes networks in general, so that it may select nothing in one
        of them, as `batch_norm` does in a network without batch normalization. Otherwise `resolve`
        warns where the selector is a part of an expression and selects nothing.
    names_layers : bool, default=False
        Whether the selector names layers or weights of one network. Where it selects nothing,
        `resolve` then raises an error.

    See Also
    --------
    register : Make a selector available in text and files.
    parse : Read a selector from text.
    where : Select by a function, without a class.

    Notes
    -----
    *Values.* The fields of a selector are numbers, strings, tuples of them, or selectors, so that
    it can be hashed, compared and written as text. Check them in ``__post_init__``.

    *Determinism.* `forms` depends on its arguments and the fields alone. Random choices are made
    from ``context.seed`` and the path of the weight, so that they are equal on each machine and
    do not depend on the other weights. A fit, its clone and the reader of a file rely on it.

    *Cost.* A weight may have millions of parameters: `forms` must not loop over them in Python.

    Examples
    --------
    >>> from frozenfit.selectors import example_layout, filters, head
    >>> selector = filters(0.2).on("dense*") | head()
    >>> selector
    filters(0.2).on("dense*") | head()
    >>> print(selector.resolve(example_layout("lenet5")))
    weight         shape          form                       trainable   total
    dense1/kernel  (256, 120)     first 24 of 120 on axis 1      6,144  30,720
    dense1/bias    (120,)         first 24 of 120 on axis 0         24     120
    dense2/kernel  (120, 84)      first 16 of 84 on axis 1       1,920  10,080
    dense2/bias    (84,)          first 16 of 84 on axis 0          16      84
    head/kernel    (84, 10)       all                              840     840
    head/bias      (10,)          all                               10      10
    sum                           20.15%                         8,954  44,426
    """

    _precedence: int = _CALL
    _name: ClassVar[str | None] = None

    @abstractmethod
    def forms(self, layout: Layout, context: Context) -> Mapping[str, Form]:
        """Return the form of each weight with trainable parameters.

        Parameters
        ----------
        layout : Layout
            The weights of the network.
        context : Context
            Seed, values of the base and Fisher information.

        Returns
        -------
        mapping of str to Form
            By weight path. Weights that are left out are frozen.

        See Also
        --------
        resolve : The forms of all weights, as a selection.

        Examples
        --------
        >>> from frozenfit.selectors import Context, example_layout, head
        >>> head().forms(example_layout("lenet5"), Context())
        {'head/kernel': Everything(), 'head/bias': Everything()}
        """

    def text(self) -> str:
        """Return the selector call, which `parse` reads back.

        Returns
        -------
        str
            By default the registered name with the fields of the dataclass as arguments.

        See Also
        --------
        parse : Read the text.

        Examples
        --------
        >>> from frozenfit.selectors import filters
        >>> filters(0.1, min_filters=0).text()
        'filters(0.1, min_filters=0)'
        """
        arguments = {}
        for each in dataclasses.fields(self):  # type: ignore[arg-type]
            value, default = getattr(self, each.name), each.default
            # As in a comparison, 1 is not the default 1.0.
            if (type(value), value) != (type(default), default):
                arguments[each.name] = value
        return call(self._name or type(self).__name__, **arguments)

    @property
    def may_be_empty(self) -> bool:
        """Whether the selector may select nothing in some networks, without a warning."""
        return False

    @property
    def names_layers(self) -> bool:
        """Whether the selector, or a selector among its arguments, names layers of a network."""
        return any(part.names_layers for part in self._values() if isinstance(part, Selector))

    def resolve(
        self, layout: Layout, context: Context | None = None, allow_empty: bool = False
    ) -> Selection:
        """Apply the selector to the layout of a network.

        Parameters
        ----------
        layout : Layout
            The weights of the network.
        context : Context, default=None
            Seed, values of the base and Fisher information, for the selectors that use them.
        allow_empty : bool, default=False
            Whether the selector and its parts may select nothing.

        Returns
        -------
        Selection
            One form for each weight, in the order of the layout.

        Raises
        ------
        ValueError
            If no parameter is selected, a part that names layers selects nothing, a name matches
            no weight, or the context lacks a value that the selector needs.

        Warns
        -----
        UserWarning
            If another part selects nothing, such as ``rows(1)`` in a network without convolutions.

        See Also
        --------
        frozenfit.layout.describe : The layout of a Keras model.

        Examples
        --------
        >>> from frozenfit.selectors import example_layout, first, head
        >>> print((first(1) | head()).resolve(example_layout()))
        weight         shape          form     trainable   total
        conv1/kernel   (5, 5, 1, 6)   all            150     150
        conv1/bias     (6,)           all              6       6
        head/kernel    (84, 10)       all            840     840
        head/bias      (10,)          all             10      10
        sum                           2.26%        1,006  44,426
        """
        report = _Report()
        selection = Selection(self._evaluate(layout, context or Context(), report), layout)
        if allow_empty:
            return selection
        # A part that names layers is the more precise error, and warnings are for valid selections.
        if report.errors:
            raise ValueError(report.errors[0])
        if selection.n_trainable == 0:
            raise ValueError(
                f"{shortened(self)} selects no parameters of this network, which has "
                f"{len(layout.weights)} trainable weights. Use a selector that selects some, such "
                "as filters(0.1) | head()."
            )
        for message in report.warnings:
            warnings.warn(message, stacklevel=2)
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
            If there is no glob or, when the selector is resolved, if a glob matches no weight or
            nothing is selected in the weights that match.

        See Also
        --------
        layers : Select all parameters of the weights that match.

        Examples
        --------
        >>> from frozenfit.selectors import biases, example_layout
        >>> print(biases().on("conv*").resolve(example_layout()))
        weight         shape          form     trainable   total
        conv1/bias     (6,)           all              6       6
        conv2/bias     (16,)          all             16      16
        sum                           0.05%           22  44,426
        """
        return _Restricted(self, check_names("on", globs))

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

    def __eq__(self, other: object) -> bool:
        """Compare selector and arguments."""
        return self._key() == other._key() if isinstance(other, Selector) else NotImplemented

    def __hash__(self) -> int:
        """Hash selector and arguments."""
        return hash(self._key())

    def __repr__(self) -> str:
        """Return the selector call, which `parse` reads back."""
        return self.text()

    @property
    def storable(self) -> bool:
        """Whether the selector can be written to a file, because `parse` reads its text back."""
        try:
            return Selector.from_json(str(self)) == self
        except ValueError:
            return False

    def to_json(self) -> str:
        """Return the text of the selector, a valid JSON value.

        Returns
        -------
        str
            The text, from which `from_json` creates an equal selector.

        Raises
        ------
        ValueError
            If the text does not describe the selector, because it contains a Python function or
            a class that is not registered.

        See Also
        --------
        from_json : Create a selector from its text.

        Examples
        --------
        >>> from frozenfit.selectors import filters, head
        >>> (filters(0.1) | head()).to_json()
        'filters(0.1) | head()'
        """
        if not self.storable:
            raise ValueError(
                f"{shortened(self)} cannot be stored, because it contains a Python function or a "
                "class that is not registered. Use a storable selector, such as "
                "mask({path: array}), or frozenfit.selectors.register."
            )
        return str(self)

    @staticmethod
    def from_json(value: str) -> Selector:
        """Return the selector of a text that `to_json` wrote.

        Parameters
        ----------
        value : str
            The text.

        Returns
        -------
        Selector
            The selector.

        Raises
        ------
        ValueError
            If the text is not a selector.
        TypeError
            If the value is not a string.

        See Also
        --------
        parse : The function that reads the text.

        Examples
        --------
        >>> from frozenfit.selectors import Selector, head
        >>> Selector.from_json("head()") == head()
        True
        """
        # A module-level import would be circular: the parser returns selectors, and the registry
        # that it reads from imports this module.
        from .parse import parse

        return parse(value)

    def _values(self) -> tuple[object, ...]:
        return tuple(getattr(self, each.name) for each in dataclasses.fields(self))  # type: ignore[arg-type]

    def _key(self) -> tuple[object, ...]:
        # The types are compared too: 1 == 1.0, but filters(1) is one filter, filters(1.0) all.
        return (type(self), *((type(value), value) for value in self._values()))

    def _evaluate(
        self, layout: Layout, context: Context, report: _Report | None = None
    ) -> dict[str, Form]:
        """Return the form of every weight, in the order of the layout.

        Forms are canonical from here on: compiled models are cached by them, and two forms of one
        set of parameters would be compiled twice.
        """
        given = self.forms(layout, context)
        for path in given:
            if path not in layout:
                layout._refuse_frozen(path)
                raise ValueError(
                    f"{shortened(self)} names the weight {path!r}, which the network does not "
                    f"have. {did_you_mean(path, layout.paths)}"
                )
        forms = {}
        for info in layout.weights:
            try:
                forms[info.path] = canonical(given.get(info.path, Nothing()), info.shape)
            except ValueError as error:
                raise ValueError(
                    f"{shortened(self)} does not fit the weight {info.path!r}. {error}"
                ) from None
        if report is not None:
            report.add(self, forms)
        return forms


@dataclass
class _Report:
    """The parts of an expression that select nothing.

    Such a part would go unnoticed, because the other parts select something.
    """

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, part: Selector, forms: Mapping[str, Form]) -> None:
        """Note the part if none of its forms selects anything."""
        if any(form != Nothing() for form in forms.values()):
            return
        if part.names_layers:
            self.errors.append(
                f"{shortened(part)} selects no parameters in the layers that it names. Remove it, "
                "or name layers in which it selects some."
            )
        elif not part.may_be_empty:
            self.warnings.append(
                f"{shortened(part)} selects no parameters of this network, and has no effect."
            )


class _Expression(Selector):
    """A selector that is evaluated through other selectors, and not by its own method `forms`."""

    def forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        return self._evaluate(layout, context)

    @abstractmethod
    def _evaluate(
        self, layout: Layout, context: Context, report: _Report | None = None
    ) -> dict[str, Form]: ...


@dataclass(frozen=True, eq=False, repr=False)
class _Combined(_Expression):
    """Two selectors joined by an operator."""

    operator: str
    left: Selector
    right: Selector

    @property
    def _precedence(self) -> int:  # type: ignore[override]
        return _OPERATORS[self.operator][1]

    @property
    def may_be_empty(self) -> bool:
        return self.left.may_be_empty and (self.operator == "-" or self.right.may_be_empty)

    @property
    def names_layers(self) -> bool:
        # The layers on the right of a difference are those to leave out.
        return self.left.names_layers or (self.operator != "-" and self.right.names_layers)

    def _evaluate(
        self, layout: Layout, context: Context, report: _Report | None = None
    ) -> dict[str, Form]:
        join = _OPERATORS[self.operator][0]
        # An intersection is one part: in `layers("a") & rows(1)`, each operand restricts the other.
        inner = None if self.operator == "&" else report
        left, right = (part._evaluate(layout, context, inner) for part in (self.left, self.right))
        forms = {
            info.path: join(left[info.path], right[info.path], info.shape)
            for info in layout.weights
        }
        if report is not None and self.operator != "|":
            report.add(self, forms)
        return forms

    def text(self) -> str:
        own = self._precedence
        # a - b - c is left-associative, so a right operand of equal precedence needs parentheses.
        left = _bracketed(self.left, self.left._precedence < own)
        right = _bracketed(self.right, self.right._precedence <= own)
        return f"{left} {self.operator} {right}"


@dataclass(frozen=True, eq=False, repr=False)
class _Inverted(_Expression):
    """The complement of another selector."""

    inner: Selector
    _precedence: ClassVar[int] = 4

    def _evaluate(
        self, layout: Layout, context: Context, report: _Report | None = None
    ) -> dict[str, Form]:
        inner = self.inner._evaluate(layout, context, report)
        return {
            info.path: difference(Everything(), inner[info.path], info.shape)
            for info in layout.weights
        }

    def text(self) -> str:
        return "~" + _bracketed(self.inner, self.inner._precedence < self._precedence)


@dataclass(frozen=True, eq=False, repr=False)
class _Restricted(_Expression):
    """Another selector, restricted to the weights that match."""

    inner: Selector
    globs: tuple[str, ...]

    @property
    def names_layers(self) -> bool:
        return True

    def _evaluate(
        self, layout: Layout, context: Context, report: _Report | None = None
    ) -> dict[str, Form]:
        matches = {glob: layout.match(glob) for glob in self.globs}
        kept = frozenset().union(*matches.values())
        inner = self.inner._evaluate(layout, context)
        forms = {path: form if path in kept else Nothing() for path, form in inner.items()}
        if report is not None:
            report.add(self, forms)
            report.warnings += [
                f"{shortened(self)} selects no parameters in the layers that match {glob!r}."
                for glob, paths in matches.items()
                if all(forms[path] == Nothing() for path in paths)
            ]
        return forms

    def text(self) -> str:
        inner = _bracketed(self.inner, self.inner._precedence < _CALL)
        return f"{inner}.{call('on', *self.globs)}"


def _bracketed(selector: Selector, needed: bool) -> str:
    return f"({selector})" if needed else str(selector)


def shortened(selector: Selector) -> str:
    """Return the text of the selector, shortened if a mask makes it long."""
    text = str(selector)
    return text if len(text) <= 200 else f"{text[:150]}...{text[-30:]}"
