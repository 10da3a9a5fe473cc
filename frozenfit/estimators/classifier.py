"""The scikit-learn interface of classifiers: labels, class weights, probabilities."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any, Self, final

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets

from frozenfit.estimators.base import NetworkEstimator
from frozenfit.utils.scikit_learn import check_partial_fit_first_call, fit_context

if TYPE_CHECKING:
    from frozenfit.types import ArrayLike, SamplesLike


class NetworkClassifier(ClassifierMixin, NetworkEstimator):
    """Base class of all classifiers."""

    _task = "classification"

    def _check_data(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        X, y = self._check_input(X, reset=reset, y=y)
        check_classification_targets(y)
        return X, y

    def _encode(self, y: np.ndarray, reset: bool) -> np.ndarray:
        if reset:
            self.classes_ = np.unique(y)
        # The network of a resumed fit, or of validation data, has no outputs for new labels.
        known = np.isin(y, self.classes_)
        if not known.all():
            raise ValueError(
                f"y contains labels {np.unique(y[~known]).tolist()}, which are not among the "
                f"classes {self.classes_.tolist()} of the first fit."
            )
        # int32, which every backend accepts for labels.
        return np.searchsorted(self.classes_, y).astype(np.int32)

    def _n_outputs(self, y: np.ndarray, one_pass: bool) -> int:
        if len(self.classes_) < 2 or (not one_pass and len(np.unique(y)) < 2):
            present = self.classes_[np.unique(y)].tolist()
            raise ValueError(
                f"{type(self).__name__} requires samples of at least 2 classes, got one class: "
                f"{present}."
            )
        return len(self.classes_)

    def _balanced(self, y: np.ndarray, weight: np.ndarray | None) -> np.ndarray | None:
        class_weight = getattr(self._settings, "class_weight", None)
        if class_weight is None:
            return weight
        each = np.ones(len(y)) if weight is None else weight
        return each * self._weight_of_classes(class_weight, y, each)[y]

    def _weight_of_classes(
        self, class_weight: Any, y: np.ndarray, weight: np.ndarray
    ) -> np.ndarray:
        if class_weight == "balanced":
            sums = np.bincount(y, weight, minlength=len(self.classes_))
            # Classes without samples, which `partial_fit` may have, take no share.
            even = weight.sum() / np.count_nonzero(sums)
            return np.divide(even, sums, out=np.zeros_like(sums), where=sums > 0)
        labels = self.classes_.tolist()
        unknown = [label for label in class_weight if label not in labels]
        if unknown:
            raise ValueError(
                f"`class_weight` contains {unknown}, which are not among the classes {labels}."
            )
        for label, each in class_weight.items():
            if not isinstance(each, Real) or not 0 <= float(each) < np.inf:
                raise ValueError(
                    f"`class_weight` must contain finite numbers >= 0, got {each!r} for {label!r}."
                )
        if not any(class_weight.get(label, 1.0) for label in labels):
            raise ValueError(
                "`class_weight` must be positive for at least one class, got 0 for all."
            )
        return np.asarray([class_weight.get(label, 1.0) for label in labels], np.float64)

    @final
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: SamplesLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Continue training with one pass over a batch of samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.
        y : array-like of shape (n_samples,)
            Class labels.
        classes : array-like of shape (n_classes,), default=None
            The classes of all batches together; required in the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights.

        Returns
        -------
        self
            The estimator.

        Raises
        ------
        ValueError
            If `classes` is missing in the first call or changes later, or a label is not in it.
        """
        with self._restored_on_error():
            resume = self.__sklearn_is_fitted__()
            if not resume:
                # scikit-learn takes existing classes for those of an earlier call.
                self.__dict__.pop("classes_", None)
            check_partial_fit_first_call(self, classes)
            self._learn(X, y, sample_weight, resume=resume, one_pass=True, classes_known=True)
        return self

    @final
    def decision_function(self, X: SamplesLike) -> np.ndarray:
        """Compute the outputs of the network before the softmax.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Logits of each class. With two classes it is their difference, which is positive where
            ``classes_[1]`` is predicted.
        """
        logits = self._outputs(X)
        # One column for two classes, as scikit-learn's metrics expect.
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict(self, X: SamplesLike) -> np.ndarray:
        """Predict class labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels from `classes_`.
        """
        index = self._outputs(X).argmax(axis=1)
        return self.classes_[index]

    def predict_proba(self, X: SamplesLike) -> np.ndarray:
        """Compute class probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities, the softmax of the outputs; columns are in the order of `classes_`.
        """
        return softmax(self._outputs(X), axis=1)

    @final
    def predict_log_proba(self, X: SamplesLike) -> np.ndarray:
        """Compute the logarithms of the class probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Logarithms of the probabilities; columns are in the order of `classes_`.
        """
        return log_softmax(self._outputs(X), axis=1)
