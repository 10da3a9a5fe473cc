"""Trainable parameters applied to a network, and their description in a Keras configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from frozenfit.delta import computed_forms, form_kind
from frozenfit.layout import Survey
from frozenfit.selectors import Context, Selection, Selector, as_selector, forms, parse
from frozenfit.utils.arrays import to_numpy


def resolve(trainable: Any, survey: Survey, seed: int) -> Selection:
    """Apply what a user passes as trainable parameters to a network.

    Parameters
    ----------
    trainable : float, int, bool, str, Selector or Selection
        The trainable parameters.
    survey : Survey
        The network.
    seed : int
        Seed of random selectors without a seed.

    Returns
    -------
    Selection
    """
    if isinstance(trainable, Selection):
        return trainable
    context = Context(seed=seed, values=_Values(survey.trainable))
    return as_selector(trainable).resolve(survey.layout, context)


def selection_config(trainable: Any, selection: Selection | None) -> dict[str, Any]:
    """Describe trainable parameters for a Keras configuration.

    Parameters
    ----------
    trainable : float, int, bool, str, Selector, Selection or mapping
        What the user passed, or the result of this function.
    selection : Selection or None
        What it gave, if it has been applied to the network.

    Returns
    -------
    dict
        ``"selector"``: its text, or None where it has none, such as a function. ``"forms"``: the
        kind of form of each weight, whose positions are in index variables. ``"shapes"``: the
        shape of each weight.
    """
    if isinstance(trainable, Mapping):  # from a configuration itself
        text = trainable["selector"]
    else:
        text = None if isinstance(trainable, Selection) else _text(as_selector(trainable))
    if selection is None:
        return {"selector": text, "forms": None, "shapes": None}
    return {
        "selector": text,
        "forms": _kinds(selection),
        "shapes": [list(info.shape) for info in selection.layout.weights],
    }


def selection_from_config(config: Mapping[str, Any], survey: Survey, seed: int) -> Selection:
    """Return the selection that `selection_config` described.

    Parameters
    ----------
    config : mapping
        Its result.
    survey : Survey
        The network.
    seed : int
        Seed of random selectors without a seed.

    Returns
    -------
    Selection
        With the forms of `config`, so that the variables have the same shapes. A selector that
        depends on values, such as `magnitude`, chose its positions by those of another network:
        `PartialWeights.read_selection` then takes them from the loaded variables.

    Raises
    ------
    ValueError
        If there is no text, and the network has other weights than those described.
    """
    weights, text = survey.layout.weights, config["selector"]
    same = config["shapes"] == [list(info.shape) for info in weights]
    if text is not None:
        selection = resolve(text, survey, seed)
        # A layer may be built for another number of inputs than the one it was described with.
        if not same or _kinds(selection) == config["forms"]:
            return selection
    if not same:
        raise ValueError(
            "The trainable parameters of this configuration have no text, and the weights of "
            f"{survey.model.name!r} have other shapes than those it describes."
        )
    kinds = config["forms"]
    return Selection(
        {i.path: _of_kind(kind, i.shape) for i, kind in zip(weights, kinds, strict=True)},
        survey.layout,
    )


def at_positions(form: forms.Form, shape: tuple[int, ...], found: np.ndarray) -> forms.Form:
    """Return a form of the same kind at other positions.

    Parameters
    ----------
    form : Indices or Mask
        The form.
    shape : tuple of int
        Shape of the weight.
    found : ndarray of int
        Positions, as `delta.positions` returns them.

    Returns
    -------
    Form
        The form.
    """
    if isinstance(form, forms.Indices):
        return forms.Indices(form.axis, tuple(found.tolist()))
    mask = np.zeros(int(np.prod(shape)), bool)
    mask[found] = True
    return forms.Mask(mask.reshape(shape))


class _Values(Mapping[str, np.ndarray]):
    """The values of variables by path, copied to NumPy only where a selector reads them."""

    def __init__(self, variables: Mapping[str, Any]):
        self._variables = variables

    def __getitem__(self, path: str) -> np.ndarray:
        return to_numpy(self._variables[path])

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)


def _text(selector: Selector) -> str | None:
    """Return the text of a selector, or None where `parse` does not read it back."""
    text = repr(selector)
    try:
        return text if parse(text) == selector else None
    except ValueError:  # a function or an array has no text
        return None


def _kinds(selection: Selection) -> list[list]:
    """Return the kind of form of each weight, with the seeds that a form has."""
    return [_kind(form) for form in computed_forms(selection).values()]


def _kind(form: forms.Form) -> list:
    if isinstance(form, forms.Subspace):
        return ["subspace", *form.key]
    if isinstance(form, forms.LowRank):
        return ["lora", form.r, list(form.inputs), form.scale, form.seed]
    if isinstance(form, forms.Supermask):
        return ["supermask", form.keep, form.rescale, form.seed, form.bound]
    return list(form_kind(form))


def _of_kind(kind: Sequence[Any], shape: tuple[int, ...]) -> forms.Form:
    """Return a form of a kind, at the first positions where the kind does not say which."""
    name, *values = kind
    if name == "leading":
        return forms.Leading(*values)
    if name == "indices":
        return forms.Indices(values[0], tuple(range(values[1])))
    if name == "mask":
        return at_positions(forms.Mask(np.ones(shape, bool)), shape, np.arange(values[0]))
    if name == "scales":
        split = values[0] + 1
        return forms.Scales(tuple(values[1:split]), tuple(values[split:]))
    if name == "subspace":
        return forms.Subspace(*values)
    if name == "lora":
        return forms.LowRank(values[0], tuple(values[1]), *values[2:])
    if name == "supermask":
        return forms.Supermask(*values)
    return {"everything": forms.Everything, "nothing": forms.Nothing}[name]()
