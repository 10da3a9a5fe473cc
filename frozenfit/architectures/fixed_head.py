"""Another network with a last layer whose directions are fixed (Hoffer et al. 2018)."""

from __future__ import annotations

from typing import Any

import keras

from frozenfit.architectures.registry import build, register
from frozenfit.fixed_head import FixedHead

__all__ = ["fixed_head"]


@register("fixed_head")
def fixed_head(
    input_shape: tuple[int, ...],
    n_outputs: int,
    *,
    network: str = "resnet",
    kind: str = "hadamard",
    head_seed: int = 0,
    **params: Any,
) -> keras.Model:
    """Build a network by name, with `frozenfit.layers.FixedHead` in place of its last layer.

    Layers: those of the network, and ``head``, of which a scale and the biases are trained.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of a sample of the network.
    n_outputs : int
        Number of outputs.
    network : str, default="resnet"
        An architecture that ends in a Dense layer.
    kind : {"hadamard", "orthogonal"}, default="hadamard"
        The directions of the last layer.
    head_seed : int, default=0
        Seed of orthogonal directions.
    **params
        Parameters of the network, such as ``depth`` of resnet.

    Returns
    -------
    keras.Model
        Logits of shape ``(batch, n_outputs)``.

    Raises
    ------
    ValueError
        If the network or a parameter is unknown, or the network does not end in a Dense layer.

    Examples
    --------
    >>> model = fixed_head((8, 8, 1), 10, network="lenet5")
    >>> model.get_layer("head").count_params()
    11
    >>> model.name
    'lenet5'
    """
    model = build(network, input_shape, n_outputs, **params)
    last = model.layers[-1]
    if type(last) is not keras.layers.Dense or last.output is not model.outputs[0]:
        raise ValueError(
            "`network` of fixed_head must be an architecture that ends in a Dense layer, got "
            f"{network!r}."
        )
    head = FixedHead(n_outputs, kind, head_seed, dtype=last.dtype_policy, name=last.name)
    return keras.Model(model.input, head(last.input), name=model.name)
