"""Which part of the base each member of an ensemble learns."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from frozenfit.subset import Context, Subset, as_subset, disjoint, parse
from frozenfit.training.network import Base
from frozenfit.training.workspace import Network

__all__ = ["check_members", "member_subsets"]


def member_subsets(
    learned: Any,
    members: str | Sequence[Any],
    count: int,
    seed: int,
    parts: int | None = None,
    taken: Collection[Any] = (),
) -> list[Any]:
    """Say what each member learns.

    Parameters
    ----------
    learned : float, int, str or Subset
        What is learned, as of an estimator.
    members : {"same", "disjoint"} or sequence
        How the members share it, or what each of them learns.
    count : int
        How many members.
    seed : int
        Seed of the disjoint parts.
    parts : int or None, default=None
        Into how many parts a subset is shared out; None means `count`.
    taken : collection of Subset, default=()
        What other members learn already.

    Returns
    -------
    list
        For each member what its estimator gets as `learned`.

    Raises
    ------
    ValueError
        Where a list has another length, or where there is no room for so many members that
        share no entry.

    Examples
    --------
    >>> member_subsets(0.5, "disjoint", 2, seed=1)
    [disjoint(0.5, 0, 2, seed=1), disjoint(0.5, 1, 2, seed=1)]
    """
    if not isinstance(members, str):
        if len(members) != count:
            raise ValueError(
                f"members lists {len(members)} subsets for {count} members; write one for each"
            )
        return list(members)
    if members == "same":
        return [learned] * count
    return _disjoint(learned, count, seed, parts or count, taken)


def _disjoint(learned: Any, count: int, seed: int, parts: int, taken: Collection) -> list[Subset]:
    if isinstance(learned, Integral) and not isinstance(learned, bool):
        raise ValueError(
            f"members='disjoint' shares out a fraction of every weight or a subset, found the "
            f"count learned={learned!r}; write a fraction such as 0.1"
        )
    within = None
    if isinstance(learned, Real):
        share = float(learned)
        room = math.floor(1 / share + 1e-9) if 0 < share <= 1 else count
        most = f"learned of at most {math.floor(1e4 / (count + len(taken))) / 1e4:g}"
    else:
        within = learned if isinstance(learned, Subset) else parse(learned)
        share, room, most = 1 / parts, parts, "a larger n_estimators in a new fit"
    each = (disjoint(share, part, room, seed) for part in range(room))
    every = (one if within is None else within & one for one in each)
    free = list(itertools.islice((one for one in every if one not in taken), count))
    if len(free) < count:
        raise ValueError(
            f"members='disjoint' with learned={learned!r} has room for {room} members that share "
            f"no entry, found {count + len(taken)}; they would overlap: write {most}, or "
            "members='same'"
        )
    return free


def check_members(
    subsets: Sequence[Any], members: Any, network: Network, base: Base, seed: int
) -> None:
    """Refuse members that learn nothing, or what the network lacks, before anything is trained.

    Parameters
    ----------
    subsets : sequence
        What `member_subsets` gave.
    members : {"same", "disjoint"} or sequence
        As of `member_subsets`.
    network : Network
        A network of the base's structure.
    base : Base
        The base.
    seed : int
        Seed of random subsets.

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
    resolved: list[Any] = []
    for number, subset in enumerate(subsets):
        if number and subset is subsets[number - 1]:
            continue
        one = as_subset(subset, layout).resolve(layout, context, allow_empty=members == "disjoint")
        if not one.learned:
            raise ValueError(
                f"members='disjoint' leaves no entry for member {number} of {len(subsets)}: there "
                "are more members than entries to share out; write fewer members or learn more"
            )
        resolved.append(one)
