"""Random frozen values on a pretrained base: a base whose frozen parameters are drawn."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from frozenfit import draws
from frozenfit.selectors import Selection, WeightInfo, forms
from frozenfit.training.base import Base
from frozenfit.training.network import Network
from frozenfit.training.structure import all_weights
from frozenfit.utils.arrays import to_numpy


def drawn_fill(
    base: Base, selection: Selection, but: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """Draw what random frozen values puts into weights with a frozen entry.

    Parameters
    ----------
    base : Base
        Whose seed decides.
    selection : Selection
        What is trained.
    but : collection of str, default=()
        Paths to leave out.

    Returns
    -------
    dict of str to ndarray
        Whole weights by path; those whose initializer no draw knows are left out.
    """
    return {
        info.path: draws.draw(str(info.initializer), info.shape, base.seed, info.path)
        for info in with_frozen(selection)
        if info.path not in but and draws.knows(info.initializer)
    }


def filled(
    base: Base,
    network: Network,
    selection: Selection,
    drawn: Mapping[str, np.ndarray] | None = None,
) -> Base:
    """Make a base whose frozen parameters are random and whose learned ones are those of a base.

    Parameters
    ----------
    base : Base
        The base below, which stays as it is.
    network : Network
        A network of its structure that can be copied.
    selection : Selection
        What is trained.
    drawn : mapping of str to ndarray or None, default=None
        All the random weights where they are known already, as from a file.

    Returns
    -------
    Base
        Its `below` is the base. Where no draw knows an initializer Keras draws the weight, from
        the seed of the base; other backends draw other values, so a file holds such a weight.
    """
    infos = with_frozen(selection)
    if drawn is None:
        drawn = drawn_fill(base, selection)
        unknown = [info.path for info in infos if info.path not in drawn]
        fresh = all_weights(base.empty(base.seed)[0]) if unknown else {}
        drawn |= {p: to_numpy(fresh[p]) for p in unknown}
    values = dict(network.values(base))
    for info in infos:
        trainable = forms.to_mask(selection[info.path], info.shape)
        values[info.path] = np.where(trainable, values[info.path], drawn[info.path])
    return base.filled(values)


def with_frozen(selection: Selection) -> list[WeightInfo]:
    """List the weights that are not learned whole.

    Parameters
    ----------
    selection : Selection
        What is trained.

    Returns
    -------
    list of WeightInfo
        In the network's order.
    """
    return [
        info
        for info in selection.layout.weights
        if not isinstance(selection[info.path], forms.Everything)
    ]


def can_be_drawn(selection: Selection) -> bool:
    """Say whether all that random frozen values puts in comes from the seed alone.

    Parameters
    ----------
    selection : Selection
        What is trained.

    Returns
    -------
    bool
        False where no draw knows the initializer of a weight, such as the bias of an LSTM.
    """
    return all(draws.knows(info.initializer) for info in with_frozen(selection))
