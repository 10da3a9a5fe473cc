"""Dense layers of frozen random units, made once and then applied."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from frozenfit.elm import weights
from frozenfit.elm.config import Config
from frozenfit.elm.weight_scale import fixed_weight_scale
from frozenfit.utils.size_limit import charge

__all__ = ["Dense", "follows_from_seed", "layer_path", "make_dense"]


@dataclass(frozen=True)
class Dense:
    """One dense layer of frozen units.

    Attributes
    ----------
    kernel, bias : ndarray of shape (n_inputs, units) and (units,)
        Weights.
    shift, factor : float
        Bring the outputs of the units to mean 0 and variance 1 for a following layer.
    seeded : bool
        Whether the seed restores the weights.
    """

    kernel: np.ndarray
    bias: np.ndarray
    shift: float = 0.0
    factor: float = 1.0
    seeded: bool = True


def follows_from_seed(config: Config) -> bool:
    """Return whether all weights follow from the seed, and none from the data."""
    kinds = [kind for kind, _ in weights.parts(config.weight_init, 1)]
    return all(isinstance(kind, str) and kind in weights.SEEDED for kind in kinds)


def make_dense(
    config: Config,
    i: int,
    shape: tuple[int, int],
    mask: np.ndarray | None,
    dtype: str,
    inputs: np.ndarray | None = None,
    y: np.ndarray | None = None,
) -> Dense:
    """Make one random layer.

    Parameters
    ----------
    config : Config
        Weights, gain and seed.
    i : int
        Index of the layer.
    shape : tuple of int
        Number of inputs and of units.
    mask : ndarray of bool of shape `shape`, or None
        Which inputs each unit is connected to.
    dtype : {"float64", "float32"}
        Of the weights.
    inputs, y : ndarray, default=None
        Inputs of the layer for some samples, and their targets, for weights that depend on them.

    Returns
    -------
    Dense
    """
    n_inputs, units = shape
    charge(f"layer {i + 1}", shape, 8, kept=False)
    gain = fixed_weight_scale(config)
    path = layer_path(i)
    kinds = weights.parts(config.weight_init, units)
    kernels, biases, start = [], [], 0
    for number, (kind, count) in enumerate(kinds, 1):
        part = None if mask is None else mask[:, start : start + count]
        # Every part of a union draws from its own stream, named by its path.
        name = path if len(kinds) == 1 else f"{path}_{number}"
        if isinstance(kind, str) and kind in weights.SEEDED:
            kernel, bias = weights.seeded(kind, (n_inputs, count), part, gain, config.seed, name)
        else:
            assert inputs is not None and y is not None
            rng = weights.generator(config.seed, name)
            kernel, bias = weights.from_data(kind, inputs, y, part, count, gain, rng)
        kernels.append(kernel)
        biases.append(bias)
        start += count
    return Dense(
        np.ascontiguousarray(np.hstack(kernels), dtype),
        np.concatenate(biases).astype(dtype),
        seeded=follows_from_seed(config),
    )


def layer_path(i: int) -> str:
    """Return the name of a layer, which also names its random stream."""
    return f"hidden_{i + 1}"
