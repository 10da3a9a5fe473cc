"""The loop over epochs: shuffles, feeds, watches, keeps the best delta."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import keras
import numpy as np
from scipy.special import log_softmax

from frozenfit.partial import Delta
from frozenfit.training import schedules
from frozenfit.training.augmentation import Augmentation
from frozenfit.training.callbacks import KerasCallbacks
from frozenfit.training.data import Data, batches
from frozenfit.training.epochs import Trainer
from frozenfit.training.workspace import Compiled


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
    epochs, batch_size : int
        Passes over the data, and rows of a step.
    learning_rate : float
        Rate at the first step.
    schedule : None, str or Keras schedule, default=None
        How the rate goes on.
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

    epochs: int
    batch_size: int
    learning_rate: float
    schedule: Any = None
    augment: Augmentation | None = None
    validation: Data | None = None
    patience: int | None = None
    callbacks: KerasCallbacks = field(default_factory=lambda: KerasCallbacks(None))
    watchers: Sequence[Watcher] = ()


@dataclass
class Outcome:
    """What training gave.

    Attributes
    ----------
    delta : Delta
        The learned entries: the best ones with early stopping, else the last.
    history : dict of str to list of float
        One value per epoch for each figure watched.
    slots : list of ndarray
        The optimiser's variables after the last step.
    steps : int
        Steps done, those of earlier calls counted.
    interrupted : bool
        Whether the user stopped training from the keyboard.
    """

    delta: Delta
    history: dict[str, list[float]]
    slots: list[np.ndarray]
    steps: int
    interrupted: bool


def train(
    compiled: Compiled,
    trainer: Trainer,
    data: Data,
    plan: Plan,
    rng: np.random.Generator,
    first_step: int = 0,
) -> Outcome:
    """Train what is loaded in a compiled network.

    Parameters
    ----------
    compiled : Compiled
        Base and delta loaded.
    trainer : Trainer
        Its slots reset or loaded.
    data : Data
        Training samples.
    plan : Plan
        How.
    rng : numpy.random.Generator
        Source of the batch orders and augmentations.
    first_step : int, default=0
        Steps of earlier calls that this one goes on from.

    Returns
    -------
    Outcome
        The delta, and what happened on the way.
    """
    run = _Run(compiled, trainer, data, plan, rng, first_step)
    interrupted = False
    plan.callbacks.begin(compiled.model, trainer, plan, run.per_epoch)
    try:
        for epoch in range(plan.epochs):
            if run.epoch(epoch):
                break
    except KeyboardInterrupt:
        if run.step == first_step:
            raise
        interrupted = True
    trainer.finish()
    plan.callbacks.end(run.logs)
    delta = run.best if run.best is not None else compiled.model.delta()
    return Outcome(delta, run.history, trainer.slots(), run.step, interrupted)


class _Run:
    def __init__(self, compiled, trainer, data, plan, rng, first_step):
        self.compiled, self.trainer, self.data, self.plan = compiled, trainer, data, plan
        self.rng, self.first, self.step = rng, first_step, first_step
        self.per_epoch = -(-len(data) // plan.batch_size)
        self.total = first_step + plan.epochs * self.per_epoch
        self.history: dict[str, list[float]] = {}
        self.logs: dict[str, float] = {}
        self.best: Delta | None = None
        self.best_loss, self.waited = np.inf, 0
        self.pad = trainer.fixed_batch and rows_are_independent(compiled)

    def epoch(self, number: int) -> bool:
        """Run one epoch; say whether it was the last."""
        callbacks = self.plan.callbacks
        callbacks.epoch_begin(number)
        for watcher in self.plan.watchers:
            watcher.epoch_begin(number)
        self.logs = self._pass()
        if self.plan.validation is not None:
            self.logs |= evaluate(self.compiled, self.plan.validation, self._classifies)
        for name, value in self.logs.items():
            self.history.setdefault(name, []).append(value)
        stop = callbacks.epoch_end(number, self.logs)
        for watcher in self.plan.watchers:
            stop = watcher.epoch_end(number, self.logs) or stop
        return self._out_of_patience() or stop

    @property
    def _classifies(self) -> bool:
        return self.data.y.ndim == 1

    def _pass(self) -> dict[str, float]:
        plan, callbacks = self.plan, self.plan.callbacks
        loss = hits = weight = 0.0
        order = self.rng.permutation(len(self.data))
        size = min(plan.batch_size, len(order)) if not self.pad else plan.batch_size
        for x, y, w in batches(self.data, order, size, self.pad):
            if plan.augment is not None:
                flat = x.reshape(-1, *x.shape[2:])
                x = plan.augment(flat, self.rng).astype(x.dtype).reshape(x.shape)
            for part in callbacks.cut(len(x)):
                callbacks.batch_begin((self.step - self.first) % self.per_epoch)
                rates = self._rates(len(x[part]))
                sums = self.trainer.run(x[part], y[part], w[part], rates)
                loss, hits, weight = loss + sums.loss, hits + sums.hits, weight + sums.weight
                self.step += len(rates)
                done = {"loss": sums.loss / sums.weight}
                callbacks.batch_end((self.step - 1 - self.first) % self.per_epoch, done)
        logs = {"loss": loss / weight}
        if self._classifies:
            logs["accuracy"] = hits / weight
        return logs

    def _rates(self, steps: int) -> np.ndarray:
        rate = self.plan.callbacks.learning_rate(self.plan.learning_rate)
        # A named schedule begins and ends with this fit; a Keras one counts every step.
        before = self.first if isinstance(self.plan.schedule, str) else 0
        start, total = self.step - before, self.total - before
        return schedules.rates(self.plan.schedule, rate, start, steps, total)

    def _out_of_patience(self) -> bool:
        if self.plan.patience is None:
            return False
        if self.logs["val_loss"] < self.best_loss:
            self.best_loss, self.waited = self.logs["val_loss"], 0
            self.best = self.compiled.model.delta()
            return False
        self.waited += 1
        return self.waited >= self.plan.patience


def evaluate(compiled: Compiled, data: Data, classifies: bool) -> dict[str, float]:
    """Compute the validation figures of what is loaded.

    Parameters
    ----------
    compiled : Compiled
        Base and delta loaded.
    data : Data
        Held-out samples.
    classifies : bool
        Cross-entropy and accuracy, or mean squared error.

    Returns
    -------
    dict of str to float
        ``val_loss``, and ``val_accuracy`` for classes.
    """
    outputs = compiled.predictor(data.X[data.rows]).astype(np.float64)
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


def rows_are_independent(compiled: Compiled) -> bool:
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
    return all(
        isinstance(part, keras.Layer)
        and type(part).__module__.startswith("keras.")
        and type(part).__name__ != "Lambda"
        and part.activity_regularizer is None
        for part in _operations(compiled.network.model)
    )


def _operations(model: keras.Model) -> Iterator[Any]:
    """Yield what a Functional or Sequential model is made of, nested ones too; others whole."""
    if not hasattr(model, "operations") and not isinstance(model, keras.Sequential):
        yield model
        return
    parts = model.layers if isinstance(model, keras.Sequential) else model.operations
    for part in parts:
        if isinstance(part, keras.Model):
            yield from _operations(part)
        else:
            yield part
