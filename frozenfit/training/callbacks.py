"""Keras callbacks of the user, copied for each fit."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from frozenfit.isolation import isolated, metrics_list
from frozenfit.partial import PartialModel, show_metrics
from frozenfit.utils.arrays import to_numpy

_BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")


class KerasCallbacks:
    """Call the hooks of Keras callbacks from the training loop.

    A callback receives the `PartialModel` in training as ``self.model``. It may read and, if no
    learning-rate schedule is set, change the learning rate of ``self.model.optimizer``, it may
    set ``self.model.stop_training``, and it may save the model. Numbers that it adds to the logs
    of an epoch appear in the history.

    Parameters
    ----------
    callbacks : keras.callbacks.Callback, sequence of keras.callbacks.Callback or None
        The callbacks of the user. They are copied, so that an object can be used in many fits;
        one that cannot be copied is used itself, with a warning.

    Attributes
    ----------
    copies : list of keras.callbacks.Callback
        The callbacks that are called, with their state after training.

    Raises
    ------
    TypeError
        If one of them is not a ``keras.callbacks.Callback``.
    ValueError
        If one of them is a ``BackupAndRestore``, which cannot restore a delta.
    """

    def __init__(self, callbacks: Any):
        self._list: keras.callbacks.CallbackList | None = None
        given = [] if callbacks is None else callbacks
        given = list(given) if isinstance(given, Sequence) else [given]
        for callback in given:
            if not isinstance(callback, keras.callbacks.Callback):
                raise TypeError(
                    "`callbacks` must be keras.callbacks.Callback objects, got "
                    f"{type(callback).__name__}. Set scikit-learn callbacks by set_callbacks."
                )
            if isinstance(callback, keras.callbacks.BackupAndRestore):
                raise ValueError(
                    "`callbacks` must not contain a BackupAndRestore, because it would train all "
                    "epochs again after an interruption. Use warm_start=True to continue a fit, "
                    "and frozenfit.save to store the estimator between fits."
                )
        # Callbacks collect state. A fit on copies leaves the parameter unchanged, as scikit-learn
        # requires.
        self.copies = [_copied(callback) for callback in given]
        self._per_batch = any(_overrides(c, name) for c in self.copies for name in _BATCH_HOOKS)
        self._scheduled = False
        self._rate: float | None = None

    def begin(self, model: PartialModel, trainer: Any, plan: Any, steps: int | None) -> None:
        """Start training with `steps` batches in each epoch, where it is known."""
        self._model, self._trainer = model, trainer
        self._scheduled = plan.lr_schedule is not None
        if not self.copies:
            return
        trainer.optimizer.learning_rate = plan.learning_rate
        self._rate = float(to_numpy(trainer.optimizer.learning_rate))
        model.optimizer = trainer.optimizer
        model.stop_training = False
        show_metrics(model, _shown_metrics(plan))
        params = {"epochs": plan.epochs, "steps": steps, "verbose": 0}
        self._collector = _Collector()
        called = [*self.copies, self._collector]
        listed = keras.callbacks.CallbackList(called, model=model, **params)
        self._list = listed
        listed.on_train_begin()
        self._read_rate()

    def follow(self, trainer: Any) -> None:
        """Continue with the trainer of the next phase, which has another optimizer."""
        self._trainer = trainer
        if self.copies:
            self._model.optimizer = trainer.optimizer

    def epoch_begin(self, epoch: int) -> None:
        """Start an epoch."""
        if self._list is not None:
            # Trainers may write the rate of each step into the optimizer, and each phase has its
            # own trainer: callbacks must read and change the rate of the epoch instead.
            if self._rate is not None:
                self._trainer.optimizer.learning_rate = self._rate
            self._list.on_epoch_begin(epoch)
            self._read_rate()

    def epoch_end(self, epoch: int, logs: dict[str, float]) -> bool:
        """End an epoch; add numbers from callbacks to `logs`; return whether one stops training."""
        if self._list is None:
            return False
        if self._rate is not None:
            self._trainer.optimizer.learning_rate = self._rate
        self._list.on_epoch_end(epoch, dict(logs))
        logs |= self._collector.numbers
        self._read_rate()
        return bool(self._model.stop_training)

    def _read_rate(self) -> None:
        self._rate = float(to_numpy(self._trainer.optimizer.learning_rate))

    def _read_rate_of_step(self) -> None:
        # With a schedule, the optimizer contains the rate of the step, not the initial rate.
        if not self._scheduled:
            self._read_rate()

    def learning_rate(self, planned: float) -> float:
        """Return the learning rate that the callbacks set, or `planned` without callbacks."""
        return planned if self._rate is None else self._rate

    def cut(self, steps: int) -> Iterator[slice]:
        """Yield one slice per step if a callback has batch hooks, else one slice for all steps."""
        if self._per_batch:
            yield from (slice(i, i + 1) for i in range(steps))
        else:
            yield slice(0, steps)

    def batch_begin(self, batch: int) -> None:
        """Start a step, if a callback has batch hooks."""
        if self._per_batch and self._list is not None:
            self._list.on_train_batch_begin(batch)
            self._read_rate_of_step()

    def batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """End a step, if a callback has batch hooks."""
        if self._per_batch and self._list is not None:
            self._list.on_train_batch_end(batch, logs)
            self._read_rate_of_step()

    def end(self, logs: dict[str, float]) -> None:
        """End training."""
        if self._list is not None:
            self._list.on_train_end(dict(logs))
            show_metrics(self._model, [])
            for callback in self.copies:
                # A fitted estimator holds the callbacks, which must not keep the network alive.
                callback.set_model(None)


def _overrides(callback: keras.callbacks.Callback, name: str) -> bool:
    # LambdaCallback sets its hooks on the object, so looking at the class is not enough.
    own = getattr(callback, name)
    return getattr(own, "__func__", own) is not getattr(keras.callbacks.Callback, name)


class _Collector(keras.callbacks.Callback):
    """Called after the user's callbacks; it keeps the numbers in the logs that they leave."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep every number of the epoch."""
        numbers = {name: _number(value) for name, value in (logs or {}).items()}
        self.numbers = {name: value for name, value in numbers.items() if value is not None}


def _copied(callback: keras.callbacks.Callback) -> keras.callbacks.Callback:
    try:
        return copy.deepcopy(callback)
    except Exception as error:  # whatever an attribute of the callback raises
        warnings.warn(
            f"The callback {type(callback).__name__} cannot be copied ({error}). It is used "
            "itself, so that it keeps the state of this fit.",
            UserWarning,
            stacklevel=2,
        )
        return callback


def _shown_metrics(plan: Any) -> list[keras.metrics.Metric]:
    """Return metrics by which Keras finds out whether a monitored metric should be large."""
    metrics = plan.metrics.objects
    with isolated(0):
        if plan.objective.task != "regression":
            metrics = [keras.metrics.SparseCategoricalAccuracy("accuracy"), *metrics]
        return [metrics_list(metrics)] if metrics else []


def _number(value: Any) -> float | None:
    try:
        return float(to_numpy(value))
    except (TypeError, ValueError):  # text, or an array of several numbers
        return None
