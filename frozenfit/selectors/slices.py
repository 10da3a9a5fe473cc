"""The selectors that cut layers: filters and connections. All other selectors are here by name too.

A fraction `p` in (0, 1] means ``max(1, floor(p * n))`` of n, an integer ``p`` that many, at most
all. The rules are those of Rosenfeld & Tsotsos 2018 (arXiv 1802.00844): the first filters of a
layer, never a chosen or random few, since filters are exchangeable before training.
"""

from __future__ import annotations

from dataclasses import dataclass

from .core import Selector, call, count_of, share, whole
from .entries import disjoint, mask, random, where
from .forms import Form, leading
from .kinds import Everything, Nothing
from .places import between, block, first, head, last, layers
from .roles import batch_norm, biases, everything, kernels, norms, nothing
from .scores import fisher, magnitude, movement
from .weights import KERNELS, Context, Layout, WeightInfo

__all__ = [
    "Selector",
    "batch_norm",
    "between",
    "biases",
    "block",
    "columns",
    "conv_filters",
    "disjoint",
    "everything",
    "filters",
    "first",
    "fisher",
    "head",
    "inputs",
    "kernels",
    "last",
    "layers",
    "magnitude",
    "mask",
    "movement",
    "norms",
    "nothing",
    "random",
    "rows",
    "where",
]


@dataclass(frozen=True, eq=False, repr=False)
class _Filters(Selector):
    """The first outputs of every hidden layer with a kernel, and their bias entries."""

    kind: str
    p: float | int
    min_filters: int

    def _forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        with_kernel = {info.layer for info in layout.weights if info.role in KERNELS}
        return {
            info.path: self._form(info, layout)
            if info.layer in with_kernel and not layout.in_head(info)
            else Nothing()
            for info in layout.weights
        }

    def _form(self, info: WeightInfo, layout: Layout) -> Form:
        if info.role not in (*KERNELS, "bias"):
            return Nothing()
        if self.kind == "conv_filters" and info.layer not in layout.convolutions:
            return Everything()
        count = count_of(self.p, info.n_outputs, self.min_filters)
        return leading(info.shape, info.output_axes, count, info.gates)

    def _text(self) -> str:
        least = None if self.min_filters == 1 else self.min_filters
        return call(self.kind, self.p, min_filters=least)


def filters(p: float, *, min_filters: int = 1) -> Selector:
    """Learn the first outputs of every layer with a kernel, and their bias entries.

    Outputs are filters of a convolution, units of a dense or recurrent layer, heads of an
    attention. Each kernel is cut by its own number of outputs; a recurrent unit owns its column
    in every gate. The head is left out: write ``filters(p) | head()``.

    Parameters
    ----------
    p : float or int
        A fraction in (0, 1] of each layer's outputs, rounded down, or how many.
    min_filters : int, default=1
        The least number of outputs a fraction gives. 1 keeps every layer learning; 0 replays
        the published counts of fractions too small for thin layers.

    Raises
    ------
    ValueError, TypeError
        If `p` is neither a fraction in (0, 1] nor a count >= 1.

    References
    ----------
    Rosenfeld & Tsotsos 2018, "Intriguing properties of randomly weighted networks",
    arXiv 1802.00844.

    Examples
    --------
    >>> from frozenfit.selectors import Layout, WeightInfo
    >>> kernel = WeightInfo("c/kernel", (3, 3, 3, 16), "c", "Conv2D", "kernel", (3,), (2,), (0, 1))
    >>> filters(0.1).resolve(Layout((kernel,), ("c",), ()))["c/kernel"]
    Leading(axis=3, count=1)
    """
    return _Filters("filters", share("filters", p), whole("filters", "min_filters", min_filters, 0))


def conv_filters(p: float, *, min_filters: int = 1) -> Selector:
    """Learn the first filters of every convolution; hidden layers of other kinds whole.

    This is the rule of the paper, in which fully connected layers are learned whole or not at
    all. The head is left out: write ``conv_filters(p) | head()``.

    Parameters
    ----------
    p : float or int
        A fraction in (0, 1] of each convolution's filters, rounded down, or how many.
    min_filters : int, default=1
        The least number of filters a fraction gives; 0 replays the published counts.

    Raises
    ------
    ValueError, TypeError
        If `p` is neither a fraction in (0, 1] nor a count >= 1.

    References
    ----------
    Rosenfeld & Tsotsos 2018, arXiv 1802.00844.

    Examples
    --------
    >>> conv_filters(0.1) | head() | batch_norm()
    conv_filters(0.1) | head() | batch_norm()
    """
    least = whole("conv_filters", "min_filters", min_filters, 0)
    return _Filters("conv_filters", share("conv_filters", p), least)


@dataclass(frozen=True, eq=False, repr=False)
class _Connections(Selector):
    """The first slices of hidden kernels along another axis than their outputs."""

    kind: str
    p: float | int

    def _forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        return {
            info.path: self._form(info)
            if info.role in KERNELS
            and not layout.in_head(info)
            and (not layout.convolutional or info.layer in layout.convolutions)
            else Nothing()
            for info in layout.weights
        }

    def _form(self, info: WeightInfo) -> Form:
        axes = {
            "inputs": info.input_axes,
            "rows": info.spatial_axes[:1],
            "columns": info.spatial_axes[1:2],
        }[self.kind]
        if not axes:
            return Nothing()
        length = 1
        for axis in axes:
            length *= info.shape[axis]
        return leading(info.shape, axes, count_of(self.p, length))

    def _text(self) -> str:
        return call(self.kind, self.p)


def inputs(p: float) -> Selector:
    """Learn the first incoming connections of every filter: slices along the input axis.

    Where the network has convolutions their kernels are cut, else every hidden kernel; biases
    and the head are left out.

    Parameters
    ----------
    p : float or int
        A fraction in (0, 1] of each kernel's inputs, rounded down but at least one, or how many.

    Raises
    ------
    ValueError, TypeError
        If `p` is neither a fraction in (0, 1] nor a count >= 1.

    References
    ----------
    Rosenfeld & Tsotsos 2018, arXiv 1802.00844 (slices along their dimension 2).

    Examples
    --------
    >>> inputs(0.1) | head()
    inputs(0.1) | head()
    """
    return _Connections("inputs", share("inputs", p))


def rows(p: float) -> Selector:
    """Learn the first rows of every convolution's window; kernels without rows nothing.

    Parameters
    ----------
    p : float or int
        A fraction in (0, 1] of the rows, rounded down but at least one, or how many.

    Raises
    ------
    ValueError, TypeError
        If `p` is neither a fraction in (0, 1] nor a count >= 1.

    References
    ----------
    Rosenfeld & Tsotsos 2018, arXiv 1802.00844 (slices along their dimension 3).

    Examples
    --------
    >>> rows(1) | head()
    rows(1) | head()
    """
    return _Connections("rows", share("rows", p))


def columns(p: float) -> Selector:
    """Learn the first columns of every convolution's window; kernels without columns nothing.

    Parameters
    ----------
    p : float or int
        A fraction in (0, 1] of the columns, rounded down but at least one, or how many.

    Raises
    ------
    ValueError, TypeError
        If `p` is neither a fraction in (0, 1] nor a count >= 1.

    References
    ----------
    Rosenfeld & Tsotsos 2018, arXiv 1802.00844 (slices along their dimension 4).

    Examples
    --------
    >>> columns(1) | head()
    columns(1) | head()
    """
    return _Connections("columns", share("columns", p))
