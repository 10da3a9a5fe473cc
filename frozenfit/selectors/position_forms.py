"""Forms that select parameters of a weight by their positions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Nothing:
    """All parameters of the weight are frozen.

    See Also
    --------
    Everything : All parameters are trainable.

    Examples
    --------
    >>> from frozenfit.selectors import Nothing, forms
    >>> forms.to_mask(Nothing(), (2, 2)).tolist()
    [[False, False], [False, False]]
    """


@dataclass(frozen=True)
class Everything:
    """All parameters of the weight are trainable.

    See Also
    --------
    Nothing : All parameters are frozen.

    Examples
    --------
    >>> from frozenfit.selectors import Everything, forms
    >>> forms.to_mask(Everything(), (2, 2)).tolist()
    [[True, True], [True, True]]
    """


@dataclass(frozen=True)
class Leading:
    """The first positions along one axis.

    Parameters
    ----------
    axis : int
        The axis, counted from 0.
    count : int
        Number of positions, at least 1.

    Raises
    ------
    ValueError
        If an argument is out of range.

    See Also
    --------
    Indices : Other positions along one axis.

    Examples
    --------
    >>> from frozenfit.selectors import Leading, forms
    >>> forms.to_mask(Leading(axis=1, count=1), (2, 2)).tolist()
    [[True, False], [True, False]]
    """

    axis: int
    count: int

    def __post_init__(self) -> None:
        """Check the fields."""
        if self.axis < 0 or self.count < 1:
            raise ValueError(f"`axis` must be >= 0 and `count` must be >= 1, got {self}.")


@dataclass(frozen=True)
class Indices:
    """Some positions along one axis.

    Parameters
    ----------
    axis : int
        The axis, counted from 0.
    indices : tuple of int
        Different positions, in increasing order.

    Raises
    ------
    ValueError
        If the axis is negative, or the positions are negative or not increasing.

    See Also
    --------
    Leading : The first positions along one axis.

    Examples
    --------
    >>> from frozenfit.selectors import Indices, forms
    >>> forms.to_mask(Indices(axis=0, indices=(0, 2)), (3,)).tolist()
    [True, False, True]
    """

    axis: int
    indices: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check the fields."""
        increasing = all(a < b for a, b in zip(self.indices, self.indices[1:], strict=False))
        if self.axis < 0 or not self.indices or self.indices[0] < 0 or not increasing:
            raise ValueError(
                "`indices` must be different positions >= 0 in increasing order on an axis >= 0, "
                f"got {self.indices[:5]} on axis {self.axis}."
            )


@dataclass(frozen=True, eq=False)
class Mask:
    """Any parameters: a read-only Boolean array in the shape of the weight.

    Two masks are equal if their shapes and values are.

    Parameters
    ----------
    array : ndarray of bool
        True for trainable parameters. It is copied.

    See Also
    --------
    from_mask : The canonical form of a Boolean array, which is a mask only where it has to be.

    Examples
    --------
    >>> import numpy as np
    >>> from frozenfit.selectors import Mask, forms
    >>> forms.size(Mask(np.array([[True, False], [False, True]])), (2, 2))
    2
    """

    array: np.ndarray

    def __post_init__(self) -> None:
        """Keep a read-only copy, because masks are hashed and shared by caches."""
        array = np.array(self.array, dtype=bool, order="C")
        array.setflags(write=False)
        object.__setattr__(self, "array", array)

    def __eq__(self, other: object) -> bool:
        """Compare shapes and values."""
        if not isinstance(other, Mask):
            return NotImplemented
        return np.array_equal(self.array, other.array)

    def __hash__(self) -> int:
        """Hash shape and values."""
        return hash((self.array.shape, np.packbits(self.array).tobytes()))

    def __reduce__(self) -> tuple:
        """Pickle through the constructor, because NumPy unpickles arrays as writable."""
        return Mask, (self.array,)


PositionForm = Nothing | Everything | Leading | Indices | Mask


def along(form: Leading | Indices, shape: tuple[int, ...]) -> range | tuple[int, ...]:
    """Return the positions of a slice.

    Parameters
    ----------
    form : Leading or Indices
        The form.
    shape : tuple of int
        Shape of the weight.

    Returns
    -------
    range or tuple of int
        Positions along the axis of the form.

    Raises
    ------
    ValueError
        If the form does not fit the shape.
    """
    positions = range(form.count) if isinstance(form, Leading) else form.indices
    if form.axis >= len(shape) or positions[-1] >= shape[form.axis]:
        raise ValueError(
            f"{type(form).__name__} on axis {form.axis} up to position {positions[-1]} does not "
            f"fit the shape {shape}."
        )
    return positions


def elements(form: Mask, shape: tuple[int, ...]) -> np.ndarray:
    """Return the array of a mask.

    Parameters
    ----------
    form : Mask
        The form.
    shape : tuple of int
        Shape of the weight.

    Returns
    -------
    ndarray of bool
        That of the form.

    Raises
    ------
    ValueError
        If the mask has another shape than the weight.
    """
    if form.array.shape != tuple(shape):
        raise ValueError(
            f"A mask must be of the weight's shape {tuple(shape)}, got the shape "
            f"{form.array.shape}."
        )
    return form.array


def index(form: Leading | Indices, shape: tuple[int, ...]) -> tuple[slice | list[int], ...]:
    """Return the NumPy index of a slice.

    Parameters
    ----------
    form : Leading or Indices
        The form.
    shape : tuple of int
        Shape of the weight.

    Returns
    -------
    tuple of slice or list of int
        What selects the slice in an array of the weight.

    Raises
    ------
    ValueError
        If the form does not fit the shape.
    """
    positions = along(form, shape)
    chosen = slice(form.count) if isinstance(form, Leading) else list(positions)
    return (slice(None),) * form.axis + (chosen,)


def at_positions(axis: int, positions: Iterable[int], shape: tuple[int, ...]) -> PositionForm:
    """Return the canonical form of positions along an axis.

    Parameters
    ----------
    axis : int
        The axis.
    positions : iterable of int
        Positions along it, in any order.
    shape : tuple of int
        Shape of the weight.

    Returns
    -------
    PositionForm
        In canonical form.
    """
    chosen = sorted(set(positions))
    if not chosen or math.prod(shape) == 0:
        return Nothing()
    if len(chosen) == shape[axis]:
        return Everything()
    if chosen[-1] == len(chosen) - 1:
        return Leading(axis, len(chosen))
    return Indices(axis, tuple(chosen))


def from_mask(mask: np.ndarray) -> PositionForm:
    """Return the canonical form of a Boolean array.

    Parameters
    ----------
    mask : ndarray of bool
        True for trainable parameters.

    Returns
    -------
    PositionForm
        The cheapest form that selects exactly these parameters.

    See Also
    --------
    to_mask : The inverse.

    Examples
    --------
    >>> import numpy as np
    >>> from frozenfit.selectors import forms
    >>> forms.from_mask(np.array([[True, False], [True, False]]))
    Leading(axis=1, count=1)
    """
    mask = np.asarray(mask, dtype=bool)
    chosen = int(np.count_nonzero(mask))
    if chosen == 0:
        return Nothing()
    if chosen == mask.size:
        return Everything()
    for axis, length in enumerate(mask.shape):
        # Whole slices have a multiple of the parameters of one slice. This test first spares
        # nearly every large mask the reductions.
        each = mask.size // length
        if chosen % each:
            continue
        others = tuple(other for other in range(mask.ndim) if other != axis)
        positions = np.flatnonzero(mask.any(axis=others))
        if positions.size * each == chosen:
            return at_positions(axis, positions.tolist(), mask.shape)
    return Mask(mask)


def leading(
    shape: tuple[int, ...], axes: tuple[int, ...], count: int, gates: int = 1
) -> PositionForm:
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

    Returns
    -------
    PositionForm
        In canonical form.

    See Also
    --------
    filters : Select the first outputs of every hidden layer.

    Examples
    --------
    >>> from frozenfit.selectors import forms
    >>> forms.leading((3, 8), (1,), 1, gates=4)
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
        # Built without a mask, because a kernel of a wide network has millions of parameters.
        blocks = range(gates)
        return at_positions(axes[0], [g * units + u for g in blocks for u in range(count)], shape)
    row = math.prod(sizes[1:])
    if count % row == 0:
        return at_positions(axes[0], range(count // row), shape)
    # Units are numbered in C order of `axes`, which need not be the order of the weight's axes.
    first = np.arange(units).reshape(sizes) < count
    first = np.concatenate([first] * gates, axis=-1)
    aligned = first.transpose(np.argsort(axes))
    wide = [length if axis in axes else 1 for axis, length in enumerate(shape)]
    return from_mask(np.broadcast_to(aligned.reshape(wide), shape))
