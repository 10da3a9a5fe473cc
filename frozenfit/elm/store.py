"""A fitted ELM as values and arrays of a file: the head, the scaling, and what no seed restores."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from frozenfit.draws import stream_digest
from frozenfit.elm.config import Config
from frozenfit.elm.dense import Dense, follows_from_seed, layer_path, make_dense
from frozenfit.elm.frozen import Frozen, first_mask
from frozenfit.elm.head import Head
from frozenfit.elm.scaling import Scaler
from frozenfit.elm.stages import FeatureStage
from frozenfit.elm.stages.base import array_of, frozen_row
from frozenfit.elm.weight_scale import fixed_weight_scale
from frozenfit.parameter_table import TableRow
from frozenfit.utils.size_limit import charge

__all__ = ["parameter_table", "read", "write"]

# Separates the arrays of a stage, whose names a user chooses, from all others.
_STAGE = "input_features/"


def parameter_table(frozen: Frozen, head: Head) -> list[TableRow]:
    """Return one row per weight: the stage, the frozen layers, the heads."""
    rows = frozen.stage.parameter_table()
    for i, layer in enumerate(frozen.layers):
        rows.append(frozen_row(f"{layer_path(i)}/kernel", layer.kernel))
        rows.append(frozen_row(f"{layer_path(i)}/bias", layer.bias))
    for path, array in _head_arrays(head).items():
        rows.append(TableRow(path, tuple(array.shape), "all", array.size, array.size))
    return rows


def _head_names(count: int) -> list[str]:
    return ["head"] if count == 1 else [f"head_{i + 1}" for i in range(count)]


def _head_arrays(head: Head) -> dict[str, np.ndarray]:
    arrays = {}
    names = _head_names(len(head.coefs))
    for name, coef, intercept in zip(names, head.coefs, head.intercepts, strict=True):
        arrays |= {f"{name}/kernel": coef, f"{name}/bias": intercept}
    return arrays


def write(
    frozen: Frozen, head: Head, include_frozen: bool
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what a file stores.

    Parameters
    ----------
    frozen : Frozen
        The frozen part.
    head : Head
        The trained output.
    include_frozen : bool
        Whether to store weights that the seed restores.

    Returns
    -------
    meta : dict
        Values that JSON can express.
    arrays : dict of str to ndarray

    Raises
    ------
    ValueError
        If the feature stage cannot be stored.
    """
    arrays = {"scaler/mean": frozen.scaler.mean, "scaler/factor": frozen.scaler.factor}
    arrays |= _head_arrays(head)
    for i, layer in enumerate(frozen.layers):
        if include_frozen or not layer.seeded:
            arrays[f"{layer_path(i)}/kernel"] = layer.kernel
            arrays[f"{layer_path(i)}/bias"] = layer.bias
    if head.low is not None:
        arrays["range/low"], arrays["range/high"] = head.low, head.high
    state = frozen.stage.state()
    values = {key: value for key, value in state.items() if not isinstance(value, np.ndarray)}
    arrays |= {_STAGE + key: state[key] for key in state if key not in values}
    meta = {
        "seed": frozen.config.seed,
        # A digest of the first numbers of each stream: a version that draws other numbers must
        # refuse the file instead of predicting something else.
        "draws": stream_digest(frozen.config.seed, _paths(frozen)),
        "weight_scale": fixed_weight_scale(frozen.config),
        "clip": frozen.scaler.clip,
        "direct": frozen.direct,
        "dtype": frozen.dtype,
        "layers": [
            {"shift": layer.shift, "factor": layer.factor, "inputs": len(layer.kernel)}
            for layer in frozen.layers
        ],
        "alphas": list(head.alphas),
        "calibration": np.array([head.beta, head.gamma]).tolist(),
        "best_score": head.best_score,
        "input_features": values,
    }
    return meta, {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _paths(frozen: Frozen) -> list[str]:
    return [f"{layer_path(i)}/kernel" for i in range(len(frozen.layers))]


def read(
    config: Config, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> tuple[Frozen, Head]:
    """Restore the frozen part and the head.

    Parameters
    ----------
    config : Config
        From the parameters of the estimator.
    meta, arrays
        What `write` returned.

    Returns
    -------
    frozen : Frozen
    head : Head

    Raises
    ------
    ValueError
        If something is missing or inconsistent.
    """
    config = replace(config, weight_scale=float(meta["weight_scale"]))
    remaining = dict(arrays)
    stage = _read_stage(config, meta["input_features"], remaining)
    mean, factor = _take(remaining, "scaler/mean", 1), _take(remaining, "scaler/factor", 1)
    inputs = math.prod(config.input_shape)
    if factor.shape != mean.shape or (stage.passes_samples and len(mean) != inputs):
        raise ValueError(f"the scaling has {len(mean)} columns instead of {inputs}")
    scaler = Scaler(mean, factor, meta["clip"])
    frozen = Frozen(config, stage, scaler, (), bool(meta["direct"]), str(meta["dtype"]))
    if len(meta["layers"]) != len(config.hidden_layer_sizes):
        raise ValueError("the number of layers differs from that of hidden_layer_sizes")
    for i, about in enumerate(meta["layers"]):
        layer = _read_layer(frozen, i, about, remaining)
        frozen = replace(frozen, layers=(*frozen.layers, layer))
    if meta["draws"] != stream_digest(config.seed, _paths(frozen)):
        raise ValueError("its random weights were drawn by another method than in this version")
    head = _read_head(config, frozen, meta, remaining)
    if remaining:
        raise ValueError(f"it contains an unexpected array {min(remaining)!r}")
    return frozen, head


def _take(arrays: dict[str, np.ndarray], name: str, ndim: int) -> np.ndarray:
    array = array_of(arrays, name, ndim)
    del arrays[name]
    return array


def _read_stage(
    config: Config, values: Mapping[str, Any], arrays: dict[str, np.ndarray]
) -> FeatureStage:
    state = dict(values)
    for name in [name for name in arrays if name.startswith(_STAGE)]:
        state[name.removeprefix(_STAGE)] = arrays.pop(name)
    stage = copy.copy(config.stage).restore(state, config.input_shape)
    if stage.state().keys() != state.keys():
        raise ValueError(f"the state of features={type(stage).__name__} has unexpected keys")
    return stage


def _read_layer(frozen: Frozen, i: int, about: Mapping[str, Any], arrays: dict) -> Dense:
    inputs, units = int(about["inputs"]), frozen.config.hidden_layer_sizes[i]
    _check_inputs(frozen, i, inputs)
    seeded = follows_from_seed(frozen.config)
    if f"{layer_path(i)}/kernel" in arrays:
        kernel = _take(arrays, f"{layer_path(i)}/kernel", 2)
        bias = _take(arrays, f"{layer_path(i)}/bias", 1)
        if kernel.shape != (inputs, units) or bias.shape != (units,):
            raise ValueError(f"the weights of layer {i + 1} have the shape {kernel.shape}")
        layer = Dense(kernel, bias, seeded=seeded)
    elif seeded:
        # Candidates of receptive fields are drawn per unit, whatever the number of inputs is.
        charge(f"layer {i + 1}", (max(inputs, 256), units), 8)
        mask = first_mask(frozen, i, units)
        layer = make_dense(frozen.config, i, (inputs, units), mask, frozen.dtype)
    else:
        raise ValueError(f"the weights of layer {i + 1} are missing")
    return replace(layer, shift=float(about["shift"]), factor=float(about["factor"]))


def _check_inputs(frozen: Frozen, i: int, inputs: int) -> None:
    columns = len(frozen.scaler.mean)
    extra = columns if frozen.direct else 0
    expected = columns if i == 0 else frozen.config.hidden_layer_sizes[i - 1] + extra
    if inputs != expected:
        raise ValueError(f"layer {i + 1} has {inputs} inputs instead of {expected}")


def _read_calibration(config: Config, values: Any) -> Any:
    if config.task != "multilabel":
        return (float(value) for value in values)
    numbers = np.array(values, np.float64)
    if numbers.shape != (2, config.n_outputs):
        raise ValueError(f"the calibration has the shape {numbers.shape}")
    return numbers


def _read_head(config: Config, frozen: Frozen, meta: Mapping[str, Any], arrays: dict) -> Head:
    sizes = frozen.n_features
    names = _head_names(len(sizes))
    coefs = tuple(_take(arrays, f"{name}/kernel", 2) for name in names)
    intercepts = tuple(_take(arrays, f"{name}/bias", 1) for name in names)
    for coef, intercept, size in zip(coefs, intercepts, sizes, strict=True):
        shape = (size, config.n_outputs)
        if coef.shape != shape or intercept.shape != shape[1:]:
            raise ValueError(f"the head has the shape {coef.shape} instead of {shape}")
    beta, gamma = _read_calibration(config, meta["calibration"])
    target_range = (None, None)
    if not config.classifies:
        target_range = (_take(arrays, "range/low", 1), _take(arrays, "range/high", 1))
        if any(limits.shape != (config.n_outputs,) for limits in target_range):
            raise ValueError(f"the range of targets must have {config.n_outputs} columns")
    alphas = tuple(float(alpha) for alpha in meta["alphas"])
    return Head(coefs, intercepts, alphas, beta, gamma, *target_range, meta["best_score"])
