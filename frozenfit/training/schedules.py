"""The learning rate of every step, as an array."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

NAMES = ("cosine", "steps")
_DROPS = (0.5, 0.75)
_DROP_FACTOR = 0.1


def rates(schedule: Any, learning_rate: float, start: int, steps: int, total: int) -> np.ndarray:
    """Return the learning rates of consecutive steps.

    Parameters
    ----------
    schedule : None, {"cosine", "steps"} or keras LearningRateSchedule
        None keeps the rate; "cosine" lets it fall to 0 at the end of the fit; "steps" divides it
        by 10 at a half and at three quarters of the fit, as the published CIFAR runs do.
    learning_rate : float
        Rate at the beginning; a Keras schedule brings its own.
    start, steps : int
        First step, counted over the whole fit, and how many.
    total : int
        Steps of the whole fit.

    Returns
    -------
    ndarray of float32, shape (steps,)
        The rates.

    Examples
    --------
    >>> from frozenfit.training.schedules import rates
    >>> rates("steps", 1.0, 0, 4, 4).tolist()
    [1.0, 1.0, 0.10000000149011612, 0.009999999776482582]
    """
    at = np.arange(start, start + steps)
    if schedule is None:
        return np.full(steps, learning_rate, np.float32)
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        values = [float(keras.ops.convert_to_numpy(schedule(step))) for step in at]
        return np.asarray(values, np.float32)
    done = at / total
    if schedule == "cosine":
        factor = 0.5 * (1 + np.cos(np.pi * done))
    else:
        factor = _DROP_FACTOR ** (done[:, None] >= _DROPS).sum(axis=1)
    return (learning_rate * factor).astype(np.float32)
