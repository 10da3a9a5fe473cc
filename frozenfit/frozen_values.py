"""The values of frozen parameters that a seed determines, and which weights have such values."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from frozenfit import draws
from frozenfit.selectors import Selection, WeightInfo, forms


def is_drawable(info: WeightInfo, kernel_initializer: str | None = None) -> bool:
    """Return whether the values of a weight follow from a seed and its path alone.

    Parameters
    ----------
    info : WeightInfo
        The weight.
    kernel_initializer : str or None, default=None
        JSON of an initializer that replaces those of kernels.

    Returns
    -------
    bool
        False where `frozenfit.draws` does not implement the initializer, such as that of the bias
        of an LSTM; Keras draws these weights, differently on each backend.
    """
    initializer = _initializer(info, kernel_initializer)
    return initializer is not None and draws.knows(initializer)


def draw_weight(info: WeightInfo, seed: int, kernel_initializer: str | None = None) -> np.ndarray:
    """Draw the values of one weight from a seed and its path.

    Parameters
    ----------
    info : WeightInfo
        The weight.
    seed : int
        The seed.
    kernel_initializer : str or None, default=None
        JSON of an initializer that replaces those of kernels.

    Returns
    -------
    ndarray of float32
        The same on every backend and in every process.

    Raises
    ------
    ValueError
        If the initializer is unknown.
    """
    initializer = _initializer(info, kernel_initializer)
    if initializer is None:
        raise ValueError(
            f"`frozen='random'` requires a known initializer, but that of {info.path!r} is not. "
            "Use frozen='keep', or a selector that trains the whole weight."
        )
    return draws.draw(initializer, info.shape, seed, info.path)


def partly_frozen(selection: Selection) -> list[WeightInfo]:
    """Return the weights that are not trained whole.

    Parameters
    ----------
    selection : Selection
        A selector applied to a network.

    Returns
    -------
    list of WeightInfo
        In the order of the layout.
    """
    return [
        info
        for info in selection.layout.weights
        if not isinstance(selection[info.path], forms.Everything)
    ]


def draw_frozen(
    selection: Selection, seed: int, exclude: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """Draw every weight that has frozen parameters.

    Parameters
    ----------
    selection : Selection
        A selector applied to a network.
    seed : int
        The seed.
    exclude : collection of str, default=()
        Paths to leave out.

    Returns
    -------
    dict of str to ndarray
        Whole weights by path, without those that are not drawable.
    """
    return {
        info.path: draw_weight(info, seed)
        for info in partly_frozen(selection)
        if info.path not in exclude and is_drawable(info)
    }


def _initializer(info: WeightInfo, kernel_initializer: str | None) -> str | None:
    if kernel_initializer is not None and info.role == "kernel":
        return kernel_initializer
    return info.initializer
