"""Which part of the base each member of an ensemble learns."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from frozenfit.selectors import Context, Selector, as_selector, disjoint, parse
from frozenfit.training.base import Base
from frozenfit.training.network import Network

__all__ = ["check_members", "member_selectors"]


def member_selectors(
    trainable: Any,
    members: str | Sequence[Any],
    count: int,
    seed: int,
    parts: int | None = None,
    taken: Collection[Any] = (),
) -> list[Any]:
    """Say what each member learns.

    Parameters
    ----------
    trainable : float, int, str or Selector
        What is trained, as of an estimator.
    members : {"same", "disjoint"} or sequence
        How the members share it, or what each of them learns.
    count : int
        How many members.
    seed : int
        Seed of the disjoint parts.
    parts : int or None, default=None
        Into how many parts a selector is shared out; None means `count`.
    taken : collection of Selector, default=()
        What other members learn already.

    Returns
    -------
    list
        For each member what its estimator gets as `trainable`.

    Raises
    ------
    ValueError
        Where a list has another length, or where there is no room for so many members that
        share no entry.

    Examples
    --------
    >>> member_selectors(0.5, "disjoint", 2, seed=1)
    [disjoint(0.5, 0, 2, seed=1), disjoint(0.5, 1, 2, seed=1)]
    """
    if not isinstance(members, str):
        if len(members) != count:
            raise ValueError(
                f"members lists {len(members)} selectors for {count} members; write one for each"
            )
        return list(members)
    if members == "same":
        return [trainable] * count
    return _disjoint(trainable, count, seed, parts or count, taken)


def _disjoint(
    trainable: Any, count: int, seed: int, parts: int, taken: Collection
) -> list[Selector]:
    if isinstance(trainable, Integral) and not isinstance(trainable, bool):
        raise ValueError(
            f"members='disjoint' shares out a fraction of every weight or a selector, found the "
            f"count trainable={trainable!r}; write a fraction such as 0.1"
        )
    within = None
    if isinstance(trainable, Real):
        share = float(trainable)
        room = math.floor(1 / share + 1e-9) if 0 < share <= 1 else count
        most = f"trainable of at most {math.floor(1e4 / (count + len(taken))) / 1e4:g}"
    else:
        within = trainable if isinstance(trainable, Selector) else parse(trainable)
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
    selectors: Sequence[Any], members: Any, network: Network, base: Base, seed: int
) -> None:
    """Refuse members that learn nothing, or what the network lacks, before anything is trained.

    Parameters
    ----------
    selectors : sequence
        What `member_selectors` gave.
    members : {"same", "disjoint"} or sequence
        As of `member_selectors`.
    network : Network
        A network of the base's structure.
    base : Base
        The base.
    seed : int
        Seed of random selectors.

    Raises
    ------
    ValueError
        For the first member that learns nothing.
    """
    values = network.values(base)
    layout = network.layout

    def scores() -> dict[str, np.ndarray]:
        # Only counts matter here: the true scores come when the base is trained.
        return {info.path: np.abs(values[info.path]) for info in layout.weights}

    context = Context(seed=seed, values=values, fisher=scores)
    selection: list[Any] = []
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
        selection.append(one)
