"""Checks of a fit that need the network: before training, and of its result."""

from __future__ import annotations

from typing import Any

import numpy as np

from frozenfit.delta import Delta
from frozenfit.estimators.fitted_part import FittedPart
from frozenfit.training.data import Data
from frozenfit.training.network import CompiledModel
from frozenfit.utils.arrays import to_numpy

# Enough to find out whether outputs depend on the samples.
_ROWS_COMPARED = 64
# Weights by which a layer reads its inputs, and those that only scale or shift the result.
_READING_ROLES = ("kernel", "embedding")
_ADDING_ROLES = ("bias", "scale", "offset")


def check_depends_on_samples(
    compiled: CompiledModel, part: FittedPart, data: Data, trainable: Any
) -> None:
    """Raise a ValueError where frozen zeros make every sample the same for the trained parameters.

    A network whose head sees the samples by another way than its hidden layers can be trained.

    Parameters
    ----------
    compiled : CompiledModel
        The model, with its values loaded.
    part : FittedPart
        The part to train.
    data : Data
        Training samples.
    trainable : float, int, str or Selector
        The parameter `trainable`, for the message.

    Raises
    ------
    ValueError
        If all outputs are equal.
    """
    layout = part.selection.layout
    if not any(info.role in _READING_ROLES and not layout.in_head(info) for info in layout.weights):
        return
    trained = [layout[path] for path in part.delta.trained]
    if any(info.role not in _ADDING_ROLES and not layout.in_head(info) for info in trained):
        return
    rows = data.rows[:_ROWS_COMPARED]
    outputs = np.asarray(to_numpy(compiled.model(data.inputs(rows), training=False)))
    if len(rows) > 1 and (outputs == outputs[0]).all():
        raise ValueError(
            "`frozen='zero'` requires `trainable` to select parameters of hidden layers, because "
            "their outputs do not depend on the samples if all their kernels are zero, got "
            f"trainable={trainable!r}. Use frozen='random', or add filters of the "
            "hidden layers, such as 'filters(0.1) | head()'."
        )


def check_finite(delta: Delta) -> None:
    """Raise a ValueError where trained parameters are not finite.

    Parameters
    ----------
    delta : Delta
        The result of training.

    Raises
    ------
    ValueError
        If training diverged.
    """
    broken = [path for path, value in delta.trained.items() if not np.isfinite(value).all()]
    if broken:
        raise ValueError(
            f"Training diverged: {broken[0]!r} is not finite. Use a smaller learning_rate, and "
            "scale X."
        )
