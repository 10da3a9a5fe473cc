"""The scikit-learn interface of regressors: targets and their scale."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, final

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score

from frozenfit.estimators.base import NetworkEstimator
from frozenfit.estimators.counting import TargetMoments
from frozenfit.training.sources import Recording, as_source, refuse_beside
from frozenfit.utils.scikit_learn import fit_context

if TYPE_CHECKING:
    from sklearn.utils import Tags

    from frozenfit.training.data import Data
    from frozenfit.types import ArrayLike, SamplesLike


class NetworkRegressor(RegressorMixin, NetworkEstimator):
    """Base class of all regressors.

    Targets are standardized for training and predictions are returned on the original scale, so
    that one learning rate suits targets of any unit.
    """

    _task = "regression"

    def __sklearn_tags__(self) -> Tags:
        """Declare that the estimator supports several targets."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _check_data(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        return self._check_input(X, reset=reset, y=y, multi_output=True, y_numeric=True)

    def _encode(self, y: np.ndarray, reset: bool) -> np.ndarray:
        y = np.asarray(y, np.float64)
        if reset:
            self._single_target = y.ndim == 1
            self._n_targets = 1 if y.ndim == 1 else y.shape[1]
        targets = y.reshape(len(y), -1)
        if targets.shape[1] != self._n_targets:
            raise ValueError(
                f"y must have {self._n_targets} targets, as in the first fit, got "
                f"{targets.shape[1]}."
            )
        return targets

    def _n_outputs(self, y: np.ndarray, one_pass: bool) -> int:
        return self._n_targets

    def _scaled(self, data: Data, reset: bool) -> Data:
        if reset:
            y = data.y[data.rows]
            mean = np.average(y, axis=0, weights=data.weight)
            variance = np.average((y - mean) ** 2, axis=0, weights=data.weight)
            self._set_scale(mean, variance)
        return replace(data, y=self._standardized(data.y))

    def _set_scale(self, mean: np.ndarray, variance: np.ndarray) -> None:
        self._target_mean = mean
        # A constant target has no spread; dividing by 1 keeps it finite.
        self._target_scale = np.where(variance > 0, np.sqrt(variance), 1.0)

    def _standardized(self, y: np.ndarray) -> np.ndarray:
        # The learning rates suit targets of unit variance. Mean and scale are those of the first
        # fit, because the outputs of a resumed network are on that scale.
        return ((y - self._target_mean) / self._target_scale).astype("f4")

    def _counter(self, y: np.ndarray, unknown: bool) -> TargetMoments | None:
        return TargetMoments() if unknown else None

    def _encoding(self, y, counter, unknown, training):
        self._encode(y, reset=unknown)
        if unknown:
            self._set_scale(counter.mean, counter.variance)
        return lambda y, weight: (self._standardized(self._encode(y, reset=False)), weight)

    @final
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: SamplesLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Continue training with one pass over a batch of samples.

        The first call determines the mean and the scale that targets are standardized with, so its
        batch should be representative.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), or source of batches
            Samples.
        y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            Targets; None if X yields batches, which contain them.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights.

        Returns
        -------
        self
            The estimator.

        Raises
        ------
        ValueError
            If the number of features or targets differs from that of the first call.
        """
        with self._restored_on_error():
            resume = self.__sklearn_is_fitted__()
            self._learn(X, y, sample_weight, resume=resume, one_pass=True)
        return self

    def predict(self, X: SamplesLike) -> np.ndarray:
        """Predict targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            Predictions on the original scale, in the shape of the y of `fit`.
        """
        y = self._outputs(X) * self._target_scale + self._target_mean
        return y[:, 0] if self._single_target else y

    def score(
        self, X: SamplesLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Return the coefficient of determination of `predict`.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), or source of batches
            Samples.
        y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            True targets; None if X yields batches, which contain them.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights.

        Returns
        -------
        float
            At most 1; 0 for a prediction of the mean. Several targets are averaged.
        """
        source = as_source(X)
        if source is None:
            return super().score(X, y, sample_weight)
        refuse_beside(source, y, sample_weight)
        recording = Recording(source)
        predicted = self.predict(recording)
        y, weight = recording.targets()
        return float(r2_score(y, predicted, sample_weight=weight))
