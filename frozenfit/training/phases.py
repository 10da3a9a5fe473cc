"""Phases of training: which trainable weights are updated in which epochs, and what that saves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from frozenfit.delta import computed_forms, stores_parameters
from frozenfit.partial import PartialModel, weights_of
from frozenfit.selectors import forms
from frozenfit.training.schedules import FreezeSchedule


@dataclass(frozen=True)
class Phase:
    """What is trained in one range of epochs; compiled code depends on nothing else of a schedule.

    Attributes
    ----------
    waiting : frozenset of str, default=frozenset()
        Paths of trainable weights that are not updated.
    finished : bool, default=False
        Whether the waiting weights were trained before, rather than will be later.
    per_weight : bool, default=False
        Whether each weight has its own learning rate.
    from_prefix : bool, default=False
        Whether the frozen prefix of the network is computed beforehand.
    """

    waiting: frozenset[str] = frozenset()
    finished: bool = False
    per_weight: bool = False
    from_prefix: bool = False


class PhasePlan:
    """The phases that a freeze schedule gives one partial model in one run.

    Parameters
    ----------
    schedule : FreezeSchedule or None
        The schedule; None trains all layers in all epochs.
    model : PartialModel
        The model.
    epochs : int
        Number of epochs in the run.

    Notes
    -----
    The layers of a schedule are those with trainable parameters, in topological order; a
    normalization counts as a layer.
    """

    def __init__(self, schedule: FreezeSchedule | None, model: PartialModel, epochs: int):
        self.schedule, self.epochs = schedule, epochs
        selection = model.selection
        computed = computed_forms(selection)
        if schedule is not None and any(isinstance(f, forms.Subspace) for f in computed.values()):
            raise ValueError(
                "`freeze_schedule` trains layers at different times, but those of `subspace` have "
                f"their coordinates in common, got {schedule!r}. Use freeze_schedule=None."
            )
        trainable = [p for p, f in computed.items() if stores_parameters(f)]
        owner = {w.path: w.layer for w in selection.layout.weights}
        used = {owner[p] for p in trainable}
        self._layers = [layer for layer in selection.layout.layers if layer in used]
        # A schedule counts layers from the input, whatever the order of creation.
        position = {layer: i for i, layer in enumerate(self._layers)}
        self._layer_of = {p: position[owner[p]] for p in trainable}
        self._costs = _costs(model)
        self._order = list(selection.layout.layers)

    def phase(self, epoch: int) -> Phase:
        """Return the phase of an epoch.

        Parameters
        ----------
        epoch : int
            Number of the epoch, from 0.

        Returns
        -------
        Phase
            Consecutive epochs with equal phases share compiled code.
        """
        if self.schedule is None:
            return Phase()
        # Evaluated at the beginning of the epoch: compiled code changes at epoch boundaries only.
        active = self.schedule.active(len(self._layers), epoch / self.epochs)
        waiting = frozenset(p for p, layer in self._layer_of.items() if not active[layer])
        per_weight = type(self.schedule).multipliers is not FreezeSchedule.multipliers
        return Phase(waiting, bool(waiting) and self.schedule.finishes, per_weight)

    def active(self, phase: Phase) -> tuple[str, ...]:
        """Return the paths of the weights that a phase updates, in the order of the optimizer.

        Parameters
        ----------
        phase : Phase
            The phase.

        Returns
        -------
        tuple of str
            Paths.
        """
        return tuple(path for path in self._layer_of if path not in phase.waiting)

    def multipliers(self, phase: Phase, progress: np.ndarray) -> np.ndarray | None:
        """Return the learning rate of each active weight as a multiple of the base rate.

        Parameters
        ----------
        phase : Phase
            The phase.
        progress : ndarray of shape (steps,)
            Fraction of the run that is completed before each step.

        Returns
        -------
        ndarray of shape (steps, n_active) or None
            None where every multiple is 1.
        """
        if self.schedule is None or not phase.per_weight:
            return None
        rates = self.schedule.multipliers(len(self._layers), progress)
        return rates[:, [i for p, i in self._layer_of.items() if p not in phase.waiting]]

    def predicted_saving(self, phase: Phase) -> float:
        """Return the fraction of the work of a full epoch that a phase leaves out.

        The work of a layer counts once forward and once backward. Nothing runs backward below
        the first active layer, and nothing forward where the prefix is cached.

        Parameters
        ----------
        phase : Phase
            The phase.

        Returns
        -------
        float
            Between 0 and 1.
        """
        active = {self._layers[i] for p, i in self._layer_of.items() if p not in phase.waiting}
        first = next(i for i, layer in enumerate(self._order) if layer in active)
        total = sum(self._costs.values())
        below = sum(self._costs[layer] for layer in self._order[:first])
        return (2 * below if phase.from_prefix else below) / (2 * total)


def _costs(model: PartialModel) -> dict[str, float]:
    """Count the multiplications of each layer: kernel size times positions of its output.

    Where the base has no graph, or a layer is in a nested model, a kernel counts once.
    """
    survey = weights_of(model).survey
    positions = {
        id(step.operation): np.prod([n for n in step.outputs[0].shape[1:-1] if n] or [1])
        for step in survey.steps
        if step.outputs
    }
    layers = survey.layers
    costs = dict.fromkeys(model.selection.layout.layers, 0.0)
    for info in model.selection.layout.weights:
        if info.role == "kernel":
            size = float(np.prod(info.shape))
            costs[info.layer] += size * float(positions.get(id(layers.get(info.layer)), 1))
        else:
            costs[info.layer] += 1.0
    return costs
