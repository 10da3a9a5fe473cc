"""Intermediate scores for pruners: one report for each epoch of each fold."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from frozenfit.search.folds import Folds
from frozenfit.search.spaces import target


class EpochReports:
    """A scikit-learn callback that reports the validation score to a trial after each epoch.

    The reported value is the mean of the scores of the finished folds and of the running one. Each
    epoch of each fold has its own step, so that a pruner compares trials at equal progress.

    Parameters
    ----------
    trial : optuna.Trial
        The trial that receives the reports.
    folds : Folds
        The data.
    epochs : int
        The largest number of epochs of any trial; the distance between the steps of two folds.
    """

    def __init__(self, trial: Any, folds: Folds, epochs: int):
        self.trial, self.folds, self.epochs = trial, folds, epochs
        self.scores: list[float] = []
        self.estimator: Any = None
        self.pruned = False
        self._epoch = 0

    def setup(self, estimator: Any, context: Any) -> None:
        """Do nothing; part of scikit-learn's callback protocol."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """Do nothing; part of scikit-learn's callback protocol."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Do nothing; part of scikit-learn's callback protocol."""

    def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any) -> bool:
        """Report the validation score after an epoch, and return whether to stop."""
        if context.task_name != "epoch":
            return False
        whole = self._with_fitted(fitted_estimator)
        X, y, params = self.folds.test_part(self.estimator, len(self.scores))
        self.report(float(self.folds.scorer(whole, X, y, **params)))
        return self.pruned

    def report(self, score: float) -> None:
        """Report the score of the running fold, and ask whether to prune the trial.

        Parameters
        ----------
        score : float
            The validation score.
        """
        # Epochs beyond the expected number report at the last step of their fold: the steps of
        # the next fold are compared with those of other trials.
        step = len(self.scores) * self.epochs + min(self._epoch, self.epochs - 1)
        self._epoch += 1
        self.trial.report(float(np.mean([*self.scores, score])), step)
        self.pruned = self.pruned or self.trial.should_prune()

    def _with_fitted(self, fitted: Any) -> Any:
        """Return the pipeline with the partly fitted network as its last step.

        The callback sees the network alone. The samples of a fold need the earlier steps too, and
        these are fitted by the time the network is trained.
        """
        whole = self.estimator
        chain: list[Pipeline] = []
        while isinstance(whole, Pipeline):
            chain.append(whole)
            whole = whole.steps[-1][1]
        for pipeline in reversed(chain):
            fitted = Pipeline([*pipeline.steps[:-1], (pipeline.steps[-1][0], fitted)])
        return fitted

    def measure_all(self, estimator: Any) -> list[dict[str, float]]:
        """Measure the folds in order until the trial is pruned.

        Parameters
        ----------
        estimator : estimator
            Cloned for each fold.

        Returns
        -------
        list of dict
            The metrics of the finished folds.
        """
        figures: list[dict[str, float]] = []
        for fold in range(len(self.folds.splits)):
            self.estimator, self._epoch = clone(estimator), 0
            core = target(self.estimator)[1]
            if hasattr(core, "set_callbacks"):
                core.set_callbacks(self)
            measured = self.folds.measure(self.estimator, fold)
            if not self._epoch:  # an estimator without epochs reports once per fold
                self.report(measured["score"])
            if self.pruned:
                break
            figures.append(measured)
            self.scores.append(measured["score"])
        self.estimator = None
        return figures
