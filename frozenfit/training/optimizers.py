"""The optimizer of a fit and the default learning rate."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from frozenfit.isolation import isolated, names_without_decay
from frozenfit.utils.arrays import keras_reads_variables, to_numpy
from frozenfit.utils.names import did_you_mean

# Measured, see docs/defaults.md.
_FALLING, _CONSTANT = 0.006, 0.003
_NAMES = ("adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "ftrl", "lion")
_NAMES += ("muon", "nadam", "rmsprop", "sgd")


@dataclass(frozen=True, eq=False)
class OptimizerState:
    """The state of an optimizer between two calls of training.

    Attributes
    ----------
    paths : tuple of str
        Paths of the weights that the optimizer updates, in its order.
    variables : list of ndarray
        Its variables.
    steps : int
        Number of steps taken, on which a learning-rate schedule of Keras depends.
    """

    paths: tuple[str, ...]
    variables: list[np.ndarray]
    steps: int


_Schedule = keras.optimizers.schedules.LearningRateSchedule


def automatic_rate(falls: bool) -> float:
    """Return the learning rate for ``learning_rate="auto"``.

    Parameters
    ----------
    falls : bool
        Whether a schedule decays the learning rate to 0 at the end of training.

    Returns
    -------
    float
        0.006 with learning-rate decay, 0.003 for a constant rate. docs/defaults.md reports the
        measurements behind these values.

    Examples
    --------
    >>> from frozenfit.training.optimizers import automatic_rate
    >>> automatic_rate(True), automatic_rate(False)
    (0.006, 0.003)
    """
    return _FALLING if falls else _CONSTANT


def make(
    optimizer: Any, learning_rate: float | str, weight_decay: float, automatic: float
) -> tuple[keras.optimizers.Optimizer, float, Any]:
    """Create an optimizer for one fit.

    The optimizer that the user passed is never trained with: its state would leak from one fit
    into the next.

    Parameters
    ----------
    optimizer : str or keras.optimizers.Optimizer
        The name of a Keras optimizer, or an optimizer whose configuration is copied.
    learning_rate : float or "auto"
        Learning rate. "auto" keeps the rate of an optimizer object, and uses `automatic` for a
        name.
    weight_decay : float
        Decoupled weight decay. 0 keeps the weight decay of an optimizer object.
    automatic : float
        Learning rate for "auto" if the optimizer does not bring one.

    Returns
    -------
    optimizer : keras.optimizers.Optimizer
        A new optimizer whose learning rate is a constant.
    rate : float
        Initial learning rate.
    schedule : keras LearningRateSchedule or None
        The learning-rate schedule of an optimizer object, if `learning_rate` is "auto".

    Raises
    ------
    ValueError
        If the name is unknown, the optimizer is a ``LossScaleOptimizer``, or weights were
        excluded from the decay of the object, which Keras does not keep in a copy.

    Notes
    -----
    An optimizer class that calls ``exclude_from_weight_decay`` in its ``__init__`` excludes the
    weights in every copy. The names are matched against the paths of the network's weights.
    """
    if isinstance(optimizer, str):
        if optimizer.lower() not in _NAMES:
            raise ValueError(
                "`optimizer` must be the name of a Keras optimizer or a keras.optimizers.Optimizer "
                f"object, got {optimizer!r}. {did_you_mean(optimizer, _NAMES)}"
            )
        kind, config = _kind(optimizer), {}
    else:
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            raise ValueError(
                "`optimizer` must not be a LossScaleOptimizer, got one. The policy mixed_float16 "
                "adds loss scaling by itself: pass its inner_optimizer instead."
            )
        with keras_reads_variables():
            kind, config = type(optimizer), optimizer.get_config()
    # A copy from the configuration: training must not leave state in the object that the user
    # passed, which clones share.
    fresh = _fresh(kind, {**config, "learning_rate": automatic})
    excluded = names_without_decay(fresh)
    if not isinstance(optimizer, str) and names_without_decay(optimizer) != excluded:
        raise ValueError(
            "`optimizer` must not have weights excluded by a call of exclude_from_weight_decay on "
            f"the object, got such a {kind.__name__}. Keras does not keep them in a copy such as "
            "a clone or a pickle: call exclude_from_weight_decay with var_names in the __init__ "
            "of a subclass instead."
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
    # 0 is the default of the estimators and leaves the decay of the optimizer that the user passed.
    if weight_decay:
        fresh.weight_decay = weight_decay
    return fresh, rate, schedule


def settings(optimizer: keras.optimizers.Optimizer) -> tuple:
    """Return what compiled steps depend on of an optimizer; the learning rate is an argument.

    Parameters
    ----------
    optimizer : keras.optimizers.Optimizer
        An optimizer.

    Returns
    -------
    tuple
        Equal for optimizers whose steps are the same code.
    """
    with keras_reads_variables():
        config = dict(optimizer.get_config())
    config.pop("learning_rate", None)
    config.pop("name", None)
    return type(optimizer), json.dumps(config, sort_keys=True, default=str)


# Creating an optimizer draws seeds and takes names; isolation keeps Keras's global state unchanged.
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
    """Return a subclass that matches excluded names against the paths of the base's weights.

    Keras matches the name of the variable itself, but the trained parameters are in variables
    that frozenfit creates, named after the path of the weight they belong to.
    """
    search = re.compile(names).search

    class ByPaths(kind):
        def build(self, variables):
            paths = [(v, v.name.removeprefix("trained__").replace("__", "/")) for v in variables]
            self.exclude_from_weight_decay(
                [v for v, path in paths if search(path) or search(path.rpartition("/")[2])]
            )
            super().build(variables)

        def get_config(self):
            # Compiled training is cached by the configuration, so it must contain the exclusion.
            return {**super().get_config(), "without_decay": names}

    ByPaths.__name__ = kind.__name__
    return ByPaths
