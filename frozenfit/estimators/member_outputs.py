"""The outputs of several fitted parts of one base, computed by one predictor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from frozenfit.delta import computed_forms, forms_key, positions
from frozenfit.estimators.fitted_part import FittedPart
from frozenfit.estimators.stacked_parts import have_same_frozen
from frozenfit.partial_weights import PartialWeights
from frozenfit.selectors import forms
from frozenfit.training import shared_features
from frozenfit.training.backends.predictor import Members
from frozenfit.training.network import CompiledModel
from frozenfit.training.phases import Phase
from frozenfit.training.workspace import workspace

# Values of members that stay converted between calls; more members are computed in groups.
_KEPT_BYTES = 32 * 2**20


def member_outputs(parts: Sequence[FittedPart], X: np.ndarray) -> np.ndarray:
    """Compute the outputs of fitted parts.

    Parameters
    ----------
    parts : sequence of FittedPart
        The parts, such as those of the members of an ensemble.
    X : ndarray of shape (n_samples, ...)
        Samples of the input shape of their networks.

    Returns
    -------
    ndarray of float32, shape (n_parts, n_samples, n_outputs)
        For each part what `FittedPart.outputs` returns, bit for bit, whatever the other parts are.
    """
    # Parts whose frozen layers agree compute the features of these layers once.
    with shared_features.sharing():
        if not _differ_in_values_only(parts):
            return np.stack([part.outputs(X) for part in parts])
        size = max(1, _KEPT_BYTES // max(1, _bytes(parts[0])))
        groups = [parts[start : start + size] for start in range(0, len(parts), size)]
        return np.concatenate([_of_group(group, X) for group in groups])


def _of_group(parts: Sequence[FittedPart], X: np.ndarray) -> np.ndarray:
    with workspace.check_out(parts[0].base) as network:
        compiled = parts[0].load(network)
        if _agree_before_cut(parts, compiled):
            return compiled.outputs(X, _members(parts, compiled.weights))
        return np.stack([part.load(network).outputs(X) for part in parts])


def _members(parts: Sequence[FittedPart], weights: PartialWeights) -> Members:
    """Return the values of parts for the variables of a compiled model."""

    def values(i: int) -> list[np.ndarray]:
        selection, delta = parts[i].selection, parts[i].delta
        computed: dict[str, Any] = dict(computed_forms(selection)) if weights.index else {}
        found = [delta.trained[path] for path in weights.compact]
        found += [delta.states[path] for path in weights.states]
        found += [positions(computed[path]) for path in weights.index]
        return [np.asarray(a, _dtype(v)) for a, v in zip(found, variables, strict=True)]

    groups = (weights.compact, weights.states, weights.index)
    variables = [variable for group in groups for variable in group.values()]
    return Members(variables, tuple(part.delta for part in parts), values)


def _dtype(variable: Any) -> str:
    return keras.backend.standardize_dtype(variable.dtype)


def _differ_in_values_only(parts: Sequence[FittedPart]) -> bool:
    """Return whether parts run in one compiled model, and have the same frozen values."""
    first = parts[0]
    # The networks of parts with frozen zeros are made thinner, each for itself.
    if not have_same_frozen(parts) or first.frozen == "zero":
        return False
    selections = {id(part.selection): part.selection for part in parts}.values()
    if any(isinstance(form, forms.Subspace) for form in first.selection.forms.values()):
        return False  # each has the random matrices of its seed
    return len({forms_key(selection) for selection in selections}) == 1


def _agree_before_cut(parts: Sequence[FittedPart], compiled: CompiledModel) -> bool:
    """Return whether the frozen prefix, where there is one, has the same states in all parts."""
    prefix = compiled.prefix(Phase())
    if prefix is None:
        return True
    network: Any = prefix.predictor.network
    inside, survey = {id(variable) for variable in network.variables}, compiled.network.survey
    paths = [path for path, variable in survey.states.items() if id(variable) in inside]
    paths = [path for path in paths if survey.state_infos[path].kind != "seed"]
    first = parts[0].delta.states
    return all(
        np.array_equal(part.delta.states[path], first[path]) for part in parts for path in paths
    )


def _bytes(part: FittedPart) -> int:
    arrays = [*part.delta.trained.values(), *part.delta.states.values()]
    return sum(array.nbytes for array in arrays)
