"""The selector of masks of kernels, which are trained in place of their entries."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

from frozenfit.utils import counter_streams

from .arguments import call, check_seed
from .context import Context
from .forms import Form
from .layout import Layout
from .registry import register
from .selector import Selector
from .supermask_form import Supermask
from .weight_info import WeightInfo


@dataclass(frozen=True, eq=False, repr=False)
class _Supermask(Selector):
    """Masks of every kernel."""

    keep: float
    rescale: bool
    seed: int | None

    def forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        seed = context.seed if self.seed is None else self.seed
        return {i.path: self._form(i, seed) for i in layout.weights if i.role == "kernel"}

    def _form(self, info: WeightInfo, seed: int) -> Supermask:
        own = counter_streams.seed_of(f"frozenfit.supermask {seed} {info.path}")
        fan_in = math.prod(info.shape[axis] for axis in {*info.input_axes, *info.spatial_axes})
        return Supermask(self.keep, self.rescale, own, 1 / math.sqrt(max(1, fan_in)))

    def text(self) -> str:
        # Arguments that have their default are left out.
        return call("supermask", self.keep, rescale=None if self.rescale else False, seed=self.seed)


@register("supermask")
def supermask(keep: float = 0.5, rescale: bool = True, seed: int | None = None) -> Selector:
    """Train which entries of every kernel are kept; their values are frozen (a supermask).

    Each entry of a kernel has a trainable score. The entries with the highest scores, a fraction
    `keep` of each kernel, have their frozen values, and the others are zero. The gradient of an
    entry times its frozen value is that of its score, whether it is kept or not ("edge-popup"), so
    that entries can return. The kernels of an exported network are the masked ones.

    Parameters
    ----------
    keep : float, default=0.5
        Fraction of the entries of each kernel that is kept, between 0 and 1, rounded down to a
        number but at least one entry.
    rescale : bool, default=True
        Whether kept entries are multiplied by the number of all entries over that of kept ones, so
        that outputs have about the size of those of the whole kernel; otherwise logits are small
        and training is slow.
    seed : int, default=None
        Seed of the random values at which the scores start. If None, the seed of the context is
        used, which an estimator derives from ``random_state``.

    Returns
    -------
    Selector
        The selector.

    Raises
    ------
    ValueError
        If `keep` is not between 0 and 1 or `seed` is negative or, when the selector is resolved, it
        is combined with a part of a kernel, such as ``filters(0.1)``.
    TypeError
        If an argument has another type.

    See Also
    --------
    lora : Add trainable products of low rank to frozen kernels.
    magnitude : Train the entries with the largest values.

    Notes
    -----
    *Numbers.* Scores count as trainable parameters, as many as a kernel has entries, and take
    optimizer state. A file contains one bit for each of them, unless it contains the state of the
    optimizer.

    *Start.* Scores are uniform between -b and b with b = 1 / sqrt(inputs), as in the published
    code, so that training starts from a random mask.

    *Ties.* Where scores are equal, the entries that come first in C order are kept, on every
    backend.

    *Set operations.* A kernel that is trained as a whole has no mask: in
    ``supermask() | head()`` the head is trained. Scores select no entries of a kernel, so that
    ``~supermask()`` and a union with a part of the same kernel are errors.

    *Refused.* ``frozen="zero"``, in which there are no values to keep, and constraints of kernels.

    References
    ----------
    Zhou, Lan, Liu & Yosinski 2019, "Deconstructing lottery tickets: zeros, signs, and the
    supermask", arXiv 1905.01067: masks of untrained weights, and their rescaling.

    Ramanujan et al. 2020, "What's hidden in a randomly weighted neural network?", arXiv 1911.13299:
    the highest scores of each layer, and their gradient.

    Examples
    --------
    >>> from frozenfit.selectors import example_layout, head, supermask
    >>> print((supermask(0.5) | head()).resolve(example_layout("lenet5")))
    weight         shape          form                         trainable   total
    conv1/kernel   (5, 5, 1, 6)   scores: 75 of 150 kept             150     150
    conv2/kernel   (5, 5, 6, 16)  scores: 1200 of 2400 kept        2,400   2,400
    dense1/kernel  (256, 120)     scores: 15360 of 30720 kept     30,720  30,720
    dense2/kernel  (120, 84)      scores: 5040 of 10080 kept      10,080  10,080
    head/kernel    (84, 10)       all                                840     840
    head/bias      (10,)          all                                 10      10
    sum                           99.49%                          44,200  44,426
    """
    if isinstance(keep, bool) or not isinstance(keep, Real):
        raise TypeError(f"`keep` of `supermask` must be a float between 0 and 1, got {keep!r}.")
    keep = float(keep)
    if not 0 < keep < 1:
        raise ValueError(
            f"`keep` of `supermask` must be a float between 0 and 1, both excluded, got {keep}."
        )
    if not isinstance(rescale, bool):
        raise TypeError(f"`rescale` of `supermask` must be a bool, got {rescale!r}.")
    return _Supermask(keep, rescale, check_seed("supermask", seed))
