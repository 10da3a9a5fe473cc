"""Pruning by fold and epoch: one report for each epoch of each fold."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from frozenfit.search.folds import Folds
from frozenfit.search.spaces import target


class EpochReports:
    """A scikit-learn callback that reports a fold's score to a trial after each epoch.

    What is reported is the mean of the finished folds' scores and the score of the running one,
    at a step of its own, so that a pruner compares trials at the same epoch of the same fold.

    Parameters
    ----------
    trial : optuna.Trial
        Hears the reports, and says when to stop.
    folds : Folds
        Where the held-out samples come from.
    epochs : int
        The most epochs a fold of any trial has: how far the steps of two folds are apart.
    """

    def __init__(self, trial: Any, folds: Folds, epochs: int):
        self.trial, self.folds, self.epochs = trial, folds, epochs
        self.scores: list[float] = []
        self.estimator: Any = None
        self.pruned = False
        self._epoch = 0

    def setup(self, estimator: Any, context: Any) -> None:
        """Nothing to set up."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """Nothing to take down."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Nothing to do before an epoch."""

    def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any) -> bool:
        """Score what the fold has learned by now, report it, and say whether to stop."""
        if context.task_name != "epoch":
            return False
        whole = self._with_fitted(fitted_estimator)
        X, y, params = self.folds.test_part(self.estimator, len(self.scores))
        self.report(float(self.folds.scorer(whole, X, y, **params)))
        return self.pruned

    def report(self, score: float) -> None:
        """Report the score of the running fold, and hear whether the trial is worth going on."""
        step = len(self.scores) * self.epochs + min(self._epoch, self.epochs - 1)
        self._epoch += 1
        self.trial.report(float(np.mean([*self.scores, score])), step)
        self.pruned = self.pruned or self.trial.should_prune()

    def _with_fitted(self, fitted: Any) -> Any:
        """Put what is fitted by now at the end of the pipeline whose other steps are fitted."""
        whole = self.estimator
        chain: list[Pipeline] = []
        while isinstance(whole, Pipeline):
            chain.append(whole)
            whole = whole.steps[-1][1]
        for pipeline in reversed(chain):
            fitted = Pipeline([*pipeline.steps[:-1], (pipeline.steps[-1][0], fitted)])
        return fitted

    def measure_all(self, estimator: Any) -> list[dict[str, float]]:
        """Measure one fold after the other until the trial is pruned.

        Parameters
        ----------
        estimator : estimator
            Cloned for each fold.

        Returns
        -------
        list of dict
            The finished folds' figures.
        """
        figures: list[dict[str, float]] = []
        for fold in range(len(self.folds.splits)):
            self.estimator, self._epoch = clone(estimator), 0
            core = target(self.estimator)[1]
            if hasattr(core, "set_callbacks"):
                core.set_callbacks(self)
            measured = self.folds.measure(self.estimator, fold)
            if not self._epoch:  # it told of no epochs
                self.report(measured["score"])
            if self.pruned:
                break
            figures.append(measured)
            self.scores.append(measured["score"])
        self.estimator = None
        return figures
