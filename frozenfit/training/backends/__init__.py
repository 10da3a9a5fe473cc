"""Training steps and predictions, one file for each Keras backend.

A `Trainer` runs many steps in one call, so that the cost of a step is its arithmetic and not
Python; a `Predictor` computes outputs. The abstract classes in `trainer` and `predictor` state
what a backend promises; ``Trainer`` and ``Predictor`` here are those of the backend in use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

__all__ = ["Predictor", "Trainer"]

if TYPE_CHECKING:  # one concrete class stands for all of them
    from frozenfit.training.backends.on_torch import TorchPredictor as Predictor
    from frozenfit.training.backends.on_torch import TorchTrainer as Trainer
elif keras.config.backend() == "torch":
    from frozenfit.training.backends.on_torch import TorchPredictor as Predictor
    from frozenfit.training.backends.on_torch import TorchTrainer as Trainer
elif keras.config.backend() == "tensorflow":
    from frozenfit.training.backends.on_tensorflow import TensorFlowPredictor as Predictor
    from frozenfit.training.backends.on_tensorflow import TensorFlowTrainer as Trainer
else:
    from frozenfit.training.backends.on_jax import JaxPredictor as Predictor
    from frozenfit.training.backends.on_jax import JaxTrainer as Trainer
