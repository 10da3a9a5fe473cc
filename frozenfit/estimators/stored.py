"""What a file holds of a fitted partial net, and how it becomes one again.

The file itself is storage's; here is only which values it needs: the trainable parameters, the
states, the seed. Frozen random values are drawn again on loading and checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from frozenfit.delta import Delta
from frozenfit.estimators import stored_base
from frozenfit.estimators.fitted_part import FittedPart
from frozenfit.frozen_values import draw_frozen, partly_frozen
from frozenfit.selectors import Context, Mask, Nothing, Selection, as_selector, forms
from frozenfit.selectors.forms import Everything, Form, Indices, Leading
from frozenfit.training.base import Base
from frozenfit.training.network import Network
from frozenfit.training.workspace import workspace

_TARGETS = {
    "_target_mean": "mean",
    "_target_scale": "scale",
    "_single_target": "single",
    "_n_targets": "count",
}


def fitted_state(
    estimator: Any, include_frozen: bool
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Say what a file needs of a fitted estimator besides its parameters.

    Parameters
    ----------
    estimator : PartialNet
        The fitted estimator.
    include_frozen : bool
        Store the frozen values as well.

    Returns
    -------
    meta : dict
        Values that JSON can say, and small arrays.
    arrays : dict of str to ndarray
        ``trained/...``, ``state/...``, and ``base/...`` and ``filled/...`` for what no seed gives
        back.

    Raises
    ------
    ValueError
        Where frozen values came with a callable, so that neither a seed nor a base gives them.
    """
    base: Base = estimator.base_.parent or estimator.base_
    with workspace.check_out(base) as network:
        about, stored = stored_base.write(base, network, include_frozen)
        meta, arrays = part_state(estimator, network, include_frozen)
    meta |= data_state(estimator) | {"base": about}
    return meta, {f"base/{path}": value for path, value in stored.items()} | arrays


def data_state(estimator: Any) -> dict[str, Any]:
    """Say what a fitted estimator knows of its data.

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
        "classes": getattr(estimator, "classes_", None),
        "targets": _targets(estimator),
    }


def part_state(
    estimator: Any, network: Network, include_frozen: bool = False
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Say what was learned on a base, and how.

    Parameters
    ----------
    estimator : PartialNet
        The fitted estimator.
    network : Network
        A network of its base's structure.
    include_frozen : bool, default=False
        Store random frozen values too, rather than what tells of it.

    Returns
    -------
    meta : dict
        History, fill, statistics, seeds, forms, and what tells of random frozen values.
    arrays : dict of str to ndarray
        ``trained/...``, ``state/...``, and ``filled/...``.
    """
    part: FittedPart = estimator.part_
    meta = {
        "history": estimator.history_,
        "frozen": part.frozen,
        "statistics": part.statistics,
        "seeds": dict(part.seeds),
        "forms": _written_forms(estimator, part, network),
        "filled": None,
    }
    arrays = {f"trained/{path}": value for path, value in part.delta.trained.items()}
    if part.frozen == "random" or part.base.parent is not None:
        drawn, held = _random_values(part, network, include_frozen)
        meta |= {"frozen": "random", "filled": stored_base.draws_facts(part.base.seed, drawn)}
        arrays |= {f"filled/{path}": value for path, value in held.items()}
    return meta, arrays | {f"state/{path}": value for path, value in part.delta.states.items()}


def restore(
    estimator: Any, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray], base: Any = None
) -> FittedPart:
    """Return the trained part of an estimator from the contents of a file.

    Parameters
    ----------
    estimator : PartialNet
        Made from the stored parameters; its simple fitted attributes are set here.
    meta, arrays
        What `fitted_state` gave.
    base : Base, keras.Model or None, default=None
        The base itself where it is here already, or the user's own network below it.

    Returns
    -------
    FittedPart
        The part; the attributes of the data are set on the estimator.

    Raises
    ------
    ValueError
        Where a name, shape, type, draw or fingerprint is not what the network asks for.
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
        With what `restore_data` sets.
    meta : dict
        What the file says of it.
    stored : dict of str to ndarray
        Values of the base.
    base : Base, keras.Model or None
        As of `restore`.

    Returns
    -------
    Base
        Its values checked.
    """
    if isinstance(base, Base):
        return base
    n_outputs, about = estimator._n_outputs_, meta["base"]
    found = stored_base.read(estimator, n_outputs, about, stored, base)
    with workspace.check_out(found) as network:
        network.check(estimator.input_shape_, n_outputs, meta["classes"] is not None)
        stored_base.check(found, network, about, stored)
    return found


def restore_data(estimator: Any, meta: Mapping[str, Any]) -> None:
    """Set what an estimator knows of its data.

    Parameters
    ----------
    estimator : NetworkEstimator
        Made from the stored parameters.
    meta : dict
        What `data_state` gave.
    """
    estimator.n_features_in_ = meta["n_features_in"]
    estimator.input_shape_ = tuple(meta["input_shape"])
    estimator._n_outputs_ = meta["n_outputs"]
    if meta["feature_names_in"] is not None:
        estimator.feature_names_in_ = meta["feature_names_in"]
    if meta["classes"] is not None:
        estimator.classes_ = meta["classes"]
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
    """Return the trained part of a base from the contents of a file.

    Parameters
    ----------
    estimator : PartialNet
        Made from the stored parameters.
    meta, arrays
        What `part_state` gave.
    network : Network
        A network of the base's structure.
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
        base, frozen = _filled_again(base, network, selection, meta, group(arrays, "filled"))
    delta = Delta(group(arrays, "trained"), group(arrays, "state"))
    _check_delta(delta, selection, network)
    return FittedPart(base, selection, frozen, meta["statistics"], meta["seeds"], delta)


def _random_values(
    part: FittedPart, network: Network, include_frozen: bool
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Tell which weights of random frozen values are drawn again, and which a file must hold."""
    base, selection = part.base, part.selection
    drawn = draw_frozen(selection, base.seed)
    if base.parent is None:  # drawn by the model itself
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


def _filled_again(
    base: Base, network: Network, selection: Selection, meta: Mapping, held: dict[str, np.ndarray]
) -> tuple[Base, str]:
    """Make the base of random frozen values again, and see that it is the right one."""
    network.check_values(held)
    drawn = draw_frozen(selection, base.seed, exclude=held)
    stored_base.check_draws(base.seed, drawn, meta["filled"])
    missing = [i.path for i in partly_frozen(selection) if i.path not in {*drawn, *held}]
    if missing:
        raise ValueError(f"the random values of {missing[0]!r} are neither in the file nor drawn")
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
        if not isinstance(selection[info.path], Nothing)
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
    """Return the arrays below a name, by the rest of their names."""
    prefix = name + "/"
    return {path[len(prefix) :]: v for path, v in arrays.items() if path.startswith(prefix)}


def _written_forms(estimator: Any, part: FittedPart, network: Network) -> dict[str, Any] | None:
    """Write the forms only where the selector does not give them again without the data."""
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
    return (type(form).__name__.lower(),)


def _read_form(written: tuple) -> Form:
    kind, *values = written
    if kind == "leading":
        return Leading(*values)
    if kind == "indices":
        return Indices(values[0], tuple(values[1].tolist()))
    if kind == "mask":
        count = int(np.prod(values[0]))
        return Mask(np.unpackbits(values[1], count=count).astype(bool).reshape(values[0]))
    return {"everything": Everything, "nothing": Nothing}[kind]()


def _read_forms(meta: Mapping, estimator: Any, network: Network, base: Base) -> Selection:
    if meta["forms"] is None:
        return _resolve_again(estimator, meta["seeds"], network, base)
    written = {path: _read_form(form) for path, form in meta["forms"].items()}
    return Selection(written, network.layout)
