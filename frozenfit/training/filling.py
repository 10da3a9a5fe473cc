"""A random fill on a base that has values of its own: a base whose frozen entries are drawn."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import keras
import numpy as np

from frozenfit import draws
from frozenfit.subset import Resolved, WeightInfo, forms
from frozenfit.training.network import Base
from frozenfit.training.structure import all_weights
from frozenfit.training.workspace import Network


def drawn_fill(base: Base, resolved: Resolved, but: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Draw what a random fill puts into weights with a frozen entry.

    Parameters
    ----------
    base : Base
        Whose seed decides.
    resolved : Resolved
        What is learned.
    but : collection of str, default=()
        Paths to leave out.

    Returns
    -------
    dict of str to ndarray
        Whole weights by path; those whose initialiser no draw knows are left out.
    """
    return {
        info.path: draws.draw(str(info.initializer), info.shape, base.seed, info.path)
        for info in with_frozen(resolved)
        if info.path not in but and draws.knows(info.initializer)
    }


def filled(
    base: Base, network: Network, resolved: Resolved, drawn: Mapping[str, np.ndarray] | None = None
) -> Base:
    """Make a base whose frozen entries are random and whose learned ones are those of a base.

    Parameters
    ----------
    base : Base
        The base below, which stays as it is.
    network : Network
        A network of its structure that can be copied.
    resolved : Resolved
        What is learned.
    drawn : mapping of str to ndarray or None, default=None
        All the random weights where they are known already, as from a file.

    Returns
    -------
    Base
        Its `below` is the base. Where no draw knows an initialiser Keras draws the weight, from
        the seed of the base; other backends draw other values, so a file holds such a weight.
    """
    infos = with_frozen(resolved)
    if drawn is None:
        drawn = drawn_fill(base, resolved)
        unknown = [info.path for info in infos if info.path not in drawn]
        fresh = all_weights(base.empty(base.seed)[0]) if unknown else {}
        drawn |= {p: np.array(keras.ops.convert_to_numpy(fresh[p])) for p in unknown}
    values = dict(network.values(base))
    for info in infos:
        learned = forms.to_mask(resolved[info.path], info.shape)
        values[info.path] = np.where(learned, values[info.path], drawn[info.path])
    return base.filled(values)


def with_frozen(resolved: Resolved) -> list[WeightInfo]:
    """List the weights that are not learned whole.

    Parameters
    ----------
    resolved : Resolved
        What is learned.

    Returns
    -------
    list of WeightInfo
        In the network's order.
    """
    return [
        info
        for info in resolved.layout.weights
        if not isinstance(resolved[info.path], forms.Everything)
    ]


def can_be_drawn(resolved: Resolved) -> bool:
    """Say whether all that a random fill puts in comes from the seed alone.

    Parameters
    ----------
    resolved : Resolved
        What is learned.

    Returns
    -------
    bool
        False where no draw knows the initialiser of a weight, such as the bias of an LSTM.
    """
    return all(draws.knows(info.initializer) for info in with_frozen(resolved))
