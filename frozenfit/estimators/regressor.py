"""The scikit-learn interface of regressors: targets and their scale."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, final

import numpy as np
from sklearn.base import RegressorMixin

from frozenfit.estimators.base import NetworkEstimator
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
            self._target_mean = np.average(y, axis=0, weights=data.weight)
            spread = np.average((y - self._target_mean) ** 2, axis=0, weights=data.weight)
            # A constant target has no spread; dividing by 1 keeps it finite.
            self._target_scale = np.where(spread > 0, np.sqrt(spread), 1.0)
        # The learning rates suit targets of unit variance. Mean and scale are those of the first
        # fit, because the outputs of a resumed network are on that scale.
        return replace(data, y=((data.y - self._target_mean) / self._target_scale).astype("f4"))

    @final
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: SamplesLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Continue training with one pass over a batch of samples.

        The first call determines the mean and the scale that targets are standardized with, so its
        batch should be representative.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.
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
