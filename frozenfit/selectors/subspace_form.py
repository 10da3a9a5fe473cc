"""The form of a weight that moves in a random subspace of several weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from .layout import Layout

PROJECTIONS = ("dense", "sparse", "fastfood")


@dataclass(frozen=True)
class Subspace:
    """A part of the vector of parameters that moves in a random subspace.

    The weights with equal `d`, `projection` and `seed` are one vector, in the order of the layout.
    It is a frozen vector plus the product of a random matrix and `d` trained coordinates. A
    selection determines where in the vector each weight is; the coordinates are stored with the
    first one.

    Parameters
    ----------
    d : int
        Number of coordinates.
    projection : {"dense", "sparse", "fastfood"}
        Kind of the random matrix.
    seed : int
        Seed of the random matrix.
    offset : int, default=0
        Position of the first parameter of the weight in the vector.
    total : int, default=0
        Number of parameters in the vector; 0 before a selection has determined it.

    Raises
    ------
    ValueError
        If `d` is below 1, or the projection is unknown.

    See Also
    --------
    subspace : Train a network in a random subspace.

    Examples
    --------
    >>> from frozenfit.selectors import Subspace, forms
    >>> form = Subspace(d=20, projection="sparse", seed=0, offset=0, total=100)
    >>> forms.compact_shape(form, (10, 10))
    (20,)
    """

    d: int
    projection: str
    seed: int
    offset: int = 0
    total: int = 0

    def __post_init__(self) -> None:
        """Check the fields."""
        if self.d < 1 or self.projection not in PROJECTIONS:
            names = ", ".join(map(repr, PROJECTIONS))
            raise ValueError(
                f"`d` must be an int >= 1 and `projection` must be one of {names}, got {self}."
            )

    @property
    def n_coordinates(self) -> int:
        """Number of trained parameters that are stored with the weight."""
        return 0 if self.offset else self.d

    def describe(self) -> str:
        """Describe the form in a table.

        Returns
        -------
        str
            A short line, of the weight with which the coordinates are stored or of another one.

        See Also
        --------
        subspace : Train a network in a random subspace.

        Examples
        --------
        >>> from frozenfit.selectors import Subspace
        >>> Subspace(20, "sparse", 0, offset=0, total=100).describe()
        '20 coordinates for 100 parameters'
        >>> Subspace(20, "sparse", 0, offset=60, total=100).describe()
        'shares 20 coordinates'
        """
        if self.offset:
            return f"shares {self.d} coordinates"
        return f"{self.d} coordinates for {self.total} parameters"

    @property
    def key(self) -> tuple[int, str, int]:
        """What the weights of one subspace have in common."""
        return self.d, self.projection, self.seed


def placed(forms: Mapping[str, Any], layout: Layout) -> dict[str, Any]:
    """Return the forms of a network, in which each weight has its place in its subspace.

    Parameters
    ----------
    forms : mapping of str to Form
        The form of every weight.
    layout : Layout
        The weights.

    Returns
    -------
    dict of str to Form
        In the order of `forms`.

    Raises
    ------
    ValueError
        If a subspace has more dimensions than its weights have parameters.
    """
    totals: dict[tuple, int] = {}
    offsets = {}
    for path, form in forms.items():
        if isinstance(form, Subspace):
            offsets[path] = totals.get(form.key, 0)
            totals[form.key] = offsets[path] + layout[path].size
    for (d, *_), total in totals.items():
        if d > total:
            raise ValueError(
                f"`d` of `subspace` must be at most {total}, the number of parameters in its "
                f"weights, got {d}. Use a smaller d, or everything() to train all parameters."
            )
    return {
        path: replace(form, offset=offsets[path], total=totals[form.key])
        if isinstance(form, Subspace)
        else form
        for path, form in forms.items()
    }


def same_subspace(a: Any, b: Any) -> Subspace:
    """Return the subspace that two forms of a weight are, or raise a ValueError."""
    for form in (a, b):
        if not isinstance(form, Subspace):
            raise ValueError(
                "`subspace` cannot be combined with a part or scales of the same weight, got "
                f"{type(form).__name__} as the other selection. Use subspace() for weights that "
                "are otherwise frozen or trained as a whole, such as subspace(100) | head()."
            )
    if a.key != b.key:
        raise ValueError(
            f"A weight can be in one subspace, got two of it: {a.key} and {b.key} as dimension, "
            "projection and seed. Use .on(...) to give them different weights."
        )
    return a


def refuse_entries(form: Subspace) -> NoReturn:
    """Raise the ValueError of an operation on entries, of which a subspace selects none."""
    raise ValueError(
        f"`subspace` moves whole weights and selects no entries of them, got subspace({form.d}) "
        "where entries are needed. Use subspace() only in unions, and in intersections and "
        "differences with whole weights, such as subspace(100) | head()."
    )
