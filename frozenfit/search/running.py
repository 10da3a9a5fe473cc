"""The run of one search: validated settings, opened study, and the loop over trials."""

from __future__ import annotations

import copy
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.model_selection import check_cv
from sklearn.utils import check_random_state, indexable

from frozenfit.isolation import SEED_LIMIT
from frozenfit.search._optuna import default_sampler, set_constraints, was_stopped
from frozenfit.search.folds import Folds, mean
from frozenfit.search.mark import make_mark
from frozenfit.search.objectives import make_scorer, read_constraints, read_directions
from frozenfit.search.pruning import EpochReports
from frozenfit.search.results import ERROR, FIGURES
from frozenfit.search.routing import route_fit
from frozenfit.search.spaces import Space, make_space, target
from frozenfit.search.storages import open_storage, open_study
from frozenfit.search.tickets import Tickets, TicketSource
from frozenfit.search.trial_progress import TrialProgress
from frozenfit.training.epoch_count import MOST
from frozenfit.training.shared_features import sharing

if TYPE_CHECKING:
    from frozenfit.search.freeze_search import FreezeSearchCV

_ON_REQUEST = frozenset({"bytes", "predict_time", "trainable"})
# Threads that share a study create it, and enqueue its first trials, once. Filters of warnings
# change meanwhile, and belong to the whole process.
_opening = threading.Lock()


class Run:
    """A search whose settings are validated and whose study is open, before its first trial.

    Parameters
    ----------
    settings : FreezeSearchCV
        The search; its parameters are read.
    optuna : module
        The module ``optuna``.
    X, y : array-like
        All samples.
    given : dict
        Further arguments of ``fit``.

    Attributes
    ----------
    estimator : estimator
        The estimator with its seeds set; cloned for each fit.
    folds : Folds
        The data.
    study : optuna.Study
        The study.
    directions : dict of str to str
        The objectives.
    constraints : tuple of Constraint
        The constraints.
    """

    def __init__(self, settings: FreezeSearchCV, optuna: Any, X: Any, y: Any, given: dict):
        self.settings, self.optuna = settings, optuna
        self.directions = read_directions(settings.directions)
        self.constraints = read_constraints(settings.constraints)
        rng = check_random_state(settings.random_state)
        seed = None if settings.random_state is None else int(rng.randint(SEED_LIMIT))
        self.estimator = _seeded(settings.estimator, seed)
        _check_no_checkpoint(self.estimator)
        self.space = self._space()
        # Made once: trials are comparable on the same splits only, and a shuffling splitter without
        # a seed gives other splits at each call.
        self.folds = self._folds(X, y, given)
        mark = self._mark()
        with _opening:
            tools = {"sampler": self._sampler(seed), "pruner": self._pruner()}
            storage = open_storage(settings.storage, heartbeat=settings.heartbeat)
            self.study = open_study(storage, settings.study_name, self.directions, mark, **tools)
            if isinstance(self.space, Space):
                for values in self.space.known_good():
                    self.study.enqueue_trial(values, skip_if_exists=True)

    def _mark(self) -> dict[str, Any]:
        """Describe what must agree between all processes and fits that share a study."""
        space: dict[str, Any] = {"function": self.space}
        if isinstance(self.space, Space):
            space = {**self.space.parts, "groups": self.space.groups}
        return make_mark(
            data={"X": self.folds.X, "y": self.folds.y, "splits": self.folds.splits},
            directions=self.directions,
            scoring=self.settings.scoring,
            # Without the seeds that are drawn for this run: a `random_state` that is None means
            # that the seed may vary, and a RandomState draws other seeds in each process.
            estimator=self.settings.estimator,
            space=space,
            fit_params={**self.folds.fit_params, **self._scorer_params()},
        )

    def _scorer_params(self) -> dict[str, Any]:
        return {f"{name} of the scorer": v for name, v in self.folds.score_params.items()}

    def _space(self) -> Any:
        space = self.settings.space
        if callable(space):
            return space
        return make_space(self.estimator, **(space or {}))

    def params(self, trial: Any) -> dict[str, Any]:
        """Return the estimator's parameters for a trial.

        Parameters
        ----------
        trial : optuna.Trial or optuna.trial.FixedTrial
            A running trial, or the suggested values of an earlier one.

        Returns
        -------
        dict of str to object
            Parameters for ``set_params``.
        """
        if isinstance(self.space, Space):
            return self.space.sample(trial)
        return dict(self.space(trial, self.estimator))

    def _folds(self, X: Any, y: Any, given: dict) -> Folds:
        X, y = indexable(X, y)
        scorer = make_scorer(self.estimator, self.settings.scoring)
        cv: Any = self.settings.cv
        splitter = cast("Any", check_cv(cv, y, classifier=is_classifier(self.estimator)))
        asked = {*self.directions, *(c.metric for c in self.constraints)}
        routed = route_fit(self.settings, given)
        splits = splitter.split(X, y, **routed.split)
        return Folds(
            X=X,
            y=y,
            splits=[(np.asarray(a), np.asarray(b)) for a, b in splits],
            scorer=scorer,
            fit_params=routed.fit,
            score_params=routed.score,
            wanted=_ON_REQUEST & asked,
        )

    def _sampler(self, seed: int | None) -> Any:
        given, samplers = self.settings.sampler, self.optuna.samplers
        if given is not None:
            if not isinstance(given, samplers.BaseSampler):
                raise TypeError(
                    "`sampler` must be an instance of a class in optuna.samplers, such as "
                    f"TPESampler(seed=0), or None, got {given!r}."
                )
            # A sampler has a random state: a second fit with the same object must find the same.
            return copy.deepcopy(given)
        return default_sampler(self.settings, seed)

    def _pruner(self) -> Any:
        given, pruners = self.settings.pruner, self.optuna.pruners
        if given is None:
            return pruners.NopPruner()
        if len(self.directions) > 1 or "score" not in self.directions:
            raise ValueError(
                f"`pruner` requires the score as the only objective, got directions="
                f"{dict(self.directions)}. Set `pruner=None`, or maximize the score alone."
            )
        if self.settings.n_jobs not in (None, 1):
            raise ValueError(
                f"`pruner` requires folds in sequence, got n_jobs={self.settings.n_jobs}. Set "
                "`n_jobs=None`, and use run_workers to run trials in parallel."
            )
        if given == "median":
            # The first third of the first fold is noise; no trial is compared there.
            return pruners.MedianPruner(n_warmup_steps=max(1, self._epochs() // 3))
        if not isinstance(given, pruners.BasePruner):
            raise TypeError(
                "`pruner` must be 'median', an instance of a class in optuna.pruners or None, got "
                f"{given!r}."
            )
        return given

    def _epochs(self) -> int:
        """Return the largest number of epochs that a trial can have."""
        parts = self.space.parts if isinstance(self.space, Space) else {}
        epochs = parts.get("epochs", target(self.estimator)[1].get_params().get("epochs", 1))
        counts = getattr(epochs, "choices", [getattr(epochs, "high", epochs)])
        return max(MOST if count == "auto" else int(count) for count in counts)

    def search(self, tickets: TicketSource | None = None) -> None:
        """Run trials until the study has `n_trials`, including those of other processes.

        Parameters
        ----------
        tickets : TicketSource or None, default=None
            Decides when a trial may start. None asks the other threads of this process only.
        """
        settings, callbacks = self.settings, self.settings.callbacks or ()
        own = Tickets(self.study, settings.n_trials, settings.storage)
        if own.complete:
            return
        tickets = tickets or own
        deadline = time.monotonic() + (settings.timeout or float("inf"))
        # Trials and folds whose frozen layers and samples agree compute their features once.
        with sharing(), TrialProgress(settings.n_trials, int(settings.verbose)) as bar:
            while tickets.take(deadline):
                try:
                    self.study.optimize(
                        partial(self._objective, tickets),
                        n_trials=1,
                        catch=() if settings.error_score == "raise" else (Exception,),
                        callbacks=[bar, *([callbacks] if callable(callbacks) else callbacks)],
                    )
                finally:
                    tickets.give_back()
                if was_stopped(self.study):
                    break

    def _objective(self, tickets: TicketSource, trial: Any) -> Any:
        try:
            with tickets.trial(trial.number):
                figures = self._measure(trial)
        except (KeyboardInterrupt, self.optuna.TrialPruned):
            raise
        except Exception as error:
            # Marks the failure as an error of the trial, in contrast to a process that died.
            trial.set_user_attr(ERROR, f"{type(error).__name__}: {error}")
            raise
        trial.set_user_attr(FIGURES, {n: [f[n] for f in figures] for n in figures[0]})
        means = mean(figures)
        set_constraints(trial, {str(c): c.violation(means) for c in self.constraints})
        return tuple(means[name] for name in self.directions)

    def _measure(self, trial: Any) -> list[dict[str, float]]:
        params = self.params(trial)
        estimator = cast("Any", clone(self.estimator)).set_params(**copy.deepcopy(params))
        if self.settings.pruner is None:
            return self.folds.measure_all(estimator, self.settings.n_jobs)
        reports = EpochReports(trial, self.folds, self._epochs())
        figures = reports.measure_all(estimator)
        if reports.pruned:
            raise self.optuna.TrialPruned
        return figures


def _check_no_checkpoint(estimator: Any) -> None:
    for name, value in estimator.get_params(deep=True).items():
        if name.rpartition("__")[2] == "checkpoint" and value is not None:
            raise ValueError(
                f"`{name}` of the estimator must be None in a search, because one file is for one "
                f"fit, got {value!r}. A search continues from its `storage`."
            )


def _seeded(estimator: Any, seed: int | None) -> Any:
    """Clone an estimator and set every `random_state` that is None."""
    estimator = cast("Any", clone(estimator))
    if seed is None:
        return estimator
    params = estimator.get_params(deep=True)
    # Sorted, so that a seed belongs to a name: get_params promises no order.
    missing = sorted(
        name
        for name, value in params.items()
        if value is None and name.rpartition("__")[2] == "random_state"
    )
    seeds = np.random.SeedSequence(seed).generate_state(len(missing))
    values = {n: int(s % SEED_LIMIT) for n, s in zip(missing, seeds, strict=True)}
    return estimator.set_params(**values) if values else estimator
