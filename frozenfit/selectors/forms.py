"""Which entries of one weight are learned, in the cheapest form that says it, and their algebra.

Every function is exact and gives the canonical form: whatever selects nothing is `Nothing`,
whatever selects all is `Everything`, a slice from the start is `Leading`, other slices along one
axis are `Indices`, and only what is left is a `Mask`.
"""

from __future__ import annotations

import math
from collections.abc import ItemsView, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from .kinds import (
    Everything,
    Form,
    Indices,
    Leading,
    Mask,
    Nothing,
    along,
    checked,
    compact_shape,
    put,
    size,
    take,
    to_mask,
    words,
)
from .weights import Context, Layout, WeightInfo

__all__ = [
    "Context",
    "Everything",
    "Form",
    "Indices",
    "Layout",
    "Leading",
    "Mask",
    "Nothing",
    "Selection",
    "TableRow",
    "WeightInfo",
    "compact_shape",
    "complement",
    "difference",
    "from_mask",
    "intersection",
    "leading",
    "put",
    "size",
    "take",
    "to_mask",
    "union",
    "words",
]


def _slice(axis: int, positions: Iterable[int], shape: tuple[int, ...]) -> Form:
    """Return the canonical form of positions along an axis."""
    chosen = sorted(set(positions))
    if not chosen or math.prod(shape) == 0:
        return Nothing()
    if len(chosen) == shape[axis]:
        return Everything()
    if chosen[-1] == len(chosen) - 1:
        return Leading(axis, len(chosen))
    return Indices(axis, tuple(chosen))


def _canonical(form: Form, shape: tuple[int, ...]) -> Form:
    """Return the canonical form of what may be written in more than one."""
    if isinstance(form, Leading | Indices):
        return _slice(form.axis, along(form, shape), shape)
    if isinstance(form, Mask):
        return from_mask(checked(form, shape))
    return Nothing() if math.prod(shape) == 0 else form


def from_mask(mask: np.ndarray) -> Form:
    """Return the cheapest form that selects exactly the True entries.

    Parameters
    ----------
    mask : ndarray of bool
        One boolean for each entry of the weight.

    Examples
    --------
    >>> from_mask(np.array([[True, False], [True, False]]))
    Leading(axis=1, count=1)
    """
    mask = np.asarray(mask, dtype=bool)
    chosen = int(np.count_nonzero(mask))
    if chosen == 0:
        return Nothing()
    if chosen == mask.size:
        return Everything()
    for axis, length in enumerate(mask.shape):
        # A union of whole slices holds a multiple of one slice's entries; testing that first
        # spares nearly every large mask the reductions.
        each = mask.size // length
        if chosen % each:
            continue
        others = tuple(other for other in range(mask.ndim) if other != axis)
        positions = np.flatnonzero(mask.any(axis=others))
        if positions.size * each == chosen:
            return _slice(axis, positions.tolist(), mask.shape)
    return Mask(mask)


def union(a: Form, b: Form, shape: tuple[int, ...]) -> Form:
    """Return the entries in either form.

    Examples
    --------
    >>> union(Leading(1, 2), Leading(1, 5), (4, 8))
    Leading(axis=1, count=5)
    """
    if isinstance(a, Nothing) or isinstance(b, Everything):
        return _canonical(b, shape)
    if isinstance(b, Nothing) or isinstance(a, Everything):
        return _canonical(a, shape)
    if isinstance(a, Leading | Indices) and isinstance(b, Leading | Indices) and a.axis == b.axis:
        return _slice(a.axis, [*along(a, shape), *along(b, shape)], shape)
    return from_mask(to_mask(a, shape) | to_mask(b, shape))


def intersection(a: Form, b: Form, shape: tuple[int, ...]) -> Form:
    """Return the entries in both forms.

    Examples
    --------
    >>> intersection(Leading(1, 2), Leading(1, 5), (4, 8))
    Leading(axis=1, count=2)
    """
    if isinstance(a, Nothing) or isinstance(b, Nothing):
        return Nothing()
    if isinstance(a, Everything):
        return _canonical(b, shape)
    if isinstance(b, Everything):
        return _canonical(a, shape)
    if isinstance(a, Leading | Indices) and isinstance(b, Leading | Indices) and a.axis == b.axis:
        return _slice(a.axis, set(along(a, shape)) & set(along(b, shape)), shape)
    return from_mask(to_mask(a, shape) & to_mask(b, shape))


def complement(form: Form, shape: tuple[int, ...]) -> Form:
    """Return the parameters that the form does not select.

    Examples
    --------
    >>> complement(Leading(0, 2), (4, 8))
    Indices(axis=0, indices=(2, 3))
    """
    if isinstance(form, Nothing):
        return _canonical(Everything(), shape)
    if isinstance(form, Everything):
        return Nothing()
    if isinstance(form, Mask):
        return from_mask(~checked(form, shape))
    return _slice(form.axis, set(range(shape[form.axis])) - set(along(form, shape)), shape)


def difference(a: Form, b: Form, shape: tuple[int, ...]) -> Form:
    """Return the parameters of `a` that are not in `b`.

    Examples
    --------
    >>> difference(Everything(), Leading(0, 3), (4,))
    Indices(axis=0, indices=(3,))
    """
    return intersection(a, complement(b, shape), shape)


def leading(shape: tuple[int, ...], axes: tuple[int, ...], count: int, gates: int = 1) -> Form:
    """Return the first `count` units along some axes, flattened in C order.

    Parameters
    ----------
    shape : tuple of int
        Shape of the weight.
    axes : tuple of int
        The axes that count the units; an empty tuple means that the weight is one unit.
    count : int
        Number of units; all units are selected if the weight has fewer.
    gates : int, default=1
        Number of gates: blocks of units on the last axis; a unit has one position in each.

    Examples
    --------
    >>> leading((3, 8), (1,), 1, gates=4)
    Indices(axis=1, indices=(0, 2, 4, 6))
    """
    sizes = [shape[axis] for axis in axes]
    if axes:
        sizes[-1] //= gates
    units = math.prod(sizes)
    if count <= 0 or math.prod(shape) == 0:
        return Nothing()
    if count >= units:
        return Everything()
    if len(axes) == 1:
        # Built without a mask: the kernels of a wide network have millions of entries.
        blocks = range(gates)
        return _slice(axes[0], [g * units + u for g in blocks for u in range(count)], shape)
    row = math.prod(sizes[1:])
    if count % row == 0:
        return _slice(axes[0], range(count // row), shape)
    first = np.arange(units).reshape(sizes) < count
    first = np.concatenate([first] * gates, axis=-1)
    aligned = first.transpose(np.argsort(axes))
    wide = [length if axis in axes else 1 for axis, length in enumerate(shape)]
    return from_mask(np.broadcast_to(aligned.reshape(wide), shape))


class TableRow(NamedTuple):
    """One weight in the table of trainable parameters."""

    path: str
    shape: tuple[int, ...]
    form: str
    trainable: int
    total: int


@dataclass(frozen=True)
class Selection:
    """A selector resolved against a network: one form for each trainable weight.

    Parameters
    ----------
    forms : dict of str to Form
        The form of every weight of the layout, by path.
    layout : Layout
        The weights of the network.

    Raises
    ------
    ValueError
        If the paths of the forms are not those of the layout.

    Examples
    --------
    >>> kernel = WeightInfo("out/kernel", (4, 3), "out", "Dense", "kernel", (1,), (0,))
    >>> selection = Selection({"out/kernel": Leading(1, 2)}, Layout((kernel,), ("out",), ("out",)))
    >>> selection.n_trainable, selection.total
    (8, 12)
    """

    forms: dict[str, Form]
    layout: Layout

    def __post_init__(self) -> None:
        """Check that the forms are those of the layout."""
        if tuple(self.forms) != self.layout.paths:
            raise ValueError(
                f"{len(self.forms)} forms were given for {len(self.layout.weights)} weights: "
                "write one form for each weight, in the order of the layout"
            )

    def __hash__(self) -> int:
        """Hash the forms, so that a selection can be the key of a cached network."""
        return hash(tuple(self.forms.items()))

    def __getitem__(self, path: str) -> Form:
        """Return the form of the weight with this path."""
        return self.forms[self.layout[path].path]

    def items(self) -> ItemsView[str, Form]:
        """Return the pairs of path and form, in the order of the layout."""
        return self.forms.items()

    def counts(self, path: str) -> tuple[int, int]:
        """Return the number of trainable parameters of a weight and its size."""
        info = self.layout[path]
        return size(self.forms[path], info.shape), info.size

    @cached_property
    def n_trainable(self) -> int:
        """Number of trainable parameters over all weights."""
        return sum(self.counts(path)[0] for path in self.forms)

    @property
    def total(self) -> int:
        """Number of parameters over all weights."""
        return sum(info.size for info in self.layout.weights)

    def table(self) -> list[TableRow]:
        """Return one row for each weight: path, shape, form as text, trainable, total."""
        return [
            TableRow(info.path, info.shape, words(form, info.shape), *self.counts(info.path))
            for info, form in zip(self.layout.weights, self.forms.values(), strict=True)
        ]
