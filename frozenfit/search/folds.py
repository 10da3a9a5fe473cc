"""Cross-validation of one trial: the folds are made once, and every trial is measured on them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import clone
from sklearn.utils.parallel import Parallel, delayed

from frozenfit.search.spaces import target
from frozenfit.utils.memory import available_memory
from frozenfit.utils.scikit_learn import check_method_params, safe_split
from frozenfit.utils.sent_once import SentOnce, send
from frozenfit.utils.size_limit import size_limit

# The weights of a network exist twice in a fit: in the network, and as the values of its base.
_COPIES = 2
_TOO_LARGE = (
    "half of the free memory, {:,.0f} bytes, and a fit holds all weights twice; make the networks "
    "in `space` smaller, or set `error_score=numpy.nan` to record such trials as failed and go on"
)


@dataclass(eq=False)
class Folds(SentOnce):
    """The data of a search with its cross-validation splits.

    Attributes
    ----------
    X, y : array-like
        All samples.
    splits : list of (ndarray, ndarray)
        Training and test rows of each fold.
    scorer : callable
        ``f(estimator, X, y) -> float``.
    fit_params : dict
        Arguments of ``fit``; those with one value per sample are split like X.
    score_params : dict
        Arguments of the scorer, likewise.
    wanted : frozenset of str
        Metrics that are measured on request only, because they take time.
    """

    X: Any
    y: Any
    splits: list[tuple[np.ndarray, np.ndarray]]
    scorer: Callable[..., float]
    fit_params: dict[str, Any] = field(default_factory=dict)
    score_params: dict[str, Any] = field(default_factory=dict)
    wanted: frozenset[str] = frozenset()

    def test_part(self, estimator: Any, fold: int) -> tuple[Any, Any, dict[str, Any]]:
        """Return the validation samples, targets and scorer arguments of a fold.

        Parameters
        ----------
        estimator : estimator
            Its tags decide how X is split, as for precomputed kernels.
        fold : int
            Index of the fold.

        Returns
        -------
        X, y : array-like
            Validation samples and targets.
        score_params : dict
            Arguments of the scorer.
        """
        train, test = self.splits[fold]
        X, y = safe_split(estimator, self.X, self.y, test, train)
        return X, y, check_method_params(self.X, self.score_params, test)

    def measure(self, estimator: Any, fold: int) -> dict[str, float]:
        """Fit an estimator on the training part of a fold and compute its metrics.

        Parameters
        ----------
        estimator : estimator
            An unfitted estimator; this method fits it.
        fold : int
            Index of the fold.

        Returns
        -------
        dict of str to float
            ``score``, ``fit_time``, ``score_time``, ``trainable`` and ``total`` where the
            estimator has a parameter table, and the metrics in `wanted`.
        """
        train, _ = self.splits[fold]
        X, y = safe_split(estimator, self.X, self.y, train)
        fit_params = check_method_params(self.X, self.fit_params, train)
        start = time.perf_counter()
        with _within_memory():
            estimator.fit(X, **fit_params) if y is None else estimator.fit(X, y, **fit_params)
        fitted = time.perf_counter()
        X_test, y_test, score_params = self.test_part(estimator, fold)
        score = float(self.scorer(estimator, X_test, y_test, **score_params))
        scored = time.perf_counter()
        if not np.isfinite(score):
            raise ValueError(
                f"The score of fold {fold} is {score}. Use a `scoring` that returns finite values."
            )
        figures = {"score": score, "fit_time": fitted - start, "score_time": scored - fitted}
        return figures | counts(estimator) | self._costly(estimator, X_test)

    def _costly(self, estimator: Any, X_test: Any) -> dict[str, float]:
        figures = {}
        if "bytes" in self.wanted:
            figures["bytes"] = float(stored_bytes(estimator))
        if "predict_time" in self.wanted:
            # The scorer has predicted these samples, so the prediction is compiled already and the
            # compilation is not timed.
            start = time.perf_counter()
            estimator.predict(X_test)
            figures["predict_time"] = time.perf_counter() - start
        missing = self.wanted - figures.keys() - counts(estimator).keys()
        if missing:
            raise ValueError(
                f"{type(target(estimator)[1]).__name__} does not provide "
                f"{', '.join(sorted(missing))}. Use an estimator of frozenfit, or other "
                "`directions` and `constraints`."
            )
        return figures

    def measure_all(self, estimator: Any, n_jobs: int | None) -> list[dict[str, float]]:
        """Measure all folds, in parallel processes if requested.

        Parameters
        ----------
        estimator : estimator
            Cloned for each fold.
        n_jobs : int or None
            Number of parallel processes.

        Returns
        -------
        list of dict
            The metrics of each fold.
        """
        # In this process without joblib: nothing is copied, and the folds share the compiled
        # networks of the workspace.
        if effective_n_jobs(cast("int", n_jobs)) == 1:
            return [self.measure(clone(estimator), fold) for fold in range(len(self.splits))]
        send(self, getattr(self.X, "nbytes", 0))
        # A function, because a scheduler of dask may have a reference in place of the folds, which
        # has no methods.
        call = delayed(_measure)
        jobs = (call(self, clone(estimator), fold) for fold in range(len(self.splits)))
        return cast("list[dict[str, float]]", list(Parallel(n_jobs=n_jobs)(jobs)))


def _measure(folds: Folds, estimator: Any, fold: int) -> dict[str, float]:
    return folds.measure(estimator, fold)


@contextmanager
def _within_memory() -> Iterator[None]:
    """Raise an error in place of building a network that does not fit into the free memory."""
    if "keras" not in sys.modules:  # an estimator that builds networks has imported it
        yield
        return
    from frozenfit.storage.network_size import charged_networks

    with size_limit(available_memory() / _COPIES, _TOO_LARGE), charged_networks():
        yield


def counts(estimator: Any) -> dict[str, float]:
    """Count the trained parameters of a fitted estimator, and all of them.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator.

    Returns
    -------
    dict of str to float
        ``trainable`` and ``total``; empty for an estimator without a parameter table.
    """
    core = target(estimator)[1]
    if not hasattr(core, "parameter_table"):
        return {}
    rows = core.parameter_table()
    return {"trainable": float(sum(r[3] for r in rows)), "total": float(sum(r[4] for r in rows))}


def stored_bytes(estimator: Any) -> int:
    """Count the bytes of the arrays in the file of a fitted estimator.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator.

    Returns
    -------
    int
        Size of the trained parameters, of the states, and of values that cannot be regenerated
        from the seed. The file adds its header.

    Raises
    ------
    ValueError
        If the estimator cannot be saved by `frozenfit.save`.
    """
    core = target(estimator)[1]
    if not hasattr(core, "_fitted_state"):
        raise ValueError(
            f"{type(core).__name__} cannot be saved to a file, so it has no metric 'bytes'. Use an "
            "estimator of frozenfit, or other `directions` and `constraints`."
        )
    _, arrays = core._fitted_state(False)
    return sum(np.asarray(array).nbytes for array in arrays.values())


def mean(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Average the metrics over all folds.

    Parameters
    ----------
    figures : sequence of mapping
        The metrics of each fold.

    Returns
    -------
    dict of str to float
        The mean of each metric.
    """
    return {name: float(np.mean([fold[name] for fold in figures])) for name in figures[0]}
