"""The loop over epochs: shuffles, feeds, watches, keeps the best delta."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import keras
import numpy as np
from scipy.special import log_softmax

from frozenfit.partial import Delta
from frozenfit.training import prefix, schedules
from frozenfit.training.augmentation import Augmentation
from frozenfit.training.backends import Predictor, Trainer
from frozenfit.training.callbacks import KerasCallbacks
from frozenfit.training.data import Data, batches
from frozenfit.training.prefix import is_plain, operations
from frozenfit.training.stages import Stage, Stages
from frozenfit.training.workspace import CompiledModel


class Watcher(Protocol):
    """Something that is told of each epoch."""

    def epoch_begin(self, epoch: int) -> None:
        """Hear that an epoch begins."""

    def epoch_end(self, epoch: int, logs: dict[str, float]) -> bool:
        """Hear its figures; say whether to stop."""
        ...


@dataclass
class Plan:
    """How a delta is trained.

    Attributes
    ----------
    optimizer : callable
        Makes a fresh optimizer.
    loss : str
        Name of a loss of `frozenfit.training.backends`.
    epochs, batch_size : int
        Passes over the data, and rows of a step.
    learning_rate : float
        Rate at the first step.
    lr_schedule : None, str or Keras schedule, default=None
        How the rate goes on.
    freeze_schedule : FreezeOut, GradualUnfreeze, LayerwiseRates or None, default=None
        Which layers learn when.
    cache_features : bool or "auto", default=False
        Whether the output of a frozen beginning is computed once; True insists.
    augment : callable or None, default=None
        Changes each training batch.
    validation : Data or None, default=None
        Watched after each epoch.
    patience : int or None, default=None
        Epochs without a better validation loss after which training stops and the best delta is
        put back; None never stops.
    callbacks : KerasCallbacks
        The user's callbacks.
    watchers : sequence of Watcher
        Told of each epoch; any of them can stop training.
    """

    optimizer: Callable[[], keras.optimizers.Optimizer]
    loss: str
    epochs: int
    batch_size: int
    learning_rate: float
    lr_schedule: Any = None
    freeze_schedule: Any = None
    cache_features: bool | str = False
    augment: Augmentation | None = None
    validation: Data | None = None
    patience: int | None = None
    callbacks: KerasCallbacks = field(default_factory=lambda: KerasCallbacks(None))
    watchers: Sequence[Watcher] = ()


@dataclass
class TrainResult:
    """What training gave.

    Attributes
    ----------
    delta : Delta
        The trainable parameters: the best ones with early stopping, else the last.
    history : dict of str to list of float
        One value per epoch for each figure watched.
    optimizer_state : list of ndarray
        The optimizer's variables after the last step.
    steps : int
        Steps done, those of earlier calls counted.
    interrupted : bool
        Whether the user stopped training from the keyboard.
    """

    delta: Delta
    history: dict[str, list[float]]
    optimizer_state: list[np.ndarray]
    steps: int
    interrupted: bool


def train(
    compiled: CompiledModel,
    data: Data,
    plan: Plan,
    rng: np.random.Generator,
    optimizer_state: tuple[list[np.ndarray], int] | None = None,
) -> TrainResult:
    """Train what is loaded in a compiled network.

    Parameters
    ----------
    compiled : Compiled
        Base and delta loaded.
    data : Data
        Training samples.
    plan : Plan
        How.
    rng : numpy.random.Generator
        Source of the batch orders and augmentations.
    optimizer_state : (list of ndarray, int) or None, default=None
        Optimizer's variables to go on from and the steps done with them, where they fit.

    Returns
    -------
    Outcome
        The delta, and what happened on the way.
    """
    run = _Run(compiled, data, plan, rng, optimizer_state)
    interrupted = False
    plan.callbacks.begin(compiled.model, run.trainer, plan, run.per_epoch)
    try:
        for epoch in range(plan.epochs):
            if run.epoch(epoch):
                break
    except KeyboardInterrupt:
        if run.step == run.first:
            raise
        interrupted = True
    run.trainer.finish()
    plan.callbacks.end(run.logs)
    delta = run.best if run.best is not None else compiled.model.delta()
    return TrainResult(delta, run.history, run.trainer.optimizer_state(), run.step, interrupted)


class _Run:
    trainer: Trainer
    predictor: Predictor

    def __init__(self, compiled, data, plan, rng, optimizer_state):
        self.compiled, self.plan, self.rng = compiled, plan, rng
        self.samples = data
        self.stages = Stages(plan.freeze_schedule, compiled.model, plan.epochs)
        self.stage: Stage | None = None
        self.per_epoch = -(-len(data) // plan.batch_size)
        self.history: dict[str, list[float]] = {}
        self.logs: dict[str, float] = {}
        self.seconds: list[float] = []
        self.best: Delta | None = None
        self.best_loss, self.waited = np.inf, 0
        self.pad = rows_are_independent(compiled)
        self._enter(0)
        self.first = self.step = self._load(optimizer_state)
        self.total = self.first + plan.epochs * self.per_epoch

    def _load(self, optimizer_state: tuple[list[np.ndarray], int] | None) -> int:
        if optimizer_state is None or [s.shape for s in optimizer_state[0]] != [
            s.shape for s in self.trainer.optimizer_state()
        ]:
            return 0
        self.trainer.load_optimizer_state(optimizer_state[0])
        return optimizer_state[1]

    def _enter(self, epoch: int) -> None:
        """Go over to the stage of an epoch, where it is another one."""
        planned = self.stages.at(epoch)
        if self.stage is not None and replace(self.stage, from_prefix=False) == planned:
            return
        stage = replace(planned, from_prefix=self._is_kept(planned, self.plan.epochs - epoch))
        trainer = self.compiled.trainer(self.plan.optimizer(), self.plan.loss, stage)
        if self.stage is not None:
            trainer.take_over(self.trainer)
            self.plan.callbacks.follow(trainer)
        self.stage, self.trainer = stage, trainer
        self.predictor = self.compiled.predictor_of(stage)
        self.data, self.validation = self.samples, self.plan.validation
        if stage.from_prefix:
            beginning = self.compiled.prefix(stage)
            self.data = beginning.outputs(self.samples)
            if self.validation is not None:
                self.validation = beginning.outputs(self.validation)

    def _is_kept(self, stage: Stage, epochs: int) -> bool:
        """Say whether the output of the frozen beginning is computed once, for so many epochs."""
        plan, insists = self.plan, self.plan.cache_features is True
        if not plan.cache_features or (epochs < 2 and not insists):
            return False
        beginning = None if plan.augment is not None else self.compiled.prefix(stage)
        if beginning is None:
            if insists and self.stage is None and plan.freeze_schedule is None:
                raise ValueError(
                    "cache_features=True finds nothing to keep: an augmentation, a random layer, a batch "
                    "statistic or a learned entry comes before any frozen layer with weights; use "
                    "cache_features='auto'"
                )
            return False
        rows = len(self.samples) + (0 if plan.validation is None else len(plan.validation))
        asked, limit = beginning.bytes(rows), prefix.memory_limit()
        if asked > limit and insists:
            raise ValueError(
                f"cache_features=True would keep {asked / 2**30:.1f} GiB of outputs of the frozen layers, "
                f"more than a quarter of this machine's memory, {limit / 2**30:.1f} GiB; use "
                "cache_features='auto' or fewer samples"
            )
        return asked <= limit

    def epoch(self, number: int) -> bool:
        """Run one epoch; say whether it was the last."""
        callbacks = self.plan.callbacks
        started = time.perf_counter()
        self._enter(number)
        callbacks.epoch_begin(number)
        for watcher in self.plan.watchers:
            watcher.epoch_begin(number)
        self.logs = self._pass()
        if self.validation is not None:
            self.logs |= evaluate(self.predictor, self.validation, self._classifies)
        if self.plan.freeze_schedule is not None:
            self.logs |= self._savings(time.perf_counter() - started)
        for name, value in self.logs.items():
            self.history.setdefault(name, []).append(value)
        stop = callbacks.epoch_end(number, self.logs)
        for watcher in self.plan.watchers:
            stop = watcher.epoch_end(number, self.logs) or stop
        return self._out_of_patience() or stop

    def _savings(self, seconds: float) -> dict[str, float]:
        """Compare the time of an epoch with those in which nothing was left out.

        Their median, without the first one, in which most is compiled.
        """
        assert self.stage is not None
        predicted = self.stages.predicted_saving(self.stage)
        if not self.stage.still:
            self.seconds.append(seconds)
        full = float(np.median(self.seconds[1:] or self.seconds or [np.nan]))
        return {
            "seconds": seconds,
            "predicted_saving": predicted,
            "measured_saving": 1 - seconds / full,
        }

    @property
    def _classifies(self) -> bool:
        return self.data.y.ndim == 1

    def _pass(self) -> dict[str, float]:
        plan, callbacks = self.plan, self.plan.callbacks
        loss = n_correct = weight = 0.0
        order = self.rng.permutation(len(self.data))
        size = plan.batch_size
        if not (self.pad and Trainer.fixed_batch):
            size = min(size, len(order))
        for x, y, w in batches(self.data, order, size, self.pad):
            if plan.augment is not None:
                flat = x.reshape(-1, *x.shape[2:])
                x = plan.augment(flat, self.rng).astype(x.dtype).reshape(x.shape)
            for part in callbacks.cut(len(x)):
                callbacks.batch_begin((self.step - self.first) % self.per_epoch)
                rates, scales = self._rates(len(x[part]))
                sums = self.trainer.run(x[part], y[part], w[part], rates, scales)
                loss, n_correct, weight = (
                    loss + sums.loss,
                    n_correct + sums.n_correct,
                    weight + sums.weight,
                )
                self.step += len(rates)
                done = {"loss": sums.loss / sums.weight}
                callbacks.batch_end((self.step - 1 - self.first) % self.per_epoch, done)
        logs = {"loss": loss / weight}
        if self._classifies:
            logs["accuracy"] = n_correct / weight
        return logs

    def _rates(self, steps: int) -> tuple[np.ndarray, np.ndarray | None]:
        rate = self.plan.callbacks.learning_rate(self.plan.learning_rate)
        # A named schedule begins and ends with this fit; a Keras one counts every step.
        before = self.first if isinstance(self.plan.lr_schedule, str) else 0
        start, total = self.step - before, self.total - before
        done = np.arange(self.step - self.first, self.step - self.first + steps)
        assert self.stage is not None
        scales = self.stages.scales(self.stage, done / (self.total - self.first))
        return schedules.rates(self.plan.lr_schedule, rate, start, steps, total), scales

    def _out_of_patience(self) -> bool:
        if self.plan.patience is None:
            return False
        if self.logs["val_loss"] < self.best_loss:
            self.best_loss, self.waited = self.logs["val_loss"], 0
            self.best = self.compiled.model.delta()
            return False
        self.waited += 1
        return self.waited >= self.plan.patience


def evaluate(predictor: Predictor, data: Data, classifies: bool) -> dict[str, float]:
    """Compute the validation figures of what is loaded.

    Parameters
    ----------
    predictor : Predictor
        Of a model with base and delta loaded.
    data : Data
        Held-out samples.
    classifies : bool
        Cross-entropy and accuracy, or mean squared error.

    Returns
    -------
    dict of str to float
        ``val_loss``, and ``val_accuracy`` for classes.
    """
    outputs = predictor(data.X[data.rows]).astype(np.float64)
    y, weight = data.y[data.rows], data.weight.astype(np.float64)
    if not classifies:
        each = np.mean((outputs - y) ** 2, axis=1)
        return {"val_loss": float(np.average(each, weights=weight))}
    each = -log_softmax(outputs, axis=1)[np.arange(len(y)), y]
    hit = outputs.argmax(axis=1) == y
    return {
        "val_loss": float(np.average(each, weights=weight)),
        "val_accuracy": float(np.average(hit, weights=weight)),
    }


def rows_are_independent(compiled: CompiledModel) -> bool:
    """Say whether a row of weight 0 in a batch leaves training as it is without the row.

    Parameters
    ----------
    compiled : Compiled
        A network.

    Returns
    -------
    bool
        False where batch statistics, random layers or activity losses, a subclassed model, a
        Lambda or a function of Keras's own may look at the whole batch.
    """
    if compiled.model.state_variables:
        return False
    return all(is_plain(part) for part in operations(compiled.network.model))
