"""A fresh optimizer for each fit, and the default learning rate."""

from __future__ import annotations

import difflib
import functools
import re
from typing import Any

import keras

from frozenfit.isolation import isolated, names_without_decay
from frozenfit.utils.arrays import keras_reads_variables, to_numpy

_FALLING, _FALLING_CONVOLUTIONAL, _CONSTANT = 0.01, 0.006, 0.003
_NAMES = ("adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "ftrl", "lion")
_NAMES += ("muon", "nadam", "rmsprop", "sgd")

_Schedule = keras.optimizers.schedules.LearningRateSchedule


def automatic_rate(falls: bool, convolutional: bool) -> float:
    """Choose the learning rate where the user leaves it to us.

    Parameters
    ----------
    falls : bool
        Whether a schedule lets the rate fall to 0 by the end.
    convolutional : bool
        Whether the network has convolutions, which high rates upset.

    Returns
    -------
    float
        0.01, or 0.006 with convolutions, where it falls; else 0.003. docs/defaults.md has the
        measurements behind them.

    Examples
    --------
    >>> from frozenfit.training.optimizers import automatic_rate
    >>> automatic_rate(True, False), automatic_rate(True, True), automatic_rate(False, True)
    (0.01, 0.006, 0.003)
    """
    if not falls:
        return _CONSTANT
    return _FALLING_CONVOLUTIONAL if convolutional else _FALLING


def make(
    optimizer: Any, learning_rate: float | str, weight_decay: float, automatic: float
) -> tuple[keras.optimizers.Optimizer, float, Any]:
    """Make an optimizer that the caller owns.

    Parameters
    ----------
    optimizer : str or keras.optimizers.Optimizer
        A name, or an optimizer whose settings are copied.
    learning_rate : float or "auto"
        "auto" keeps the rate of an optimizer object, and takes `automatic` for a name.
    weight_decay : float
        Decoupled weight decay; 0 keeps that of an optimizer object.
    automatic : float
        The rate for "auto".

    Returns
    -------
    optimizer : keras.optimizers.Optimizer
        Fresh, with a plain float rate.
    rate : float
        The rate to start with.
    schedule : keras LearningRateSchedule or None
        The schedule an optimizer object brought.

    Raises
    ------
    ValueError
        For an unknown name, an optimizer around another one, or one that was told to leave
        weights out of its decay, which Keras forgets in every copy.

    Notes
    -----
    An optimizer class that calls `exclude_from_weight_decay` in its ``__init__`` excludes them in
    every copy. Its names are searched in the paths of the network's weights.
    """
    if isinstance(optimizer, str):
        if optimizer.lower() not in _NAMES:
            near = difflib.get_close_matches(optimizer.lower(), _NAMES, 3, 0.3) or _NAMES
            raise ValueError(
                f"optimizer={optimizer!r} is not one of Keras's; write one such as "
                f"{', '.join(near)}"
            )
        kind, config = _kind(optimizer), {}
    else:
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            raise ValueError(
                "optimizer must not be a LossScaleOptimizer, which is put around it under the "
                "policy mixed_float16 anyway; give its inner_optimizer"
            )
        with keras_reads_variables():
            kind, config = type(optimizer), optimizer.get_config()
    fresh = _fresh(kind, {**config, "learning_rate": automatic})
    excluded = names_without_decay(fresh)
    if not isinstance(optimizer, str) and names_without_decay(optimizer) != excluded:
        raise ValueError(
            "optimizer has weights excluded from its decay, found by exclude_from_weight_decay on "
            f"this {kind.__name__}, and Keras forgets them in every copy such as a clone or a "
            "pickle; call it with var_names in the __init__ of an optimizer class of your own"
        )
    if excluded is not None:
        fresh = _fresh(_by_paths(kind, excluded), {**config, "learning_rate": automatic})
    own = None if isinstance(optimizer, str) else optimizer._learning_rate
    schedule = own if isinstance(own, _Schedule) and learning_rate == "auto" else None
    if learning_rate != "auto":
        rate = float(learning_rate)
    elif own is None or schedule is not None:
        rate = automatic
    else:
        rate = float(to_numpy(own))
    if weight_decay:
        fresh.weight_decay = weight_decay
    return fresh, rate, schedule


@functools.cache
def _kind(name: str) -> type[keras.optimizers.Optimizer]:
    with isolated(0):
        return type(keras.optimizers.get(name))


def _fresh(kind: type[keras.optimizers.Optimizer], config: dict) -> keras.optimizers.Optimizer:
    with isolated(0):
        return kind.from_config(config)


@functools.cache
def _by_paths(
    kind: type[keras.optimizers.Optimizer], names: str
) -> type[keras.optimizers.Optimizer]:
    """Make an optimizer class search the names it excludes in the paths of the base's weights.

    Keras searches a variable's own name, and what is trained is in variables of ours.
    """
    search = re.compile(names).search

    class ByPaths(kind):
        def build(self, variables):
            paths = [(v, v.name.removeprefix("trained__").replace("__", "/")) for v in variables]
            self.exclude_from_weight_decay(
                [v for v, path in paths if search(path) or search(path.rpartition("/")[2])]
            )
            super().build(variables)

        def get_config(self):  # by which compiled training is told apart
            return {**super().get_config(), "without_decay": names}

    ByPaths.__name__ = kind.__name__
    return ByPaths
