"""The frozen part of an ELM: stage, scaling and random layers, made once and then applied."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from frozenfit.elm import activations, weights
from frozenfit.elm.config import Config
from frozenfit.elm.dense import Dense, follows_from_seed, layer_path, make_dense
from frozenfit.elm.scaling import Moments, Scaler, fit_scaler
from frozenfit.elm.stages import FeatureStage
from frozenfit.elm.stages.base import apply_stage

__all__ = ["Frozen", "choose_product_dtype", "choose_scaling", "first_mask", "freeze"]

_FLOAT32_WEIGHTS = 2**20  # of the first layer
# Rows times squared features, above which products of rows take most of the time.
_FLOAT32_PRODUCTS = 3e8
_STATISTICS_ROWS = 2048


@dataclass(frozen=True, eq=False)
class Frozen:
    """Everything between the samples and the ridge.

    Attributes
    ----------
    config : Config
        The settings.
    stage : FeatureStage
        What precedes the dense layers, fitted.
    scaler : Scaler
        Scales the features of the stage.
    layers : tuple of Dense
        The random layers.
    direct : bool
        Whether the ridge receives the scaled features of the stage too.
    dtype : {"float64", "float32"}
        Of the features.
    """

    config: Config
    stage: FeatureStage
    scaler: Scaler
    layers: tuple[Dense, ...]
    direct: bool
    dtype: str

    @property
    def n_features(self) -> list[int]:
        """Number of features of each ridge."""
        inputs = len(self.scaler.mean)
        sizes = [layer.kernel.shape[1] for layer in self.layers]
        extra = inputs if self.direct else 0
        if not sizes:
            return [inputs]
        if self.config.readout == "each":
            return [size + extra for size in sizes]
        return [(sum(sizes) if self.config.readout == "all" else sizes[-1]) + extra]

    def groups(self, X: Any) -> list[list[np.ndarray]]:
        """Compute features as parts that lie side by side, which saves copying them together.

        Parameters
        ----------
        X : ndarray of shape (n_samples, ...) or CSR array
            Samples.

        Returns
        -------
        list of list of ndarray
            The parts of each ridge: outputs of its layers, and the scaled features of the stage.
        """
        rows = apply_stage(self.stage, X)
        dense = not sparse.issparse(rows) or self.direct or not self.layers
        Z: Any = self.scaler.dense(rows, self.dtype) if dense else None
        outputs: list[np.ndarray] = []
        for layer in self.layers:
            if outputs:
                U = self.next_inputs(outputs[-1], self.layers[len(outputs) - 1], Z) @ layer.kernel
            elif Z is None:
                U = self.scaler.product(rows, layer.kernel)
            else:
                U = Z @ layer.kernel
            U += layer.bias
            outputs.append(activations.apply(self.config.activation, U))
        return self.read_out(outputs, Z)

    def read_out(self, outputs: list[Any], Z: Any) -> list[list[Any]]:
        """Choose the parts of each ridge from the outputs of the layers and the scaled features."""
        if not outputs:
            return [[Z]]
        extra = [Z] if self.direct else []
        if self.config.readout == "each":
            return [[output, *extra] for output in outputs]
        return [[*(outputs if self.config.readout == "all" else outputs[-1:]), *extra]]

    def next_inputs(self, H: np.ndarray, layer: Dense, Z: Any) -> np.ndarray:
        """Return the inputs of the layer after `layer`, whose outputs are H."""
        scaled = (H - H.dtype.type(layer.shift)) * H.dtype.type(layer.factor)
        return np.hstack([scaled, Z]) if self.direct else scaled


def _fit_stage(config: Config, X: Any, y: np.ndarray) -> FeatureStage:
    """Fit the stage of a configuration.

    Parameters
    ----------
    config : Config
        The settings.
    X : ndarray or CSR array
        Samples.
    y : ndarray
        Class indices or targets.

    Returns
    -------
    FeatureStage
    """
    # A copy, since the stage in the configuration is the user's parameter and is fitted again when
    # more rows arrive. A shallow one, since a stage may refer to a large network.
    stage = copy.copy(config.stage)
    return stage.fit(X, y, weights.generator(config.seed, stage.name))


def freeze(
    config: Config,
    X: Any,
    y: np.ndarray,
    w: np.ndarray,
    moments: Moments | None,
    n_rows: int = 0,
) -> Frozen:
    """Make the frozen part from the rows that are known when it is made.

    Parameters
    ----------
    config : Config
        The settings.
    X : ndarray or CSR array, y : ndarray, w : ndarray
        A sample of the rows, their targets and weights.
    moments : Moments or None
        Of the features of the stage over all rows; None takes them from the sample.
    n_rows : int, default=0
        Number of rows whose features each fit multiplies; above a limit they are float32.

    Returns
    -------
    Frozen
    """
    stage = _fit_stage(config, X, y)
    few = slice(stage.statistics_rows)  # the rows of a sample are in random order
    X, y, w = X[few], y[few], w[few]
    rows = apply_stage(stage, X)
    if moments is None:
        moments = Moments(rows.shape[1])
        for start in range(0, rows.shape[0], config.batch_size):
            part = slice(start, start + config.batch_size)
            moments.add(rows[part], w[part])
    scaler = fit_scaler(moments, *choose_scaling(config))
    dtype, direct = _choose_dtype_and_links(config, rows.shape[1], n_rows)
    return _add_layers(Frozen(config, stage, scaler, (), direct, dtype), rows, y)


def choose_scaling(config: Config) -> tuple[str | None, float | None]:
    """Return mode and clip of the scaler."""
    mode, clip = config.scale, config.clip
    if mode == "auto":
        # A pixel that is rarely lit has a tiny variance, and its own scale would make it huge.
        mode = "common" if config.is_image and config.stage.shares_scale else "columns"
    if clip == "auto":
        clip = 3.0 if mode == "columns" else None
    return mode, clip  # type: ignore[return-value]


def choose_product_dtype(dtype: str, rows: int, n_features: int) -> str:
    """Return the type in which leave-one-out multiplies features of this number of rows."""
    large = rows * n_features**2 > _FLOAT32_PRODUCTS
    return "float32" if dtype == "float32" or large else "float64"


def _choose_dtype_and_links(config: Config, n_columns: int, n_rows: int) -> tuple[str, bool]:
    sizes = config.hidden_layer_sizes
    first, last = (sizes[0], sizes[-1]) if sizes else (n_columns, 0)
    dtype, direct = config.dtype, config.direct_links
    if dtype == "auto":
        large = n_columns * first >= _FLOAT32_WEIGHTS
        dtype = "float32" if large else choose_product_dtype("float64", n_rows, first)
    if direct == "auto":
        # With more columns than units the ridge would spend most of its time on the columns.
        direct = not config.is_image and n_columns <= last
    return dtype, bool(direct)


def _add_layers(frozen: Frozen, rows: Any, y: np.ndarray) -> Frozen:
    """Add the layers one by one: each may need the outputs of those before it."""
    config, sizes = frozen.config, frozen.config.hidden_layer_sizes
    seeded = follows_from_seed(config)
    if sparse.issparse(rows) or seeded:
        rows, y = rows[:_STATISTICS_ROWS], y[:_STATISTICS_ROWS]
    needs_data = len(sizes) > 1 or not seeded
    Z = frozen.scaler.dense(rows, frozen.dtype) if needs_data else None
    inputs, n_inputs = Z, rows.shape[1]
    for i, units in enumerate(sizes):
        mask = first_mask(frozen, i, units)
        layer = make_dense(config, i, (n_inputs, units), mask, frozen.dtype, inputs, y)
        if i + 1 < len(sizes):
            assert inputs is not None
            H = activations.apply(config.activation, inputs @ layer.kernel + layer.bias)
            mean, std = float(H.mean(dtype=np.float64)), float(H.std(dtype=np.float64))
            layer = replace(layer, shift=mean, factor=1 / std if std > 0 else 0.0)
            inputs = frozen.next_inputs(H, layer, Z)
            n_inputs = inputs.shape[1]
        frozen = replace(frozen, layers=(*frozen.layers, layer))
    return frozen


def first_mask(frozen: Frozen, i: int, units: int) -> np.ndarray | None:
    """Return which features of the stage the units of layer i see; None for all."""
    return None if i else frozen.stage.mask(units, frozen.config.seed, layer_path(i))
