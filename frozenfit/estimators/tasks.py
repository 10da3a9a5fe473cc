"""Epochs as tasks of scikit-learn's callbacks (`set_callbacks`, since 1.9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from frozenfit.delta import Delta
from frozenfit.utils.scikit_learn import callback_context

if TYPE_CHECKING:
    from sklearn.callback import CallbackContext


class EpochTasks:
    """Reports the fit and each of its epochs to scikit-learn's callbacks.

    Parameters
    ----------
    estimator : NetworkEstimator
        The estimator that is being fitted.
    fit_data : FitData
        Its training data. As in scikit-learn, `partial_fit` calls no callbacks.
    epochs : int
        Maximum number of epochs.
    attributes : callable
        ``f(history, delta) -> dict``: the fitted attributes for a delta, or for the current state
        of training where it is None.
    """

    def __init__(self, estimator: Any, fit_data: Any, epochs: int, attributes: Callable):
        self.estimator = estimator
        self.attributes = attributes
        self.epochs = epochs
        self.callback_args = fit_data.callback_args
        self.root: CallbackContext | None = None
        self.called = not fit_data.one_pass
        self.history: dict[str, list[float]] = {}
        self.delta: Delta | None = None  # set to the final delta after training

    def __enter__(self) -> EpochTasks:
        """Report the beginning of the fit."""
        if self.called:
            self.root = callback_context(self.estimator, self.epochs)
        if self.root is not None:
            self.root.call_on_fit_task_begin(estimator=self.estimator, **self.callback_args)
        return self

    def __exit__(self, kind: Any, *exception: object) -> None:
        """Report the end of the fit, unless it failed."""
        if self.root is not None and kind is None:
            self._end(self.root)

    def _attributes(self) -> dict[str, Any]:
        return self.attributes(self.history, self.delta)

    def _end(self, task: CallbackContext) -> bool:
        return task.call_on_fit_task_end(
            estimator=self.estimator,
            reconstruction_attributes=self._attributes,
            **self.callback_args,
        )

    def epoch_begin(self, epoch: int) -> None:
        """Report the beginning of an epoch."""
        if self.root is not None:
            self.task = self.root.subcontext(task_name="epoch")
            self.task.call_on_fit_task_begin(estimator=self.estimator, **self.callback_args)

    def epoch_end(self, epoch: int, logs: dict[str, float]) -> bool:
        """Report the end of an epoch; return whether a callback requests to stop."""
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)
        if self.root is None:
            return False
        return self._end(self.task)
