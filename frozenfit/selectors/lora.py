"""The selector of low-rank products that are added to kernels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

from frozenfit.utils import counter_streams

from .arguments import call, check_int, check_seed
from .context import Context
from .forms import Form
from .layout import Layout
from .lora_form import LowRank
from .registry import register
from .selector import Selector
from .weight_info import KERNELS, WeightInfo


@dataclass(frozen=True, eq=False, repr=False)
class _Lora(Selector):
    """Low-rank products, added to every kernel and embedding."""

    r: int
    alpha: float | None
    seed: int | None

    def forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        seed = context.seed if self.seed is None else self.seed
        return {i.path: self._form(i, seed) for i in layout.weights if i.role in KERNELS}

    def _form(self, info: WeightInfo, seed: int) -> LowRank:
        inputs = sorted({*info.input_axes, *info.spatial_axes} - {*info.output_axes})
        own = counter_streams.seed_of(f"frozenfit.lora {seed} {info.path}")
        scale = 1.0 if self.alpha is None else self.alpha / self.r
        return LowRank(self.r, tuple(inputs), scale, own)

    def text(self) -> str:
        return call("lora", self.r, alpha=self.alpha, seed=self.seed)


@register("lora")
def lora(r: int, alpha: float | None = None, seed: int | None = None) -> Selector:
    """Train two factors of rank `r` for every kernel, whose product is added to it (LoRA).

    A kernel, as a matrix of inputs and outputs, is its frozen value plus ``alpha / r * A @ B``. The
    factors `A`, of shape (inputs, r), and `B`, of shape (r, outputs), are all that is trained. `A`
    starts at random values and `B` at 0, so that training starts from the frozen network. The
    product is added to the kernel when the network is exported.

    Parameters
    ----------
    r : int
        The rank, at least 1.
    alpha : float, default=None
        Numerator of the factor of the product. None is `r`, hence a factor of 1, as in Keras's
        ``enable_lora``; a given value keeps the size of changes when `r` varies.
    seed : int, default=None
        Seed of the values at which the factors `A` start. If None, the seed of the context is used,
        which an estimator derives from ``random_state``.

    Returns
    -------
    Selector
        The selector.

    Raises
    ------
    ValueError
        If `r` is below 1, `alpha` is not positive or `seed` is negative or, when the selector is
        resolved, it is combined with a part of a kernel, such as ``filters(0.1)``.
    TypeError
        If an argument has another type.

    See Also
    --------
    scales : Train scales of the inputs and outputs of kernels, adapters of rank one.
    subspace : Train all weights along random directions.

    Notes
    -----
    *Inputs and outputs.* For a Dense layer these are its columns and units; for a convolution the
    window with the input channels, and the filters; for an embedding the words and the numbers of
    a vector; for the projections of attention the features, and the heads with their sizes.
    Factors `A` are drawn as by Keras's initializer "he_uniform".

    *Set operations.* A kernel that is trained as a whole needs no factors: in ``lora(4) | head()``
    the kernel of the head has none. Factors select no entries of a kernel, so that ``~lora(4)``
    and a union with a part of the same kernel are errors.

    *Small kernels.* A kernel that has no more entries than factors, such as one with a single
    output, is trained as a whole.

    *Refused.* ``frozen="zero"``, with which all gradients are zero at the start, and constraints of
    kernels.

    References
    ----------
    Hu et al. 2021, "LoRA: low-rank adaptation of large language models", arXiv 2106.09685.

    Examples
    --------
    >>> from frozenfit.selectors import biases, example_layout, head, lora
    >>> print((lora(2) | biases() | head()).resolve(example_layout("lenet5")))
    weight         shape          form               trainable   total
    conv1/kernel   (5, 5, 1, 6)   factors of rank 2         62     150
    conv1/bias     (6,)           all                        6       6
    conv2/kernel   (5, 5, 6, 16)  factors of rank 2        332   2,400
    conv2/bias     (16,)          all                       16      16
    dense1/kernel  (256, 120)     factors of rank 2        752  30,720
    dense1/bias    (120,)         all                      120     120
    dense2/kernel  (120, 84)      factors of rank 2        408  10,080
    dense2/bias    (84,)          all                       84      84
    head/kernel    (84, 10)       all                      840     840
    head/bias      (10,)          all                       10      10
    sum                           5.92%                  2,630  44,426
    """
    r = check_int("lora", "r", r)
    if alpha is not None:
        if isinstance(alpha, bool) or not isinstance(alpha, Real):
            raise TypeError(f"`alpha` of `lora` must be a number or None, got {alpha!r}.")
        alpha = float(alpha)
        if not (math.isfinite(alpha) and alpha > 0):
            raise ValueError(f"`alpha` of `lora` must be positive and finite, got {alpha}.")
    return _Lora(r, alpha, check_seed("lora", seed))
