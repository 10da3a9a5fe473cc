"""Optimizers of Keras on torch whose steps are operations on tensors alone.

Keras's torch optimizers turn some tensors into Python numbers: the learning rate in SGD and
Adadelta, the product of the momentum schedule in Nadam, and where gradients are accumulated,
whether a step updates the variables. A recorded step could not change them.
"""

from __future__ import annotations

from collections.abc import Callable
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
    Keras uses on other backends, one variable at a time. Where gradients are accumulated, whether
    a step updates the variables is read before the first operation of the optimizer, so that
    steps of both kinds can be recorded.
    """
    if optimizer.gradient_accumulation_steps:
        optimizer.__dict__["_backend_apply_gradients"] = _accumulating(optimizer)
    if isinstance(optimizer, keras.optimizers.SGD):
        update = optimizer._parallel_update_step

        def scaled(grads: Any, variables: Any, learning_rate: Any) -> None:
            update([gradient * learning_rate for gradient in grads], variables, 1.0)

        optimizer.__dict__["_parallel_update_step"] = scaled
    for general in (keras.optimizers.Adadelta, keras.optimizers.Nadam):
        if isinstance(optimizer, general):
            step = general._backend_update_step.__get__(optimizer)
            optimizer.__dict__["_backend_update_step"] = step


def updates_in(optimizer: Any, steps: int) -> list[bool]:
    """Return which of the next steps of an optimizer update the variables.

    Parameters
    ----------
    optimizer : keras.optimizers.Optimizer
        A built optimizer.
    steps : int
        Number of steps.

    Returns
    -------
    list of bool
        One for each step; False where it only accumulates gradients.
    """
    period = optimizer.gradient_accumulation_steps
    if not period:
        return [True] * steps
    taken = int(optimizer._iterations.value)
    return [(taken + i + 1) % period == 0 for i in range(steps)]


def _accumulating(optimizer: Any) -> Callable[[Any, Any], None]:
    """Return the method of Keras's optimizer that applies gradients, without `keras.ops.cond`."""

    def apply(grads: Any, variables: Any) -> None:
        (updates,) = updates_in(optimizer, 1)
        places = [optimizer._get_variable_index(v) for v in variables]
        sums = [optimizer._accumulated_gradients[i] for i in places]
        if updates:
            count = optimizer.gradient_accumulation_steps
            grads = [(g + total) / count for g, total in zip(grads, sums, strict=True)]
            grads = optimizer._clip_gradients(grads)
            optimizer._apply_weight_decay(variables)
            optimizer._backend_update_step(grads, variables, optimizer.learning_rate)
            optimizer._backend_reset_gradient_accumulators()
        else:
            optimizer._backend_increment_gradient_accumulators(grads, sums)
        if optimizer.use_ema:
            optimizer._update_model_variables_moving_average(optimizer._trainable_variables)

    return apply
