"""What the trainers of all backends promise and share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from frozenfit.partial import PartialModel, weights_of
from frozenfit.thin import ThinNetwork
from frozenfit.training.objective import Objective, Totals
from frozenfit.training.phases import Phase
from frozenfit.utils.arrays import to_numpy


class Trainer(ABC):
    """Trains the values loaded in a partial model, many steps in one call.

    A backend implements `_run` and `_gradients`, and may override `_compile` and `reset`. It
    promises that

    - a call of `run` equals as many calls with one batch each, to float tolerance;
    - a step equals a step of Keras's ``fit`` with the same optimizer on the same batch;
    - only the active trainable variables, the states of the model and the optimizer's variables
      change, and no global random stream does;
    - `reset` followed by the same batches repeats the same bits.

    Parameters
    ----------
    model : PartialModel
        The model to train.
    optimizer : keras.optimizers.Optimizer
        A fresh optimizer. It is built for the variables that are active in the phase.
    objective : Objective
        The loss.
    phase : Phase or None, default=None
        Which trainable variables are active; None means all of them.
    keep_outputs : bool, default=False
        Whether `run` returns the outputs of the network for each batch.
    network : keras.Model, ThinNetwork or None, default=None
        Network to run in place of the base, such as the layers after a cached prefix.
    inference_layers : sequence of keras.Layer or None, default=None
        Layers that use their moving statistics during training; None leaves the choice to the
        model.
    augment : callable or None, default=None
        ``f(x, moves) -> x``, which is applied to each training batch inside the step.

    Attributes
    ----------
    one_batch_shape : bool
        Whether the backend compiles once for each shape of a batch, so that padding the last,
        smaller batch avoids a compilation.
    """

    one_batch_shape = False
    # Axis of the rows in the arguments of `run`, and shape of each of its three sums.
    _row_axis = 1
    _sum_shape: tuple[int, ...] = ()

    def __init__(
        self,
        model: PartialModel,
        optimizer: keras.optimizers.Optimizer,
        objective: Objective,
        phase: Phase | None = None,
        keep_outputs: bool = False,
        network: keras.Model | ThinNetwork | None = None,
        inference_layers: Sequence[keras.Layer] | None = None,
        augment: Callable[[Any, Any], Any] | None = None,
    ):
        self.model, self.weights = model, self._weights_of(model)
        self.objective = objective
        self.phase = phase or Phase()
        self.keep_outputs = keep_outputs
        self.network = network
        self.inference_layers = inference_layers
        self.augment = augment
        self.optimizer = _with_loss_scale(optimizer, model)
        self.optimizer.build(self.variables)
        self.optimizer.built = True
        # Taken before the first step: `reset` restores it, which is cheaper than another optimizer
        # and needs no compilation.
        self._initial_state = self.optimizer_state()
        self._inner_optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        self._compile()

    def _weights_of(self, model: Any) -> Any:
        """Return the weights that `apply` runs the model with."""
        return weights_of(model)

    def _totals(self, *sums: Any) -> Any:
        """Return the three sums of a call of `run` as the caller receives them."""
        return Totals(*map(float, sums))

    @property
    def variables(self) -> list[keras.Variable]:
        """Trainable variables that are active in the phase."""
        return self.weights.active_variables(self.phase.waiting)

    def optimizer_state(self) -> list[np.ndarray]:
        """Copy the optimizer's variables to NumPy arrays."""
        return [to_numpy(v) for v in self.optimizer.variables]

    def load_optimizer_state(self, state: list[np.ndarray]) -> None:
        """Assign what `optimizer_state` returned."""
        for variable, value in zip(self.optimizer.variables, state, strict=True):
            variable.assign(value)

    def random_state(self) -> dict[str, np.ndarray]:
        """Copy the state of random streams that are not states of the model; none by default."""
        return {}

    def load_random_state(self, state: dict[str, np.ndarray]) -> None:  # noqa: B027
        """Continue the streams from what `random_state` returned."""

    def take_over(self, other: Trainer) -> None:
        """Continue from another trainer of the same model.

        Parameters
        ----------
        other : Trainer
            A trainer with the same type of optimizer. Its counters, and the state of every
            variable that both trainers update, are copied.
        """
        theirs = {_path_below_optimizer(v): v for v in other.optimizer.variables}
        for variable in self.optimizer.variables:
            if (found := theirs.get(_path_below_optimizer(variable))) is not None:
                variable.assign(to_numpy(found))

    def reset(self) -> None:
        """Return the optimizer to the state before the first step."""
        self.load_optimizer_state(self._initial_state)

    def finish(self) -> None:
        """Write averaged weights into the variables, where the optimizer keeps averages."""
        self.optimizer.finalize_variable_values(self.variables)

    def run(
        self,
        x: np.ndarray,
        y: np.ndarray,
        weight: np.ndarray,
        rates: np.ndarray,
        multipliers: np.ndarray | None = None,
        moves: np.ndarray | None = None,
    ) -> tuple[Totals, np.ndarray | None]:
        """Train on a stack of batches.

        Parameters
        ----------
        x : ndarray of shape (steps, batch, ...)
            Inputs.
        y : ndarray of shape (steps, batch) or (steps, batch, n_targets)
            Class indices or targets.
        weight : ndarray of shape (steps, batch)
            Sample weights; a row of weight 0 has no part in the loss.
        rates : ndarray of shape (steps,)
            Learning rate of each step.
        multipliers : ndarray of shape (steps, n_variables, ...) or None, default=None
            Learning rate of each active variable as a multiple of the step's; read where the
            phase has a rate per weight. Further axes are the first ones of the variables.
        moves : ndarray of int32, shape (steps, batch, n), or None, default=None
            What the augmentation does with each sample; required where there is one.

        Returns
        -------
        totals : Totals
            Sums over all steps, computed before the update of each step.
        outputs : ndarray of float32, shape (steps, batch, n_outputs), or None
            Outputs of the network before the update of each step, where they are kept.
        """
        if multipliers is None:
            multipliers = np.ones((len(rates), len(self.variables)), np.float32)
        if moves is None:
            # No columns: a step takes the same arguments with and without an augmentation.
            moves = np.zeros((*weight.shape, 0), np.int32)
        multipliers = multipliers.astype(np.float32)
        sums, outputs = self._run(x, y, weight, moves, rates, multipliers)
        totals = self._totals(*map(to_numpy, sums))
        return totals, np.asarray(to_numpy(outputs), np.float32) if self.keep_outputs else None

    def gradients(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> list[np.ndarray]:
        """Compute the gradient of the loss of one batch, without a step.

        Parameters
        ----------
        x : ndarray of shape (batch, ...)
            Inputs.
        y : ndarray of shape (batch,) or (batch, n_targets)
            Class indices or targets.
        weight : ndarray of shape (batch,)
            Sample weights.

        Returns
        -------
        list of ndarray
            One array per active variable, in its compact shape.
        """
        tensors = [ops.convert_to_tensor(a) for a in (x, y, weight)]
        return [to_numpy(g) for g in self._gradients(*tensors)]

    def _compile(self) -> None:  # noqa: B027
        """Prepare compiled functions; called once, after the optimizer is built."""

    @abstractmethod
    def _run(self, x, y, weight, moves, rates, multipliers) -> Any:
        """Take the steps of `run`; return the three sums of `Totals`, and the kept outputs."""

    @abstractmethod
    def _gradients(self, x, y, weight) -> Any:
        """Return the gradients of `gradients` as tensors."""

    def _objective(self, x, y, weight, moves=None):
        """Return the scaled loss, the totals, the changed states and the outputs of one batch."""
        if self.augment is not None and moves is not None:
            x = self.augment(x, moves)
        outputs, states, losses = self.weights.apply(
            x,
            training=True,
            waiting=self.phase.waiting,
            network=self.network,
            inference_layers=self.inference_layers,
        )
        loss, totals = self.objective(y, outputs, weight)
        for extra in losses:
            loss = loss + ops.cast(extra, loss.dtype)
        return self.optimizer.scale_loss(loss), totals, states, ops.cast(outputs, "float32")

    def _apply(self, gradients, multipliers) -> None:
        """Take one step of the optimizer, scaled per variable where the phase asks for it.

        A fraction of the step equals a step at that fraction of the rate, because the state of
        Keras's optimizers depends on gradients alone (except for the velocity of SGD with
        momentum, which contains the rate).
        """
        variables = self.variables
        # A multiple of the step rather than of the gradient: Adam is invariant to the scale of
        # gradients.
        before = [ops.copy(v.value) for v in variables] if self.phase.per_weight else []
        self.optimizer.apply(gradients, variables)
        for i, old in enumerate(before):
            variables[i].assign(scaled_step(variables[i], old, variables[i].value, multipliers[i]))


def scaled_step(variable: keras.Variable, old: Any, new: Any, multiplier: Any) -> Any:
    """Return the value after a fraction of a variable's step.

    Parameters
    ----------
    variable : keras.Variable
        The variable; its constraint is applied to the result.
    old, new : tensor
        Values before and after the whole step.
    multiplier : tensor
        Fraction of the step: a scalar, or one for each index of the first axes of the variable.

    Returns
    -------
    tensor
        ``old + multiplier * (new - old)``.
    """
    missing = len(old.shape) - len(multiplier.shape)
    multiplier = ops.reshape(multiplier, (*multiplier.shape, *[1] * missing))
    value = old + ops.cast(multiplier, old.dtype) * (new - old)
    return value if variable.constraint is None else variable.constraint(value)


def _path_below_optimizer(variable: Any) -> str:
    # Keras numbers optimizers, so the first part of the path differs between two of one type.
    return variable.path.partition("/")[2]


def _with_loss_scale(optimizer: Any, model: PartialModel) -> Any:
    if model.compute_dtype == "float16" and model.variable_dtype == "float32":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer
