"""The trained part of a network: a delta, the base it belongs to, and how both are combined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from frozenfit.dead_units import LivingUnits, living_units
from frozenfit.delta import Delta
from frozenfit.isolation import isolated
from frozenfit.partial import PartialModel
from frozenfit.selectors import Selection
from frozenfit.training.base import Base
from frozenfit.training.network import CompiledModel, Network
from frozenfit.training.workspace import workspace
from frozenfit.utils.sent_once import SentOnce


@dataclass(frozen=True, eq=False)
class FittedPart(SentOnce):
    """What one fitted estimator owns of a network, and the base that it shares.

    A part is never changed: a further fit creates another one.

    Parameters
    ----------
    base : Base
        The network below.
    selection : Selection
        Which parameters are trained.
    frozen : {"keep", "random", "zero"}
        Values of the frozen parameters: those of the base, random ones, or zero.
    statistics : bool or "auto"
        `freeze_statistics` of `frozenfit.PartialModel`.
    seeds : dict of str to int
        Seeds of the random streams of the fit, by name.
    delta : Delta
        Trained parameters and states.
    """

    base: Base
    selection: Selection
    frozen: str
    statistics: bool | str
    seeds: dict[str, int]
    delta: Delta

    def __getstate__(self) -> dict[str, Any]:
        """Leave out of pickles and copies what is made again when needed."""
        left_out = ("model", "living")
        return {name: value for name, value in self.__dict__.items() if name not in left_out}

    @property
    def freeze_fraction(self) -> float:
        """Fraction of the parameters that is frozen."""
        return 1 - self.selection.n_trainable / self.selection.total

    def load(self, network: Network) -> CompiledModel:
        """Load the base and the delta into a network.

        Parameters
        ----------
        network : Network
            A network with the structure of the base.

        Returns
        -------
        CompiledModel
            It computes as the trained network.
        """
        compiled = network.compiled(self.base, self.selection, self.frozen, self.statistics)
        compiled.load(self.base, self.selection, self.delta, self._living(compiled))
        return compiled

    def _living(self, compiled: CompiledModel) -> LivingUnits | None:
        """Return the units that are not dead, where frozen parameters are zero."""
        if self.frozen != "zero" or not workspace.thin or not compiled.network.is_copy:
            return None
        if "living" not in self.__dict__:
            base = compiled.network.values(self.base)
            values, trainable = compiled.weights.whole_values(self.selection, self.delta, base)
            found = living_units(compiled.network.survey, values, trainable)
            # A part is never changed, so that this holds for all its uses.
            self.__dict__["living"] = found
        return self.__dict__["living"]

    def outputs(self, X: np.ndarray) -> np.ndarray:
        """Compute the outputs of the network.

        Parameters
        ----------
        X : ndarray of shape (n_samples, ...)
            Samples of the input shape of the network.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
            Logits of a classifier, targets of a regressor on the scale of training.
        """
        with workspace.check_out(self.base) as network:
            return self.load(network).outputs(X)

    @cached_property
    def model(self) -> PartialModel:
        """The trained network as a live model, which the workspace does not share."""
        network = Network(self.base)
        network.load(self.base)
        with isolated(0):
            model = PartialModel(
                network.survey,
                self.selection,
                frozen=self.frozen,
                seed=self.base.seed,
                freeze_statistics=self.statistics,
                rebuild=self.base.rebuild,
            )
        model.load_delta(self.delta)
        return model

    @cached_property
    def trained_base(self) -> Base:
        """The trained network as a base for other fits; one object, which they all share."""
        base = self.base
        kept = {"seed": base.seed, "n_logits": base.n_logits}
        return Base(base.source, _TrainedValues(self), trained=True, **kept)


class _TrainedValues(Mapping[str, np.ndarray]):
    """The values of a trained network by path, computed from its part when they are needed.

    A pickle holds the part, which is as large as what was trained, rather than the values.
    """

    def __init__(self, part: FittedPart):
        self._part = part

    def __getstate__(self) -> dict[str, Any]:
        return {"_part": self._part}

    @cached_property
    def _values(self) -> dict[str, np.ndarray]:
        with workspace.check_out(self._part.base) as network:
            trained = dict(self._part.load(network).model.assembled())
            return {**network.values(self._part.base), **trained}

    def __getitem__(self, path: str) -> np.ndarray:
        return self._values[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)
