"""FreezeSearchCV: a scikit-learn search estimator, built on Optuna."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, cast

from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from frozenfit.search import report, results
from frozenfit.search._optuna import load_optuna, quiet
from frozenfit.search.objectives import METRICS
from frozenfit.search.routing import make_router, route_score
from frozenfit.search.running import Run
from frozenfit.search.trials_table import TrialsTable
from frozenfit.utils.doc_link import DocumentationLink
from frozenfit.utils.scikit_learn import (
    HasMethods,
    Interval,
    StrOptions,
    check_method_params,
    fit_context,
)

if TYPE_CHECKING:
    import numpy as np
    import optuna
    from numpy.typing import ArrayLike
    from sklearn.model_selection import BaseCrossValidator
    from sklearn.utils.metadata_routing import MetadataRouter

    from frozenfit.types import Path, RandomState


def _delegates(name: str) -> Callable[[FreezeSearchCV], bool]:
    """Return a check that the best estimator, or before fit the given one, has a method."""

    def check(search: FreezeSearchCV) -> bool:
        if not search.refit:
            raise AttributeError(
                f"{type(search).__name__} has no attribute {name!r} with `refit=False`, because no "
                "estimator is fitted on all data. Set `refit=True`."
            )
        getattr(getattr(search, "best_estimator_", search.estimator), name)
        return True

    return check


class FreezeSearchCV(DocumentationLink, MetaEstimatorMixin, BaseEstimator):
    """Cross-validated search over how much of a network to train.

    Optuna suggests the parameters of each trial. All trials are evaluated on the same
    cross-validation splits, and the best parameters are refitted on all data.

    Parameters
    ----------
    estimator : estimator
        A `PartialNetClassifier`, `PartialNetRegressor`, `ELMClassifier`, `ELMRegressor`, or a
        pipeline that ends in one. With a callable `space`, any estimator.
    n_trials : int, default=40
        Total number of trials. Trials of other processes and of earlier fits on the same study
        count.
    space : dict, callable or None, default=None
        The search space: keyword arguments of `suggest`, or a function
        ``f(trial, estimator) -> params``, which must return the same parameters for the same
        suggested values. None searches the whole space of `suggest`.
    cv : int, cross-validation generator, iterable or None, default=None
        The splitting strategy, as in `sklearn.model_selection.GridSearchCV`. The splits are made
        once and shared by all trials.
    scoring : str, callable or None, default=None
        The scorer that computes the metric ``"score"``. None uses the estimator's ``score``.
    directions : dict or None, default=None
        The objectives: a mapping from metric to ``"maximize"`` or ``"minimize"``. The metrics are
        ``"score"``, ``"trainable"`` (number of trainable parameters), ``"bytes"`` (size of the
        arrays in a file), ``"fit_time"`` and ``"predict_time"`` (seconds per fold). None is
        ``{"score": "maximize"}``.
    constraints : str, sequence of str or None, default=None
        Bounds on metrics, such as ``["trainable <= 750"]``. A trial that violates one informs the
        sampler but is never the best.
    refit : bool, str or callable, default=True
        How the best trial is chosen, and whether an estimator is refitted with its parameters on
        all data.

        - True chooses the best score. With the objectives ``"score"`` and ``"trainable"``, it
          chooses the smallest network whose score is within one standard error of the best one
          (the standard error of the mean over the folds, with ``ddof=1``).
        - A metric name chooses by this metric; ``"score"`` chooses the best score in any case.
        - A callable receives `cv_results_` and returns `best_index_`, the index of a feasible
          trial.
        - False chooses as True does and refits nothing: `best_index_`, `best_params_` and
          `best_score_` are available; `best_estimator_` and the prediction methods are not.

        Unlike in `GridSearchCV`, True is allowed with several objectives, because the score of
        every trial is measured. True and a metric name choose among the Pareto-optimal trials. Ties
        are broken by the other objectives in their order, then by the number of trainable
        parameters.
    sampler : optuna.samplers.BaseSampler or None, default=None
        The sampler, copied for each fit. None is `TPESampler` for one objective and
        `NSGAIISampler` for several, with a population of a quarter of `n_trials`.
    pruner : {"median"}, optuna.pruners.BasePruner or None, default=None
        Stops unpromising trials. The score is reported after each epoch of each fold. Requires the
        score as the only objective.
    storage : str, path-like, optuna.storages.BaseStorage or None, default=None
        Where the study is stored, see `open_storage`. None keeps it in memory.
    study_name : str or None, default=None
        Name of the study. None is ``"frozenfit"`` in a storage. An existing study is continued.
    heartbeat : int, default=60
        Seconds between two heartbeats of a running trial in an SQL storage, see `open_storage`.
    timeout : float or None, default=None
        Seconds after which no further trial is started. None sets no limit.
    n_jobs : int or None, default=None
        Number of folds that run in parallel processes; the result does not depend on it. None is
        1 unless a `joblib.parallel_config` is active. Use `run_workers` to run trials in parallel.
    callbacks : callable, sequence of callable or None, default=None
        Optuna callbacks ``f(study, trial)``, called after each trial.
    error_score : "raise" or float, default="raise"
        With ``"raise"``, an error in a trial is raised. With a number, such as ``numpy.nan``, the
        trial is recorded as failed and the search continues. A network whose weights
        do not fit into the free memory is such an error; it is raised before the weights exist.
    random_state : int, RandomState or None, default=None
        Seeds the sampler, and every `random_state` of the estimator that is None.
    verbose : int, default=0
        1 shows a progress bar, 2 also prints one line per trial.

    Attributes
    ----------
    best_estimator_ : estimator
        The estimator refitted on all data. Not available with ``refit=False``.
    best_params_ : dict
        Parameters of the best trial.
    best_score_ : float
        Mean cross-validated score of the best trial.
    best_index_ : int
        Row of the best trial in `cv_results_`.
    cv_results_ : dict of str to ndarray or list
        The completed trials in the layout of `GridSearchCV`, with further keys: ``trial`` (trial
        number), ``pareto_optimal``, ``feasible`` (all constraints are met), and ``mean_trainable``
        and the like for each further metric. As in `GridSearchCV`, ``std_test_score`` is the
        standard deviation of the folds themselves (``ddof=0``); `trials_table` and the report have
        the standard error of the mean (``ddof=1``).
    study_ : optuna.Study
        The study, including failed and pruned trials.
    scorer_ : callable
        The scorer.
    n_splits_ : int
        Number of cross-validation splits.
    refit_time_ : float
        Seconds of the refit on all data. Not available with ``refit=False``.
    classes_ : ndarray of shape (n_classes,)
        Class labels. Only for classifiers.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen during fit. Only where X has string column names.

    See Also
    --------
    suggest : The search space.
    run_workers : Run the search in several processes.
    sklearn.model_selection.GridSearchCV : Exhaustive search over a parameter grid.

    Notes
    -----
    With the default space the first two trials are the estimator's own fraction (or 0.1) and
    ``trainable=1.0``, so the best score on the validation folds is at least that of both.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from frozenfit import PartialNetClassifier
    >>> from frozenfit.search import FreezeSearchCV
    >>> X, y = load_iris(return_X_y=True)
    >>> search = FreezeSearchCV(
    ...     PartialNetClassifier(epochs=5),
    ...     n_trials=4,
    ...     cv=2,
    ...     directions={"score": "maximize", "trainable": "minimize"},
    ...     random_state=0,
    ... ).fit(X, y)
    >>> search.best_params_["frozen"] in ("random", "zero")
    True
    >>> len(search.trials_table())
    4
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
        estimator: BaseEstimator,
        *,
        n_trials: int = 40,
        space: Mapping[str, Any] | Callable[..., dict[str, object]] | None = None,
        cv: int | BaseCrossValidator | Iterable[tuple[ArrayLike, ArrayLike]] | None = None,
        scoring: str | Callable[..., float] | None = None,
        directions: Mapping[str, str] | None = None,
        constraints: str | Sequence[str] | None = None,
        refit: bool | str | Callable[[dict[str, Any]], int] = True,
        sampler: optuna.samplers.BaseSampler | None = None,
        pruner: Literal["median"] | optuna.pruners.BasePruner | None = None,
        storage: Path | optuna.storages.BaseStorage | None = None,
        study_name: str | None = None,
        heartbeat: int = 60,
        timeout: float | None = None,
        n_jobs: int | None = None,
        callbacks: Callable[..., None] | Sequence[Callable[..., None]] | None = None,
        error_score: Literal["raise"] | float = "raise",
        random_state: RandomState = None,
        verbose: int = 0,
    ):
        self.estimator = estimator
        self.n_trials = n_trials
        self.space = space
        self.cv = cv
        self.scoring = scoring
        self.directions = directions
        self.constraints = constraints
        self.refit = refit
        self.sampler = sampler
        self.pruner = pruner
        self.storage = storage
        self.study_name = study_name
        self.heartbeat = heartbeat
        self.timeout = timeout
        self.n_jobs = n_jobs
        self.callbacks = callbacks
        self.error_score = error_score
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        **fit_params: Any,
    ) -> FreezeSearchCV:
        """Run the trials and refit the best parameters on all data.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Training samples.
        y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            Class labels or targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights, split with the samples. A scorer that accepts weights receives them.
        groups : array-like of shape (n_samples,), default=None
            Group labels for the splitter.
        **fit_params : object
            Further arguments of the estimator's ``fit``. Arguments with one value per sample are
            split with the samples.

        Returns
        -------
        self
            The fitted search.

        Raises
        ------
        ValueError
            If parameters contradict each other, the storage cannot be opened, no trial meets the
            constraints, or all trials fail.
        ImportError
            If Optuna is not installed.
        """
        optuna = load_optuna()
        given = {"sample_weight": sample_weight, "groups": groups, **fit_params}
        with quiet():
            run = Run(self, optuna, X, y, given)
            self.study_ = run.study
            run.search()
        return self._finish(run)

    def _finish(self, run: Run) -> FreezeSearchCV:
        """Collect the results of the study, and refit the best parameters."""
        self._collect(run)
        if self.refit:
            start = time.perf_counter()
            best = cast("Any", clone(run.estimator)).set_params(**copy.deepcopy(self.best_params_))
            params = check_method_params(run.folds.X, run.folds.fit_params)
            X, y = run.folds.X, run.folds.y
            self.best_estimator_ = best.fit(X, **params) if y is None else best.fit(X, y, **params)
            self.refit_time_ = time.perf_counter() - start
        return self

    def _collect(self, run: Run) -> None:
        """Set the fitted attributes from the study alone, which may have trials of others."""
        rows = results.trial_rows(self.study_, run.constraints, run.directions)
        results.check_any_feasible(self.study_, rows, run.constraints)
        # A study stores suggested values. Replaying them through the space gives the parameters,
        # also of trials that another process ran.
        params = [
            run.params(run.optuna.trial.FixedTrial(trial.params))
            for trial in results.completed(self.study_)
        ]
        better = {**METRICS, **run.directions}
        sign = 1.0 if better["score"] == "maximize" else -1.0
        self.cv_results_ = results.cv_results(self.study_, rows, params, sign)
        self._best_score_index = results.choose_trial(rows, "score", run.directions, better)
        if callable(self.refit):
            self.best_index_ = results.checked_index(self.refit(self.cv_results_), rows)
        elif isinstance(self.refit, bool):
            self.best_index_ = results.choose_small(rows, run.directions, better)
        else:
            self.best_index_ = results.choose_trial(rows, self.refit, run.directions, better)
        self.best_params_ = params[self.best_index_]
        self.best_score_ = rows[self.best_index_]["score"]
        self.scorer_, self.n_splits_ = run.folds.scorer, len(run.folds.splits)
        self._rows = rows

    def trials_table(self) -> TrialsTable:
        """Return the completed trials as a table.

        Returns
        -------
        TrialsTable
            A list of dicts, one row per completed trial: ``trial`` (its number), ``params`` (the
            suggested values), the mean over the folds of ``score``, ``trainable``, ``total``,
            ``fraction``, ``fit_time`` and of each further metric that was measured,
            ``standard_error`` (of the mean score, with ``ddof=1``; 0 with a single fold),
            ``feasible`` and ``pareto_optimal``. It prints as text, shows as HTML in a notebook,
            has a ``to_frame``, and `frozenfit.plots` draws it.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from frozenfit import PartialNetClassifier
        >>> from frozenfit.search import FreezeSearchCV
        >>> search = FreezeSearchCV(PartialNetClassifier(epochs=2), n_trials=2, cv=2)
        >>> rows = search.fit(*load_iris(return_X_y=True)).trials_table()
        >>> [row["trainable"] for row in rows]
        [1794.0, 4099.0]
        """
        check_is_fitted(self, "cv_results_")
        return TrialsTable(dict(row) for row in self._rows)

    def param_importances(self, metric: str = "score") -> dict[str, float]:
        """Compute how strongly each searched parameter influences a metric.

        Parameters
        ----------
        metric : str, default="score"
            Any metric that was measured.

        Returns
        -------
        dict of str to float
            Importances that sum to 1 in descending order, by Optuna's seeded
            `FanovaImportanceEvaluator`. Only parameters that every trial suggested are included.
            Empty with fewer than 4 completed trials, or where the metric is the same in all.

        Raises
        ------
        ValueError
            If the metric was not measured.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from frozenfit import PartialNetClassifier
        >>> from frozenfit.search import FreezeSearchCV
        >>> net = PartialNetClassifier(epochs=2)
        >>> search = FreezeSearchCV(net, n_trials=6, cv=2, random_state=0)
        >>> search = search.fit(*load_iris(return_X_y=True))
        >>> round(sum(search.param_importances("trainable").values()), 6)
        1.0
        """
        check_is_fitted(self, "cv_results_")
        return results.param_importances(self.study_, self._rows, metric)

    def write_report(self, path: Path) -> None:
        """Write the result to one self-contained HTML file.

        Where matplotlib is installed, the report includes plots of the Pareto front, of the score
        against the trained fraction, and of the parameter importances. With several objectives it
        lists the trials on the Pareto front and what each costs compared with the best score.

        Parameters
        ----------
        path : str or path-like
            The file to write; an existing file is replaced.

        Raises
        ------
        OSError
            If the file cannot be written.

        Examples
        --------
        >>> import os, tempfile
        >>> from sklearn.datasets import load_iris
        >>> from frozenfit import PartialNetClassifier
        >>> from frozenfit.search import FreezeSearchCV
        >>> search = FreezeSearchCV(PartialNetClassifier(epochs=2), n_trials=2, cv=2)
        >>> search = search.fit(*load_iris(return_X_y=True))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "report.html")
        ...     search.write_report(path)
        ...     os.path.getsize(path) > 1000
        True
        """
        check_is_fitted(self, "cv_results_")
        settings = {
            "estimator": self.estimator,
            "directions": self.directions or {"score": "maximize"},
            "constraints": self.constraints or [],
            "folds": self.n_splits_,
            "best parameters": self.best_params_,
        }
        shares = self.param_importances()
        chosen = self.best_index_, self._best_score_index
        page = report.html_page(self.study_, self._rows, *chosen, settings, shares)
        report.write_page(path, page)

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether `fit` has succeeded."""
        return hasattr(self, "best_estimator_" if self.refit else "cv_results_")

    def __sklearn_tags__(self):
        """Return the tags of the estimator."""
        tags = super().__sklearn_tags__()
        own = copy.deepcopy(get_tags(self.estimator))
        for name in ("estimator_type", "classifier_tags", "regressor_tags", "target_tags"):
            setattr(tags, name, getattr(own, name))
        tags.input_tags, tags.non_deterministic = own.input_tags, own.non_deterministic
        return tags

    def get_metadata_routing(self) -> MetadataRouter:
        """Return the metadata routing of the search.

        Returns
        -------
        MetadataRouter
            Routes the arguments of `fit` and `score` to the estimator, the scorer and the
            splitter.
        """
        return make_router(self)

    def score(
        self, X: ArrayLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Compute the score of the best estimator with `scorer_`.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.
        y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            Class labels or targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights.

        Returns
        -------
        float
            The score.
        """
        _delegates("fit")(self)
        check_is_fitted(self)
        return self.scorer_(self.best_estimator_, X, y, **route_score(self, sample_weight))

    def _call_best(self, method: str, X: ArrayLike) -> np.ndarray:
        check_is_fitted(self)
        return getattr(self.best_estimator_, method)(X)

    @available_if(_delegates("predict"))
    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict with the best estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            Class labels or targets.
        """
        return self._call_best("predict", X)

    @available_if(_delegates("predict_proba"))
    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Compute class probabilities with the best estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Class probabilities, in the order of `classes_`.
        """
        return self._call_best("predict_proba", X)

    @available_if(_delegates("predict_log_proba"))
    def predict_log_proba(self, X: ArrayLike) -> np.ndarray:
        """Compute log-probabilities of the classes with the best estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Log-probabilities, in the order of `classes_`.
        """
        return self._call_best("predict_log_proba", X)

    @available_if(_delegates("decision_function"))
    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """Compute the decision function of the best estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Logits.
        """
        return self._call_best("decision_function", X)

    @property
    def classes_(self) -> np.ndarray:
        """Class labels of the best estimator."""
        _delegates("fit")(self)
        return self._best_attribute("classes_")

    @property
    def n_features_in_(self) -> int:
        """Number of features seen during fit."""
        return self._best_attribute("n_features_in_")

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Names of the features seen during fit."""
        return self._best_attribute("feature_names_in_")

    def _best_attribute(self, name: str) -> Any:
        # hasattr() must be False before fit, so this is an AttributeError, not a NotFittedError.
        if "best_estimator_" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__} is not fitted and has no {name!r}.")
        return getattr(self.best_estimator_, name)
