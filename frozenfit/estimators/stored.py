"""What a file holds of a fitted partial net, and how it becomes one again.

The file itself is storage.py's; here is only which values it needs: the learned entries, the
states, the seed. Frozen random values are drawn again on loading and checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from frozenfit import draws
from frozenfit.partial import Delta
from frozenfit.subset import Context, Mask, Nothing, Resolved, as_subset, forms
from frozenfit.subset.kinds import Everything, Form, Indices, Leading
from frozenfit.training.network import Base, drawn_base, given_base
from frozenfit.training.workspace import Network, workspace

_MOMENT_TOLERANCE = 1e-6
_TARGETS = {
    "_target_mean": "mean",
    "_target_scale": "scale",
    "_single_target": "single",
    "_n_targets": "count",
}


def fitted_state(
    estimator: Any, setting: Any, delta: Delta, include_frozen: bool
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Say what a file needs of a fitted estimator besides its parameters.

    Parameters
    ----------
    estimator : PartialNet
        The fitted estimator.
    setting, delta
        Where its delta lives, and the delta.
    include_frozen : bool
        Store the frozen values as well.

    Returns
    -------
    meta : dict
        Values that JSON can say, and small arrays.
    arrays : dict of str to ndarray
        ``learned/...``, ``state/...``, and ``base/...`` for what no seed gives back.

    Raises
    ------
    ValueError
        Where frozen values came with a callable, so that neither a seed nor a base gives them.
    """
    base: Base = setting.base
    with workspace.borrow(base) as network:
        stored = _stored(base, network, include_frozen)
        drawn = {} if base.kept else _drawn(base, network, stored)
        meta: dict[str, Any] = {
            "n_features_in": estimator.n_features_in_,
            "feature_names_in": getattr(estimator, "feature_names_in_", None),
            "input_shape": tuple(estimator.input_shape_),
            "n_outputs": estimator._n_outputs_,
            "classes": getattr(estimator, "classes_", None),
            "targets": _targets(estimator),
            "history": estimator.history_,
            "fill": setting.fill,
            "statistics": setting.statistics,
            "seeds": dict(setting.seeds),
            "base": {
                "seed": base.seed,
                "kept": base.kept,
                "stream": draws.stream_digest(base.seed, sorted(drawn)),
                "moments": {p: tuple(map(float, draws.moments(v))) for p, v in drawn.items()},
                "fingerprint": base.fingerprint(network.layout, network.frozen),
            },
            "forms": _written_forms(estimator, setting, network),
        }
    arrays = {f"base/{path}": value for path, value in stored.items()}
    arrays |= {f"learned/{path}": value for path, value in delta.learned.items()}
    arrays |= {f"state/{path}": value for path, value in delta.states.items()}
    return meta, arrays


def restore(
    estimator: Any, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Turn what a file held back into the place and the delta of an estimator.

    Parameters
    ----------
    estimator : PartialNet
        Made from the stored parameters; its simple fitted attributes are set here.
    meta, arrays
        What `fitted_state` gave.

    Returns
    -------
    dict
        ``base``, ``resolved``, ``fill``, ``statistics``, ``seeds``, ``delta``, ``history``.

    Raises
    ------
    ValueError
        Where a name, shape, type, draw or fingerprint is not what the network asks for.
    """
    about, stored = meta["base"], _group(arrays, "base")
    shape, n_outputs = tuple(meta["input_shape"]), meta["n_outputs"]
    base = _base(estimator, shape, n_outputs, about, stored)
    with workspace.borrow(base) as network:
        network.check(shape, n_outputs, meta["classes"] is not None)
        _check_base(base, network, about, stored)
        resolved = _read_forms(meta, estimator, network, base)
        delta = Delta(_group(arrays, "learned"), _group(arrays, "state"))
        _check_delta(delta, resolved, network)
    estimator.n_features_in_ = meta["n_features_in"]
    estimator.input_shape_ = shape
    estimator._n_outputs_ = n_outputs
    if meta["feature_names_in"] is not None:
        estimator.feature_names_in_ = meta["feature_names_in"]
    if meta["classes"] is not None:
        estimator.classes_ = meta["classes"]
    for attribute, name in _TARGETS.items():
        if meta["targets"] is not None:
            setattr(estimator, attribute, meta["targets"][name])
    kept = {name: meta[name] for name in ("fill", "statistics", "seeds", "history")}
    return {"base": base, "resolved": resolved, "delta": delta, **kept}


def _stored(base: Base, network: Network, include_frozen: bool) -> dict[str, np.ndarray]:
    if include_frozen:
        return network.values(base)
    if base.kept and base.given is None:
        raise ValueError(
            "the frozen values of this estimator came with the network its callable built, or "
            "from an earlier fit, and no seed gives them back; save with include_frozen=True"
        )
    return {} if base.given is not None else base.stored(network.layout, network.frozen)


def _drawn(base: Base, network: Network, stored: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {p: v for p, v in network.values(base).items() if p not in stored}


def _targets(estimator: Any) -> dict[str, Any] | None:
    if not hasattr(estimator, "_target_mean"):
        return None
    return {name: getattr(estimator, attribute) for attribute, name in _TARGETS.items()}


def _base(
    estimator: Any, shape: tuple, n_outputs: int, about: Mapping, stored: Mapping
) -> Base:
    if isinstance(estimator.model, keras.Model):
        base = given_base(estimator.model, about["seed"])
        if stored:
            base.write_to_given(stored)
        return base
    params = dict(estimator.model_params or {})
    base = drawn_base(
        estimator.model, shape, n_outputs, params, about["seed"], estimator.weight_init
    )
    base.kept = about["kept"]
    base.restore(stored)
    return base


def _check_base(base: Base, network: Network, about: Mapping, stored: Mapping) -> None:
    if base.given is not None:
        found = base.fingerprint(network.layout, network.frozen)
        if found != about["fingerprint"]:
            raise ValueError(
                f"the base has the fingerprint {found}, but the file was made on one with "
                f"{about['fingerprint']}; give frozenfit.load the same network with the same weights"
            )
        return
    network.check_values(stored)
    drawn = _drawn(base, network, stored)
    if draws.stream_digest(base.seed, sorted(drawn)) != about["stream"]:
        raise ValueError(
            "the stream of random numbers is not the one the file was made with; it was made by "
            "another version of NumPy's bit generator, so save with include_frozen=True there"
        )
    for path, value in drawn.items():
        expected = about["moments"][path]
        if not np.allclose(draws.moments(value), expected, rtol=_MOMENT_TOLERANCE, atol=1e-9):
            raise ValueError(
                f"the frozen values of {path!r} drawn again have mean and spread "
                f"{draws.moments(value)}, but the file was made with {expected}; save with "
                "include_frozen=True on the machine that made it"
            )


def _check_delta(delta: Delta, resolved: Resolved, network: Network) -> None:
    wanted = {
        info.path: forms.compact_shape(resolved[info.path], info.shape)
        for info in resolved.layout.weights
        if not isinstance(resolved[info.path], Nothing)
    }
    _check_arrays("learned entries", delta.learned, wanted)
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


def _group(arrays: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    prefix = name + "/"
    return {path[len(prefix) :]: v for path, v in arrays.items() if path.startswith(prefix)}


def _written_forms(estimator: Any, setting: Any, network: Network) -> dict[str, Any] | None:
    """Write the forms only where the subset does not give them again without the data."""
    try:
        again = _resolve_again(estimator, setting.seeds, network, setting.base)
    except ValueError:
        again = None
    if again == setting.resolved:
        return None
    return {path: _write_form(form) for path, form in setting.resolved.items()}


def _resolve_again(estimator: Any, seeds: Mapping, network: Network, base: Base) -> Resolved:
    context = Context(seed=seeds["subset"], values=network.values(base))
    return as_subset(estimator.learned, network.layout).resolve(network.layout, context)


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


def _read_forms(meta: Mapping, estimator: Any, network: Network, base: Base) -> Resolved:
    if meta["forms"] is None:
        return _resolve_again(estimator, meta["seeds"], network, base)
    written = {path: _read_form(form) for path, form in meta["forms"].items()}
    return Resolved(written, network.layout)
