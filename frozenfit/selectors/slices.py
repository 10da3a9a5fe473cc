"""Selectors of slices of a weight: filters, input connections, rows and columns.

A fraction `p` in (0, 1] selects ``max(1, floor(p * n))`` of n slices; an integer `p` selects that
many, at most n. As in Rosenfeld & Tsotsos 2018 (arXiv 1802.00844), the selectors take the first
slices instead of random ones, because the filters of a layer are exchangeable before training.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .arguments import call, check_int, check_p, count_of
from .context import Context
from .forms import Everything, Form, leading
from .layout import Layout
from .registry import register
from .selector import Selector
from .weight_info import KERNELS, WeightInfo


@dataclass(frozen=True, eq=False, repr=False)
class _Filters(Selector):
    """The first outputs of every hidden layer with a kernel, and their biases."""

    kind: str
    p: float | int
    min_filters: int

    @property
    def may_be_empty(self) -> bool:
        # A linear model has no hidden layer, and `filters(0.1) | head()` is valid for it.
        return True

    def forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        with_kernel = {info.layer for info in layout.weights if info.role in KERNELS}
        return {
            info.path: self._form(info, layout)
            for info in layout.weights
            if info.role in (*KERNELS, "bias")
            and info.layer in with_kernel
            and not layout.in_head(info)
        }

    def _form(self, info: WeightInfo, layout: Layout) -> Form:
        if self.kind == "conv_filters" and info.layer not in layout.convolutions:
            return Everything()
        count = count_of(self.p, info.n_outputs, self.min_filters)
        return leading(info.shape, info.output_axes, count, info.gates)

    def text(self) -> str:
        least = None if self.min_filters == 1 else self.min_filters
        return call(self.kind, self.p, min_filters=least)


@register("filters")
def filters(p: float, *, min_filters: int = 1) -> Selector:
    """Select the first outputs of every hidden layer with a kernel, and their biases.

    The outputs are the filters of a convolution, the units of a dense or recurrent layer, the
    heads of an attention layer, and the dimensions of an embedding. The count is computed for each
    kernel from its number of outputs; a selected recurrent unit includes its column in every gate.
    The head is excluded; use ``filters(p) | head()`` to include it.

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

    See Also
    --------
    conv_filters : Select filters of convolutions, and other hidden layers completely.
    inputs : Select the first inputs of every hidden kernel.

    References
    ----------
    Rosenfeld & Tsotsos 2018, "Intriguing properties of randomly weighted networks",
    arXiv 1802.00844.

    Examples
    --------
    >>> from frozenfit.selectors import example_layout, filters
    >>> print(filters(0.2).resolve(example_layout("lenet5")))
    weight         shape          form                       trainable   total
    conv1/kernel   (5, 5, 1, 6)   first 1 of 6 on axis 3            25     150
    conv1/bias     (6,)           first 1 of 6 on axis 0             1       6
    conv2/kernel   (5, 5, 6, 16)  first 3 of 16 on axis 3          450   2,400
    conv2/bias     (16,)          first 3 of 16 on axis 0            3      16
    dense1/kernel  (256, 120)     first 24 of 120 on axis 1      6,144  30,720
    dense1/bias    (120,)         first 24 of 120 on axis 0         24     120
    dense2/kernel  (120, 84)      first 16 of 84 on axis 1       1,920  10,080
    dense2/bias    (84,)          first 16 of 84 on axis 0          16      84
    sum                           19.32%                         8,583  44,426
    """
    least = check_int("filters", "min_filters", min_filters, 0)
    return _Filters("filters", check_p("filters", p), least)


@register("conv_filters")
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

    See Also
    --------
    filters : Select the first outputs of every hidden layer.

    References
    ----------
    Rosenfeld & Tsotsos 2018, arXiv 1802.00844.

    Examples
    --------
    >>> from frozenfit.selectors import conv_filters, example_layout
    >>> print(conv_filters(0.2).resolve(example_layout("lenet5")))
    weight         shape          form                     trainable   total
    conv1/kernel   (5, 5, 1, 6)   first 1 of 6 on axis 3          25     150
    conv1/bias     (6,)           first 1 of 6 on axis 0           1       6
    conv2/kernel   (5, 5, 6, 16)  first 3 of 16 on axis 3        450   2,400
    conv2/bias     (16,)          first 3 of 16 on axis 0          3      16
    dense1/kernel  (256, 120)     all                         30,720  30,720
    dense1/bias    (120,)         all                            120     120
    dense2/kernel  (120, 84)      all                         10,080  10,080
    dense2/bias    (84,)          all                             84      84
    sum                           93.38%                      41,483  44,426
    """
    least = check_int("conv_filters", "min_filters", min_filters, 0)
    return _Filters("conv_filters", check_p("conv_filters", p), least)


@dataclass(frozen=True, eq=False, repr=False)
class _Connections(Selector):
    """The first slices of hidden kernels along an axis other than the output axis."""

    kind: str
    p: float | int

    def forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        chosen = {}
        for info in layout.weights:
            if info.role in KERNELS and not layout.in_head(info):
                axes = self._axes(info, layout)
                if axes:
                    length = math.prod(info.shape[axis] for axis in axes)
                    chosen[info.path] = leading(info.shape, axes, count_of(self.p, length))
        return chosen

    def _axes(self, info: WeightInfo, layout: Layout) -> tuple[int, ...]:
        # The published experiments cut convolutions alone where a network has any. An embedding is
        # a table: its rows and columns have that meaning in every network.
        if info.role == "embedding" and self.kind != "inputs":
            return info.input_axes if self.kind == "rows" else info.output_axes
        if layout.convolutional and info.layer not in layout.convolutions:
            return ()
        axes = {"rows": info.spatial_axes[:1], "columns": info.spatial_axes[1:2]}
        return axes.get(self.kind, info.input_axes)

    def text(self) -> str:
        return call(self.kind, self.p)


@register("inputs")
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

    See Also
    --------
    filters : Select the first outputs of every hidden layer.

    References
    ----------
    Rosenfeld & Tsotsos 2018, arXiv 1802.00844 (slices along their dimension 2).

    Examples
    --------
    >>> from frozenfit.selectors import example_layout, inputs
    >>> print(inputs(0.5).resolve(example_layout("lenet5")))
    weight         shape          form                    trainable   total
    conv1/kernel   (5, 5, 1, 6)   all                           150     150
    conv2/kernel   (5, 5, 6, 16)  first 3 of 6 on axis 2      1,200   2,400
    sum                           3.04%                       1,350  44,426
    """
    return _Connections("inputs", check_p("inputs", p))


@register("rows")
def rows(p: float) -> Selector:
    """Select the first rows of the window of every convolution, and of every embedding table.

    The rows of an embedding are its words. Other kernels and the head are frozen.

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

    Warns
    -----
    UserWarning
        When an expression with it is resolved, if the network has no such kernels.

    See Also
    --------
    columns : Select the first columns.
    inputs : Select the first inputs of every hidden kernel.

    References
    ----------
    Rosenfeld & Tsotsos 2018, arXiv 1802.00844 (slices along their dimension 3).

    Examples
    --------
    >>> from frozenfit.selectors import example_layout, rows
    >>> print(rows(1).resolve(example_layout("lenet5")))
    weight         shape          form                    trainable   total
    conv1/kernel   (5, 5, 1, 6)   first 1 of 5 on axis 0         30     150
    conv2/kernel   (5, 5, 6, 16)  first 1 of 5 on axis 0        480   2,400
    sum                           1.15%                         510  44,426
    >>> print(rows(50).on("embedding").resolve(example_layout("text")))
    weight                           shape        form                        trainable   total
    embedding/embeddings             (1000, 16)   first 50 of 1000 on axis 0        800  16,000
    sum                                           3.44%                             800  23,252
    """
    return _Connections("rows", check_p("rows", p))


@register("columns")
def columns(p: float) -> Selector:
    """Select the first columns of the window of every convolution, and of every embedding table.

    The columns of an embedding are its dimensions. Other kernels and the head are frozen, and so
    is a convolution along one axis, whose window has rows alone.

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

    Warns
    -----
    UserWarning
        When an expression with it is resolved, if the network has no such kernels.

    See Also
    --------
    rows : Select the first rows.
    filters : Select the first outputs of every hidden layer.

    References
    ----------
    Rosenfeld & Tsotsos 2018, arXiv 1802.00844 (slices along their dimension 4).

    Examples
    --------
    >>> from frozenfit.selectors import columns, example_layout
    >>> print(columns(2).resolve(example_layout("lenet5")))
    weight         shape          form                    trainable   total
    conv1/kernel   (5, 5, 1, 6)   first 2 of 5 on axis 1         60     150
    conv2/kernel   (5, 5, 6, 16)  first 2 of 5 on axis 1        960   2,400
    sum                           2.30%                       1,020  44,426
    """
    return _Connections("columns", check_p("columns", p))
