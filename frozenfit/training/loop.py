"""The loop over epochs: batches, callbacks, early stopping and the phases of a freeze schedule."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import keras
import numpy as np
from scipy.special import log_softmax

from frozenfit.delta import Delta
from frozenfit.training import prefix, schedules
from frozenfit.training.augmentation import Augmentation
from frozenfit.training.backends import Predictor, Trainer
from frozenfit.training.callbacks import KerasCallbacks
from frozenfit.training.data import Data, batches
from frozenfit.training.network import CompiledModel
from frozenfit.training.phases import Phase, PhasePlan
from frozenfit.training.prefix import is_plain, operations


class EpochCallback(Protocol):
    """An object that is called at the beginning and at the end of each epoch."""

    def epoch_begin(self, epoch: int) -> None:
        """Run before an epoch."""

    def epoch_end(self, epoch: int, logs: dict[str, float]) -> bool:
        """Run after an epoch with its metrics; return whether to stop training."""
        ...


@dataclass
class Plan:
    """The settings of one run of training.

    Attributes
    ----------
    optimizer : callable
        Returns a fresh optimizer.
    loss : {"classification", "regression"}
        Name of the loss.
    epochs : int
        Number of passes over the data.
    batch_size : int
        Number of rows in a batch.
    learning_rate : float
        Rate of the first step.
    lr_schedule : str, keras LearningRateSchedule or None, default=None
        How the learning rate decays.
    freeze_schedule : FreezeSchedule or None, default=None
        Which layers are trained when.
    cache_features : bool or "auto", default=False
        Whether the features of a frozen prefix are computed once. True raises an error where
        they cannot be.
    augment : Augmentation or None, default=None
        Changes each training batch.
    validation : Data or None, default=None
        Samples that are evaluated after each epoch.
    patience : int or None, default=None
        Number of epochs without a lower validation loss after which training stops and the best
        delta is returned; None never stops.
    callbacks : KerasCallbacks
        The user's callbacks.
    epoch_callbacks : sequence of EpochCallback
        Further callbacks; each can stop training.
    """

    optimizer: Callable[[], keras.optimizers.Optimizer]
    loss: str
    epochs: int
    batch_size: int
    learning_rate: float
    lr_schedule: Any = None
    freeze_schedule: schedules.FreezeSchedule | None = None
    cache_features: bool | str = False
    augment: Augmentation | None = None
    validation: Data | None = None
    patience: int | None = None
    callbacks: KerasCallbacks = field(default_factory=lambda: KerasCallbacks(None))
    epoch_callbacks: Sequence[EpochCallback] = ()


@dataclass
class TrainResult:
    """The result of training.

    Attributes
    ----------
    delta : Delta
        The trained parameters: the best ones with early stopping, else the last.
    history : dict of str to list of float
        One value per epoch for each metric.
    optimizer_state : list of ndarray
        The optimizer's variables after the last step.
    steps : int
        Number of steps, including those of earlier calls that were continued.
    interrupted : bool
        Whether the user interrupted training from the keyboard.
    callbacks : list of keras.callbacks.Callback
        The user's callbacks with their state after training.
    """

    delta: Delta
    history: dict[str, list[float]]
    optimizer_state: list[np.ndarray]
    steps: int
    interrupted: bool
    callbacks: list[keras.callbacks.Callback]


def train(
    compiled: CompiledModel,
    data: Data,
    plan: Plan,
    rng: np.random.Generator,
    optimizer_state: tuple[list[np.ndarray], int] | None = None,
) -> TrainResult:
    """Train what is loaded in a compiled model.

    Parameters
    ----------
    compiled : CompiledModel
        A model with base and delta loaded.
    data : Data
        Training samples.
    plan : Plan
        Settings of the run.
    rng : numpy.random.Generator
        Source of batch orders and augmentations.
    optimizer_state : (list of ndarray, int) or None, default=None
        Optimizer variables to continue from and the number of steps taken with them. They are
        ignored where their shapes differ from those of the optimizer.

    Returns
    -------
    TrainResult
        The trained delta and the history.
    """
    run = _Run(compiled, data, plan, rng, optimizer_state)
    interrupted = False
    plan.callbacks.begin(compiled.model, run.trainer, plan, run.steps_per_epoch)
    try:
        for epoch in range(plan.epochs):
            if run.epoch(epoch):
                break
    except KeyboardInterrupt:
        # Nothing was trained, so there is nothing to keep.
        if run.step == run.first_step:
            raise
        interrupted = True
    run.trainer.finish()
    plan.callbacks.end(run.logs)
    delta = run.best if run.best is not None else compiled.model.delta()
    return TrainResult(
        delta,
        run.history,
        run.trainer.optimizer_state(),
        run.step,
        interrupted,
        plan.callbacks.copies,
    )


class _Run:
    """The state of one call of `train`."""

    trainer: Trainer
    predictor: Predictor

    def __init__(self, compiled, data, plan, rng, optimizer_state):
        self.compiled, self.plan, self.rng = compiled, plan, rng
        self.samples = data
        self.phases = PhasePlan(plan.freeze_schedule, compiled.model, plan.epochs)
        self.phase: Phase | None = None
        self.steps_per_epoch = -(-len(data) // plan.batch_size)
        self.history: dict[str, list[float]] = {}
        self.logs: dict[str, float] = {}
        self.full_epoch_seconds: list[float] = []
        self.best: Delta | None = None
        self.best_loss, self.epochs_waited = np.inf, 0
        # The last, smaller batch of an epoch would otherwise need a compilation of its own.
        self.pad = rows_are_independent(compiled)
        self._enter_phase(0)
        self.first_step = self.step = self._continue_from(optimizer_state)
        self.total = self.first_step + plan.epochs * self.steps_per_epoch

    def _continue_from(self, state: tuple[list[np.ndarray], int] | None) -> int:
        """Load an optimizer state that fits; return the number of steps taken with it."""
        if state is None:
            return 0
        # Another optimizer, or other trainable parameters, start from a new state.
        shapes = [array.shape for array in self.trainer.optimizer_state()]
        if [array.shape for array in state[0]] != shapes:
            return 0
        self.trainer.load_optimizer_state(state[0])
        return state[1]

    def _enter_phase(self, epoch: int) -> None:
        """Switch to the trainer and the inputs of the epoch's phase, where it is a new one."""
        planned = self.phases.phase(epoch)
        if self.phase is not None and replace(self.phase, from_prefix=False) == planned:
            return
        phase = replace(planned, from_prefix=self._caches(planned, self.plan.epochs - epoch))
        # Each phase has a trainer of its own, because the variables of an optimizer are fixed when
        # it is built.
        trainer = self.compiled.trainer(self.plan.optimizer(), self.plan.loss, phase)
        if self.phase is not None:
            trainer.take_over(self.trainer)
            self.plan.callbacks.follow(trainer)
        self.phase, self.trainer = phase, trainer
        self.predictor = self.compiled.phase_predictor(phase)
        self.data, self.validation = self.samples, self.plan.validation
        if phase.from_prefix:
            found = self.compiled.prefix(phase)
            self.data = found.features(self.samples)
            if self.validation is not None:
                self.validation = found.features(self.validation)

    def _caches(self, phase: Phase, epochs: int) -> bool:
        """Return whether the features of the frozen prefix are computed once for some epochs."""
        plan, required = self.plan, self.plan.cache_features is True
        if not plan.cache_features or (epochs < 2 and not required):
            return False
        found = None if plan.augment is not None else self.compiled.prefix(phase)
        if found is None:
            if required and self.phase is None and plan.freeze_schedule is None:
                raise ValueError(
                    "`cache_features=True` requires a frozen prefix, but an augmentation, a "
                    "random layer, batch statistics or a trainable parameter comes before every "
                    "frozen layer with weights. Use cache_features='auto'."
                )
            return False
        rows = len(self.samples) + (0 if plan.validation is None else len(plan.validation))
        size, limit = found.bytes(rows), prefix.memory_limit()
        if size > limit and required:
            raise ValueError(
                f"`cache_features=True` would store {size / 2**30:.1f} GiB of features, more than "
                f"a quarter of the memory of this machine, {limit / 2**30:.1f} GiB. Use "
                "cache_features='auto' or fewer samples."
            )
        return size <= limit

    def epoch(self, number: int) -> bool:
        """Run one epoch; return whether training stops."""
        callbacks = self.plan.callbacks
        started = time.perf_counter()
        self._enter_phase(number)
        callbacks.epoch_begin(number)
        for callback in self.plan.epoch_callbacks:
            callback.epoch_begin(number)
        self.logs = self._train_epoch()
        if self.validation is not None:
            self.logs |= evaluate(self.predictor, self.validation, self._classifies)
        if self.plan.freeze_schedule is not None:
            self.logs |= self._savings(time.perf_counter() - started)
        for name, value in self.logs.items():
            self.history.setdefault(name, []).append(value)
        measured = set(self.logs)
        stop = callbacks.epoch_end(number, self.logs)
        for name in set(self.logs) - measured:
            # Every list has one value per epoch; a callback may add its number later.
            values = self.history.setdefault(name, [])
            values += [np.nan] * (len(self.history["loss"]) - 1 - len(values))
            values.append(self.logs[name])
        for callback in self.plan.epoch_callbacks:
            stop = callback.epoch_end(number, self.logs) or stop
        return self._out_of_patience() or stop

    def _savings(self, seconds: float) -> dict[str, float]:
        """Compare the time of an epoch with the median of those in which all layers were active.

        The first epoch is left out of the median, because most of it is compilation.
        """
        assert self.phase is not None
        predicted = self.phases.predicted_saving(self.phase)
        if not self.phase.waiting:
            self.full_epoch_seconds.append(seconds)
        seen = self.full_epoch_seconds
        full = float(np.median(seen[1:] or seen or [np.nan]))
        return {
            "seconds": seconds,
            "predicted_saving": predicted,
            "measured_saving": 1 - seconds / full,
        }

    @property
    def _classifies(self) -> bool:
        return self.data.y.ndim == 1

    def _train_epoch(self) -> dict[str, float]:
        """Train on every batch once; return the training metrics."""
        plan, callbacks = self.plan, self.plan.callbacks
        loss = n_correct = weight = 0.0
        # The only draw of an epoch without augmentation, so that the batches depend on seed and
        # number of samples alone.
        order = self.rng.permutation(len(self.data))
        size = plan.batch_size
        if not (self.pad and self.trainer.one_batch_shape):
            size = min(size, len(order))
        for x, y, w in batches(self.data, order, size, self.pad):
            if plan.augment is not None:
                flat = x.reshape(-1, *x.shape[2:])
                x = plan.augment(flat, self.rng).astype(x.dtype).reshape(x.shape)
            for part in callbacks.cut(len(x)):
                callbacks.batch_begin((self.step - self.first_step) % self.steps_per_epoch)
                rates, multipliers = self._rates(len(x[part]))
                sums = self.trainer.run(x[part], y[part], w[part], rates, multipliers)
                loss, weight = loss + sums.loss, weight + sums.weight
                n_correct += sums.n_correct
                self.step += len(rates)
                logs = {"loss": sums.loss / sums.weight}
                callbacks.batch_end((self.step - 1 - self.first_step) % self.steps_per_epoch, logs)
        logs = {"loss": loss / weight}
        if self._classifies:
            logs["accuracy"] = n_correct / weight
        return logs

    def _rates(self, steps: int) -> tuple[np.ndarray, np.ndarray | None]:
        rate = self.plan.callbacks.learning_rate(self.plan.learning_rate)
        # A named schedule spans this fit alone; a Keras schedule counts the steps of all fits.
        before = self.first_step if isinstance(self.plan.lr_schedule, str) else 0
        start, total = self.step - before, self.total - before
        done = np.arange(self.step - self.first_step, self.step - self.first_step + steps)
        assert self.phase is not None
        multipliers = self.phases.multipliers(self.phase, done / (self.total - self.first_step))
        rates = schedules.rates(self.plan.lr_schedule, rate, start, steps, total)
        return rates, multipliers

    def _out_of_patience(self) -> bool:
        if self.plan.patience is None:
            return False
        if self.logs["val_loss"] < self.best_loss:
            self.best_loss, self.epochs_waited = self.logs["val_loss"], 0
            # A delta is as small as what is trained, so that the best one is kept in memory without
            # a file.
            self.best = self.compiled.model.delta()
            return False
        self.epochs_waited += 1
        return self.epochs_waited >= self.plan.patience


def evaluate(predictor: Predictor, data: Data, classifies: bool) -> dict[str, float]:
    """Compute the validation metrics of the loaded model.

    Parameters
    ----------
    predictor : Predictor
        Predictor of a model with base and delta loaded.
    data : Data
        Validation samples.
    classifies : bool
        Whether to compute cross-entropy and accuracy, or the mean squared error.

    Returns
    -------
    dict of str to float
        ``val_loss``, and ``val_accuracy`` for a classifier.
    """
    outputs = predictor(data.X[data.rows]).astype(np.float64)
    y, weight = data.y[data.rows], data.weight.astype(np.float64)
    if not classifies:
        errors = np.mean((outputs - y) ** 2, axis=1)
        return {"val_loss": float(np.average(errors, weights=weight))}
    losses = -log_softmax(outputs, axis=1)[np.arange(len(y)), y]
    correct = outputs.argmax(axis=1) == y
    return {
        "val_loss": float(np.average(losses, weights=weight)),
        "val_accuracy": float(np.average(correct, weights=weight)),
    }


def rows_are_independent(compiled: CompiledModel) -> bool:
    """Return whether a row of weight 0 leaves training unchanged.

    The last, smaller batch of an epoch is then padded with such rows, so that one epoch is one
    call of one shape.

    Parameters
    ----------
    compiled : CompiledModel
        A model.

    Returns
    -------
    bool
        False where batch statistics, random layers, activity losses, a subclassed model, a
        Lambda or a function of `keras.ops` may depend on the whole batch.
    """
    if compiled.weights.state_variables:
        return False
    return all(is_plain(part) for part in operations(compiled.network.model))
