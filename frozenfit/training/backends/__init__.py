"""Training steps and predictions, one file for each Keras backend.

A `Trainer` runs many steps in one call, so that the cost of a step is its arithmetic and not
Python; a `Predictor` computes outputs. The abstract classes in `trainer` and `predictor` state
what a backend promises; ``Trainer`` and ``Predictor`` here are those of the backend in use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

__all__ = ["Predictor", "Trainer"]

if TYPE_CHECKING:
    from frozenfit.training.backends.predictor import Predictor as Predictor
    from frozenfit.training.backends.trainer import Trainer as Trainer
elif keras.config.backend() == "torch":
    from frozenfit.training.backends.torch import TorchPredictor as Predictor
    from frozenfit.training.backends.torch import TorchTrainer as Trainer
elif keras.config.backend() == "tensorflow":
    from frozenfit.training.backends.tensorflow import TensorFlowPredictor as Predictor
    from frozenfit.training.backends.tensorflow import TensorFlowTrainer as Trainer
else:
    from frozenfit.training.backends.jax import JaxPredictor as Predictor
    from frozenfit.training.backends.jax import JaxTrainer as Trainer
