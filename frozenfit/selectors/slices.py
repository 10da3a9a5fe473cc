"""Selectors of slices of a weight: filters, input connections, rows and columns.

A fraction `p` in (0, 1] selects ``max(1, floor(p * n))`` of n slices; an integer `p` selects that
many, at most n. As in Rosenfeld & Tsotsos 2018 (arXiv 1802.00844), the selectors take the first
slices instead of random ones, because the filters of a layer are exchangeable before training.
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
    """The first outputs of every hidden layer with a kernel, and their biases."""

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
    """Select the first outputs of every hidden layer with a kernel, and their biases.

    The outputs are the filters of a convolution, the units of a dense or recurrent layer and the
    heads of an attention layer. The count is computed for each kernel from its number of outputs;
    a selected recurrent unit includes its column in every gate. The head is excluded; use
    ``filters(p) | head()`` to include it.

    Parameters
    ----------
    p : float or int
        A fraction in (0, 1] of the outputs of each layer, rounded down, or their number.
    min_filters : int, default=1
        The minimum number of outputs that a fraction selects. With 1, every layer has trainable
        parameters; 0 reproduces the published counts for fractions below one filter.

    Returns
    -------
    Selector
        The selector.

    Raises
    ------
    ValueError
        If `p` is a float outside (0, 1] or an int below 1.
    TypeError
        If an argument has another type.

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
    """Select the first filters of every convolution and all parameters of other hidden layers.

    This is the rule of the published experiments, in which hidden dense layers are trained
    completely. The head is excluded; use ``conv_filters(p) | head()`` to include it.

    Parameters
    ----------
    p : float or int
        A fraction in (0, 1] of the filters of each convolution, rounded down, or their number.
    min_filters : int, default=1
        The minimum number of filters that a fraction selects; 0 reproduces the published counts.

    Returns
    -------
    Selector
        The selector.

    Raises
    ------
    ValueError
        If `p` is a float outside (0, 1] or an int below 1.
    TypeError
        If an argument has another type.

    References
    ----------
    Rosenfeld & Tsotsos 2018, arXiv 1802.00844.

    Examples
    --------
    >>> from frozenfit.selectors import Layout, WeightInfo
    >>> conv = WeightInfo("c/kernel", (3, 3, 3, 16), "c", "Conv2D", "kernel", (3,), (2,), (0, 1))
    >>> dense = WeightInfo("d/kernel", (16, 20), "d", "Dense", "kernel", (1,), (0,))
    >>> selection = conv_filters(0.1).resolve(Layout((conv, dense), ("c", "d"), ()))
    >>> selection["c/kernel"], selection["d/kernel"]
    (Leading(axis=3, count=1), Everything())
    """
    least = whole("conv_filters", "min_filters", min_filters, 0)
    return _Filters("conv_filters", share("conv_filters", p), least)


@dataclass(frozen=True, eq=False, repr=False)
class _Connections(Selector):
    """The first slices of hidden kernels along an axis other than the output axis."""

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
    """Select the first slices of hidden kernels along the input axis.

    In a network with convolutions, only their kernels are selected from; in any other network,
    every hidden kernel is. Biases and the head are excluded.

    Parameters
    ----------
    p : float or int
        A fraction in (0, 1] of the inputs of each kernel, rounded down but at least one, or
        their number.

    Returns
    -------
    Selector
        The selector.

    Raises
    ------
    ValueError
        If `p` is a float outside (0, 1] or an int below 1.
    TypeError
        If an argument has another type.

    References
    ----------
    Rosenfeld & Tsotsos 2018, arXiv 1802.00844 (slices along their dimension 2).

    Examples
    --------
    >>> from frozenfit.selectors import Layout, WeightInfo
    >>> kernel = WeightInfo("c/kernel", (3, 3, 8, 16), "c", "Conv2D", "kernel", (3,), (2,), (0, 1))
    >>> inputs(0.25).resolve(Layout((kernel,), ("c",), ()))["c/kernel"]
    Leading(axis=2, count=2)
    """
    return _Connections("inputs", share("inputs", p))


def rows(p: float) -> Selector:
    """Select the first rows of the window of every convolution.

    Kernels without rows are frozen.

    Parameters
    ----------
    p : float or int
        A fraction in (0, 1] of the rows, rounded down but at least one, or their number.

    Returns
    -------
    Selector
        The selector.

    Raises
    ------
    ValueError
        If `p` is a float outside (0, 1] or an int below 1.
    TypeError
        If an argument has another type.

    References
    ----------
    Rosenfeld & Tsotsos 2018, arXiv 1802.00844 (slices along their dimension 3).

    Examples
    --------
    >>> from frozenfit.selectors import Layout, WeightInfo
    >>> kernel = WeightInfo("c/kernel", (3, 3, 8, 16), "c", "Conv2D", "kernel", (3,), (2,), (0, 1))
    >>> rows(1).resolve(Layout((kernel,), ("c",), ()))["c/kernel"]
    Leading(axis=0, count=1)
    """
    return _Connections("rows", share("rows", p))


def columns(p: float) -> Selector:
    """Select the first columns of the window of every convolution.

    Kernels without columns are frozen.

    Parameters
    ----------
    p : float or int
        A fraction in (0, 1] of the columns, rounded down but at least one, or their number.

    Returns
    -------
    Selector
        The selector.

    Raises
    ------
    ValueError
        If `p` is a float outside (0, 1] or an int below 1.
    TypeError
        If an argument has another type.

    References
    ----------
    Rosenfeld & Tsotsos 2018, arXiv 1802.00844 (slices along their dimension 4).

    Examples
    --------
    >>> from frozenfit.selectors import Layout, WeightInfo
    >>> kernel = WeightInfo("c/kernel", (3, 3, 8, 16), "c", "Conv2D", "kernel", (3,), (2,), (0, 1))
    >>> columns(1).resolve(Layout((kernel,), ("c",), ()))["c/kernel"]
    Leading(axis=1, count=1)
    """
    return _Connections("columns", share("columns", p))
