"""The contents of a file for a fitted PartialNet: which values it needs, and how they are read.

`frozenfit.storage` writes and reads the file itself. A file needs the trained parameters, the
states and the seeds; frozen random values are drawn again while loading, and checked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from frozenfit.delta import Delta, stores_parameters
from frozenfit.estimators import stored_base, stored_masks
from frozenfit.estimators.fitted_part import FittedPart
from frozenfit.frozen_values import draw_frozen, partly_frozen
from frozenfit.projections import n_values
from frozenfit.selectors import Context, Mask, Nothing, Selection, as_selector, forms
from frozenfit.selectors.forms import (
    Everything,
    Form,
    Indices,
    Leading,
    LowRank,
    Scales,
    Subspace,
    Supermask,
)
from frozenfit.training import optimizers
from frozenfit.training.base import Base
from frozenfit.training.network import Network
from frozenfit.training.objective import Objective
from frozenfit.training.optimizers import OptimizerState
from frozenfit.training.phases import Phase, PhasePlan
from frozenfit.training.workspace import workspace
from frozenfit.utils.size_limit import charge

# Elements of all outputs times parameters: a bound of the multiplications for one sample.
_SMALL_NETWORK = 1e10
_TARGETS = {
    "_target_mean": "mean",
    "_target_scale": "scale",
    "_single_target": "single",
    "_n_targets": "count",
}


def fitted_state(
    estimator: Any, include_frozen: bool, include_optimizer: bool
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what a file needs for a fitted estimator besides its constructor parameters.

    Parameters
    ----------
    estimator : PartialNet
        The fitted estimator.
    include_frozen : bool
        Whether to store the frozen values too.
    include_optimizer : bool
        Whether to store the state of the optimizer too.

    Returns
    -------
    meta : dict
        Values that JSON can represent, and small arrays.
    arrays : dict of str to ndarray
        ``trained/...`` and ``state/...``; ``base/...`` and ``random/...`` for frozen values that
        no seed determines; ``optimizer/...``.

    Raises
    ------
    ValueError
        If frozen values that are not stored could not be restored: a callable made them, or an
        earlier fit trained them.
    """
    base: Base = estimator.base_.parent or estimator.base_
    with workspace.check_out(base) as network:
        about, stored = stored_base.write(base, network, include_frozen)
        meta, arrays = part_state(estimator, network, include_frozen, include_optimizer)
    meta |= data_state(estimator) | {"base": about}
    return meta, {f"base/{path}": value for path, value in stored.items()} | arrays


def data_state(estimator: Any) -> dict[str, Any]:
    """Return the attributes that an estimator derives from its data.

    Parameters
    ----------
    estimator : NetworkEstimator
        Fitted.

    Returns
    -------
    dict
        For `restore_data`.
    """
    return {
        "n_features_in": estimator.n_features_in_,
        "feature_names_in": getattr(estimator, "feature_names_in_", None),
        "input_shape": tuple(estimator.input_shape_),
        "n_outputs": estimator._n_outputs_,
        "task": estimator._task,
        "classes": getattr(estimator, "classes_", None),
        "targets": _targets(estimator),
    }


def part_state(
    estimator: Any, network: Network, include_frozen: bool, include_optimizer: bool
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what a file needs for a trained part besides its base.

    Parameters
    ----------
    estimator : PartialNet
        The fitted estimator.
    network : Network
        A network with the structure of the base.
    include_frozen : bool
        Whether to store random frozen values rather than a digest of them.
    include_optimizer : bool
        Whether to store the state of the optimizer, where the estimator keeps one.

    Returns
    -------
    meta : dict
        History, mode of the frozen values and statistics, seeds, forms where the selector does
        not determine them, a digest of random frozen values, and what the optimizer updates.
    arrays : dict of str to ndarray
        ``trained/...``, ``state/...``, ``random/...`` and ``optimizer/...``.
    """
    part: FittedPart = estimator.part_
    meta = {
        "history": estimator.history_,
        "frozen": part.frozen,
        "statistics": part.statistics,
        "seeds": dict(part.seeds),
        "forms": _written_forms(estimator, part, network),
        "random": None,
    }
    trained = dict(part.delta.trained)
    # None where training that continues would not use it either.
    state = estimator._optimizer_state_to_load(part) if include_optimizer else None
    if state is None:
        masks, meta["masks"] = stored_masks.packed(trained, part.selection)
        trained |= masks
    arrays = {f"trained/{path}": value for path, value in trained.items()}
    if part.frozen == "random" or part.base.parent is not None:
        drawn, held = _random_values(part, network, include_frozen)
        meta |= {"frozen": "random", "random": stored_base.draw_digest(part.base.seed, drawn)}
        arrays |= {f"random/{path}": value for path, value in held.items()}
    if state is not None:
        meta["optimizer"] = {"paths": list(state.paths), "steps": state.steps}
        arrays |= _named(state.variables)
    return meta, arrays | {f"state/{path}": value for path, value in part.delta.states.items()}


def restore(
    estimator: Any, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray], base: Any = None
) -> FittedPart:
    """Return the trained part of an estimator from the contents of a file.

    Parameters
    ----------
    estimator : PartialNet
        Constructed from the stored parameters. Its attributes derived from data are set.
    meta, arrays
        The result of `fitted_state`.
    base : Base, keras.Model or None, default=None
        The base, where another estimator of the file has restored it; or the network that the
        user gave again.

    Returns
    -------
    FittedPart
        The part; the attributes of the data are set on the estimator.

    Raises
    ------
    ValueError
        If a name, shape, type, drawn value or fingerprint does not match the network.
    """
    restore_data(estimator, meta)
    base = restore_base(estimator, meta, group(arrays, "base"), base)
    with workspace.check_out(base) as network:
        return restore_part(estimator, meta, arrays, network, base)


def restore_base(
    estimator: Any, meta: Mapping[str, Any], stored: Mapping[str, np.ndarray], base: Any
) -> Base:
    """Make the base of an estimator again, and see that it is the right one.

    Parameters
    ----------
    estimator : estimator
        With the attributes that `restore_data` sets.
    meta : dict
        The result of `fitted_state`.
    stored : dict of str to ndarray
        Values of the base by path.
    base : Base, keras.Model or None
        The argument of `restore`.

    Returns
    -------
    Base
        The base, after its values are checked.
    """
    if isinstance(base, Base):
        return base
    n_outputs, about = estimator._n_outputs_, meta["base"]
    found = stored_base.read(estimator, n_outputs, about, stored, base)
    with workspace.check_out(found) as network:
        fits = _fits(network.model, estimator.input_shape_, n_outputs)
        if not fits or base is not None or _is_small(network.model):
            network.check(estimator.input_shape_, n_outputs, estimator._task)
        stored_base.check(found, network, about, stored)
    return found


def _fits(model: keras.Model, input_shape: tuple[int, ...], n_outputs: int) -> bool:
    """Return whether a network has static shapes, which must then match those of the data.

    Such a network need not compute a sample, for which a small file can ask for hours.
    """
    try:
        given, found = model.input_shape, model.output_shape
    except (AttributeError, ValueError):  # a subclassed model
        return False
    matches = len(given) == len(input_shape) + 1 and found == (None, n_outputs)
    if not matches or any(n not in (None, m) for n, m in zip(given[1:], input_shape, strict=True)):
        raise ValueError(
            f"the network maps samples of shape {given[1:]} to outputs of shape {found[1:]}, and "
            f"the file describes samples of shape {input_shape} and {n_outputs} outputs"
        )
    return True


def _is_small(model: keras.Model) -> bool:
    """Return whether computing one sample takes less than about a second."""
    if not isinstance(model, keras.Sequential) and not hasattr(model, "operations"):
        return False
    operations = model.layers if isinstance(model, keras.Sequential) else model.operations
    outputs = [tensor for each in operations for tensor in keras.tree.flatten(each.output)]
    n_elements = sum(math.prod(n or 1 for n in tensor.shape) for tensor in outputs)
    return n_elements * model.count_params() < _SMALL_NETWORK


def restore_data(estimator: Any, meta: Mapping[str, Any]) -> None:
    """Set the attributes that an estimator derives from its data.

    Parameters
    ----------
    estimator : NetworkEstimator
        Constructed from the stored parameters.
    meta : dict
        The result of `data_state`.
    """
    estimator.n_features_in_ = meta["n_features_in"]
    estimator.input_shape_ = tuple(meta["input_shape"])
    estimator._n_outputs_ = meta["n_outputs"]
    if meta["feature_names_in"] is not None:
        estimator.feature_names_in_ = meta["feature_names_in"]
    if meta["classes"] is not None:
        estimator.classes_, estimator._task = meta["classes"], meta["task"]
    for attribute, name in _TARGETS.items():
        if meta["targets"] is not None:
            setattr(estimator, attribute, meta["targets"][name])


def restore_part(
    estimator: Any,
    meta: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    network: Network,
    base: Base,
) -> FittedPart:
    """Return the trained part of a base from the contents of a file, and set the optimizer state.

    Parameters
    ----------
    estimator : PartialNet
        Constructed from the stored parameters.
    meta, arrays
        The result of `part_state`.
    network : Network
        A network with the structure of the base.
    base : Base
        The base.

    Returns
    -------
    FittedPart
        Its arrays checked.
    """
    selection = _read_forms(meta, estimator, network, base)
    frozen = meta["frozen"]
    if frozen == "random":
        base, frozen = _redrawn(base, network, selection, meta, group(arrays, "random"))
    trained = group(arrays, "trained")
    trained |= stored_masks.unpacked(trained, selection, meta.get("masks") or {})
    delta = Delta(trained, group(arrays, "state"))
    _check_delta(delta, selection, network)
    part = FittedPart(base, selection, frozen, meta["statistics"], meta["seeds"], delta)
    _restore_optimizer(estimator, meta.get("optimizer"), group(arrays, "optimizer"), network, part)
    return part


def _named(variables: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    return {f"optimizer/{number:06}": value for number, value in enumerate(variables)}


def _restore_optimizer(
    estimator: Any,
    about: Mapping[str, Any] | None,
    given: Mapping[str, np.ndarray],
    network: Network,
    part: FittedPart,
) -> None:
    """Set the optimizer state of an estimator, after its arrays are compared with an optimizer."""
    if about is None:
        if given:
            raise ValueError("the file contains variables of an optimizer and nothing about them")
        return
    paths = tuple(about["paths"])
    phase = Phase(frozenset(part.delta.trained) - set(paths))
    optimizer, *_ = optimizers.make(
        estimator.optimizer, estimator.learning_rate, estimator.weight_decay, automatic=1.0
    )
    objective = Objective(estimator._task)
    compiled = network.compiled(part.base, part.selection, part.frozen, part.statistics)
    if paths != PhasePlan(None, compiled.model, 1).active(phase):
        raise ValueError("the optimizer updates other parameters than those of the network")
    expected = _named(compiled.trainer(optimizer, objective, phase).optimizer_state())
    wanted = group(expected, "optimizer")
    _check_arrays("optimizer variables", given, {name: a.shape for name, a in wanted.items()})
    if any(given[name].dtype != a.dtype for name, a in wanted.items()):
        raise ValueError("the optimizer variables have other types than those of the optimizer")
    variables = [given[name] for name in wanted]
    estimator._optimizer_state = OptimizerState(paths, variables, about["steps"])
    estimator._optimizer_state_of = estimator.optimizer


def _random_values(
    part: FittedPart, network: Network, include_frozen: bool
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Split random frozen values into those that are drawn again and those that a file holds."""
    base, selection = part.base, part.selection
    drawn = draw_frozen(selection, base.seed)
    if base.parent is None:  # the compiled model draws them
        if not (include_frozen and network.is_copy):
            return drawn, {}
        base = base.with_random_frozen(selection, network.survey, drawn)
    values = network.values(base)
    parent = base.parent or base
    redrawn = parent.with_random_frozen(selection, network.survey, {**values, **drawn})
    again = network.values(redrawn)
    same = {p for p in drawn if np.array_equal(again[p], values[p]) and not include_frozen}
    held = {i.path: values[i.path] for i in partly_frozen(selection) if i.path not in same}
    return {path: drawn[path] for path in same}, held


def _redrawn(
    base: Base, network: Network, selection: Selection, meta: Mapping, held: dict[str, np.ndarray]
) -> tuple[Base, str]:
    """Return the base with random frozen values and the mode that goes with it."""
    network.check_values(held)
    charge("frozen weights", [sum(math.prod(i.shape) for i in partly_frozen(selection))])
    drawn = draw_frozen(selection, base.seed, exclude=held)
    stored_base.check_draws(base.seed, drawn, meta["random"])
    missing = [i.path for i in partly_frozen(selection) if i.path not in {*drawn, *held}]
    if missing:
        raise ValueError(
            f"the random values of {missing[0]!r} are not in the file, and no seed determines them"
        )
    if not network.is_copy:
        return base, "random"
    return base.with_random_frozen(selection, network.survey, {**drawn, **held}), "keep"


def _targets(estimator: Any) -> dict[str, Any] | None:
    if not hasattr(estimator, "_target_mean"):
        return None
    return {name: getattr(estimator, attribute) for attribute, name in _TARGETS.items()}


def _check_delta(delta: Delta, selection: Selection, network: Network) -> None:
    wanted = {
        info.path: forms.compact_shape(selection[info.path], info.shape)
        for info in selection.layout.weights
        if stores_parameters(selection[info.path])
    }
    _check_arrays("trainable parameters", delta.trained, wanted)
    _check_arrays("states", delta.states, network.state_shapes)


def _check_arrays(what: str, given: Mapping[str, np.ndarray], wanted: Mapping[str, tuple]) -> None:
    if set(given) != set(wanted):
        odd = ", ".join(sorted(set(given) ^ set(wanted))[:3])
        raise ValueError(f"the {what} are not those of the network: {odd} on one side only")
    for path, value in given.items():
        if value.shape != tuple(wanted[path]):
            raise ValueError(
                f"the {what} of {path!r} have shape {value.shape}, the network asks for "
                f"{tuple(wanted[path])}"
            )


def group(arrays: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """Return the arrays whose names start with a group's name, without it."""
    prefix = name + "/"
    return {path[len(prefix) :]: v for path, v in arrays.items() if path.startswith(prefix)}


def _written_forms(estimator: Any, part: FittedPart, network: Network) -> dict[str, Any] | None:
    """Return the forms, or None where the selector gives them again without the data."""
    try:
        again = _resolve_again(estimator, part.seeds, network, part.base.parent or part.base)
    except ValueError:
        again = None
    if again == part.selection:
        return None
    return {path: _write_form(form) for path, form in part.selection.items()}


def _resolve_again(estimator: Any, seeds: Mapping, network: Network, base: Base) -> Selection:
    context = Context(seed=seeds["selector"], values=network.values(base))
    return as_selector(estimator.trainable).resolve(network.layout, context)


def _write_form(form: Form) -> Any:
    if isinstance(form, Leading):
        return ("leading", form.axis, form.count)
    if isinstance(form, Indices):
        return ("indices", form.axis, np.asarray(form.indices, np.int32))
    if isinstance(form, Mask):
        return ("mask", form.array.shape, np.packbits(form.array))
    if isinstance(form, Scales):
        return ("scales", form.inputs, form.outputs, form.signs)
    if isinstance(form, Subspace):
        return ("subspace", *form.key)
    if isinstance(form, LowRank):
        return ("lora", form.r, form.inputs, form.scale, form.seed)
    if isinstance(form, Supermask):
        return ("supermask", form.keep, form.rescale, form.seed, form.bound)
    return (type(form).__name__.lower(),)


def _read_form(written: tuple) -> Form:
    kind, *values = written
    if kind == "leading":
        return Leading(*values)
    if kind == "indices":
        return Indices(values[0], tuple(values[1].tolist()))
    if kind == "mask":
        count = math.prod(values[0])
        if -(-count // 8) != values[1].size:  # unpackbits appends zeros up to any count
            raise ValueError(f"a mask of {values[1].size} bytes cannot have shape {values[0]}")
        return Mask(np.unpackbits(values[1], count=count).astype(bool).reshape(values[0]))
    if kind == "scales":
        return Scales(*values)
    if kind == "subspace":
        return Subspace(*values)
    if kind == "lora":
        return LowRank(*values)
    if kind == "supermask":
        return Supermask(*values)
    return {"everything": Everything, "nothing": Nothing}[kind]()


def _read_forms(meta: Mapping, estimator: Any, network: Network, base: Base) -> Selection:
    if meta["forms"] is None:
        selection = _resolve_again(estimator, meta["seeds"], network, base)
    else:
        written = {path: _read_form(form) for path, form in meta["forms"].items()}
        selection = Selection(written, network.layout)
    for _, form in selection.items():
        if isinstance(form, Subspace) and form.n_coordinates:
            n = n_values(form.projection, form.d, form.total)
            charge(f"the projection of a subspace of {form.d} dimensions", (n,))
    return selection
