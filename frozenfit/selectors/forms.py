"""The forms of one weight: which of its parameters are trainable, and the algebra of forms.

Every function is exact and returns the canonical form: `Nothing` and `Everything` where no or all
parameters are selected, `Leading` for the first positions along an axis, `Indices` for other
positions along one axis, and `Mask` for anything else. `Scales` and `Subspace` select no parameters
of the weight but add some, so that they have no mask; the whole weight contains them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from . import scale_form, subspace_form
from .scale_form import Scales
from .subspace_form import Subspace


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


Form = Nothing | Everything | Leading | Indices | Mask | Scales | Subspace


def _along(form: Leading | Indices, shape: tuple[int, ...]) -> range | tuple[int, ...]:
    """Return the positions of a slice, checked against the shape."""
    positions = range(form.count) if isinstance(form, Leading) else form.indices
    if form.axis >= len(shape) or positions[-1] >= shape[form.axis]:
        raise ValueError(
            f"{type(form).__name__} on axis {form.axis} up to position {positions[-1]} does not "
            f"fit the shape {shape}."
        )
    return positions


def _checked(form: Mask, shape: tuple[int, ...]) -> np.ndarray:
    """Return the array of a mask, checked against the shape."""
    if form.array.shape != tuple(shape):
        raise ValueError(
            f"A mask must be of the weight's shape {tuple(shape)}, got the shape "
            f"{form.array.shape}."
        )
    return form.array


def _index(form: Leading | Indices, shape: tuple[int, ...]) -> tuple[slice | list[int], ...]:
    """Return the NumPy index of a slice."""
    positions = _along(form, shape)
    chosen = slice(form.count) if isinstance(form, Leading) else list(positions)
    return (slice(None),) * form.axis + (chosen,)


def compact_shape(form: Form, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the array in which the trainable parameters are stored.

    Parameters
    ----------
    form : Form
        The form.
    shape : tuple of int
        Shape of the weight.

    Returns
    -------
    tuple of int
        The shape of the weight for `Everything`, with a shorter axis for `Leading` and `Indices`;
        one axis, in C order, for `Mask`; one axis for `Scales` and `Subspace`; ``(0,)`` for
        `Nothing`.

    Raises
    ------
    ValueError
        If the form does not fit the shape.

    See Also
    --------
    take : Read the trainable parameters.
    put : Write the trainable parameters.

    Examples
    --------
    >>> from frozenfit.selectors import Leading, forms
    >>> forms.compact_shape(Leading(axis=3, count=2), (3, 3, 8, 16))
    (3, 3, 8, 2)
    """
    if isinstance(form, Nothing):
        return (0,)
    if isinstance(form, Everything):
        return tuple(shape)
    if isinstance(form, Mask):
        return (size(form, shape),)
    if isinstance(form, Scales):
        return (sum(form.counts(shape)),)
    if isinstance(form, Subspace):
        return (form.n_coordinates,)
    length = len(_along(form, shape))
    return (*shape[: form.axis], length, *shape[form.axis + 1 :])


def size(form: Form, shape: tuple[int, ...]) -> int:
    """Return the number of trainable parameters of a weight.

    Parameters
    ----------
    form : Form
        The form.
    shape : tuple of int
        Shape of the weight.

    Returns
    -------
    int
        The number.

    Raises
    ------
    ValueError
        If the form does not fit the shape.

    See Also
    --------
    Selection.counts : The number for a weight of a network.

    Examples
    --------
    >>> from frozenfit.selectors import Leading, forms
    >>> forms.size(Leading(axis=3, count=2), (3, 3, 8, 16))
    144
    """
    if isinstance(form, Mask):
        return int(np.count_nonzero(_checked(form, shape)))
    return math.prod(compact_shape(form, shape))


def to_mask(form: Form, shape: tuple[int, ...]) -> np.ndarray:
    """Return the form as a Boolean array in the shape of the weight.

    Parameters
    ----------
    form : Form
        The form.
    shape : tuple of int
        Shape of the weight.

    Returns
    -------
    ndarray of bool
        True for trainable parameters.

    Raises
    ------
    ValueError
        If the form does not fit the shape, or is `Scales` or `Subspace`.

    See Also
    --------
    from_mask : The inverse.

    Examples
    --------
    >>> from frozenfit.selectors import Indices, forms
    >>> forms.to_mask(Indices(0, (0, 2)), (3,)).tolist()
    [True, False, True]
    """
    if isinstance(form, Mask):
        return _checked(form, shape).copy()
    if isinstance(form, Scales | Subspace):
        _refuse_entries(form)
    mask = np.full(shape, isinstance(form, Everything))
    if isinstance(form, Leading | Indices):
        mask[_index(form, shape)] = True
    return mask


def _refuse_entries(form: Scales | Subspace) -> NoReturn:
    if isinstance(form, Scales):
        scale_form.refuse_entries(form)
    subspace_form.refuse_entries(form)


def take(form: Form, array: np.ndarray) -> np.ndarray:
    """Return a copy of the trainable parameters of a weight.

    Scales and coordinates are not part of the weight: their values are those before training.

    Parameters
    ----------
    form : Form
        The form.
    array : ndarray
        The whole weight.

    Returns
    -------
    ndarray
        Of shape ``compact_shape(form, array.shape)``.

    Raises
    ------
    ValueError
        If the form does not fit the array.

    See Also
    --------
    put : The inverse.

    Examples
    --------
    >>> import numpy as np
    >>> from frozenfit.selectors import Leading, forms
    >>> forms.take(Leading(1, 1), np.array([[1, 2], [3, 4]])).tolist()
    [[1], [3]]
    """
    array = np.asarray(array)
    if isinstance(form, Nothing):
        return np.empty((0,), dtype=array.dtype)
    if isinstance(form, Everything):
        return array.copy()
    if isinstance(form, Mask):
        return array[_checked(form, array.shape)]
    if isinstance(form, Scales):
        return form.start(array.shape).astype(array.dtype)
    if isinstance(form, Subspace):
        return np.zeros(form.n_coordinates, array.dtype)
    return array[_index(form, array.shape)].copy()


def put(form: Form, array: np.ndarray, compact: np.ndarray) -> np.ndarray:
    """Return a copy of a weight with other trainable parameters.

    Parameters
    ----------
    form : Form
        The form.
    array : ndarray
        The whole weight; it is not changed.
    compact : ndarray
        The trainable parameters, of shape ``compact_shape(form, array.shape)``.

    Returns
    -------
    ndarray
        Of the shape and dtype of `array`.

    Raises
    ------
    ValueError
        If the form does not fit the array or is `Subspace`, whose coordinates are those of several
        weights, or `compact` has another shape.

    See Also
    --------
    take : The inverse.

    Examples
    --------
    >>> import numpy as np
    >>> from frozenfit.selectors import Leading, forms
    >>> forms.put(Leading(0, 1), np.zeros(3), np.ones(1)).tolist()
    [1.0, 0.0, 0.0]
    """
    if isinstance(form, Subspace):
        subspace_form.refuse_entries(form)
    whole, compact = np.array(array), np.asarray(compact)
    wanted = compact_shape(form, whole.shape)
    # NumPy would broadcast a wrong shape without an error.
    if compact.shape != wanted:
        raise ValueError(
            f"`compact` must be of shape {wanted} for {describe(form, whole.shape)} of a weight "
            f"of shape {whole.shape}, got {compact.shape}."
        )
    if isinstance(form, Everything):
        whole[...] = compact
    elif isinstance(form, Mask):
        whole[form.array] = compact
    elif isinstance(form, Scales):
        for factor in form.factors(compact, whole.shape):
            whole *= factor
    elif isinstance(form, Leading | Indices):
        whole[_index(form, whole.shape)] = compact
    return whole


def describe(form: Form, shape: tuple[int, ...]) -> str:
    """Describe a form in a table.

    Parameters
    ----------
    form : Form
        The form.
    shape : tuple of int
        Shape of the weight.

    Returns
    -------
    str
        A short line.

    Raises
    ------
    ValueError
        If the form does not fit the shape.

    See Also
    --------
    Selection.table : The table of a network.

    Examples
    --------
    >>> from frozenfit.selectors import Leading, forms
    >>> forms.describe(Leading(1, 2), (4, 8))
    'first 2 of 8 on axis 1'
    """
    if isinstance(form, Nothing):
        return "nothing"
    if isinstance(form, Everything):
        return "all"
    if isinstance(form, Mask):
        return f"{size(form, shape)} of {form.array.size} parameters"
    if isinstance(form, Scales):
        sides = zip(form.counts(shape), ("inputs", "outputs"), strict=True)
        return "scales of " + " and ".join(f"{n} {side}" for n, side in sides if n)
    if isinstance(form, Subspace):
        return form.describe()
    start = "first " if isinstance(form, Leading) else ""
    return f"{start}{len(_along(form, shape))} of {shape[form.axis]} on axis {form.axis}"


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


def canonical(form: Form, shape: tuple[int, ...]) -> Form:
    """Return the canonical form of the same parameters.

    Parameters
    ----------
    form : Form
        Any form.
    shape : tuple of int
        Shape of the weight.

    Returns
    -------
    Form
        Equal for any two forms that select the same parameters.

    Raises
    ------
    ValueError
        If the form does not fit the shape.

    See Also
    --------
    from_mask : The canonical form of a Boolean array.

    Examples
    --------
    >>> import numpy as np
    >>> from frozenfit.selectors import Mask, forms
    >>> forms.canonical(Mask(np.array([True, True, False])), (3,))
    Leading(axis=0, count=2)
    """
    if isinstance(form, Leading | Indices):
        return _slice(form.axis, _along(form, shape), shape)
    if isinstance(form, Mask):
        return from_mask(_checked(form, shape))
    if isinstance(form, Scales):
        return _canonical_scales(form, shape)
    return Nothing() if math.prod(shape) == 0 else form


def _canonical_scales(form: Scales, shape: tuple[int, ...]) -> Form:
    """Return the form, or the whole weight where it has no more parameters than the scales."""
    count = sum(form.counts(shape))
    if count == 0:
        return Nothing()
    return form if count < math.prod(shape) else Everything()


def from_mask(mask: np.ndarray) -> Form:
    """Return the canonical form of a Boolean array.

    Parameters
    ----------
    mask : ndarray of bool
        True for trainable parameters.

    Returns
    -------
    Form
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
            return _slice(axis, positions.tolist(), mask.shape)
    return Mask(mask)


def union(a: Form, b: Form, shape: tuple[int, ...]) -> Form:
    """Return the parameters that either form selects.

    Parameters
    ----------
    a, b : Form
        The forms.
    shape : tuple of int
        Shape of the weight.

    Returns
    -------
    Form
        In canonical form.

    Raises
    ------
    ValueError
        If one form is `Scales` or `Subspace`, and the other one a part of the weight.

    See Also
    --------
    intersection : The parameters that both forms select.

    Examples
    --------
    >>> from frozenfit.selectors import Leading, forms
    >>> forms.union(Leading(1, 2), Leading(1, 5), (4, 8))
    Leading(axis=1, count=5)
    """
    if isinstance(a, Nothing) or isinstance(b, Everything):
        return canonical(b, shape)
    if isinstance(b, Nothing) or isinstance(a, Everything):
        return canonical(a, shape)
    if isinstance(a, Subspace) or isinstance(b, Subspace):
        return subspace_form.same_subspace(a, b)
    if isinstance(a, Scales) or isinstance(b, Scales):
        return canonical(scale_form.union_of_scales(a, b), shape)
    # Slices along one axis are joined without masks, which may have millions of values.
    if isinstance(a, Leading | Indices) and isinstance(b, Leading | Indices) and a.axis == b.axis:
        return _slice(a.axis, [*_along(a, shape), *_along(b, shape)], shape)
    return from_mask(to_mask(a, shape) | to_mask(b, shape))


def intersection(a: Form, b: Form, shape: tuple[int, ...]) -> Form:
    """Return the parameters that both forms select.

    Parameters
    ----------
    a, b : Form
        The forms.
    shape : tuple of int
        Shape of the weight.

    Returns
    -------
    Form
        In canonical form.

    Raises
    ------
    ValueError
        If one form is `Scales` or `Subspace`, and the other one a part of the weight.

    See Also
    --------
    union : The parameters that either form selects.

    Examples
    --------
    >>> from frozenfit.selectors import Leading, forms
    >>> forms.intersection(Leading(1, 2), Leading(1, 5), (4, 8))
    Leading(axis=1, count=2)
    """
    if isinstance(a, Nothing) or isinstance(b, Nothing):
        return Nothing()
    if isinstance(a, Everything):
        return canonical(b, shape)
    if isinstance(b, Everything):
        return canonical(a, shape)
    if isinstance(a, Subspace) or isinstance(b, Subspace):
        return subspace_form.same_subspace(a, b)
    if isinstance(a, Scales) or isinstance(b, Scales):
        return canonical(scale_form.intersection_of_scales(a, b), shape)
    if isinstance(a, Leading | Indices) and isinstance(b, Leading | Indices) and a.axis == b.axis:
        return _slice(a.axis, set(_along(a, shape)) & set(_along(b, shape)), shape)
    return from_mask(to_mask(a, shape) & to_mask(b, shape))


def complement(form: Form, shape: tuple[int, ...]) -> Form:
    """Return the parameters that the form does not select.

    Parameters
    ----------
    form : Form
        The form.
    shape : tuple of int
        Shape of the weight.

    Returns
    -------
    Form
        In canonical form.

    Raises
    ------
    ValueError
        If the form is `Scales` or `Subspace`.

    See Also
    --------
    difference : The parameters of one form without those of another.

    Examples
    --------
    >>> from frozenfit.selectors import Leading, forms
    >>> forms.complement(Leading(0, 2), (4, 8))
    Indices(axis=0, indices=(2, 3))
    """
    if isinstance(form, Nothing):
        return canonical(Everything(), shape)
    if isinstance(form, Everything):
        return Nothing()
    if isinstance(form, Mask):
        return from_mask(~_checked(form, shape))
    if isinstance(form, Scales | Subspace):
        _refuse_entries(form)
    return _slice(form.axis, set(range(shape[form.axis])) - set(_along(form, shape)), shape)


def difference(a: Form, b: Form, shape: tuple[int, ...]) -> Form:
    """Return the parameters of the first form that the second does not select.

    Parameters
    ----------
    a, b : Form
        The forms.
    shape : tuple of int
        Shape of the weight.

    Returns
    -------
    Form
        In canonical form.

    See Also
    --------
    complement : All parameters that a form does not select.

    Examples
    --------
    >>> from frozenfit.selectors import Everything, Leading, forms
    >>> forms.difference(Everything(), Leading(0, 3), (4,))
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

    Returns
    -------
    Form
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
        return _slice(axes[0], [g * units + u for g in blocks for u in range(count)], shape)
    row = math.prod(sizes[1:])
    if count % row == 0:
        return _slice(axes[0], range(count // row), shape)
    # Units are numbered in C order of `axes`, which need not be the order of the weight's axes.
    first = np.arange(units).reshape(sizes) < count
    first = np.concatenate([first] * gates, axis=-1)
    aligned = first.transpose(np.argsort(axes))
    wide = [length if axis in axes else 1 for axis, length in enumerate(shape)]
    return from_mask(np.broadcast_to(aligned.reshape(wide), shape))
