"""The frozen part of a network: features, scaling and random layers, made once and then applied."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import keras
import numpy as np
from scipy import sparse
from sklearn.base import clone

from frozenfit.elm import activations, images, weights
from frozenfit.elm.config import Config
from frozenfit.elm.scaling import Moments, Scaler, fit_scaler, rows_of
from frozenfit.utils.arrays import to_numpy

__all__ = ["Frozen", "Layer", "freeze", "is_seeded", "make_layer", "make_stage", "products_in"]

_FLOAT32_FROM = 2**20  # weights of the first layer
_FLOAT32_PRODUCTS = 3e8  # rows times squared features: from here the rows' products cost most
_STATISTICS_ON = 2048  # rows
_STAGED_ROWS = 4096
_MODEL_BATCH = 256


@dataclass(frozen=True)
class Layer:
    """One dense layer of frozen units.

    Attributes
    ----------
    kernel, bias : ndarray, shapes (inputs, units) and (units,)
        Weights.
    shift, factor : float
        Bring the units' outputs to mean 0 and variance 1 where a further layer takes them.
    seeded : bool
        Whether the weights can be drawn again from the seed.
    """

    kernel: np.ndarray
    bias: np.ndarray
    shift: float = 0.0
    factor: float = 1.0
    seeded: bool = True


@dataclass(frozen=True, eq=False)
class Frozen:
    """Everything between the samples and the ridge.

    Attributes
    ----------
    config : Config
        What it was made from.
    stage : object or None
        `Patches`, a fitted transformer or a Keras model that comes first.
    scaler : Scaler
        Of the columns after that.
    layers : tuple of Layer
        The random layers.
    direct : bool
        Whether the scaled columns go to the ridge too.
    dtype : {"float64", "float32"}
        Of the features.
    """

    config: Config
    stage: Any
    scaler: Scaler
    layers: tuple[Layer, ...]
    direct: bool
    dtype: str

    @property
    def widths(self) -> list[int]:
        """Number of features of each ridge."""
        inputs = len(self.scaler.mean)
        sizes = [layer.kernel.shape[1] for layer in self.layers]
        extra = inputs if self.direct else 0
        if not sizes:
            return [inputs]
        if self.config.readout == "each":
            return [size + extra for size in sizes]
        return [(sum(sizes) if self.config.readout == "all" else sizes[-1]) + extra]

    def columns(self, X: Any) -> Any:
        """Return samples as rows after the first stage, not yet scaled."""
        return rows_of(X) if self.stage is None else apply_stage(self.stage, X)

    def groups(self, X: Any) -> list[list[np.ndarray]]:
        """Compute the features of samples in parts that lie side by side.

        Parameters
        ----------
        X : ndarray of shape (n, ...) or CSR
            Samples.

        Returns
        -------
        list of list of ndarray
            For each ridge its parts, the units of its layers and the scaled columns.
        """
        rows = self.columns(X)
        dense = not sparse.issparse(rows) or self.direct or not self.layers
        Z: Any = self.scaler.dense(rows, self.dtype) if dense else None
        outputs: list[np.ndarray] = []
        for layer in self.layers:
            if outputs:
                U = self._next_inputs(outputs[-1], self.layers[len(outputs) - 1], Z) @ layer.kernel
            elif Z is None:
                U = self.scaler.product(rows, layer.kernel)
            else:
                U = Z @ layer.kernel
            U += layer.bias
            outputs.append(activations.apply(self.config.activation, U))
        extra: list[Any] = [Z] if self.direct or not outputs else []
        if not outputs:
            return [extra]
        if self.config.readout == "each":
            return [[output, *extra] for output in outputs]
        return [[*(outputs if self.config.readout == "all" else outputs[-1:]), *extra]]

    def _next_inputs(self, H: np.ndarray, layer: Layer, Z: Any) -> np.ndarray:
        scaled = (H - H.dtype.type(layer.shift)) * H.dtype.type(layer.factor)
        return np.hstack([scaled, Z]) if self.direct else scaled

    def features(self, X: Any) -> list[np.ndarray]:
        """Compute the features of samples.

        Parameters
        ----------
        X : ndarray of shape (n, ...) or CSR
            Samples.

        Returns
        -------
        list of ndarray, shape (n, width)
            New arrays, one for each ridge.
        """
        return [parts[0] if len(parts) == 1 else np.hstack(parts) for parts in self.groups(X)]


def make_stage(config: Config, X: Any, y: np.ndarray) -> Any:
    """Make what comes before the dense layers, from a sample of the data.

    Parameters
    ----------
    config : Config
        Says which.
    X : ndarray or CSR
        Samples.
    y : ndarray
        Class indices or targets.

    Returns
    -------
    Patches, transformer, keras.Model or None
    """
    kind = config.features
    if kind == "receptive_fields":
        config.image_shape  # noqa: B018  - raises where samples are no images
    if kind is None or kind == "receptive_fields":
        return None
    if kind == "patches":
        params = images.PatchParams.of(config.feature_params)
        rng = weights.generator(config.seed, "patches")
        return images.Patches.fit(X, config.image_shape, params, rng)
    if isinstance(kind, keras.Model):
        return kind
    transformer = cast(Any, clone(kind))
    return transformer.fit(X, y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y)


def apply_stage(stage: Any, X: Any) -> Any:
    """Apply the first stage and check what it returns."""
    if isinstance(stage, images.Patches):
        return stage(X)
    if isinstance(stage, keras.Model):
        parts = [
            np.asarray(to_numpy(stage(X[i : i + _MODEL_BATCH], training=False)))
            for i in range(0, X.shape[0], _MODEL_BATCH)
        ]
        out: Any = np.concatenate(parts)
    else:
        out = stage.transform(X)
    return _checked_output(stage, out, X.shape[0])


def _checked_output(stage: Any, out: Any, n: int) -> Any:
    name = type(stage).__name__
    if sparse.issparse(out):
        out = sparse.csr_array(out)
    else:
        out = np.asarray(out)
        if out.dtype == object or out.ndim < 2 or out.size == 0 or out.shape[0] != n:
            raise ValueError(
                f"features={name} must return an array with one row of features for each of "
                f"{n} samples, found an array of shape {out.shape} and type {out.dtype}"
            )
        out = out.reshape(n, -1)
    if not np.isfinite(out.data if sparse.issparse(out) else out).all():
        raise ValueError(f"features={name} must return finite numbers, found NaN or infinity")
    return out


def freeze(
    config: Config,
    X: Any,
    y: np.ndarray,
    w: np.ndarray,
    moments: Moments | None,
    stage: Any,
    n_rows: int = 0,
) -> Frozen:
    """Make the frozen part from the data seen when it is made.

    Parameters
    ----------
    config : Config
        What to make.
    X : ndarray or CSR, y : ndarray, w : ndarray
        A sample of the rows, their targets and weights.
    moments : Moments or None
        Of the columns after `stage`, over all rows; None takes them from the sample.
    stage : object or None
        From `make_stage`.
    n_rows : int, default=0
        Rows of which the same blocks of features will be made at every fit; many of them are
        computed in float32.

    Returns
    -------
    Frozen
    """
    if isinstance(stage, images.Patches | keras.Model):
        # These cost much for each row; the rows come in random order.
        X, y, w = X[:_STAGED_ROWS], y[:_STAGED_ROWS], w[:_STAGED_ROWS]
    rows = rows_of(X) if stage is None else apply_stage(stage, X)
    if moments is None:
        moments = Moments(rows.shape[1])
        for start in range(0, rows.shape[0], config.batch_size):
            part = slice(start, start + config.batch_size)
            moments.add(rows[part], w[part])
    mode, clip = scaling_of(config)
    scaler = fit_scaler(moments, mode, clip)
    dtype, direct = _dtype_and_links(config, rows, n_rows)
    frozen = Frozen(config, stage, scaler, (), direct, dtype)
    return _with_layers(frozen, rows, y)


def scaling_of(config: Config) -> tuple[str | None, float | None]:
    """Return mode and clip of the scaler."""
    mode = config.scale
    if mode == "auto":
        pixels = config.is_image and config.features in (None, "receptive_fields", "patches")
        mode = "common" if pixels else "columns"
    clip = config.clip
    if clip == "auto":
        clip = 3.0 if mode == "columns" else None
    return mode, clip


def products_in(dtype: str, rows: int, features: int) -> str:
    """Return the type in which features of so many rows are multiplied for leaving out."""
    large = rows * features**2 > _FLOAT32_PRODUCTS
    return "float32" if dtype == "float32" or large else "float64"


def _dtype_and_links(config: Config, rows: Any, n_rows: int) -> tuple[str, bool]:
    d = rows.shape[1]
    last = config.hidden_layer_sizes[-1] if config.hidden_layer_sizes else 0
    dtype = config.dtype
    if dtype == "auto":
        first = config.hidden_layer_sizes[0] if config.hidden_layer_sizes else d
        dtype = "float32" if d * first >= _FLOAT32_FROM else products_in("float64", n_rows, first)
    direct = config.direct_links
    if direct == "auto":
        # More columns than units would make the ridge's work that of the columns.
        direct = not config.is_image and d <= last
    return dtype, bool(direct)


def _from_data(config: Config) -> bool:
    """Tell whether any weights depend on the data."""
    kinds = [kind for kind, _ in weights.parts(config.weight_init, 1)]
    return any(callable(kind) or kind not in weights.SEEDED for kind in kinds)


def _with_layers(frozen: Frozen, rows: Any, y: np.ndarray) -> Frozen:
    """Add the layers one by one: each may need the outputs of those before it."""
    config, sizes = frozen.config, frozen.config.hidden_layer_sizes
    if sparse.issparse(rows) or not _from_data(config):
        rows, y = rows[:_STATISTICS_ON], y[:_STATISTICS_ON]
    needs_data = len(sizes) > 1 or _from_data(config)
    Z = frozen.scaler.dense(rows, frozen.dtype) if needs_data else None
    inputs, d = Z, rows.shape[1]
    for i, units in enumerate(sizes):
        layer = make_layer(frozen, i, d, units, inputs, y)
        if i + 1 < len(sizes):
            assert inputs is not None
            H = activations.apply(config.activation, inputs @ layer.kernel + layer.bias)
            shift, spread = float(H.mean(dtype=np.float64)), float(H.std(dtype=np.float64))
            layer = replace(layer, shift=shift, factor=1 / spread if spread > 0 else 0.0)
            inputs = frozen._next_inputs(H, layer, Z)
            d = inputs.shape[1]
        frozen = replace(frozen, layers=(*frozen.layers, layer))
    return frozen


def is_seeded(config: Config) -> bool:
    """Tell whether all weights follow from the seed."""
    return not _from_data(config)


def make_layer(frozen: Frozen, i: int, d: int, units: int, inputs: Any, y: Any) -> Layer:
    """Make one random layer.

    Parameters
    ----------
    frozen : Frozen
        What comes before it.
    i : int
        Its number from 0.
    d, units : int
        Its inputs and units.
    inputs, y : ndarray or None
        Its inputs for some samples, and their targets, for weights that depend on them.

    Returns
    -------
    Layer
    """
    config = frozen.config
    path = f"hidden_{i + 1}"
    mask = None
    if config.features == "receptive_fields" and i == 0:
        params = dict(config.feature_params or {})
        mask = images.rectangles(config.image_shape, units, config.seed, path, params)
    gain = activations.gain(config.activation)
    if config.weight_scale != "auto":
        gain = float(config.weight_scale)
    kernels, biases, start = [], [], 0
    kinds = weights.parts(config.weight_init, units)
    for number, (kind, count) in enumerate(kinds):
        part = mask[:, start : start + count] if mask is not None else None
        name = path if len(kinds) == 1 else f"{path}_{number + 1}"
        if isinstance(kind, str) and kind in weights.SEEDED:
            kernel, bias = _seeded_part(kind, d, count, part, gain, config.seed, name)
        else:
            rng = weights.generator(config.seed, name)
            kernel, bias = weights.from_data(kind, inputs, y, part, count, gain, rng)
        kernels.append(kernel)
        biases.append(bias)
        start += count
    kernel = np.ascontiguousarray(np.hstack(kernels), frozen.dtype)
    return Layer(kernel, np.concatenate(biases).astype(frozen.dtype), seeded=is_seeded(config))


def _seeded_part(kind, d, count, mask, gain, seed, path) -> tuple[np.ndarray, np.ndarray]:
    fan_in = np.full(count, float(d)) if mask is None else mask.sum(axis=0).astype(np.float64)
    kernel, bias = weights.seeded(kind, (d, count), fan_in, gain, seed, path)
    return (kernel if mask is None else kernel * mask), bias
