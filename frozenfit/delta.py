"""What a PartialModel is made of besides its computation: the delta, variables, tables, checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import ops

from frozenfit.layout import Survey
from frozenfit.selectors import Context, Selection, as_selector, forms
from frozenfit.utils.arrays import to_numpy

FROZEN_VALUES = ("keep", "random", "zero")


@dataclass
class Delta:
    """What one fitted model owns: trainable parameters and states, as NumPy arrays.

    Attributes
    ----------
    trained : dict of str to ndarray
        Weight path to its trainable parameters, in compact shape.
    states : dict of str to ndarray
        State path (batch statistics, seed states) to its value.
    """

    trained: dict[str, np.ndarray]
    states: dict[str, np.ndarray]


@dataclass
class Parts:
    """The variables of a PartialModel by path, out of sight of Keras's attribute tracking.

    Keras would take a plain dict or list on a layer for sublayers and weights of its own.
    """

    survey: Survey
    compact: dict[str, Any] = field(default_factory=dict)
    index: dict[str, Any] = field(default_factory=dict)
    filled: dict[str, Any] = field(default_factory=dict)
    states: dict[str, Any] = field(default_factory=dict)
    inference_layers: list = field(default_factory=list)
    computed: dict[str, forms.Form] = field(default_factory=dict)
    traced: list[tuple[Any, Any]] | None = None


def layers_with_stored_statistics(
    survey: Survey,
    selection: Selection,
    choice: bool | str,
    waiting: frozenset[str] = frozenset(),
) -> list:
    """Return the normalizations that use their stored statistics in training.

    Parameters
    ----------
    survey : Survey
        Survey of the base network.
    selection : Selection
        The trainable parameters.
    choice : bool or "auto"
        None of them; all that are frozen; or those that are frozen with everything before them.
    waiting : frozenset of str, default=frozenset()
        Paths of trainable weights that count as frozen.

    Returns
    -------
    list of keras.Layer
        In the order data meets them.
    """
    if choice is False:
        return []
    layers = survey.statistic_layers
    frozen = {
        layer: all(
            isinstance(selection.forms[w.path], forms.Nothing) or w.path in waiting
            for w in selection.layout.weights
            if w.layer == layer
        )
        for layer in {*selection.layout.layers, *layers}
    }
    if choice is True:
        return [layer for path, layer in layers.items() if frozen[path]]
    order = list(survey.layers)
    moving = [i for i, path in enumerate(order) if not frozen.get(path, True)]
    first = min(moving, default=len(order))
    return [layer for path, layer in layers.items() if order.index(path) < first]


def written(form: forms.Form, frozen: Any, trainable: Any, index: Any) -> Any:
    """Write trainable parameters into the frozen values of a weight.

    Parameters
    ----------
    form : Leading, Indices or Mask
        Which entries are learned.
    frozen : tensor
        The whole weight.
    trainable : tensor
        The trainable parameters, in compact shape.
    index : keras.Variable or None
        Their positions, where the form is no slice.

    Returns
    -------
    tensor
        Of the shape of `frozen`.
    """
    if isinstance(form, forms.Leading):
        rest = [slice(None)] * len(frozen.shape)
        rest[form.axis] = slice(form.count, None)
        return ops.concatenate([trainable, frozen[tuple(rest)]], axis=form.axis)
    index = ops.expand_dims(ops.convert_to_tensor(index), -1)
    if isinstance(form, forms.Indices):
        rows = ops.moveaxis(frozen, form.axis, 0)
        rows = ops.scatter_update(rows, index, ops.moveaxis(trainable, form.axis, 0))
        return ops.moveaxis(rows, 0, form.axis)
    flat = ops.scatter_update(ops.reshape(frozen, (-1,)), index, trainable)
    return ops.reshape(flat, frozen.shape)


def entries(form: forms.Form, whole: Any, index: Any) -> Any:
    """Take the trainable parameters out of a weight: the inverse of `written`.

    Parameters
    ----------
    form : Form
        Which entries are learned.
    whole : tensor
        The weight.
    index : keras.Variable or None
        Their positions, where the form is no slice.

    Returns
    -------
    tensor
        The trainable parameters, in compact shape.
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


def positions(form: forms.Indices | forms.Mask) -> np.ndarray:
    """Give the positions that a form learns: along its axis, or in the flattened weight.

    Parameters
    ----------
    form : Indices or Mask
        A form that is no slice.

    Returns
    -------
    ndarray of int32
        Sorted positions.
    """
    if isinstance(form, forms.Indices):
        return np.asarray(form.indices, np.int32)
    return np.flatnonzero(form.array).astype(np.int32)


def computed_forms(selection: Selection) -> dict[str, forms.Form]:
    """Return the forms by which weights are assembled; what the compiled code depends on.

    The entries of a bias that are drawn at random may happen to be its first ones. Beside masks
    such a slice counts as a mask too, which has the same compact shape, so that every draw of a
    random selector runs in one compiled network.
    """
    if not any(isinstance(form, forms.Mask) for _, form in selection.items()):
        return dict(selection.items())
    computed = {}
    for path, form in selection.items():
        shape = selection.layout[path].shape
        if isinstance(form, forms.Leading | forms.Indices) and len(shape) == 1:
            form = forms.Mask(forms.to_mask(form, shape))
        computed[path] = form
    return computed


def fixed(variable: Any) -> Any:
    """Read a variable as a constant: no gradient is formed for it, on torch neither."""
    return ops.stop_gradient(ops.convert_to_tensor(variable.value))


def assign_in_order(model: keras.Model, values: Sequence[np.ndarray], survey: Survey) -> None:
    """Load values into a network built again, whose paths may lack the scopes of the first one."""
    targets, originals = Survey(model).variables, survey.variables
    ours, theirs = ([(v.name, tuple(v.shape)) for v in group] for group in (targets, originals))
    if ours != theirs:
        odd = [f"{name} {shape}" for name, shape in ours if (name, shape) not in theirs]
        raise ValueError(
            f"`rebuild` must return a network with the {len(theirs)} weights and states of the "
            f"base in the same order, got {len(ours)}, among them "
            f"{', '.join(odd[:3]) or 'the same in another order'}."
        )
    for variable, value in zip(targets, values, strict=True):
        variable.assign(value.astype(variable.dtype))


def check_arguments(base: Any, frozen: str, freeze_statistics: bool | str) -> None:
    """Raise an error for an argument of PartialModel that is invalid."""
    if isinstance(base, Survey):
        base = base.model
    if not isinstance(base, keras.Model):
        raise TypeError(f"`base` must be a keras.Model, got {type(base).__name__}.")
    if not base.built:
        raise ValueError(
            f"`base` must be a built model, but {base.name!r} has no weights yet. Call it on an "
            "input, or call build(input_shape)."
        )
    if frozen not in FROZEN_VALUES:
        names = ", ".join(map(repr, FROZEN_VALUES))
        raise ValueError(f"`frozen` must be one of {names}, got {frozen!r}.")
    if freeze_statistics not in (True, False, "auto"):
        raise ValueError(
            f"`freeze_statistics` must be True, False or 'auto', got {freeze_statistics!r}."
        )


def resolve(trainable: Any, survey: Survey, seed: int) -> Selection:
    """Apply a selector, or what stands for one, to a base."""
    if isinstance(trainable, Selection):
        return trainable
    context = Context(seed=seed, values=Lazy(survey.trainable))
    return as_selector(trainable).resolve(survey.layout, context)


class Lazy(Mapping):
    """The values of a base by path, copied to NumPy only where a selector reads them."""

    def __init__(self, variables: Mapping[str, Any]):
        self._variables = variables

    def __getitem__(self, path: str) -> np.ndarray:
        """Return the value of a weight."""
        return to_numpy(self._variables[path])

    def __iter__(self) -> Iterator[str]:
        """Iterate over the paths."""
        return iter(self._variables)

    def __len__(self) -> int:
        """Return the number of weights."""
        return len(self._variables)


def check_fit(what: str, own: Mapping[str, Any], given: Mapping[str, np.ndarray]) -> None:
    """Raise a ValueError where given arrays have other names or shapes than variables."""
    if set(own) != set(given):
        odd = sorted(set(own) ^ set(given))
        raise ValueError(f"the {what} do not fit this network: {', '.join(odd[:3])} on one side")
    for path, value in given.items():
        if tuple(own[path].shape) != tuple(np.shape(value)):
            raise ValueError(
                f"the {what} do not fit this network: {path!r} has shape "
                f"{tuple(own[path].shape)}, found {tuple(np.shape(value))}"
            )


def clone(base: keras.Model) -> keras.Model:
    """Build an empty model of the same architecture."""
    try:
        return keras.models.clone_model(base)
    except Exception as error:
        raise ValueError(
            f"the base {base.name!r} cannot be made again from its configuration; give "
            "PartialModel a rebuild=... that makes an empty one"
        ) from error
