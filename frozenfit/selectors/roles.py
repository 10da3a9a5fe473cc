"""The selectors that choose whole weights by what they do in their layer."""

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
    """Whole weights, by what they do in their layer."""

    kind: str

    def _forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        return whole_weights(layout, _BY_ROLE[self.kind])

    def _text(self) -> str:
        return call(self.kind)


def everything() -> Selector:
    """Learn every entry of every trainable weight.

    Examples
    --------
    >>> everything() - norms()
    everything() - norms()
    """
    return _ByRole("everything")


def nothing() -> Selector:
    """Learn no entry; alone it is refused, since a network that learns nothing is a mistake.

    Examples
    --------
    >>> nothing() | biases()
    nothing() | biases()
    """
    return _ByRole("nothing")


def kernels() -> Selector:
    """Learn all kernels, embedding tables among them, and no bias.

    Examples
    --------
    >>> kernels()
    kernels()
    """
    return _ByRole("kernels")


def biases() -> Selector:
    """Learn all biases, and the offsets of normalizations.

    Examples
    --------
    >>> biases()
    biases()
    """
    return _ByRole("biases")


def norms() -> Selector:
    """Learn scale and offset of every normalization, whatever its kind.

    Examples
    --------
    >>> norms()
    norms()
    """
    return _ByRole("norms")


def batch_norm() -> Selector:
    """Learn scale and offset of every batch normalization.

    In a network without any it learns nothing, so that it may stand in a union everywhere.

    Examples
    --------
    >>> batch_norm()
    batch_norm()
    """
    return _ByRole("batch_norm")
