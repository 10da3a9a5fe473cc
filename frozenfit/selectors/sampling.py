"""Selectors of random parameters.

Random positions come from a counter stream keyed by seed and weight path and are chosen by
integer comparisons only, so that they are identical on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from frozenfit.utils import counter_streams

from .arguments import call, check_int, check_p, check_seed, count_of
from .context import Context
from .forms import Everything, Form, difference, size
from .layout import Layout
from .ranking import check_within, lowest_in, parts_of
from .registry import register
from .selector import Selector
from .weight_info import WeightInfo


def _stream(seed: int, info: WeightInfo) -> np.ndarray:
    """Return one random 64-bit integer for each parameter of a weight."""
    return counter_streams.integers(f"frozenfit.subset {seed} {info.path}", info.size)


@dataclass(frozen=True, eq=False, repr=False)
class _Random(Selector):
    """Random parameters of each weight."""

    p: float | int
    seed: int | None
    within: Selector | None

    def forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        seed = context.seed if self.seed is None else self.seed
        parts = parts_of(self.within, layout, context)
        chosen = {}
        for info in layout.weights:
            part = parts[info.path]
            count = count_of(self.p, size(part, info.shape))
            if count:
                chosen[info.path] = lowest_in(part, info.shape, _stream(seed, info), count)
        return chosen

    def text(self) -> str:
        return call("random", self.p, seed=self.seed, within=self.within)


@register("random")
def random(p: float, seed: int | None = None, within: Selector | None = None) -> Selector:
    """Select random parameters, the same fraction of every weight.

    With the same seed, the parameters of a smaller fraction are a subset of those of a larger one.

    Parameters
    ----------
    p : float or int
        A fraction in (0, 1] of the parameters of each weight, rounded down but at least one, or
        their number.
    seed : int, default=None
        Seed of the draw. If None, the seed of the context is used, which an estimator derives
        from ``random_state``.
    within : Selector, default=None
        Draw from the parameters of this selector; `p` is relative to their number. If None, draw
        from all parameters.

    Returns
    -------
    Selector
        The selector.

    Raises
    ------
    ValueError
        If `p` is a float outside (0, 1] or an int below 1, or `seed` is negative.
    TypeError
        If an argument has another type.

    See Also
    --------
    disjoint : Select one of several parts without a common parameter.

    Examples
    --------
    >>> from frozenfit.selectors import example_layout, kernels, random
    >>> print(random(0.1, seed=3, within=kernels()).resolve(example_layout("lenet5")))
    weight         shape          form                      trainable   total
    conv1/kernel   (5, 5, 1, 6)   15 of 150 parameters             15     150
    conv2/kernel   (5, 5, 6, 16)  240 of 2400 parameters          240   2,400
    dense1/kernel  (256, 120)     3072 of 30720 parameters      3,072  30,720
    dense2/kernel  (120, 84)      1008 of 10080 parameters      1,008  10,080
    head/kernel    (84, 10)       84 of 840 parameters             84     840
    sum                           9.95%                         4,419  44,426
    """
    return _Random(check_p("random", p), check_seed("random", seed), check_within("random", within))


@dataclass(frozen=True, eq=False, repr=False)
class _Disjoint(Selector):
    """One of several disjoint random parts."""

    p: float
    part: int
    of: int
    seed: int | None

    def forms(self, layout: Layout, context: Context) -> dict[str, Form]:
        seed = context.seed if self.seed is None else self.seed
        return {info.path: self._form(info, seed) for info in layout.weights}

    def _form(self, info: WeightInfo, seed: int) -> Form:
        # Parts are adjacent runs of one random order, so they cannot overlap. A weight with fewer
        # parameters than parts leaves the last parts empty.
        each = count_of(self.p, info.size)
        before, after = (min(each * k, info.size) for k in (self.part, self.part + 1))
        keys = _stream(seed, info)
        upto, below = (lowest_in(Everything(), info.shape, keys, n) for n in (after, before))
        return difference(upto, below, info.shape)

    def text(self) -> str:
        return call("disjoint", self.p, self.part, self.of, seed=self.seed)


@register("disjoint")
def disjoint(p: float, part: int, of: int, seed: int | None = None) -> Selector:
    """Select one of several disjoint random parts, for the members of an ensemble.

    Parameters
    ----------
    p : float
        Fraction of each weight in each part, rounded down but at least one parameter; ``p * of``
        must not exceed 1.
    part : int
        Index of the part, from 0 to ``of - 1``.
    of : int
        Number of parts. In a weight with fewer parameters, the last parts are empty.
    seed : int, default=None
        Seed of the draw, which all parts must share. If None, the seed of the context is used.

    Returns
    -------
    Selector
        The selector.

    Raises
    ------
    ValueError
        If ``p * of`` exceeds 1, or `p`, `part` or `of` is out of range.
    TypeError
        If an argument has another type.

    See Also
    --------
    random : Select random parameters.
    frozenfit.CheapEnsembleClassifier : An ensemble whose members can train disjoint parts.

    Examples
    --------
    >>> from frozenfit.selectors import disjoint, example_layout
    >>> layout = example_layout("lenet5")
    >>> first, second = (disjoint(0.5, part, 2, seed=1) for part in range(2))
    >>> print(first.resolve(layout))
    weight         shape          form                       trainable   total
    conv1/kernel   (5, 5, 1, 6)   75 of 150 parameters              75     150
    conv1/bias     (6,)           3 of 6 on axis 0                   3       6
    conv2/kernel   (5, 5, 6, 16)  1200 of 2400 parameters        1,200   2,400
    conv2/bias     (16,)          8 of 16 on axis 0                  8      16
    dense1/kernel  (256, 120)     15360 of 30720 parameters     15,360  30,720
    dense1/bias    (120,)         60 of 120 on axis 0               60     120
    dense2/kernel  (120, 84)      5040 of 10080 parameters       5,040  10,080
    dense2/bias    (84,)          42 of 84 on axis 0                42      84
    head/kernel    (84, 10)       420 of 840 parameters            420     840
    head/bias      (10,)          5 of 10 on axis 0                  5      10
    sum                           50.00%                        22,213  44,426
    >>> (first & second).resolve(layout, allow_empty=True).n_trainable
    0
    """
    fraction = check_p("disjoint", p)
    if isinstance(fraction, int):
        raise TypeError(
            f"`p` of `disjoint` must be a float in (0, 1], got {fraction}. "
            "Use 0.2 for a fifth of each weight."
        )
    of, part = check_int("disjoint", "of", of), check_int("disjoint", "part", part, 0)
    if fraction * of > 1 + 1e-9:
        raise ValueError(
            f"`p * of` must be at most 1, got {fraction} * {of}. "
            f"Use a fraction of at most {1 / of:.6g}."
        )
    if part >= of:
        raise ValueError(f"`part` of `disjoint` must be an int from 0 to {of - 1}, got {part}.")
    return _Disjoint(fraction, part, of, check_seed("disjoint", seed))
