"""Stretches of training: which trainable weights move in which epochs, and what that saves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from frozenfit import layout as _layout
from frozenfit.partial import PartialModel, computed_forms
from frozenfit.selectors import forms


@dataclass(frozen=True)
class Stage:
    """One stretch of training, as compiled code depends on it.

    Attributes
    ----------
    still : frozenset of str, default=frozenset()
        Paths of trainable weights that do not move.
    finished : bool, default=False
        Whether those have learned before, rather than wait for their turn.
    by_weight : bool, default=False
        Whether each weight has a learning rate of its own.
    from_prefix : bool, default=False
        Whether the frozen beginning of the network is computed beforehand.
    """

    still: frozenset[str] = frozenset()
    finished: bool = False
    by_weight: bool = False
    from_prefix: bool = False


class Stages:
    """What a `freeze_schedule` says of one partial model and one run.

    Parameters
    ----------
    freeze_schedule : FreezeOut, GradualUnfreeze, LayerwiseRates or None
        How learning moves through the layers; None moves all in all epochs.
    model : PartialModel
        The model.
    epochs : int
        Length of the run.

    Notes
    -----
    A layer is one with trainable parameters, in the order data meets them; a normalization counts by
    itself.
    """

    def __init__(self, freeze_schedule: Any, model: PartialModel, epochs: int):
        self.freeze_schedule, self.epochs = freeze_schedule, epochs
        selection = model.selection
        trainable = [
            p for p, f in computed_forms(selection).items() if not isinstance(f, forms.Nothing)
        ]
        owner = {w.path: w.layer for w in selection.layout.weights}
        used = {owner[p] for p in trainable}
        self._layers = [layer for layer in selection.layout.layers if layer in used]
        place = {layer: i for i, layer in enumerate(self._layers)}
        self._layer_of = {p: place[owner[p]] for p in trainable}
        self._costs = _costs(model)
        self._order = list(selection.layout.layers)

    def at(self, epoch: int) -> Stage:
        """Return the stage an epoch belongs to.

        Parameters
        ----------
        epoch : int
            From 0.

        Returns
        -------
        Stage
            Equal for the epochs of one stretch.
        """
        if self.freeze_schedule is None:
            return Stage()
        moving = self.freeze_schedule.moving(len(self._layers), epoch / self.epochs)
        still = frozenset(p for p, layer in self._layer_of.items() if not moving[layer])
        return Stage(still, bool(still) and self.freeze_schedule.finishes, by_weight=True)

    def scales(self, stage: Stage, at: np.ndarray) -> np.ndarray | None:
        """Return each moving weight's learning rate as a multiple of the base rate.

        Parameters
        ----------
        stage : Stage
            The stage.
        at : ndarray, shape (steps,)
            Fractions of the run done.

        Returns
        -------
        ndarray of shape (steps, n_moving) or None
            None where all are 1.
        """
        if not stage.by_weight:
            return None
        rates = self.freeze_schedule.rates(len(self._layers), at)
        return rates[:, [i for p, i in self._layer_of.items() if p not in stage.still]]

    def predicted_saving(self, stage: Stage) -> float:
        """Return the part of the work of a full epoch that a stage leaves out.

        The work of a layer counts once forward and once backward. Nothing runs backward below
        the first moving layer, and nothing forward where its output is kept.

        Parameters
        ----------
        stage : Stage
            The stage.

        Returns
        -------
        float
            From 0 to 1.
        """
        moving = {self._layers[i] for p, i in self._layer_of.items() if p not in stage.still}
        first = next(i for i, layer in enumerate(self._order) if layer in moving)
        total = sum(self._costs.values())
        below = sum(self._costs[layer] for layer in self._order[:first])
        return (2 * below if stage.from_prefix else below) / (2 * total)


def _costs(model: PartialModel) -> dict[str, float]:
    """Count the multiplications of each layer: its kernels' entries at every place of its output.

    Where the base shows no graph, or a layer lies in a nested model, each kernel counts once.
    """
    places = {
        id(step.operation): np.prod([n for n in step.outputs[0].shape[1:-1] if n] or [1])
        for step in _layout.steps(model.base)
        if step.outputs
    }
    layers = dict(_layout.leaf_layers(model.base))
    costs = dict.fromkeys(model.selection.layout.layers, 0.0)
    for info in model.selection.layout.weights:
        if info.role == "kernel":
            size = float(np.prod(info.shape))
            costs[info.layer] += size * float(places.get(id(layers.get(info.layer)), 1))
        else:
            costs[info.layer] += 1.0
    return costs
