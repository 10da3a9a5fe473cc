"""Selection of the parameters that each member of an ensemble trains."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence
from numbers import Integral, Real

import numpy as np

from frozenfit.selectors import (
    Context,
    Selector,
    as_selector,
    batch_norm,
    biases,
    disjoint,
    head,
    scales,
)
from frozenfit.training.base import Base
from frozenfit.training.network import Network
from frozenfit.types import Trainable

__all__ = ["check_members", "member_selectors"]


def member_selectors(
    trainable: Trainable,
    members: str | Sequence[Trainable],
    count: int,
    seed: int,
    parts: int | None = None,
    taken: Collection[Trainable] = (),
) -> list[Trainable]:
    """Determine the `trainable` parameter of each member.

    Parameters
    ----------
    trainable : float, int, str or Selector
        The `trainable` parameter of the ensemble's estimator.
    members : {"same", "disjoint", "adapters"} or sequence
        How the members divide `trainable`, or adapters in its place, or one selector for each.
    count : int
        Number of members.
    seed : int
        Seed of the disjoint parts and of the signs of adapters.
    parts : int or None, default=None
        Number of parts into which a selector is divided; None means `count`.
    taken : collection of Selector, default=()
        Selectors of existing members.

    Returns
    -------
    list
        The `trainable` parameter of each member.

    Raises
    ------
    ValueError
        If the length of a list is not `count`, or if so many disjoint members would overlap.

    Examples
    --------
    >>> member_selectors(0.5, "disjoint", 2, seed=1)
    [disjoint(0.5, 0, 2, seed=1), disjoint(0.5, 1, 2, seed=1)]
    >>> member_selectors(0.5, "adapters", 1, seed=7)
    [scales(signs=7) | biases() | batch_norm() | head()]
    """
    if not isinstance(members, str):
        if len(members) != count:
            raise ValueError(
                f"`members` must have one selector for each of {count} members, got {len(members)}."
            )
        return list(members)
    if members == "same":
        return [trainable] * count
    if members == "adapters":
        every = (_adapter(seed + number) for number in itertools.count())
        return list(itertools.islice((one for one in every if one not in taken), count))
    return [*_disjoint(trainable, count, seed, parts or count, taken)]


def _adapter(signs: int) -> Selector:
    """Return what a member trains of a network whose kernels all members share."""
    return scales(signs=signs) | biases() | batch_norm() | head()


def _disjoint(
    trainable: Trainable, count: int, seed: int, parts: int, taken: Collection[Trainable]
) -> list[Selector]:
    if isinstance(trainable, Integral) and not isinstance(trainable, bool):
        raise ValueError(
            f"`members='disjoint'` requires a float, str or selector as `trainable`, got the int "
            f"{trainable!r}. Use a fraction such as 0.1."
        )
    within = None
    # A fraction leaves room for more members than `count`; adding members later takes free parts.
    if isinstance(trainable, Real):
        share = float(trainable)
        room = math.floor(1 / share + 1e-9) if 0 < share <= 1 else count
        most = f"trainable of at most {math.floor(1e4 / (count + len(taken))) / 1e4:g}"
    else:
        within = as_selector(trainable)
        share, room, most = 1 / parts, parts, "a larger n_estimators in a new fit"
    each = (disjoint(share, part, room, seed) for part in range(room))
    every = (one if within is None else within & one for one in each)
    free = list(itertools.islice((one for one in every if one not in taken), count))
    if len(free) < count:
        raise ValueError(
            f"`members='disjoint'` with trainable={trainable!r} has room for {room} members "
            f"without a common parameter, got {count + len(taken)}: they would overlap. Use "
            f"{most}, or members='same'."
        )
    return free


def check_members(
    selectors: Sequence[Trainable],
    members: str | Sequence[Trainable],
    network: Network,
    base: Base,
    seed: int,
) -> None:
    """Raise an error before training where a member has no trainable parameters.

    Parameters
    ----------
    selectors : sequence
        The result of `member_selectors`.
    members : {"same", "disjoint", "adapters"} or sequence
        The argument of `member_selectors`.
    network : Network
        A network with the structure of the base.
    base : Base
        The base.
    seed : int
        Seed of random selectors.

    Raises
    ------
    ValueError
        If a member has no trainable parameters, or a selector does not match the network.
    """
    values = network.values(base)
    layout = network.layout

    def scores() -> dict[str, np.ndarray]:
        # Only counts matter here; the true scores are computed once the base is trained.
        return {info.path: np.abs(values[info.path]) for info in layout.weights}

    context = Context(seed=seed, values=values, fisher=scores)
    for number, selector in enumerate(selectors):
        if number and selector is selectors[number - 1]:
            continue
        one = as_selector(selector).resolve(layout, context, allow_empty=members == "disjoint")
        if not one.n_trainable:
            raise ValueError(
                f"`members='disjoint'` leaves no parameter for member {number} of "
                f"{len(selectors)}: there are more members than parameters to divide. Use fewer "
                "members or a larger `trainable`."
            )
