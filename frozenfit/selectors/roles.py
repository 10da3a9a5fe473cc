"""Selectors of whole weights by their role in the layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .arguments import call
from .context import Context
from .forms import Everything, Form
from .layout import Layout
from .registry import register
from .selector import Selector
from .weight_info import KERNELS, WeightInfo

_BY_ROLE: dict[str, Callable[[WeightInfo], bool]] = {
    "everything": lambda info: True,
    "nothing": lambda info: False,
    "kernels": lambda info: info.role in KERNELS,
    # The offset of a normalization is added as a bias is; BitFit trains both.
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

    @property
    def may_be_empty(self) -> bool:
        # `filters(0.1) | head() | batch_norm()` is meant for every network.
        return True

    def forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        chosen = _BY_ROLE[self.kind]
        return {info.path: Everything() for info in layout.weights if chosen(info)}

    def text(self) -> str:
        return call(self.kind)


@register("everything")
def everything() -> Selector:
    """Select all trainable parameters of the network.

    Returns
    -------
    Selector
        The selector.

    See Also
    --------
    nothing : Select no parameters.
    kernels : Select all kernels.

    Examples
    --------
    >>> from frozenfit.selectors import everything, example_layout, layers
    >>> print((everything() - layers("dense*")).resolve(example_layout("lenet5")))
    weight         shape          form     trainable   total
    conv1/kernel   (5, 5, 1, 6)   all            150     150
    conv1/bias     (6,)           all              6       6
    conv2/kernel   (5, 5, 6, 16)  all          2,400   2,400
    conv2/bias     (16,)          all             16      16
    head/kernel    (84, 10)       all            840     840
    head/bias      (10,)          all             10      10
    sum                           7.70%        3,422  44,426
    """
    return _ByRole("everything")


@register("nothing")
def nothing() -> Selector:
    """Select no parameters.

    `Selector.resolve` refuses an empty selection; use `nothing` as a part of an expression.

    Returns
    -------
    Selector
        The selector.

    See Also
    --------
    everything : Select all parameters.

    Examples
    --------
    >>> from frozenfit.selectors import example_layout, head, nothing
    >>> print((nothing() | head()).resolve(example_layout("lenet5")))
    weight         shape          form     trainable   total
    head/kernel    (84, 10)       all            840     840
    head/bias      (10,)          all             10      10
    sum                           1.91%          850  44,426
    """
    return _ByRole("nothing")


@register("kernels")
def kernels() -> Selector:
    """Select all kernels, including embedding tables.

    Returns
    -------
    Selector
        The selector.

    See Also
    --------
    biases : Select all biases.

    Examples
    --------
    >>> from frozenfit.selectors import example_layout, kernels
    >>> print(kernels().resolve(example_layout("lenet5")))
    weight         shape          form     trainable   total
    conv1/kernel   (5, 5, 1, 6)   all            150     150
    conv2/kernel   (5, 5, 6, 16)  all          2,400   2,400
    dense1/kernel  (256, 120)     all         30,720  30,720
    dense2/kernel  (120, 84)      all         10,080  10,080
    head/kernel    (84, 10)       all            840     840
    sum                           99.47%      44,190  44,426
    """
    return _ByRole("kernels")


@register("biases")
def biases() -> Selector:
    """Select all biases and the offsets of normalization layers.

    Returns
    -------
    Selector
        The selector.

    See Also
    --------
    kernels : Select all kernels.
    norms : Select normalization layers.

    References
    ----------
    Ben Zaken, Goldberg & Ravfogel 2022, "BitFit: simple parameter-efficient fine-tuning for
    transformer-based masked language-models", arXiv 2106.10199.

    Examples
    --------
    >>> from frozenfit.selectors import biases, example_layout
    >>> print(biases().resolve(example_layout("lenet5")))
    weight         shape          form     trainable   total
    conv1/bias     (6,)           all              6       6
    conv2/bias     (16,)          all             16      16
    dense1/bias    (120,)         all            120     120
    dense2/bias    (84,)          all             84      84
    head/bias      (10,)          all             10      10
    sum                           0.53%          236  44,426
    """
    return _ByRole("biases")


@register("norms")
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
    >>> from frozenfit.selectors import example_layout, norms
    >>> print(norms().resolve(example_layout("text")))
    weight                           shape        form     trainable   total
    conv_norm/gamma                  (32,)        all             32      32
    conv_norm/beta                   (32,)        all             32      32
    norm/gamma                       (24,)        all             24      24
    norm/beta                        (24,)        all             24      24
    sum                                           0.48%          112  23,252
    """
    return _ByRole("norms")


@register("batch_norm")
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

    References
    ----------
    Frankle, Schwab & Morcos 2021, "Training BatchNorm and only BatchNorm: on the expressive power
    of random features in CNNs", arXiv 2003.00152.

    Examples
    --------
    >>> from frozenfit.selectors import batch_norm, example_layout
    >>> print(batch_norm().resolve(example_layout("text")))
    weight                           shape        form     trainable   total
    conv_norm/gamma                  (32,)        all             32      32
    conv_norm/beta                   (32,)        all             32      32
    sum                                           0.28%           64  23,252
    """
    return _ByRole("batch_norm")
