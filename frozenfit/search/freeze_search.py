"""FreezeSearchCV: a scikit-learn search, on Optuna, over how much of a network to freeze."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

from sklearn.base import BaseEstimator, MetaEstimatorMixin, _fit_context, clone
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_method_params, check_is_fitted

from frozenfit.search import results
from frozenfit.search._optional import load_optuna, quiet
from frozenfit.search.objectives import METRICS
from frozenfit.search.routing import route_score, router
from frozenfit.search.running import Run


def _delegates(name: str) -> Callable[[Any], bool]:
    """Say whether the best estimator, or before fit the given one, has a method."""

    def has(search: Any) -> bool:
        if not search.refit:
            raise AttributeError(
                f"{type(search).__name__} has no {name} with refit=False, as no estimator is "
                "fitted on all data; use refit=True"
            )
        getattr(getattr(search, "best_estimator_", search.estimator), name)
        return True

    return has


class FreezeSearchCV(MetaEstimatorMixin, BaseEstimator):
    """Search over how much of a network to freeze, and over what goes with it.

    Every trial is cross-validated on the same folds; the best one is fitted on all data.

    Parameters
    ----------
    estimator : estimator
        A partial net, an ELM, a pipeline that ends in one; with `space` a function, any.
    n_trials : int, default=40
        Trials in all: those of other processes and of earlier fits on the same study count.
    space : dict, callable or None, default=None
        Keywords for `suggest`, or ``f(trial, estimator) -> parameters``, which must give the same
        for the same suggestions. None is the whole space of `suggest`.
    cv : int, splitter, iterable or None, default=None
        As in scikit-learn; the splits are made once.
    scoring : str, callable or None, default=None
        What the metric ``"score"`` is; None takes the estimator's own.
    directions : dict or None, default=None
        Metric to ``"maximize"`` or ``"minimize"``, of ``score``, ``trainable`` (entries), ``bytes``
        (of the arrays stored), ``fit_time`` and ``predict_time`` (seconds a fold). None maximizes
        the score.
    constraints : sequence of str or None, default=None
        Such as ``["trainable <= 750"]``; trials that miss one steer the search and never win.
    refit : str or callable, default="score"
        Which trial of the front is the best: a metric, or ``f(front) -> index`` of a row of
        `table`. With one objective the front is that objective's best.
    sampler : optuna sampler or None, default=None
        None takes TPE for one objective and NSGA-II for several, in populations of a quarter of
        `n_trials`. It is copied for each fit.
    pruner : {"median"}, optuna pruner or None, default=None
        Ends trials that fall behind, heard after each epoch of each fold; one objective only.
    storage : str, path-like, optuna storage or None, default=None
        Where the study is kept, see `open_storage`; None keeps it in memory.
    study_name : str or None, default=None
        None is ``"frozenfit"`` in a storage. A study that is there already is gone on with.
    heartbeat : int, default=60
        Seconds between two signs of life of a running trial, on SQL storages; see `open_storage`.
    timeout : float or None, default=None
        Seconds after which no trial is started.
    refit : bool, default=True
        Whether the best is fitted on all data.
    n_jobs : int or None, default=None
        Folds at a time, in processes; the result does not depend on it. For trials at a time see
        `run_workers`.
    callbacks : callable, sequence of them or None, default=None
        Optuna's, ``f(study, trial)``, after each trial.
    error_score : "raise" or float, default="raise"
        With a number, such as ``numpy.nan``, a failed trial is recorded as failed and the search
        goes on.
    random_state : int, RandomState or None, default=None
        Decides the sampler, and every `random_state` of the estimator that is None.
    verbose : int, default=0
        1 shows a progress bar, 2 a line per trial besides.

    Attributes
    ----------
    best_estimator_ : estimator
        Fitted on all data, with ``refit=True``.
    best_params_ : dict
        Its parameters that the search set.
    best_score_ : float
        Its mean score over the folds.
    best_index_ : int
        Its row in `cv_results_`.
    cv_results_ : dict
        The finished trials as in scikit-learn's searches, and ``trial`` (number), ``pareto``,
        ``feasible``, ``mean_trainable`` and whatever else was measured.
    study_ : optuna.Study
        The study, with its failed and pruned trials too.
    scorer_ : callable
        The scorer.
    n_splits_ : int
        Folds.
    refit_time_ : float
        Seconds of the last fit.
    classes_ : ndarray
        Labels, where the estimator is a classifier.
    n_features_in_ : int
        Features of a sample.
    feature_names_in_ : ndarray
        Names of the columns, where X had some.

    See Also
    --------
    suggest : The space.
    table : The trials as rows, for pictures.

    Notes
    -----
    With the whole space the first trials are known to be good: the estimator's own fraction,
    and everything trained.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from frozenfit import PartialNetClassifier, search
    >>> X, y = load_iris(return_X_y=True)
    >>> net = PartialNetClassifier(epochs=5)
    >>> both = {"score": "maximize", "trainable": "minimize"}
    >>> found = search.FreezeSearchCV(net, n_trials=4, cv=2, directions=both, random_state=0)
    >>> found.fit(X, y).best_params_["frozen"] in ("random", "zero")
    True
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit"])],
        "n_trials": [Interval(Integral, 1, None, closed="left")],
        "space": [dict, callable, None],
        "cv": ["cv_object"],
        "heartbeat": [Interval(Integral, 1, None, closed="left")],
        "timeout": [Interval(Real, 0, None, closed="neither"), None],
        "refit": ["boolean", str, callable],
        "n_jobs": [Integral, None],
        "callbacks": [callable, list, tuple, None],
        "error_score": [StrOptions({"raise"}), Real],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        n_trials: int = 40,
        space: Any = None,
        cv: Any = None,
        scoring: Any = None,
        directions: Any = None,
        constraints: Any = None,
        sampler: Any = None,
        pruner: Any = None,
        storage: Any = None,
        study_name: str | None = None,
        heartbeat: int = 60,
        timeout: float | None = None,
        refit: Any = True,
        n_jobs: int | None = None,
        callbacks: Any = None,
        error_score: Any = "raise",
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.estimator = estimator
        self.n_trials = n_trials
        self.space = space
        self.cv = cv
        self.scoring = scoring
        self.directions = directions
        self.constraints = constraints
        self.sampler = sampler
        self.pruner = pruner
        self.storage = storage
        self.study_name = study_name
        self.heartbeat = heartbeat
        self.timeout = timeout
        self.refit = refit
        self.n_jobs = n_jobs
        self.callbacks = callbacks
        self.error_score = error_score
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, sample_weight=None, groups=None, **fit_params):
        """Search, and fit the best on all data.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Labels or targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights, cut for each fold; the scorer gets them too where it takes them.
        groups : array-like of shape (n_samples,), default=None
            Groups for the splitter.
        **fit_params : object
            Further arguments of the estimator's ``fit``; those with one value per sample are cut
            for each fold.

        Returns
        -------
        self
            The fitted search.

        Raises
        ------
        ValueError
            For settings that make no sense together, a storage that cannot be used, constraints
            that no trial met, or when all trials failed.
        """
        optuna = load_optuna()
        given = {"sample_weight": sample_weight, "groups": groups, **fit_params}
        with quiet():
            run = Run(self, optuna, X, y, given)
            self.study_ = run.study
            run.search()
        self._collect(run)
        if self.refit:
            start = time.perf_counter()
            best = clone(run.estimator).set_params(**copy.deepcopy(self.best_params_))
            params = _check_method_params(run.folds.X, run.folds.fit_params)
            X, y = run.folds.X, run.folds.y
            self.best_estimator_ = best.fit(X, **params) if y is None else best.fit(X, y, **params)
            self.refit_time_ = time.perf_counter() - start
        return self

    def _collect(self, run: Run) -> None:
        """Set what a search tells, from the study alone."""
        table = results.rows(self.study_, run.constraints, run.directions)
        results.check_any(self.study_, table, run.constraints)
        trials = results.finished(self.study_)
        params = [run.params(run.optuna.trial.FixedTrial(trial.params)) for trial in trials]
        better = {**METRICS, **run.directions}
        self.best_index_ = results.choose_trial(
            table, "score" if isinstance(self.refit, bool) else self.refit, run.directions, better
        )
        self.best_params_ = params[self.best_index_]
        self.best_score_ = table[self.best_index_]["score"]
        sign = 1.0 if better["score"] == "maximize" else -1.0
        self.cv_results_ = results.cv_results(self.study_, table, params, sign)
        self.scorer_, self.n_splits_ = run.folds.scorer, len(run.folds.splits)
        self._rows = table

    def __sklearn_is_fitted__(self) -> bool:
        """Say whether `fit` has succeeded."""
        return hasattr(self, "best_estimator_" if self.refit else "cv_results_")

    def __sklearn_tags__(self):
        """Take the tags of the estimator."""
        tags = super().__sklearn_tags__()
        own = copy.deepcopy(get_tags(self.estimator))
        for name in ("estimator_type", "classifier_tags", "regressor_tags", "target_tags"):
            setattr(tags, name, getattr(own, name))
        tags.input_tags, tags.non_deterministic = own.input_tags, own.non_deterministic
        return tags

    def get_metadata_routing(self):
        """Describe whom `fit` and `score` hand their arguments to.

        Returns
        -------
        MetadataRouter
            Used with scikit-learn's metadata routing switched on: each part gets what it requests.
        """
        return router(self)

    def score(self, X, y=None, sample_weight=None):
        """Score the best estimator by `scoring`.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.
        y : array-like, default=None
            Labels or targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.

        Returns
        -------
        float
            The score.
        """
        _delegates("fit")(self)
        check_is_fitted(self)
        return self.scorer_(self.best_estimator_, X, y, **route_score(self, sample_weight))

    def _best(self, method: str, X: Any) -> Any:
        check_is_fitted(self)
        return getattr(self.best_estimator_, method)(X)

    @available_if(_delegates("predict"))
    def predict(self, X):
        """Predict by the best estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray
            Labels or targets.
        """
        return self._best("predict", X)

    @available_if(_delegates("predict_proba"))
    def predict_proba(self, X):
        """Compute class probabilities by the best estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities.
        """
        return self._best("predict_proba", X)

    @available_if(_delegates("predict_log_proba"))
    def predict_log_proba(self, X):
        """Compute logarithms of class probabilities by the best estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Logarithms.
        """
        return self._best("predict_log_proba", X)

    @available_if(_delegates("decision_function"))
    def decision_function(self, X):
        """Compute the outputs of the best estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray
            Outputs before softmax.
        """
        return self._best("decision_function", X)

    @property
    def classes_(self):
        """Class labels of the best estimator."""
        _delegates("fit")(self)
        return self._fitted_best("classes_").classes_

    @property
    def n_features_in_(self):
        """Features of a sample."""
        return self._fitted_best("n_features_in_").n_features_in_

    @property
    def feature_names_in_(self):
        """Names of the columns."""
        return self._fitted_best("feature_names_in_").feature_names_in_

    def _fitted_best(self, name: str) -> Any:
        if "best_estimator_" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__} is not fitted and has no {name}")
        return self.best_estimator_
