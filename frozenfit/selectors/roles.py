"""Selectors of whole weights by their role in the layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .core import Selector, call, whole_weights
from .forms import Form
from .weights import KERNELS, Context, Layout, WeightInfo

_BY_ROLE: dict[str, Callable[[WeightInfo], bool]] = {
    "everything": lambda info: True,
    "nothing": lambda info: False,
    "kernels": lambda info: info.role in KERNELS,
    "biases": lambda info: info.role in ("bias", "offset"),
    "norms": lambda info: info.role in ("scale", "offset"),
    "batch_norm": lambda info: (
        info.role in ("scale", "offset") and info.layer_type.startswith("BatchNorm")
    ),
}


@dataclass(frozen=True, eq=False, repr=False)
class _ByRole(Selector):
    """Whole weights, by their role in the layer."""

    kind: str

    def _forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        return whole_weights(layout, _BY_ROLE[self.kind])

    def _text(self) -> str:
        return call(self.kind)


def everything() -> Selector:
    """Select all trainable parameters of the network.

    Returns
    -------
    Selector
        The selector.

    Examples
    --------
    >>> everything() - norms()
    everything() - norms()
    """
    return _ByRole("everything")


def nothing() -> Selector:
    """Select no parameters.

    An empty selection is rejected when it is resolved; use `nothing` as a part of an expression.

    Returns
    -------
    Selector
        The selector.

    Examples
    --------
    >>> nothing() | biases()
    nothing() | biases()
    """
    return _ByRole("nothing")


def kernels() -> Selector:
    """Select all kernels, including embedding tables.

    Returns
    -------
    Selector
        The selector.

    Examples
    --------
    >>> kernels()
    kernels()
    """
    return _ByRole("kernels")


def biases() -> Selector:
    """Select all biases and the offsets of normalization layers.

    Returns
    -------
    Selector
        The selector.

    Examples
    --------
    >>> biases()
    biases()
    """
    return _ByRole("biases")


def norms() -> Selector:
    """Select the scale and offset of every normalization layer of any kind.

    Returns
    -------
    Selector
        The selector.

    See Also
    --------
    batch_norm : Select batch normalization only.

    Examples
    --------
    >>> norms()
    norms()
    """
    return _ByRole("norms")


def batch_norm() -> Selector:
    """Select the scale and offset of every batch normalization layer.

    In a network without batch normalization it selects no parameters, so that a union with it is
    valid for every network.

    Returns
    -------
    Selector
        The selector.

    See Also
    --------
    norms : Select normalization layers of every kind.

    Examples
    --------
    >>> batch_norm()
    batch_norm()
    """
    return _ByRole("batch_norm")
