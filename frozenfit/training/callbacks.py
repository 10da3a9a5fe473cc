"""Keras callbacks of the user, copied for each fit."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from frozenfit.utils.arrays import to_numpy

_BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")


class KerasCallbacks:
    """Call the hooks of Keras callbacks from the training loop.

    A callback receives the `PartialModel` in training as ``self.model``. It may read and, if no
    learning-rate schedule is set, change the learning rate of ``self.model.optimizer``, and it
    may set ``self.model.stop_training``.

    Parameters
    ----------
    callbacks : keras.callbacks.Callback, sequence of keras.callbacks.Callback or None
        The callbacks of the user. They are copied, so that an object can be used in many fits.

    Raises
    ------
    TypeError
        If one of them is not a ``keras.callbacks.Callback``.
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
        # Callbacks collect state. A fit on copies leaves the parameter unchanged, as scikit-learn
        # requires.
        self.copies = [copy.deepcopy(callback) for callback in given]
        self._per_batch = any(_overrides(c, name) for c in self.copies for name in _BATCH_HOOKS)
        self._scheduled = False
        self._rate: float | None = None

    def begin(self, model: keras.Model, trainer: Any, plan: Any, steps: int) -> None:
        """Start training with `steps` batches in each epoch."""
        self._model, self._trainer = model, trainer
        self._scheduled = plan.lr_schedule is not None
        if not self.copies:
            return
        trainer.optimizer.learning_rate = plan.learning_rate
        self._rate = float(to_numpy(trainer.optimizer.learning_rate))
        model.optimizer = trainer.optimizer
        model.stop_training = False
        params = {"epochs": plan.epochs, "steps": steps, "verbose": 0}
        listed = keras.callbacks.CallbackList(self.copies, model=model, **params)
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
        """End an epoch and return whether a callback requests the end of training."""
        if self._list is None:
            return False
        if self._rate is not None:
            self._trainer.optimizer.learning_rate = self._rate
        self._list.on_epoch_end(epoch, dict(logs))
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


def _overrides(callback: keras.callbacks.Callback, name: str) -> bool:
    # LambdaCallback sets its hooks on the object, so looking at the class is not enough.
    own = getattr(callback, name)
    return getattr(own, "__func__", own) is not getattr(keras.callbacks.Callback, name)
