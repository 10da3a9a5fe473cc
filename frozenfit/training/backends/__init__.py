"""Many training steps in one call, per backend: the cost of a step is arithmetic, not Python.

A `Trainer` takes batches stacked on a first axis, (steps, batch, ...), and runs them all before
it returns: a compiled loop on TensorFlow and JAX, a plain loop on torch. Keras's own optimizers
and layers do the work, so the weights are those of Keras's ``fit`` on the same batches. A
`Predictor` computes outputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

from frozenfit.training.backends.predictor import Predictor
from frozenfit.training.backends.trainer import BaseTrainer

__all__ = ["Predictor", "Trainer"]

if TYPE_CHECKING:
    Trainer = BaseTrainer
elif keras.config.backend() == "torch":
    from frozenfit.training.backends.torch import TorchTrainer as Trainer
elif keras.config.backend() == "tensorflow":
    from frozenfit.training.backends.tensorflow import TensorFlowTrainer as Trainer
else:
    from frozenfit.training.backends.jax import JaxTrainer as Trainer
