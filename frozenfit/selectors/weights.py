"""Description of a network for selectors: its weights, its layers, and the context."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

ROLES = ("kernel", "bias", "scale", "offset", "embedding", "other")
KERNELS = ("kernel", "embedding")
_CONVOLUTIONS = ("Conv", "DepthwiseConv", "SeparableConv")


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
    input_axes, spatial_axes : tuple of int, default=()
        The axes of the inputs, and of the window of a convolution.
    gates : int, default=1
        Number of gates: blocks of units on the last output axis (LSTM 4, GRU 3).
    groups : int, default=1
        Groups of a convolution.
    initializer : str or None, default=None
        The initializer of the layer as JSON, or None if it is unknown.

    Raises
    ------
    ValueError
        If the role is unknown, an axis is outside the shape, or the gates do not divide it.

    Examples
    --------
    >>> info = WeightInfo("lstm/kernel", (3, 8), "lstm", "LSTMCell", "kernel", (1,), gates=4)
    >>> info.n_outputs
    2
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
                f"the weight {self.path!r} has the unknown role {self.role!r}: "
                f"write one of {', '.join(ROLES)}"
            )
        for axis in (*self.output_axes, *self.input_axes, *self.spatial_axes):
            if not 0 <= axis < len(self.shape):
                raise ValueError(
                    f"the weight {self.path!r} of shape {self.shape} has no axis {axis}: "
                    f"write axes from 0 to {len(self.shape) - 1}"
                )
        if self.gates != 1 and (
            self.gates < 1 or not self.output_axes or self.shape[self.output_axes[-1]] % self.gates
        ):
            raise ValueError(
                f"the weight {self.path!r} of shape {self.shape} does not hold {self.gates} gates "
                f"on its output axes {self.output_axes}: write gates that divide the last of them"
            )

    @property
    def size(self) -> int:
        """Number of parameters."""
        return math.prod(self.shape)

    @property
    def n_outputs(self) -> int:
        """Number of outputs (units or filters); the gates of a unit count once."""
        return math.prod(self.shape[axis] for axis in self.output_axes) // self.gates


@dataclass(frozen=True)
class Layout:
    """The trainable weights of a network, its layers in data-flow order, and its heads.

    Parameters
    ----------
    weights : tuple of WeightInfo
        The trainable weights, in the order of ``model.trainable_variables``.
    layers : tuple of str
        The layers with trainable weights, in data-flow order.
    heads : tuple of str
        The last layers with a kernel before each output.

    Raises
    ------
    ValueError
        If two weights have the same path.

    Examples
    --------
    >>> kernel = WeightInfo("out/kernel", (4, 3), "out", "Dense", "kernel", (1,), (0,))
    >>> layout = Layout((kernel,), ("out",), ("out",))
    >>> layout["out/kernel"].shape, layout.convolutional
    ((4, 3), False)
    """

    weights: tuple[WeightInfo, ...]
    layers: tuple[str, ...]
    heads: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check that paths are unique."""
        if len(self._by_path) != len(self.weights):
            paths = [info.path for info in self.weights]
            twice = next(path for path in paths if paths.count(path) > 1)
            raise ValueError(
                f"two weights have the path {twice!r}: give every weight a path of its own"
            )

    @cached_property
    def _by_path(self) -> dict[str, WeightInfo]:
        return {info.path: info for info in self.weights}

    def __getitem__(self, path: str) -> WeightInfo:
        """Return the weight with this path, or raise a KeyError that lists similar paths."""
        try:
            return self._by_path[path]
        except KeyError:
            raise KeyError(f"no weight has the path {path!r}: {near(path, self.paths)}") from None

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of all weights, in order."""
        return tuple(self._by_path)

    @cached_property
    def convolutions(self) -> frozenset[str]:
        """The layers that are convolutions with a sliding window and separate filters."""
        return frozenset(
            info.layer
            for info in self.weights
            if info.spatial_axes and info.layer_type.startswith(_CONVOLUTIONS)
        )

    @property
    def convolutional(self) -> bool:
        """Whether any layer is a convolution."""
        return bool(self.convolutions)

    def in_head(self, info: WeightInfo) -> bool:
        """Return whether a weight belongs to a head or to a layer inside a head."""
        return any(info.layer == head or info.layer.startswith(f"{head}/") for head in self.heads)

    def positions(self, name: str) -> tuple[int, ...]:
        """Return the positions in `layers` of the layer with this name.

        A name is the path of a layer or of an enclosing layer, or the last component of a path.
        A composite layer has several positions.

        Raises
        ------
        ValueError
            If no layer has the name.
        """
        found = tuple(
            position
            for position, layer in enumerate(self.layers)
            if layer == name or layer.startswith(f"{name}/") or layer.endswith(f"/{name}")
        )
        if not found:
            raise ValueError(f"no layer is named {name!r}: {near(name, self.layers)}")
        return found


@dataclass
class Context:
    """Values that some selectors need in addition to the layout.

    Parameters
    ----------
    seed : int, default=0
        Seed of the random selectors that have no explicit seed.
    values : mapping of str to ndarray, optional
        Values of the base by weight path, which `magnitude` reads.
    fisher : callable, optional
        Returns the diagonal Fisher information by weight path, for the selector `fisher`. It is a
        function because the computation is expensive.

    Examples
    --------
    >>> Context(seed=3).values is None
    True
    """

    seed: int = 0
    values: Mapping[str, np.ndarray] | None = None
    fisher: Callable[[], Mapping[str, np.ndarray]] | None = field(default=None, repr=False)


def near(name: str, names: Iterable[str]) -> str:
    """Return the end of an error message that lists names similar to `name`, or the first few."""
    known = list(dict.fromkeys(names))
    if not known:
        return "there is nothing to choose from"
    close = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
    if close:
        return f"write a near name such as {', '.join(close)}"
    more = f" and {len(known) - 8} more" if len(known) > 8 else ""
    return f"write one of {', '.join(known[:8])}{more}"
