"""The forms of one weight: which of its parameters are trainable, and the algebra of forms.

Every function is exact and returns the canonical form: `Nothing` and `Everything` where no or all
parameters are selected, `Leading` for the first positions along an axis, `Indices` for other
positions along one axis, and `Mask` for anything else. `Scales`, `Subspace` and every `KernelForm`
select no parameters of the weight but add some, so that they have no mask; the whole weight
contains them.
"""

from __future__ import annotations

import math
from typing import NoReturn

import numpy as np

from . import kernel_form, position_forms, scale_form, subspace_form
from .kernel_form import KernelForm
from .lora_form import LowRank
from .position_forms import Everything, Indices, Leading, Mask, Nothing, from_mask
from .position_forms import leading as leading
from .scale_form import Scales
from .subspace_form import Subspace
from .supermask_form import Supermask

Form = Nothing | Everything | Leading | Indices | Mask | Scales | Subspace | LowRank | Supermask


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
        The shape of the weight for `Everything` and `Supermask`, with a shorter axis for `Leading`
        and `Indices`; one axis, in C order, for `Mask`; one axis for `Scales`, `Subspace` and
        `LowRank`; ``(0,)`` for `Nothing`.

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
    if isinstance(form, KernelForm):
        return form.parameters_shape(tuple(shape))
    length = len(position_forms.along(form, shape))
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
        return int(np.count_nonzero(position_forms.elements(form, shape)))
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
        If the form does not fit the shape, or selects no entries, as `Scales`.

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
        return position_forms.elements(form, shape).copy()
    if isinstance(form, Scales | Subspace | KernelForm):
        _refuse_entries(form)
    mask = np.full(shape, isinstance(form, Everything))
    if isinstance(form, Leading | Indices):
        mask[position_forms.index(form, shape)] = True
    return mask


def _refuse_entries(form: Scales | Subspace | KernelForm) -> NoReturn:
    if isinstance(form, KernelForm):
        form.refuse_entries()
    if isinstance(form, Scales):
        scale_form.refuse_entries(form)
    subspace_form.refuse_entries(form)


def take(form: Form, array: np.ndarray) -> np.ndarray:
    """Return a copy of the trainable parameters of a weight.

    Scales, coordinates and factors are not part of the weight: their values are those before
    training.

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
        return array[position_forms.elements(form, array.shape)]
    if isinstance(form, Scales):
        return form.start(array.shape).astype(array.dtype)
    if isinstance(form, Subspace):
        return np.zeros(form.n_coordinates, array.dtype)
    if isinstance(form, KernelForm):
        return form.start(array).astype(array.dtype)
    return array[position_forms.index(form, array.shape)].copy()


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
    elif isinstance(form, KernelForm):
        whole[...] = form.kernel(whole, compact)
    elif isinstance(form, Leading | Indices):
        whole[position_forms.index(form, whole.shape)] = compact
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
    if isinstance(form, KernelForm):
        return form.describe(tuple(shape))
    start = "first " if isinstance(form, Leading) else ""
    return (
        f"{start}{len(position_forms.along(form, shape))} of {shape[form.axis]} on axis {form.axis}"
    )


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
        return position_forms.at_positions(form.axis, position_forms.along(form, shape), shape)
    if isinstance(form, Mask):
        return from_mask(position_forms.elements(form, shape))
    if isinstance(form, Scales):
        return _smaller(form, sum(form.counts(shape)), shape)
    if isinstance(form, LowRank):
        return _smaller(form, size(form, shape), shape)
    return Nothing() if math.prod(shape) == 0 else form


def _smaller(form: Form, count: int, shape: tuple[int, ...]) -> Form:
    """Return the form, or the whole weight where it has no more parameters than the form."""
    if count == 0 or math.prod(shape) == 0:
        return Nothing()
    return form if count < math.prod(shape) else Everything()


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
        If one form selects no entries, as `Scales`, and the other one a part of the weight.

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
    if isinstance(a, KernelForm) or isinstance(b, KernelForm):
        return canonical(kernel_form.equal_forms(a, b), shape)
    # Slices along one axis are joined without masks, which may have millions of values.
    if isinstance(a, Leading | Indices) and isinstance(b, Leading | Indices) and a.axis == b.axis:
        return position_forms.at_positions(
            a.axis, [*position_forms.along(a, shape), *position_forms.along(b, shape)], shape
        )
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
        If one form selects no entries, as `Scales`, and the other one a part of the weight.

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
    if isinstance(a, KernelForm) or isinstance(b, KernelForm):
        return canonical(kernel_form.equal_forms(a, b), shape)
    if isinstance(a, Leading | Indices) and isinstance(b, Leading | Indices) and a.axis == b.axis:
        return position_forms.at_positions(
            a.axis, set(position_forms.along(a, shape)) & set(position_forms.along(b, shape)), shape
        )
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
        If the form selects no entries, as `Scales`.

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
        return from_mask(~position_forms.elements(form, shape))
    if isinstance(form, Scales | Subspace | KernelForm):
        _refuse_entries(form)
    return position_forms.at_positions(
        form.axis, set(range(shape[form.axis])) - set(position_forms.along(form, shape)), shape
    )


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
