"""Description of one trainable weight: its path, its layer, and the meaning of its axes."""

from __future__ import annotations

import math
from dataclasses import dataclass

ROLES = ("kernel", "bias", "scale", "offset", "embedding", "other")
KERNELS = ("kernel", "embedding")


@dataclass(frozen=True)
class WeightInfo:
    """Description of one trainable weight: its path, its layer and the meaning of its axes.

    Parameters
    ----------
    path : str
        Unique name, the ``variable.path`` of Keras, such as ``"block1_unit1_conv1/kernel"``.
    shape : tuple of int
        Shape of the weight.
    layer : str
        Path of the layer that owns it, such as ``"block1_unit1_conv1"``.
    layer_type : str
        Class name of that layer, such as ``"Conv2D"``.
    role : {"kernel", "bias", "scale", "offset", "embedding", "other"}
        Role of the weight in its layer.
    output_axes : tuple of int
        The axes that, flattened in C order, index the outputs of the layer: ``(1,)`` for Dense,
        ``(3,)`` for Conv2D, ``(2, 3)`` for a depthwise convolution, ``(0,)`` for a bias.
    input_axes : tuple of int, default=()
        The axes of the inputs; for an embedding, the axis of the words.
    spatial_axes : tuple of int, default=()
        The axes of the window of a convolution.
    gates : int, default=1
        Number of gates: blocks of units on the last output axis (LSTM 4, GRU 3).
    groups : int, default=1
        Groups of a convolution.
    initializer : str, default=None
        The initializer of the layer as JSON, or None if it is unknown.

    Raises
    ------
    ValueError
        If the role is unknown, an axis is outside the shape, or the gates do not divide it.

    See Also
    --------
    Layout : The weights of a network.

    Examples
    --------
    >>> from frozenfit.selectors import WeightInfo
    >>> info = WeightInfo("lstm/kernel", (3, 8), "lstm", "LSTMCell", "kernel", (1,), gates=4)
    >>> info.size, info.n_outputs
    (24, 2)
    """

    path: str
    shape: tuple[int, ...]
    layer: str
    layer_type: str
    role: str
    output_axes: tuple[int, ...]
    input_axes: tuple[int, ...] = ()
    spatial_axes: tuple[int, ...] = ()
    gates: int = 1
    groups: int = 1
    initializer: str | None = None

    def __post_init__(self) -> None:
        """Check role, axes and gates."""
        if self.role not in ROLES:
            raise ValueError(
                f"`role` of the weight {self.path!r} must be one of {', '.join(ROLES)}, "
                f"got {self.role!r}."
            )
        for axis in (*self.output_axes, *self.input_axes, *self.spatial_axes):
            if not 0 <= axis < len(self.shape):
                raise ValueError(
                    f"The axes of the weight {self.path!r} of shape {self.shape} must be from 0 "
                    f"to {len(self.shape) - 1}, got {axis}."
                )
        # Gates are blocks of equal length: a unit is at the same position in each of them.
        if self.gates != 1 and (
            self.gates < 1 or not self.output_axes or self.shape[self.output_axes[-1]] % self.gates
        ):
            raise ValueError(
                f"`gates` of the weight {self.path!r} must divide the last output axis, got "
                f"{self.gates} for the shape {self.shape} and the output axes {self.output_axes}."
            )

    @property
    def size(self) -> int:
        """Number of parameters."""
        return math.prod(self.shape)

    @property
    def n_outputs(self) -> int:
        """Number of outputs (units or filters); the gates of a unit count once."""
        return math.prod(self.shape[axis] for axis in self.output_axes) // self.gates
