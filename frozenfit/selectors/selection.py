"""A selector applied to one network."""

from __future__ import annotations

from collections.abc import ItemsView
from dataclasses import dataclass
from functools import cached_property

from frozenfit.parameter_table import ParameterTable, TableRow

from .forms import Form, describe, size
from .layout import Layout
from .subspace_form import Subspace, placed


@dataclass(frozen=True)
class Selection:
    """A selector resolved against a network: one form for each trainable weight.

    ``print`` shows the weights with trainable parameters; `table` returns all of them.

    Parameters
    ----------
    forms : dict of str to Form
        The form of every weight of the layout, by path.
    layout : Layout
        The weights of the network.

    Raises
    ------
    ValueError
        If the paths of the forms are not those of the layout, or a subspace has more dimensions
        than its weights have parameters.

    See Also
    --------
    Selector.resolve : Apply a selector to the layout of a network.

    Examples
    --------
    >>> from frozenfit.selectors import example_layout, filters
    >>> selection = filters(0.5).resolve(example_layout())
    >>> selection.n_trainable, selection.total
    (21788, 44426)
    >>> selection["conv1/kernel"]
    Leading(axis=3, count=3)
    """

    forms: dict[str, Form]
    layout: Layout

    def __post_init__(self) -> None:
        """Check that the forms are those of the layout."""
        if tuple(self.forms) != self.layout.paths:
            raise ValueError(
                "`forms` must have one form for each weight, in the order of the layout, got "
                f"{len(self.forms)} forms for {len(self.layout.weights)} weights."
            )
        if any(isinstance(form, Subspace) for form in self.forms.values()):
            # Which weights share a subspace is known only now, after all set operations.
            object.__setattr__(self, "forms", placed(self.forms, self.layout))

    def __hash__(self) -> int:
        """Hash the forms, so that a selection can be the key of a cached network."""
        # Equal selections have equal forms in the order of the layout; the layout itself need not
        # be hashed for that, and it is long.
        return hash(tuple(self.forms.items()))

    def __getitem__(self, path: str) -> Form:
        """Return the form of the weight with this path."""
        return self.forms[self.layout[path].path]

    def __repr__(self) -> str:
        """Return the number of trainable parameters; all forms and weights would fill pages."""
        return f"<Selection of {self.n_trainable:,} of {self.total:,} parameters>"

    def __str__(self) -> str:
        """Return the lines of the table that have trainable parameters, and the sums."""
        table = self.table()
        title, *lines, sums = str(table).splitlines()
        chosen = [line for line, row in zip(lines, table, strict=True) if row.trainable]
        return "\n".join([title, *chosen, sums])

    def items(self) -> ItemsView[str, Form]:
        """Return the pairs of path and form, in the order of the layout.

        Returns
        -------
        items of dict
            Pairs of str and Form.

        See Also
        --------
        table : The same as text and numbers.

        Examples
        --------
        >>> from frozenfit.selectors import Nothing, example_layout, head
        >>> selection = head().resolve(example_layout("lenet5"))
        >>> [path for path, form in selection.items() if form != Nothing()]
        ['head/kernel', 'head/bias']
        """
        return self.forms.items()

    def counts(self, path: str) -> tuple[int, int]:
        """Return the number of trainable parameters of a weight and its size.

        Parameters
        ----------
        path : str
            Path of the weight.

        Returns
        -------
        n_trainable : int
            Number of trainable parameters of the weight.
        size : int
            Number of all parameters of the weight.

        Raises
        ------
        KeyError
            If no weight has the path.

        See Also
        --------
        table : The numbers of all weights.

        Examples
        --------
        >>> from frozenfit.selectors import example_layout, filters
        >>> filters(0.5).resolve(example_layout("lenet5")).counts("conv1/kernel")
        (75, 150)
        """
        info = self.layout[path]
        return size(self.forms[path], info.shape), info.size

    # Cached, because masks are counted. A cached property writes to the instance's dictionary,
    # which a frozen dataclass allows.
    @cached_property
    def n_trainable(self) -> int:
        """Number of trainable parameters over all weights."""
        return sum(self.counts(path)[0] for path in self.forms)

    @property
    def total(self) -> int:
        """Number of parameters over all weights, those with ``trainable=False`` included."""
        return sum(info.size for info in (*self.layout.weights, *self.layout.frozen))

    def table(self) -> ParameterTable:
        """Return the table of all weights.

        Returns
        -------
        ParameterTable
            One row for each weight: path, shape, form as text, trainable, total. Weights of layers
            with ``trainable=False`` come last.

        See Also
        --------
        frozenfit.PartialModel.parameter_table : The table of a Keras model.

        Examples
        --------
        >>> from frozenfit.selectors import example_layout, filters
        >>> table = filters(0.5).resolve(example_layout("lenet5")).table()
        >>> [row.path for row in table if not row.trainable]
        ['head/kernel', 'head/bias']
        """
        rows = [
            TableRow(info.path, info.shape, describe(form, info.shape), *self.counts(info.path))
            for info, form in zip(self.layout.weights, self.forms.values(), strict=True)
        ]
        rows += [
            TableRow(info.path, info.shape, "trainable=False", 0, info.size)
            for info in self.layout.frozen
        ]
        return ParameterTable(rows)
