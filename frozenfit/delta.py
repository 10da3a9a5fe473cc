"""The delta: the trained parameters of a network in compact arrays, written into whole weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from frozenfit.gradients import is_vectorized, smallest_of_largest
from frozenfit.selectors import Selection, forms


@dataclass
class Delta:
    """What one fitted model owns, as NumPy arrays; the base has everything else.

    Its arrays are never changed, so that a model can recognize a delta it has loaded by identity.

    Attributes
    ----------
    trained : dict of str to ndarray
        The trained parameters of each weight by path, in compact shape.
    states : dict of str to ndarray
        Moving statistics and seed states by path.
    """

    trained: dict[str, np.ndarray]
    states: dict[str, np.ndarray]


def computed_forms(selection: Selection) -> dict[str, forms.Form]:
    """Return the forms by which weights are assembled; compiled code depends on nothing else.

    Parameters
    ----------
    selection : Selection
        A selector applied to a network.

    Returns
    -------
    dict of str to Form
        The form of each weight by path.
    """
    if not any(isinstance(form, forms.Mask) for _, form in selection.items()):
        return dict(selection.items())
    # A random selector may happen to draw the first entries of a bias, a slice. Beside masks such
    # a slice is assembled as a mask, which has the same compact shape, so that every draw of the
    # selector runs in one compiled network.
    computed = {}
    for path, form in selection.items():
        shape = selection.layout[path].shape
        if isinstance(form, forms.Leading | forms.Indices) and len(shape) == 1:
            form = forms.Mask(forms.to_mask(form, shape))
        computed[path] = form
    return computed


def form_kind(form: forms.Form) -> tuple:
    """Return the kind of a form: what compiled code and the shapes of variables depend on.

    Parameters
    ----------
    form : Form
        A form.

    Returns
    -------
    tuple
        The name of the kind, the axis of a slice, and the number of positions; for scales, the
        number of axes of inputs, these axes and those of outputs; for a subspace, everything but
        its seed; for a low-rank product,
        rank, factor and the axes of inputs; for masks, the fraction that is kept and whether it is
        rescaled.
    """
    if isinstance(form, forms.Leading):
        return ("leading", form.axis, form.count)
    if isinstance(form, forms.Indices):
        return ("indices", form.axis, len(form.indices))
    if isinstance(form, forms.Mask):
        return ("mask", int(form.array.sum()))
    if isinstance(form, forms.Scales):
        return ("scales", len(form.inputs), *form.inputs, *form.outputs)
    if isinstance(form, forms.Subspace):
        return ("subspace", form.d, form.projection, form.offset, form.total)
    if isinstance(form, forms.LowRank):
        return ("lora", form.r, form.scale, *form.inputs)
    if isinstance(form, forms.Supermask):
        return ("supermask", form.keep, form.rescale)
    return (type(form).__name__.lower(),)


def forms_key(selection: Selection) -> tuple:
    """Return what compiled code depends on: indices and masks are loaded, so only their sizes.

    Parameters
    ----------
    selection : Selection
        A selector applied to a network.

    Returns
    -------
    tuple
        Path and `form_kind` of each weight.
    """
    return tuple((path, *form_kind(form)) for path, form in computed_forms(selection).items())


def stores_parameters(form: forms.Form) -> bool:
    """Return whether a delta has trained parameters for a weight of this form.

    Parameters
    ----------
    form : Form
        A form.

    Returns
    -------
    bool
        False where nothing is trainable, and in a subspace, whose coordinates are stored with its
        first weight, for all other weights.
    """
    if isinstance(form, forms.Subspace):
        return form.n_coordinates > 0
    return not isinstance(form, forms.Nothing)


def positions(form: forms.Indices | forms.Mask) -> np.ndarray:
    """Return the selected positions: along the axis of a form, or in the flattened weight.

    Parameters
    ----------
    form : Indices or Mask
        A form that is not a slice.

    Returns
    -------
    ndarray of int32
        Sorted positions.
    """
    if isinstance(form, forms.Indices):
        return np.asarray(form.indices, np.int32)
    return np.flatnonzero(form.array).astype(np.int32)


def write_trained(form: forms.Form, frozen: Any, trained: Any, index: Any) -> Any:
    """Write trained parameters into the frozen values of a weight, or compute it from them.

    Parameters
    ----------
    form : Leading, Indices, Mask, Scales, Subspace or KernelForm
        Which parameters are trained.
    frozen : tensor
        The whole weight.
    trained : tensor
        The trained parameters, in compact shape; for a subspace, the change of the weight.
    index : keras.Variable or None
        Their positions, where the form is not a slice.

    Returns
    -------
    tensor
        Of the shape of `frozen`.
    """
    if isinstance(form, forms.Subspace):
        return frozen + ops.cast(ops.reshape(trained, frozen.shape), frozen.dtype)
    if isinstance(form, forms.Scales):
        for factor in form.factors(trained, tuple(frozen.shape), ops.reshape):
            frozen = frozen * factor
        return frozen
    if isinstance(form, forms.Supermask):
        return form.kernel(frozen, trained, ops, smallest_of_largest)
    if isinstance(form, forms.KernelForm):
        return form.kernel(frozen, trained, ops)
    if isinstance(form, forms.Leading):
        if keras.config.backend() == "jax":
            # XLA copies and updates a kernel in less time than it concatenates one.
            return ops.slice_update(frozen, (0,) * len(frozen.shape), trained)
        others = [slice(None)] * len(frozen.shape)
        others[form.axis] = slice(form.count, None)
        return ops.concatenate([trained, frozen[tuple(others)]], axis=form.axis)
    index = ops.expand_dims(ops.convert_to_tensor(index), -1)
    frozen = vectorized_as(frozen, trained)
    if isinstance(form, forms.Indices):
        rows = ops.moveaxis(frozen, form.axis, 0)
        # A reshaped tensor, because on TensorFlow the value of a variable has no `ndim`.
        trained = ops.moveaxis(ops.reshape(trained, trained.shape), form.axis, 0)
        rows = ops.scatter_update(rows, index, trained)
        return ops.moveaxis(rows, 0, form.axis)
    flat = ops.scatter_update(ops.reshape(frozen, (-1,)), index, trained)
    return ops.reshape(flat, frozen.shape)


def vectorized_as(tensor: Any, other: Any) -> Any:
    """Return a tensor unchanged, with the axis of a vectorized function that another one has.

    Keras writes values into tensors in place on torch. Where a function is vectorized over the
    values alone, torch cannot do so.

    Parameters
    ----------
    tensor, other : tensor
        Two tensors.

    Returns
    -------
    tensor
        Equal to `tensor`.
    """
    if not is_vectorized(other):
        return tensor
    flat: Any = ops.reshape(other, (-1,))
    return ops.where(False, flat[0], tensor)


def read_trained(form: forms.Form, whole: Any, index: Any) -> Any:
    """Take the trained parameters out of a weight: the inverse of `write_trained`.

    Parameters
    ----------
    form : Everything, Leading, Indices or Mask
        Which parameters are trained. Scales, coordinates and factors are not part of the
        weight.
    whole : tensor
        The weight.
    index : keras.Variable or None
        Their positions, where the form is not a slice.

    Returns
    -------
    tensor
        The trained parameters, in compact shape.
    """
    if isinstance(form, forms.Everything):
        return whole
    if isinstance(form, forms.Leading):
        part = [slice(None)] * len(whole.shape)
        part[form.axis] = slice(form.count)
        return whole[tuple(part)]
    index = ops.convert_to_tensor(index)
    if isinstance(form, forms.Indices):
        return ops.take(whole, index, axis=form.axis)
    return ops.take(ops.reshape(whole, (-1,)), index)


def check_form(path: str, form: forms.Form, constraint: Any, frozen: str) -> None:
    """Raise a ValueError where a weight that is not trained itself cannot have its form.

    Parameters
    ----------
    path : str
        Path of the weight.
    form : Form
        Which parameters are trained.
    constraint : keras.constraints.Constraint or None
        The constraint of the weight.
    frozen : {"keep", "random", "zero"}
        Values of the frozen parameters.

    Raises
    ------
    ValueError
        If the weight has a constraint and is scaled, in a subspace or a function of its frozen
        values: the constrained weight need not be one of those that can be trained. If it is such a
        function and its frozen values are zero: all gradients would be zero.
    """
    if constraint is not None and isinstance(form, forms.Subspace):
        raise ValueError(
            f"`subspace` requires weights without a constraint, got {type(constraint).__name__} of "
            f"{path!r}. Remove the constraint, or leave the weight out: "
            f"subspace({form.d}) - layers({path!r})."
        )
    if constraint is not None and isinstance(form, forms.Scales | forms.KernelForm):
        selector = "scales" if isinstance(form, forms.Scales) else form.selector
        raise ValueError(
            f"`{selector}` requires kernels without a constraint, got "
            f"{type(constraint).__name__} of {path!r}. Remove the constraint, or train the kernel "
            "with filters or layers."
        )
    if frozen == "zero" and isinstance(form, forms.KernelForm):
        raise ValueError(
            f"`{form.selector}` requires frozen kernels that are not zero, got frozen='zero' for "
            f"{path!r}. Use frozen='random' or frozen='keep'."
        )


def check_arrays(what: str, variables: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Raise a ValueError where arrays do not have the paths and shapes of variables.

    Parameters
    ----------
    what : str
        What the arrays are, as the subject of a sentence: "Trained parameters".
    variables : mapping of str to keras.Variable
        Variables by path.
    arrays : mapping of str to ndarray
        Arrays by path.

    Raises
    ------
    ValueError
        If a path is missing or unknown, or a shape differs.
    """
    if odd := sorted(set(variables) ^ set(arrays)):
        raise ValueError(
            f"{what} must have the paths of the network, got others or too few: "
            f"{', '.join(odd[:3])}."
        )
    for path, value in arrays.items():
        expected, shape = tuple(variables[path].shape), tuple(np.shape(value))
        if expected != shape:
            raise ValueError(f"{what} of {path!r} must have shape {expected}, got {shape}.")
