"""One trial's measurements: the folds, made once and cut for all that goes with the samples."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _check_method_params

from frozenfit.search.spaces import target


@dataclass
class Folds:
    """The data of a search, cut into folds.

    Attributes
    ----------
    X, y : array-like
        All samples.
    splits : list of (ndarray, ndarray)
        Training and test rows of each fold.
    scorer : callable
        ``f(estimator, X, y) -> float``.
    fit_params : dict
        Arguments of ``fit``; those with one value per sample are cut like X.
    score_params : dict
        The same for the scorer.
    wanted : frozenset of str
        Metrics that cost something to measure.
    """

    X: Any
    y: Any
    splits: list[tuple[np.ndarray, np.ndarray]]
    scorer: Any
    fit_params: dict[str, Any] = field(default_factory=dict)
    score_params: dict[str, Any] = field(default_factory=dict)
    wanted: frozenset[str] = frozenset()

    def digest(self) -> str:
        """Name the splits and targets, so that processes can see that they search the same."""
        return str(joblib.hash((self.y, self.splits)))

    def test_part(self, estimator: Any, fold: int) -> tuple[Any, Any, dict[str, Any]]:
        """Return the samples, targets and scorer arguments a fold holds out.

        Parameters
        ----------
        estimator : estimator
            Whose kind of input decides how X is cut.
        fold : int
            Which.

        Returns
        -------
        tuple
            X, y, arguments.
        """
        train, test = self.splits[fold]
        X, y = _safe_split(estimator, self.X, self.y, test, train)
        return X, y, _check_method_params(self.X, self.score_params, test)

    def measure(self, estimator: Any, fold: int) -> dict[str, float]:
        """Fit an estimator on a fold and measure it.

        Parameters
        ----------
        estimator : estimator
            Unfitted; it is fitted here.
        fold : int
            Which.

        Returns
        -------
        dict of str to float
            ``score``, ``fit_time``, ``score_time``, ``trainable`` and ``total`` where the
            estimator tells them, and the wanted ones.
        """
        train, _ = self.splits[fold]
        X, y = _safe_split(estimator, self.X, self.y, train)
        fit_params = _check_method_params(self.X, self.fit_params, train)
        start = time.perf_counter()
        estimator.fit(X, **fit_params) if y is None else estimator.fit(X, y, **fit_params)
        fitted = time.perf_counter()
        X_test, y_test, score_params = self.test_part(estimator, fold)
        score = float(self.scorer(estimator, X_test, y_test, **score_params))
        scored = time.perf_counter()
        if not np.isfinite(score):
            raise ValueError(f"the score of fold {fold} is {score}; use a scoring that is finite")
        figures = {"score": score, "fit_time": fitted - start, "score_time": scored - fitted}
        return figures | counts(estimator) | self._costly(estimator, X_test)

    def _costly(self, estimator: Any, X_test: Any) -> dict[str, float]:
        figures = {}
        if "bytes" in self.wanted:
            figures["bytes"] = float(stored_bytes(estimator))
        if "predict_time" in self.wanted:  # scoring has compiled the prediction
            start = time.perf_counter()
            estimator.predict(X_test)
            figures["predict_time"] = time.perf_counter() - start
        missing = self.wanted - figures.keys() - counts(estimator).keys()
        if missing:
            raise ValueError(
                f"{type(target(estimator)[1]).__name__} does not tell {', '.join(sorted(missing))}"
                "; use an estimator of this package, or other directions and constraints"
            )
        return figures

    def measure_all(self, estimator: Any, n_jobs: int | None) -> list[dict[str, float]]:
        """Measure all folds, several at a time in processes of their own.

        Parameters
        ----------
        estimator : estimator
            Cloned for each fold.
        n_jobs : int or None
            How many at a time.

        Returns
        -------
        list of dict
            One per fold.
        """
        if n_jobs in (None, 1):  # without joblib's copies, and with the compiled networks here
            return [self.measure(clone(estimator), fold) for fold in range(len(self.splits))]
        call = delayed(self.measure)
        jobs = (call(clone(estimator), fold) for fold in range(len(self.splits)))
        return list(Parallel(n_jobs=n_jobs)(jobs))


def counts(estimator: Any) -> dict[str, float]:
    """Count the entries a fitted estimator learned, and all of them.

    Parameters
    ----------
    estimator : estimator
        Fitted.

    Returns
    -------
    dict of str to float
        ``trainable`` and ``total``; empty where it keeps no table.
    """
    core = target(estimator)[1]
    if not hasattr(core, "parameter_table"):
        return {}
    rows = core.parameter_table()
    return {"trainable": float(sum(r[3] for r in rows)), "total": float(sum(r[4] for r in rows))}


def stored_bytes(estimator: Any) -> int:
    """Count the bytes of the arrays a file holds of a fitted estimator.

    Parameters
    ----------
    estimator : estimator
        Fitted.

    Returns
    -------
    int
        Trainable parameters, states, and values that no seed gives back; the file adds its header.

    Raises
    ------
    ValueError
        If the estimator cannot be stored in a file.
    """
    core = target(estimator)[1]
    if not hasattr(core, "_fitted_state"):
        raise ValueError(
            f"{type(core).__name__} has no file of its own, so there is no metric 'bytes' for it"
        )
    _, arrays = core._fitted_state(False)
    return sum(np.asarray(array).nbytes for array in arrays.values())


def mean(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Average the figures of all folds.

    Parameters
    ----------
    figures : sequence of mapping
        One per fold.

    Returns
    -------
    dict of str to float
        The mean of each.
    """
    return {name: float(np.mean([fold[name] for fold in figures])) for name in figures[0]}
