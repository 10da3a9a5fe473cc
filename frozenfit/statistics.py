"""Which normalizations use their moving statistics in training."""

from __future__ import annotations

from typing import Any

from frozenfit.layout import Survey
from frozenfit.selectors import Selection, forms


def layers_with_moving_statistics(
    survey: Survey,
    selection: Selection,
    choice: bool | str,
    waiting: frozenset[str] = frozenset(),
) -> list[Any]:
    """Return the normalizations that use their moving statistics in training.

    Parameters
    ----------
    survey : Survey
        Survey of the base network.
    selection : Selection
        The trainable parameters.
    choice : bool or "auto"
        False returns none of them, True all that are frozen, "auto" those that are frozen
        together with everything before them.
    waiting : frozenset of str, default=frozenset()
        Paths of trainable weights that count as frozen.

    Returns
    -------
    list of keras.Layer
        In topological order.
    """
    if choice is False:
        return []
    layers = survey.statistic_layers
    frozen = {
        layer: all(
            isinstance(selection.forms[w.path], forms.Nothing) or w.path in waiting
            for w in selection.layout.weights
            if w.layer == layer
        )
        for layer in {*selection.layout.layers, *layers}
    }
    if choice is True:
        return [layer for path, layer in layers.items() if frozen[path]]
    # Once a layer before it is trained, the inputs of a normalization change, and its moving
    # statistics no longer describe them.
    order = list(survey.layers)
    active = [i for i, path in enumerate(order) if not frozen.get(path, True)]
    first = min(active, default=len(order))
    return [layer for path, layer in layers.items() if order.index(path) < first]
