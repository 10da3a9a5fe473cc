"""The scikit-learn interface of classifiers: labels, class weights, probabilities."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import TYPE_CHECKING, Any, Self, final

import numpy as np
from scipy import sparse
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from frozenfit.estimators.base import NetworkEstimator
from frozenfit.estimators.counting import LabelCounts
from frozenfit.training.sources import Recording, as_source, refuse_beside
from frozenfit.utils.scikit_learn import check_partial_fit_first_call, fit_context

if TYPE_CHECKING:
    from sklearn.utils import Tags

    from frozenfit.training.objective import Task
    from frozenfit.types import ArrayLike, SamplesLike


class NetworkClassifier(ClassifierMixin, NetworkEstimator):
    """Base class of all classifiers."""

    _takes_multilabel = False
    _task: Task = "classification"

    def __sklearn_tags__(self) -> Tags:
        """Declare whether y may be a matrix of labels."""
        tags = super().__sklearn_tags__()
        assert tags.classifier_tags is not None
        tags.classifier_tags.multi_label = self._takes_multilabel
        return tags

    def _check_data(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        X, y = self._check_input(X, reset=reset, y=y, multi_output=self._takes_multilabel)
        if self._takes_multilabel:
            y = y.toarray() if sparse.issparse(y) else y
            y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        check_classification_targets(y)
        task = self._task_of(y)
        if reset:
            self._task = task
        elif task != self._task:
            now, then = ("1-d" if t == "classification" else "2-d" for t in (task, self._task))
            raise ValueError(f"y must be {then}, as in the first fit, got a {now} y.")
        return X, y

    def _task_of(self, y: np.ndarray) -> Task:
        if y.ndim == 1:
            return "classification"
        kind = type_of_target(y, input_name="y")
        if kind != "multilabel-indicator":
            raise ValueError(
                "y must be 1-d, or contain 0 and 1 for each label, of shape (n_samples, n_labels); "
                f"got a y of type {kind!r}. Fit one classifier per column, as "
                "sklearn.multioutput.MultiOutputClassifier does."
            )
        if (np.sum(y, axis=1) == 1).all():
            warnings.warn(
                "Every row of y has exactly one label. It is taken for a multi-label problem; if y "
                "is a one-hot encoding of classes, pass y.argmax(axis=1).",
                UserWarning,
                stacklevel=2,
            )
        return "multilabel"

    def _encode(self, y: np.ndarray, reset: bool) -> np.ndarray:
        if y.ndim == 2:
            return self._encode_labels(y, reset)
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

    def _encode_labels(self, y: np.ndarray, reset: bool) -> np.ndarray:
        if reset:
            self.classes_ = np.arange(y.shape[1])
        if y.shape[1] != len(self.classes_):
            raise ValueError(
                f"y must have {len(self.classes_)} labels, as in the first fit, got {y.shape[1]}."
            )
        return y.astype(np.float32)

    def _n_outputs(self, y: np.ndarray, one_pass: bool) -> int:
        if y.ndim == 2:
            return y.shape[1]
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
        if y.ndim == 2:
            other = (
                ", or loss='binary_focal_crossentropy'" if hasattr(self._settings, "loss") else ""
            )
            raise ValueError(
                f"`class_weight` must be None for a y of several labels, got {class_weight!r}. Use "
                f"sample_weight{other}."
            )
        each = np.ones(len(y)) if weight is None else weight
        return each * self._weight_of_classes(class_weight, y, each)[y]

    def _counter(self, y: np.ndarray, unknown: bool) -> LabelCounts | None:
        balanced = getattr(self._settings, "class_weight", None) == "balanced"
        return LabelCounts() if y.ndim == 1 and (unknown or balanced) else None

    def _encoding(self, y, counter, unknown, training):
        if unknown and y.ndim == 1:
            self.classes_ = counter.labels
        one = self._encode(y[:1], reset=unknown and y.ndim == 2)
        class_weight = getattr(self._settings, "class_weight", None) if training else None
        if class_weight is None:
            return lambda y, weight: (self._encode(y, reset=False), weight)
        if y.ndim == 2:
            self._balanced(one, None)  # raises
        sums = np.zeros(len(self.classes_))
        if counter is not None:
            sums[self._encode(counter.labels, reset=False)] = counter.weights
        each = self._weight_of_classes(class_weight, np.arange(len(sums)), sums)

        def encode(y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            encoded = self._encode(y, reset=False)
            return encoded, weight * each[encoded]

        return encode

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
    def fit(
        self,
        X: SamplesLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        X_val: SamplesLike | None = None,
        y_val: ArrayLike | None = None,
        *,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Fit the estimator to training data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...), or source of batches
            Samples: the rows of a table, or arrays such as images (height, width, channels). Or
            batches (X, y) or (X, y, sample_weight): a `keras.utils.PyDataset`, a
            `tf.data.Dataset`, a torch or Grain data loader, or a function that returns an iterator.
        y : array-like of shape (n_samples,) or (n_samples, n_labels), default=None
            Class labels of any type; None if X yields batches, which contain them.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights. A weight of 2 is equivalent to repeating the sample, a weight of 0 to
            removing it.
        X_val, y_val : array-like, default=None
            Validation data, or a source of batches as `X_val` alone, on which each epoch is
            evaluated; `early_stopping` uses their loss. A pipeline does not transform them unless
            its ``transform_input`` names "X_val". A warning is issued where they have quite another
            scale than `X`.
        classes : array-like of shape (n_classes,), default=None
            The classes, or ``range(n_labels)`` for several labels per sample. None takes those of
            `y`; a source is passed over once to find them.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        TypeError, ValueError
            If a parameter or the data are invalid, or a label is not in `classes`. The estimator is
            then left as it was before.
        """
        resume = bool(getattr(self, "warm_start", False)) and self.__sklearn_is_fitted__()
        with self._restored_on_error():
            known = classes is not None
            if known:
                self._take_classes(classes, resume)
            given = X, y, sample_weight, X_val, y_val
            self._learn(*given, resume=resume, classes_known=known)
        return self

    def _take_classes(self, classes: Any, resume: bool) -> None:
        if not resume:
            # scikit-learn takes existing classes for those of an earlier call.
            self.__dict__.pop("classes_", None)
        check_partial_fit_first_call(self, classes)

    @final
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: SamplesLike,
        y: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Continue training with one pass over a batch of samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), or source of batches
            Samples.
        y : array-like of shape (n_samples,) or (n_samples, n_labels), default=None
            Class labels; None if X yields batches, which contain them.
        classes : array-like of shape (n_classes,), default=None
            The classes of all batches together, or ``range(n_labels)`` for several labels per
            sample; required in the first call.
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
            self._take_classes(classes, resume)
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
            Logits of each class or label. With two classes it is their difference, which is
            positive where ``classes_[1]`` is predicted.
        """
        logits = self._outputs(X)
        # One column for two classes, as scikit-learn's metrics expect.
        two_classes = len(self.classes_) == 2 and self._task == "classification"
        return logits[:, 1] - logits[:, 0] if two_classes else logits

    def predict(self, X: SamplesLike) -> np.ndarray:
        """Predict class labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
            Labels from `classes_`; for several labels per sample, 1 where the probability of a
            label is above one half.
        """
        return self._labels(self._outputs(X))

    def predict_proba(self, X: SamplesLike) -> np.ndarray:
        """Compute class probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities, the softmax of the outputs; columns are in the order of `classes_`. For
            several labels per sample, the probability of each label, the sigmoid of the outputs.
        """
        return self._probabilities(self._outputs(X))

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
        outputs = self._outputs(X)
        return log_expit(outputs) if self._task == "multilabel" else log_softmax(outputs, axis=1)

    def score(
        self, X: SamplesLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Return the accuracy of `predict`.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), or source of batches
            Samples.
        y : array-like of shape (n_samples,) or (n_samples, n_labels), default=None
            True labels; None if X yields batches, which contain them. Of several labels per
            sample, all must be right.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights.

        Returns
        -------
        float
            The fraction of samples that are predicted right.
        """
        source = as_source(X)
        if source is None:
            return super().score(X, y, sample_weight)
        refuse_beside(source, y, sample_weight)
        recording = Recording(source)
        predicted = self.predict(recording)
        y, weight = recording.targets()
        return float(accuracy_score(y, predicted, sample_weight=weight))

    def _labels(self, outputs: np.ndarray) -> np.ndarray:
        if self._task == "multilabel":
            return (outputs > 0).astype(int)
        return self.classes_[outputs.argmax(axis=1)]

    def _probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Return the probabilities of classes or labels, which are on the last axis."""
        return expit(outputs) if self._task == "multilabel" else softmax(outputs, axis=-1)
