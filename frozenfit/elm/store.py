"""What a file holds of an ELM: the head, the scaling, and what no seed gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import keras
import numpy as np

from frozenfit.draws import stream_digest
from frozenfit.elm import hidden, images
from frozenfit.elm.config import Config
from frozenfit.elm.head import Head
from frozenfit.elm.hidden import Frozen, Layer
from frozenfit.elm.scaling import Scaler
from frozenfit.selectors.forms import TableRow

__all__ = ["trainable_rows", "read", "write"]


def trainable_rows(frozen: Frozen, head: Head) -> list[TableRow]:
    """List every weight: path, shape, form in words, learned and all entries."""
    rows = []
    if isinstance(frozen.stage, images.Patches):
        for i, bank in enumerate(frozen.stage.banks):
            rows.append(_row(f"patches_{i + 1}/kernel", bank.kernel, False))
    elif isinstance(frozen.stage, keras.Model):
        rows += [_row(f"features/{w.path}", w, False) for w in frozen.stage.weights]
    for i, layer in enumerate(frozen.layers):
        rows.append(_row(f"hidden_{i + 1}/kernel", layer.kernel, False))
        rows.append(_row(f"hidden_{i + 1}/bias", layer.bias, False))
    for name, (coef, intercept) in zip(_head_names(head), _parts(head), strict=True):
        rows.append(_row(f"{name}/kernel", coef, True))
        rows.append(_row(f"{name}/bias", intercept, True))
    return rows


def _row(path: str, array: Any, trainable: bool) -> TableRow:
    total = int(np.prod(array.shape))
    return TableRow(
        path, tuple(array.shape), *(("all", total) if trainable else ("nothing", 0)), total
    )


def _head_names(head: Head) -> list[str]:
    count = len(head.coefs)
    return ["head"] if count == 1 else [f"head_{i + 1}" for i in range(count)]


def _parts(head: Head) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(zip(head.coefs, head.intercepts, strict=True))


def write(
    frozen: Frozen, head: Head, include_frozen: bool
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Say what a file needs.

    Parameters
    ----------
    frozen : Frozen
        The frozen part.
    head : Head
        What was learned.
    include_frozen : bool
        Store weights that the seed gives back as well.

    Returns
    -------
    meta : dict
        Values that JSON can say.
    arrays : dict of str to ndarray
    """
    arrays = {"scaler/mean": frozen.scaler.mean, "scaler/factor": frozen.scaler.factor}
    for name, (coef, intercept) in zip(_head_names(head), _parts(head), strict=True):
        arrays[f"{name}/kernel"], arrays[f"{name}/bias"] = coef, intercept
    for i, layer in enumerate(frozen.layers):
        if include_frozen or not layer.seeded:
            arrays[f"hidden_{i + 1}/kernel"] = layer.kernel
            arrays[f"hidden_{i + 1}/bias"] = layer.bias
    if head.low is not None:
        arrays["range/low"], arrays["range/high"] = head.low, head.high
    meta = {
        "seed": frozen.config.seed,
        "draws": stream_digest(frozen.config.seed, _paths(frozen)),
        "clip": frozen.scaler.clip,
        "direct": frozen.direct,
        "dtype": frozen.dtype,
        "layers": [
            {"shift": layer.shift, "factor": layer.factor, "inputs": len(layer.kernel)}
            for layer in frozen.layers
        ],
        "alphas": list(head.alphas),
        "calibration": [head.beta, head.gamma],
        "best_score": head.best_score,
        "patches": None,
    }
    if isinstance(frozen.stage, images.Patches):
        about, banks = _write_patches(frozen.stage)
        meta["patches"] = about
        arrays |= banks
    elif frozen.stage is not None and not isinstance(frozen.stage, keras.Model):
        raise ValueError(
            f"features={type(frozen.stage).__name__} is a transformer, which a file cannot hold; "
            "use a Keras model, or put the transformer before the estimator in a Pipeline"
        )
    return meta, {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _paths(frozen: Frozen) -> list[str]:
    return [f"hidden_{i + 1}/kernel" for i in range(len(frozen.layers))]


def _write_patches(stage: images.Patches) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    arrays = {}
    for i, bank in enumerate(stage.banks):
        for name in ("kernel", "shift"):
            arrays[f"patches_{i + 1}/{name}"] = getattr(bank, name)
    return {"unit": stage.unit, "params": asdict(stage.params)}, arrays


def read(
    config: Config, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> tuple[Frozen, Head]:
    """Make frozen part and head again.

    Parameters
    ----------
    config : Config
        From the estimator's parameters.
    meta, arrays
        What `write` gave.

    Returns
    -------
    frozen : Frozen
    head : Head

    Raises
    ------
    ValueError
        Where something is missing or does not fit.
    """
    left = dict(arrays)
    stage = _read_stage(config, meta, left)
    scaler = Scaler(_take(left, "scaler/mean", 1), _take(left, "scaler/factor", 1), meta["clip"])
    frozen = Frozen(config, stage, scaler, (), bool(meta["direct"]), str(meta["dtype"]))
    if len(meta["layers"]) != len(config.hidden_layer_sizes):
        raise ValueError("the number of layers is not that of hidden_layer_sizes")
    for i, about in enumerate(meta["layers"]):
        layer = _read_layer(frozen, i, about, left)
        frozen = replace(frozen, layers=(*frozen.layers, layer))
    if meta["draws"] != stream_digest(config.seed, _paths(frozen)):
        raise ValueError("its random weights were drawn in another way than here")
    head = _read_head(config, frozen, meta, left)
    if left:
        raise ValueError(f"it holds {sorted(left)[0]!r}, which nothing here asks for")
    return frozen, head


def _take(arrays: dict[str, np.ndarray], name: str, axes: int) -> np.ndarray:
    if name not in arrays:
        raise ValueError(f"the array {name!r} is missing")
    array = arrays.pop(name)
    if array.ndim != axes or array.dtype.kind != "f" or not np.isfinite(array).all():
        raise ValueError(f"the array {name!r} must hold finite numbers on {axes} axes")
    return array


def _read_stage(config: Config, meta: Mapping[str, Any], arrays: dict) -> Any:
    if config.features != "patches":
        return config.features if isinstance(config.features, keras.Model) else None
    about = meta["patches"]
    params = images.PatchParams.of(about["params"])
    shape = config.image_shape
    banks = []
    for i, size in enumerate(params.sizes):
        kernel = _take(arrays, f"patches_{i + 1}/kernel", 2)
        if len(kernel) != size * size * shape[2]:
            raise ValueError(f"the filters {i + 1} do not fit patches of {size} pixels")
        shift = _take(arrays, f"patches_{i + 1}/shift", 1)
        pools = [images.averaging(n - size + 1, params) for n in shape[:2]]
        banks.append(images.Bank(size, kernel, shift, *pools))
    return images.Patches(shape, params, float(about["unit"]), tuple(banks))


def _read_layer(frozen: Frozen, i: int, about: Mapping[str, Any], arrays: dict) -> Layer:
    inputs, units = int(about["inputs"]), frozen.config.hidden_layer_sizes[i]
    _check_inputs(frozen, i, inputs)
    if f"hidden_{i + 1}/kernel" in arrays:
        kernel = _take(arrays, f"hidden_{i + 1}/kernel", 2)
        bias = _take(arrays, f"hidden_{i + 1}/bias", 1)
        if kernel.shape != (inputs, units) or bias.shape != (units,):
            raise ValueError(f"the weights of layer {i + 1} have the shape {kernel.shape}")
        layer = Layer(kernel, bias, seeded=hidden.is_seeded(frozen.config))
    elif hidden.is_seeded(frozen.config):
        layer = hidden.make_layer(frozen, i, inputs, units, None, None)
    else:
        raise ValueError(f"the weights of layer {i + 1} are missing")
    return replace(layer, shift=float(about["shift"]), factor=float(about["factor"]))


def _check_inputs(frozen: Frozen, i: int, inputs: int) -> None:
    width = len(frozen.scaler.mean)
    extra = width if frozen.direct else 0
    wanted = width if i == 0 else frozen.config.hidden_layer_sizes[i - 1] + extra
    if inputs != wanted:
        raise ValueError(f"layer {i + 1} has {inputs} inputs, the layers before it give {wanted}")


def _read_head(config: Config, frozen: Frozen, meta: Mapping[str, Any], arrays: dict) -> Head:
    widths = frozen.widths
    names = ["head"] if len(widths) == 1 else [f"head_{i + 1}" for i in range(len(widths))]
    coefs = tuple(_take(arrays, f"{name}/kernel", 2) for name in names)
    intercepts = tuple(_take(arrays, f"{name}/bias", 1) for name in names)
    for coef, intercept, width in zip(coefs, intercepts, widths, strict=True):
        if coef.shape != (width, config.n_outputs) or intercept.shape != (config.n_outputs,):
            raise ValueError(
                f"the head has the shape {coef.shape}, the layers ask for "
                f"{(width, config.n_outputs)}"
            )
    beta, gamma = (float(value) for value in meta["calibration"])
    span = (None, None)
    if not config.classifies:
        span = (_take(arrays, "range/low", 1), _take(arrays, "range/high", 1))
    alphas = tuple(float(alpha) for alpha in meta["alphas"])
    return Head(coefs, intercepts, alphas, beta, gamma, *span, meta["best_score"])
