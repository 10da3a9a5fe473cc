"""The loop over epochs: batches, callbacks, early stopping and the phases of a freeze schedule."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Protocol

import keras
import numpy as np

from frozenfit.delta import Delta
from frozenfit.training import schedules
from frozenfit.training.augmentation import CropAndFlip, LayerAugmentation
from frozenfit.training.backends import Predictor, Trainer
from frozenfit.training.callbacks import KerasCallbacks
from frozenfit.training.checkpoint import CheckpointFile, Progress
from frozenfit.training.epoch_inputs import EpochInputs
from frozenfit.training.metrics import Metrics
from frozenfit.training.network import CompiledModel
from frozenfit.training.objective import Objective
from frozenfit.training.optimizers import OptimizerState
from frozenfit.training.phases import Phase, PhasePlan
from frozenfit.training.prefix import is_plain, operations
from frozenfit.training.streamed import AnyData


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
    objective : Objective
        The loss.
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
    cache_features : bool, "auto" or "disk", default=False
        Whether the features of a frozen prefix are computed once. True raises an error where
        they cannot be; "disk" stores in a temporary file what would take too much memory.
    refresh_statistics : bool or "auto", default=False
        Whether moving statistics are computed anew from the training samples at the end. "auto"
        does so where moving averages over the steps still depend on where they started.
    augment : CropAndFlip, LayerAugmentation or None, default=None
        Changes each training batch.
    validation : Data, StreamedData or None, default=None
        Samples that are evaluated after each epoch.
    patience : int or None, default=None
        Number of epochs without a lower validation loss after which training stops and the best
        delta is returned; None never stops.
    metrics : Metrics
        What is reported besides loss and accuracy.
    callbacks : KerasCallbacks
        The user's callbacks.
    epoch_callbacks : sequence of EpochCallback
        Further callbacks; each can stop training.
    checkpoint : CheckpointFile or None, default=None
        File to which the state is written after an epoch, and from which training continues.
    """

    optimizer: Callable[[], keras.optimizers.Optimizer]
    objective: Objective
    epochs: int
    batch_size: int
    learning_rate: float
    lr_schedule: Any = None
    freeze_schedule: schedules.FreezeSchedule | None = None
    cache_features: bool | str = False
    refresh_statistics: bool | str = False
    augment: CropAndFlip | LayerAugmentation | None = None
    validation: AnyData | None = None
    patience: int | None = None
    metrics: Metrics = field(default_factory=lambda: Metrics(None, "regression"))
    callbacks: KerasCallbacks = field(default_factory=lambda: KerasCallbacks(None))
    epoch_callbacks: Sequence[EpochCallback] = ()
    checkpoint: CheckpointFile | None = None


@dataclass
class TrainResult:
    """The result of training.

    Attributes
    ----------
    delta : Delta
        The trained parameters: the best ones with early stopping, else the last.
    history : dict of str to list of float
        One value per epoch for each metric.
    optimizer_state : OptimizerState or None
        The optimizer after the last step, for a call that continues; None for a member whose
        optimizer updates weights of other members too.
    interrupted : bool
        Whether the user interrupted training from the keyboard.
    callbacks : list of keras.callbacks.Callback
        The user's callbacks with their state after training.
    """

    delta: Delta
    history: dict[str, list[float]]
    optimizer_state: OptimizerState | None
    interrupted: bool
    callbacks: list[keras.callbacks.Callback]


def train(
    compiled: CompiledModel,
    data: AnyData,
    plan: Plan,
    rng: np.random.Generator,
    optimizer_state: OptimizerState | None = None,
) -> TrainResult:
    """Train what is loaded in a compiled model.

    Parameters
    ----------
    compiled : CompiledModel
        A model with base and delta loaded.
    data : Data or StreamedData
        Training samples.
    plan : Plan
        Settings of the run.
    rng : numpy.random.Generator
        Source of batch orders and augmentations.
    optimizer_state : OptimizerState or None, default=None
        The optimizer to continue with. It is ignored where it updated other parameters.

    Returns
    -------
    TrainResult
        The trained delta and the history.
    """
    run = _Run(compiled, data, plan, rng)
    # However training ends, no file of features stays open: a traceback may outlive the fit.
    with closing(run.inputs):
        run.begin(optimizer_state)
        return _train(run)


def _train(run: _Run) -> TrainResult:
    plan, interrupted = run.plan, False
    plan.callbacks.begin(run.compiled.model, run.trainer, plan, run.steps_per_epoch)
    try:
        while not run.progress.stopped:
            run.epoch(run.progress.epochs)
    except KeyboardInterrupt:
        # Nothing was trained, so there is nothing to keep.
        if run.progress.step == run.progress.first_step:
            raise
        interrupted = True
    run.trainer.finish()
    plan.callbacks.end(run.logs)
    result = TrainResult(
        run.final_delta(),
        run.progress.history,
        run.optimizer_state(),
        interrupted,
        plan.callbacks.copies,
    )
    # Last, so that a fit that is killed before can still continue.
    if plan.checkpoint is not None and not interrupted:
        plan.checkpoint.end()
    return result


class _Run:
    """The state of one call of `train`; `progress` is the part that a checkpoint contains."""

    trainer: Trainer
    predictor: Predictor
    progress: Progress

    def __init__(self, compiled, data, plan, rng):
        self.compiled, self.plan, self.rng = compiled, plan, rng
        self.samples = data
        self.phases = PhasePlan(plan.freeze_schedule, compiled.model, plan.epochs)
        self.inputs = EpochInputs(
            compiled,
            self.phases,
            data,
            plan.validation,
            plan.cache_features,
            plan.augment is not None,
        )
        # None where a source has no length, and no schedule needs it.
        self.steps_per_epoch: int | None = data.steps(plan.batch_size)
        self.logs: dict[str, float] = {}
        # The last, smaller batch of an epoch would otherwise need a separate compilation.
        self.pad = rows_are_independent(compiled)
        # Keras layers run on the host: with other seeds for each batch, a step that contains them
        # would have to be compiled for each batch.
        self.in_step = plan.augment if isinstance(plan.augment, CropAndFlip) else None

    def begin(self, optimizer_state: OptimizerState | None) -> None:
        """Enter the phase of the first epoch, with the state of a checkpoint where there is one."""
        file, self.progress = self.plan.checkpoint, Progress()
        if file is not None:
            # Before a phase is entered, which may compute features with the trained parameters.
            self.progress = file.restore(self.compiled.model, self.rng)
            self.samples.skip_epochs(self.progress.epochs)
        # The features of a phase are computed from those of the phases before.
        for epoch in range(self.progress.phase_start):
            self.inputs.enter(epoch)
        self._enter_phase(self.progress.phase_start)
        if file is None or not file.restore_trainer(self.trainer):
            self.progress.first_step = self.progress.step = self._continue_from(optimizer_state)
        self.total = self.progress.first_step + self.plan.epochs * (self.steps_per_epoch or 0)

    @property
    def phase(self) -> Phase:
        """The phase of the current epoch."""
        phase = self.inputs.phase
        assert phase is not None
        return phase

    def _continue_from(self, state: OptimizerState | None) -> int:
        """Load an optimizer state that fits; return the number of steps taken with it."""
        if state is None:
            return 0
        # Another optimizer, or other trainable parameters, start from a new state.
        now = self.optimizer_state()
        shapes = [[array.shape for array in each.variables] for each in (now, state)]
        if now.paths != state.paths or shapes[0] != shapes[1]:
            return 0
        self.trainer.load_optimizer_state(state.variables)
        return state.steps

    def optimizer_state(self) -> OptimizerState:
        """Copy the state of the optimizer of the current phase."""
        paths = self.phases.active(self.phase)
        return OptimizerState(paths, self.trainer.optimizer_state(), self.progress.step)

    def _enter_phase(self, epoch: int, former: Trainer | None = None) -> None:
        """Switch to the trainer and the inputs of the epoch's phase, where it is a new one."""
        if not self.inputs.enter(epoch):
            return
        # Each phase has a separate trainer, because the variables of an optimizer are fixed when
        # it is built.
        plan = self.plan
        self.trainer = self.compiled.trainer(
            plan.optimizer(), plan.objective, self.phase, bool(plan.metrics), self.in_step
        )
        if former is not None:
            self.trainer.take_over(former)
            plan.callbacks.follow(self.trainer)
        self.progress.phase_start = epoch
        self.predictor = self.compiled.phase_predictor(self.phase)
        self.data, self.validation = self.inputs.load()

    def epoch(self, number: int) -> None:
        """Run one epoch, and find out whether training stops."""
        callbacks, history = self.plan.callbacks, self.progress.history
        started = time.perf_counter()
        self._enter_phase(number, self.trainer)
        callbacks.epoch_begin(number)
        for callback in self.plan.epoch_callbacks:
            callback.epoch_begin(number)
        self.logs = self._train_epoch()
        if self.validation is not None:
            self.logs |= evaluate(
                self.predictor, self.validation, self.plan.objective, self.plan.metrics
            )
        if self.plan.freeze_schedule is not None:
            self.logs |= self._savings(time.perf_counter() - started)
        for name, value in self.logs.items():
            history.setdefault(name, []).append(value)
        measured = set(self.logs)
        stop = callbacks.epoch_end(number, self.logs)
        for name in set(self.logs) - measured:
            # Every list has one value per epoch; a callback may add its number later.
            values = history.setdefault(name, [])
            values += [np.nan] * (len(history["loss"]) - 1 - len(values))
            values.append(self.logs[name])
        for callback in self.plan.epoch_callbacks:
            stop = callback.epoch_end(number, self.logs) or stop
        stop = self._out_of_patience() or stop
        progress, file = self.progress, self.plan.checkpoint
        progress.epochs = number + 1
        progress.stopped = bool(stop) or progress.epochs == self.plan.epochs
        if file is not None:
            file.write(progress, self.compiled.model, self.trainer, self.rng)

    def _savings(self, seconds: float) -> dict[str, float]:
        """Compare the time of an epoch with the median of those in which all layers were active.

        The first epoch is left out of the median, because most of it is compilation.
        """
        predicted = self.phases.predicted_saving(self.phase)
        if not self.phase.waiting:
            self.progress.full_epoch_seconds.append(seconds)
        seen = self.progress.full_epoch_seconds
        full = float(np.median(seen[1:] or seen or [np.nan]))
        return {
            "seconds": seconds,
            "predicted_saving": predicted,
            "measured_saving": 1 - seconds / full,
        }

    def _train_epoch(self) -> dict[str, float]:
        """Train on every batch once; return the training metrics."""
        plan, callbacks, progress = self.plan, self.plan.callbacks, self.progress
        loss = n_correct = weight = 0.0
        plan.metrics.reset()
        started, one_shape = progress.step, self.trainer.one_batch_shape
        for x, y, w in self.data.stacks(plan.batch_size, self.rng, self.pad, one_shape):
            moves = None if self.in_step is None else self.in_step.draw(w, self.rng)
            if isinstance(plan.augment, LayerAugmentation):
                x = plan.augment(x, self.rng)
            for part in callbacks.cut(len(x)):
                callbacks.batch_begin(progress.step - started)
                rates, multipliers = self._rates(len(x[part]))
                moved = None if moves is None else moves[part]
                batch = x[part], y[part], w[part]
                sums, outputs = self.trainer.run(*batch, rates, multipliers, moved)
                if outputs is not None:
                    plan.metrics.update(*(np.concatenate(a) for a in (y[part], outputs, w[part])))
                loss, weight = loss + sums.loss, weight + sums.weight
                n_correct += sums.n_correct
                progress.step += len(rates)
                logs = {"loss": sums.loss / sums.weight}
                callbacks.batch_end(progress.step - 1 - started, logs)
        logs = {"loss": loss / weight}
        if plan.objective.task != "regression":
            logs["accuracy"] = n_correct / weight
        return logs | plan.metrics.result()

    def _rates(self, steps: int) -> tuple[np.ndarray, np.ndarray | None]:
        rate = self.plan.callbacks.learning_rate(self.plan.learning_rate)
        # A named schedule spans this fit alone; a Keras schedule counts the steps of all fits.
        step, first = self.progress.step, self.progress.first_step
        before = first if isinstance(self.plan.lr_schedule, str) else 0
        # A source may yield more batches than it did when they were counted.
        end = max(self.total, step + steps)
        done = np.arange(step - first, step - first + steps)
        multipliers = self.phases.multipliers(self.phase, done / (end - first))
        rates = schedules.rates(self.plan.lr_schedule, rate, step - before, steps, end - before)
        return rates, multipliers

    def final_delta(self) -> Delta:
        """Return the best delta with early stopping, else the last, as the plan asks for it."""
        progress = self.progress
        delta = self.compiled.model.delta() if progress.best is None else progress.best
        # Where layers wait, the prefix may have statistics that earlier phases changed.
        cached = self.phase.from_prefix and not self.phase.waiting
        samples, phase = self.data if cached else self.samples, Phase(from_prefix=cached)
        plan = self.plan
        return with_statistics(self.compiled, delta, plan, progress.step, samples, self.rng, phase)

    def _out_of_patience(self) -> bool:
        """Return whether early stopping ends training after an epoch."""
        progress, patience = self.progress, self.plan.patience
        if patience is None:
            return False
        if progress.improves(self.logs["val_loss"]):
            # A delta is as small as what is trained, so that the best one is kept in memory
            # without a file.
            progress.best = self.compiled.model.delta()
        return progress.epochs_waited >= patience


def with_statistics(
    compiled: CompiledModel,
    delta: Delta,
    plan: Plan,
    steps: int,
    samples: AnyData,
    rng: np.random.Generator,
    phase: Phase | None = None,
) -> Delta:
    """Return a trained delta with moving statistics computed anew, where the plan asks for it.

    Parameters
    ----------
    compiled : CompiledModel
        The model; afterwards it has the delta loaded.
    delta : Delta
        The trained parameters and states.
    plan : Plan
        Settings of the run.
    steps : int
        Number of steps taken.
    samples : Data or StreamedData
        Training samples, or their features at the end of the frozen prefix.
    rng : numpy.random.Generator
        Generator of the batches.
    phase : Phase or None, default=None
        The phase whose inputs the samples are; None for those of the network.

    Returns
    -------
    Delta
        The same object where the statistics are those of training.
    """
    if not plan.refresh_statistics:
        return delta
    statistics = compiled.moving_statistics(phase or Phase())
    if plan.refresh_statistics == "auto" and not statistics.are_behind(steps):
        return delta
    compiled.model.load_delta(delta)
    statistics.refresh(samples, rng)
    return compiled.model.delta()


def evaluate(
    predictor: Callable[[Any], np.ndarray], data: AnyData, objective: Objective, metrics: Metrics
) -> dict[str, float]:
    """Compute the validation metrics of the loaded model.

    Parameters
    ----------
    predictor : callable
        ``f(x) -> outputs``, such as the `Predictor` of a model with base and delta loaded.
    data : Data or StreamedData
        Validation samples.
    objective : Objective
        The loss.
    metrics : Metrics
        Further metrics, whose state is replaced.

    Returns
    -------
    dict of str to float
        ``val_loss``, ``val_accuracy`` unless the task is regression, and the metrics with the
        prefix ``val_``.
    """
    metrics.reset()
    loss = n_correct = total = 0.0
    for x, y, weight in data.parts():
        outputs = predictor(x)
        metrics.update(y, outputs, weight)
        losses, correct = objective.evaluated(y, outputs)
        weight = weight.astype(np.float64)
        loss, total = loss + np.sum(losses * weight), total + np.sum(weight)
        n_correct += 0.0 if correct is None else np.sum(correct * weight)
    logs = {"val_loss": float(loss / total)}
    if objective.task != "regression":
        logs["val_accuracy"] = float(n_correct / total)
    return logs | metrics.result("val_")


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
