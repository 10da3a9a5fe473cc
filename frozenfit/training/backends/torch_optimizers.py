"""Optimizers of Keras on torch whose steps are operations on tensors alone.

Keras's torch optimizers turn some tensors into Python numbers: the learning rate in SGD and
Adadelta, the product of the momentum schedule in Nadam. A recorded step could not change them.
"""

from __future__ import annotations

from typing import Any

import keras


def compute_on_tensors(optimizer: Any) -> None:
    """Replace the update of an optimizer by an equal one that reads no number out of a tensor.

    Parameters
    ----------
    optimizer : keras.optimizers.Optimizer
        An optimizer of Keras; one that needs no replacement is left as it is.

    Notes
    -----
    A step of SGD depends on the product of rate and gradient alone: it is the same, up to
    rounding, for gradients times the rate and a rate of 1. Adadelta and Nadam get the update that
    Keras uses on other backends, one variable at a time.
    """
    if isinstance(optimizer, keras.optimizers.SGD):
        update = optimizer._parallel_update_step

        def scaled(grads: Any, variables: Any, learning_rate: Any) -> None:
            update([gradient * learning_rate for gradient in grads], variables, 1.0)

        optimizer.__dict__["_parallel_update_step"] = scaled
    for general in (keras.optimizers.Adadelta, keras.optimizers.Nadam):
        if isinstance(optimizer, general):
            step = general._backend_update_step.__get__(optimizer)
            optimizer.__dict__["_backend_update_step"] = step
