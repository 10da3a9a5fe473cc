"""Moving statistics of batch normalizations, computed anew when training ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from frozenfit.partial import PartialModel, weights_of
from frozenfit.thin import ThinNetwork
from frozenfit.training.backends import Predictor
from frozenfit.training.streamed import AnyData
from frozenfit.utils.arrays import to_numpy

# The larger a batch, the nearer its statistics are to those of all samples, by which a layer
# normalizes in prediction.
_BATCH_SIZE = 512
# After so many time constants of the moving average, e**-10 of a statistic is its initial value.
_TIME_CONSTANTS = 10


class MovingStatistics(Predictor):
    """Computes the statistics that a partial model predicts with from samples.

    Concerned are the batch normalizations that use the statistics of the batch in training. Those
    that keep their moving statistics are left alone, and so is batch renormalization, which trains
    on its moving statistics.

    Parameters
    ----------
    model : PartialModel
        The model.
    network : keras.Model, ThinNetwork or None, default=None
        Network to run in place of the base: the layers after a frozen prefix, none of whose
        statistics change, or the network without dead units.
    """

    def __init__(self, model: PartialModel, network: keras.Model | ThinNetwork | None = None):
        self.weights = weights_of(model)
        survey, stored = self.weights.survey, self.weights.layers_with_stored_statistics()
        kept = {id(layer) for layer in stored}
        self.layers = [
            layer
            for layer in survey.statistic_layers.values()
            if isinstance(layer, keras.layers.BatchNormalization)
            and layer.trainable
            and not getattr(layer, "renorm", False)  # not in Keras 3.11
            and id(layer) not in kept
        ]
        # The variables of the model that hold the states of these layers.
        own = {id(variable): self.weights.states[path] for path, variable in survey.states.items()}
        self._means = [own[id(layer.moving_mean)] for layer in self.layers]
        self._variances = [own[id(layer.moving_variance)] for layer in self.layers]
        # Dropout changes the statistics of what follows, and prediction is without it.
        random = {info.layer for info in survey.state_infos.values() if info.kind == "seed"}
        self._in_inference_mode = stored + [
            layer
            for path, layer in survey.layers.items()
            if path in random and layer._call_has_training_arg
        ]
        self._called = self.layers
        if isinstance(network, ThinNetwork):
            self._called = network.copies(self.layers)
            self._in_inference_mode = network.copies(self._in_inference_mode)
        super().__init__(model, network)

    def are_behind(self, steps: int) -> bool:
        """Return whether moving averages still depend on where they started.

        Parameters
        ----------
        steps : int
            Number of training steps.

        Returns
        -------
        bool
            True where ``steps * (1 - momentum)`` is less than 10 for one of the layers.
        """
        return any(steps * (1 - layer.momentum) < _TIME_CONSTANTS for layer in self.layers)

    def refresh(self, data: AnyData, rng: np.random.Generator) -> None:
        """Replace the moving statistics by means and variances over all samples.

        Parameters
        ----------
        data : Data or StreamedData
            Training samples, or their features at the end of the frozen prefix.
        rng : numpy.random.Generator
            Generator of the batches.
        """
        if not self.layers:
            return
        # Full batches alone, since a layer behind another one sees it normalize by the statistics
        # of the batch.
        found = [
            [np.asarray(to_numpy(value), np.float64) for value in self._compute(batch)]
            for batch in data.full_batches(_BATCH_SIZE, rng)
        ]
        for i, (mean, variance) in enumerate(zip(self._means, self._variances, strict=True)):
            means = np.stack([values[2 * i] for values in found])
            variances = np.stack([values[2 * i + 1] for values in found])
            mean.assign(means.mean(axis=0))
            # The variance within the batches, and that between their means.
            variance.assign(variances.mean(axis=0) + means.var(axis=0))

    def _outputs(self, x: Any) -> Any:
        with _statistics_of_the_batch(self._called):
            _, changed, _ = self.weights.apply(
                x,
                training=True,
                network=self.network,
                inference_layers=self._in_inference_mode,
            )
        values = {id(variable): value for variable, value in changed}
        pairs = zip(self._means, self._variances, strict=True)
        return [values[id(variable)] for pair in pairs for variable in pair]


@contextmanager
def _statistics_of_the_batch(layers: list[Any]) -> Iterator[None]:
    """Let moving averages become the means over the calls of a layer inside the block."""
    saved = [(layer, layer.momentum, layer.__dict__.get("call")) for layer in layers]
    for layer in layers:
        layer.__dict__["call"] = _averaged(layer)
    try:
        yield
    finally:
        for layer, momentum, own in saved:
            layer.momentum = momentum
            del layer.__dict__["call"]
            if own is not None:
                layer.__dict__["call"] = own


def _averaged(layer: Any) -> Any:
    call, calls = layer.call, 0

    def averaged(*args, **kwargs):
        nonlocal calls
        calls += 1
        # A layer that is shared is called several times.
        layer.momentum = 1 - 1 / calls
        return call(*args, **kwargs)

    return averaged
