"""What the trainers of the backends share: variables, slots and their reset."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from frozenfit.partial import PartialModel, Route
from frozenfit.training.backends.losses import LOSSES, Totals


class BaseTrainer:
    """Trains what is loaded in a partial model, many steps in one call.

    Parameters
    ----------
    model : PartialModel
        The model.
    optimizer : keras.optimizers.Optimizer
        A fresh optimizer; it gets slots for what the route moves.
    loss : {"classification", "regression"}
        Name of a loss.
    route : Route or None, default=None
        Which trainable weights move and through which network; None moves all of them in all of
        the base.
    by_weight : bool, default=False
        Whether each weight has a learning rate of its own.
    """

    fixed_batch = False  # whether each size of batch is compiled anew

    def __init__(
        self,
        model: PartialModel,
        optimizer: keras.optimizers.Optimizer,
        loss: str,
        route: Route | None = None,
        by_weight: bool = False,
    ):
        self.model = model
        self.loss = LOSSES[loss]
        self.route = route or Route()
        self.by_weight = by_weight
        self.optimizer = _with_loss_scale(optimizer, model)
        self.optimizer.build(self.variables)
        self.optimizer.built = True
        self._initial = self.optimizer_state()
        self._rate = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        self._prepare()

    @property
    def variables(self) -> list:
        """The trainable parameters that this trainer moves."""
        return self.model.moving(self.route)

    def _prepare(self) -> None:
        """Compile, where the backend does."""

    def optimizer_state(self) -> list[np.ndarray]:
        """Take out the optimizer's variables."""
        return [np.array(ops.convert_to_numpy(v)) for v in self.optimizer.variables]

    def load_optimizer_state(self, optimizer_state: list[np.ndarray]) -> None:
        """Put the optimizer's variables back."""
        for variable, value in zip(self.optimizer.variables, optimizer_state, strict=True):
            variable.assign(value)

    def take_over(self, other: BaseTrainer) -> None:
        """Go on from another trainer of this model: its counters, and the slots both have.

        Parameters
        ----------
        other : BaseTrainer
            A trainer with the same kind of optimizer.
        """
        theirs = {_without_optimizer(v): v for v in other.optimizer.variables}
        for variable in self.optimizer.variables:
            if (found := theirs.get(_without_optimizer(variable))) is not None:
                variable.assign(np.array(ops.convert_to_numpy(found)))

    def reset(self) -> None:
        """Put the optimizer back to its first step."""
        self.load_optimizer_state(self._initial)

    def finish(self) -> None:
        """Let an optimizer with averaged weights write them, at the end of training."""
        self.optimizer.finalize_variable_values(self.variables)

    def run(
        self,
        x: np.ndarray,
        y: np.ndarray,
        weight: np.ndarray,
        rates: np.ndarray,
        scales: np.ndarray | None = None,
    ) -> Totals:
        """Train on a stack of batches.

        Parameters
        ----------
        x : ndarray, shape (steps, batch, ...)
            Inputs.
        y : ndarray, shape (steps, batch) or (steps, batch, n_targets)
            Class indices or targets.
        weight : ndarray, shape (steps, batch)
            Sample weights; a row of weight 0 takes no part in the loss.
        rates : ndarray, shape (steps,)
            Learning rate of each step.
        scales : ndarray of shape (steps, n_variables) or None, default=None
            With `by_weight`, each weight's own rate as a multiple of the step's.

        Returns
        -------
        Totals
            Sums over all steps, taken before each step's update.
        """
        if scales is None:
            scales = np.ones((len(rates), len(self.variables)), np.float32)
        sums = self._run(x, y, weight, rates, scales.astype(np.float32))
        return Totals(*(float(ops.convert_to_numpy(v)) for v in sums))

    def _run(self, x, y, weight, rates, scales) -> Any:
        raise AssertionError("made by a backend's trainer")

    def gradients(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> list[np.ndarray]:
        """Compute the gradient of one batch's loss, without a step.

        Parameters
        ----------
        x : ndarray, shape (batch, ...)
            Inputs.
        y : ndarray, shape (batch,) or (batch, n_targets)
            Class indices or targets.
        weight : ndarray, shape (batch,)
            Sample weights.

        Returns
        -------
        list of ndarray
            One per moving weight, in its compact shape.
        """
        tensors = [ops.convert_to_tensor(a) for a in (x, y, weight)]
        return [np.array(ops.convert_to_numpy(g)) for g in self._gradients(*tensors)]

    def _gradients(self, x, y, weight) -> Any:
        raise AssertionError("made by a backend's trainer")

    def _objective(self, x, y, weight):
        """Return the scaled loss, the totals and the changed states of one batch."""
        outputs, states, losses = self.model.apply_base(x, training=True, route=self.route)
        loss, totals = self.loss(y, outputs, weight)
        for extra in losses:
            loss = loss + ops.cast(extra, loss.dtype)
        return self.optimizer.scale_loss(loss), totals, states

    def _apply(self, gradients, scale) -> None:
        """Take a step; with `by_weight`, go only a part of the way for each weight.

        A part of the step is the step of that part of the rate: the slots of Keras's optimizers
        depend on gradients alone (momentum, whose velocity holds the rate, at a constant rate).
        """
        variables = self.variables
        before = [ops.copy(v.value) for v in variables] if self.by_weight else []
        self.optimizer.apply(gradients, variables)
        for i, old in enumerate(before):
            variables[i].assign(part_of_the_way(variables[i], old, variables[i].value, scale[i]))


def part_of_the_way(variable: Any, old: Any, new: Any, scale: Any) -> Any:
    """Go from a weight's old value to its new one by a part of the step.

    Parameters
    ----------
    variable : keras.Variable
        The weight, whose constraint holds afterwards.
    old, new : tensor
        Its values before and after the step.
    scale : scalar tensor
        How far to go.

    Returns
    -------
    tensor
        The value between.
    """
    value = old + ops.cast(scale, old.dtype) * (new - old)
    return value if variable.constraint is None else variable.constraint(value)


def _without_optimizer(slot: Any) -> str:
    """Return a slot's path below the optimizer, whose name Keras may number."""
    return slot.path.partition("/")[2]


def _with_loss_scale(optimizer: Any, model: PartialModel) -> Any:
    if model.compute_dtype == "float16" and model.variable_dtype == "float32":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer
