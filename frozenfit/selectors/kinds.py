"""The forms of one weight: the ways in which its trainable parameters are described."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Nothing:
    """All parameters of the weight are frozen."""


@dataclass(frozen=True)
class Everything:
    """All parameters of the weight are trainable."""


@dataclass(frozen=True)
class Leading:
    """The first `count` positions along one axis.

    Examples
    --------
    >>> to_mask(Leading(axis=1, count=1), (2, 2)).tolist()
    [[True, False], [True, False]]
    """

    axis: int
    count: int

    def __post_init__(self) -> None:
        """Check the fields."""
        if self.axis < 0 or self.count < 1:
            raise ValueError(f"{self} selects nothing: write an axis >= 0 and a count >= 1")


@dataclass(frozen=True)
class Indices:
    """Some positions along one axis, in rising order."""

    axis: int
    indices: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check the fields."""
        rising = all(a < b for a, b in zip(self.indices, self.indices[1:], strict=False))
        if self.axis < 0 or not self.indices or self.indices[0] < 0 or not rising:
            raise ValueError(
                f"the positions {self.indices[:5]} on axis {self.axis} are no slice: "
                "write different positions >= 0 in rising order"
            )


@dataclass(frozen=True, eq=False)
class Mask:
    """Any entries: a boolean array of the weight's shape, read-only.

    Two masks are equal when their shapes and entries are.
    """

    array: np.ndarray

    def __post_init__(self) -> None:
        """Keep a copy nobody can write to."""
        array = np.array(self.array, dtype=bool, order="C")
        array.setflags(write=False)
        object.__setattr__(self, "array", array)

    def __eq__(self, other: object) -> bool:
        """Compare shapes and entries."""
        if not isinstance(other, Mask):
            return NotImplemented
        return np.array_equal(self.array, other.array)

    def __hash__(self) -> int:
        """Hash shape and entries."""
        return hash((self.array.shape, np.packbits(self.array).tobytes()))

    def __reduce__(self) -> tuple:
        """Pickle through the constructor, since NumPy forgets that an array is read-only."""
        return Mask, (self.array,)


Form = Nothing | Everything | Leading | Indices | Mask


def along(form: Leading | Indices, shape: tuple[int, ...]) -> range | tuple[int, ...]:
    """Return the positions of a slice, checked against the shape."""
    positions = range(form.count) if isinstance(form, Leading) else form.indices
    if form.axis >= len(shape) or positions[-1] >= shape[form.axis]:
        text = type(form).__name__
        raise ValueError(
            f"{text} on axis {form.axis} up to position {positions[-1]} does not fit the shape "
            f"{shape}: write an axis and positions inside it"
        )
    return positions


def checked(form: Mask, shape: tuple[int, ...]) -> np.ndarray:
    """Return the array of a mask, checked against the shape."""
    if form.array.shape != tuple(shape):
        raise ValueError(
            f"a mask of shape {form.array.shape} was met with a weight of shape {tuple(shape)}: "
            "write a mask of the weight's shape"
        )
    return form.array


def _index(form: Leading | Indices, shape: tuple[int, ...]) -> tuple:
    """Return the NumPy index of a slice."""
    positions = along(form, shape)
    chosen = slice(form.count) if isinstance(form, Leading) else list(positions)
    return (slice(None),) * form.axis + (chosen,)


def compact_shape(form: Form, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape in which the trainable parameters are kept.

    Whole weights keep their shape, a slice the shape with its axis shortened, a mask is one
    flat row in C order, and nothing has the shape ``(0,)``.

    Raises
    ------
    ValueError
        If the form does not fit the shape.

    Examples
    --------
    >>> compact_shape(Leading(axis=3, count=2), (3, 3, 8, 16))
    (3, 3, 8, 2)
    """
    if isinstance(form, Nothing):
        return (0,)
    if isinstance(form, Everything):
        return tuple(shape)
    if isinstance(form, Mask):
        return (size(form, shape),)
    length = len(along(form, shape))
    return (*shape[: form.axis], length, *shape[form.axis + 1 :])


def size(form: Form, shape: tuple[int, ...]) -> int:
    """Return how many entries of a weight of this shape are learned.

    Parameters
    ----------
    form : Form
        The form.
    shape : tuple of int
        Shape of the weight.

    Raises
    ------
    ValueError
        If the form does not fit the shape.

    Examples
    --------
    >>> size(Leading(axis=3, count=2), (3, 3, 8, 16))
    144
    """
    if isinstance(form, Mask):
        return int(np.count_nonzero(checked(form, shape)))
    return math.prod(compact_shape(form, shape))


def to_mask(form: Form, shape: tuple[int, ...]) -> np.ndarray:
    """Return the form as a boolean array of the weight's shape.

    Raises
    ------
    ValueError
        If the form does not fit the shape.

    Examples
    --------
    >>> to_mask(Indices(0, (0, 2)), (3,)).tolist()
    [True, False, True]
    """
    if isinstance(form, Mask):
        return checked(form, shape).copy()
    mask = np.full(shape, isinstance(form, Everything))
    if isinstance(form, Leading | Indices):
        mask[_index(form, shape)] = True
    return mask


def take(form: Form, array: np.ndarray) -> np.ndarray:
    """Return a copy of the trainable parameters, in the form's compact shape.

    Raises
    ------
    ValueError
        If the form does not fit the array.

    Examples
    --------
    >>> take(Leading(1, 1), np.array([[1, 2], [3, 4]])).tolist()
    [[1], [3]]
    """
    array = np.asarray(array)
    if isinstance(form, Nothing):
        return np.empty((0,), dtype=array.dtype)
    if isinstance(form, Everything):
        return array.copy()
    if isinstance(form, Mask):
        return array[checked(form, array.shape)]
    return array[_index(form, array.shape)].copy()


def put(form: Form, array: np.ndarray, compact: np.ndarray) -> np.ndarray:
    """Return a new whole array: `array` with its trainable parameters replaced.

    Parameters
    ----------
    form : Form
        Which entries are learned.
    array : ndarray
        The whole weight; it is left as it is, and its dtype is kept.
    compact : ndarray
        The trainable parameters, of shape ``compact_shape(form, array.shape)``.

    Raises
    ------
    ValueError
        If the compact array has another shape.

    Examples
    --------
    >>> put(Leading(0, 1), np.zeros(3), np.ones(1)).tolist()
    [1.0, 0.0, 0.0]
    """
    whole, compact = np.array(array), np.asarray(compact)
    wanted = compact_shape(form, whole.shape)
    if compact.shape != wanted:
        raise ValueError(
            f"trainable parameters of shape {compact.shape} were given for a weight of shape "
            f"{whole.shape}: write an array of shape {wanted}"
        )
    if isinstance(form, Everything):
        whole[...] = compact
    elif isinstance(form, Mask):
        whole[form.array] = compact
    elif isinstance(form, Leading | Indices):
        whole[_index(form, whole.shape)] = compact
    return whole


def words(form: Form, shape: tuple[int, ...]) -> str:
    """Say a form in a few words, for tables.

    Examples
    --------
    >>> words(Leading(1, 2), (4, 8))
    'first 2 of 8 on axis 1'
    """
    if isinstance(form, Nothing):
        return "nothing"
    if isinstance(form, Everything):
        return "all"
    if isinstance(form, Mask):
        return f"{size(form, shape)} of {form.array.size} entries"
    start = "first " if isinstance(form, Leading) else ""
    return f"{start}{len(along(form, shape))} of {shape[form.axis]} on axis {form.axis}"
