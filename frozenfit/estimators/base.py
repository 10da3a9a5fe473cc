"""scikit-learn's contract, kept once for all estimators.

A subclass brings its constructor, `_parameter_constraints` and two hooks: `_train(problem)`, which
learns and sets fitted attributes, and `_logits(X)`, which computes outputs. What only classifiers
or only regressors do is in classifier.py and regressor.py. The public methods are final, but for
`predict` and `predict_proba`: a subclass may give them options with defaults, which `_outputs`
hands on to its `_logits`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral
from typing import Any, final

import keras
import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from frozenfit.training.data import Data, distinct

_SEED_LIMIT = 2**31 - 1


class TrainingInterrupted(KeyboardInterrupt):
    """The user stopped training; the estimator is fitted with what it had learned by then."""


@dataclass
class FitData:
    """What `fit` hands to the hook that learns.

    Attributes
    ----------
    data : Data
        The weighted set of distinct training samples; y holds class indices, or targets of
        shape (n, n_targets).
    validation : Data or None
        Held-out samples the user gave.
    n_outputs : int
        Number of classes, or of targets.
    classifies : bool
        Which of the two.
    seed : int
        Decides everything random in this fit.
    resume : bool
        Go on from the fitted state, where there is one.
    one_pass : bool
        Learn from the data once, as `partial_fit` does.
    told : dict
        X, y and the sample weights as scikit-learn's callbacks are told of them.
    """

    data: Data
    validation: Data | None
    n_outputs: int
    classifies: bool
    seed: int
    resume: bool
    one_pass: bool
    told: dict[str, Any]


class NetworkEstimator(CallbackSupportMixin, BaseEstimator):
    """What all estimators share. Subclasses: see the module's docstring."""

    _parameter_constraints: dict = {}
    _takes_sparse = False

    @property
    def _settings(self) -> NetworkEstimator:
        """The estimator that holds the settings of data and training: a meta-estimator's own."""
        return self

    @abstractmethod
    def _train(self, problem: FitData) -> None:
        """Learn, and set the fitted attributes."""

    @abstractmethod
    def _logits(self, X: np.ndarray) -> np.ndarray:
        """Compute the outputs, shape (n, n_outputs), of validated samples."""

    @abstractmethod
    def _check_data(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        """Validate X and y."""

    @abstractmethod
    def _encode(self, y: np.ndarray, reset: bool) -> np.ndarray:
        """Turn y into class indices, or into targets of shape (n, n_targets)."""

    @abstractmethod
    def _n_outputs(self, y: np.ndarray, one_pass: bool) -> int:
        """Say how many outputs the network needs for the encoded y."""

    def _learn_from_source(
        self, X: Any, y: Any, sample_weight: Any, *, resume: bool, one_pass: bool
    ) -> bool:
        """Learn from data that is no array, such as an iterator of batches; say whether it is."""
        return False

    def _collected(self, X: Any, y: np.ndarray, weight: np.ndarray | None) -> Data:
        """Make training data of validated samples, encoded targets and weights."""
        return distinct(X, y, weight)

    def _scaled(self, data: Data, reset: bool) -> Data:
        """Put the targets on the scale of training."""
        return data

    def _balanced(self, y: np.ndarray, weight: np.ndarray | None) -> np.ndarray | None:
        """Multiply the sample weights by class weights, where there are any."""
        return weight

    @final
    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters, those in `model_params` as ``model_params__name`` too.

        Parameters
        ----------
        deep : bool, default=True
            Whether to list nested parameters.

        Returns
        -------
        dict of str to object
            Parameter names and values.
        """
        params = super().get_params(deep=deep)
        if deep:
            nested = params.get("model_params")
            if isinstance(nested, dict):  # fit refuses anything else
                params |= {f"model_params__{name}": value for name, value in nested.items()}
        return params

    def set_params(self, **params: Any):
        """Set parameters; ``model_params__name`` sets one argument of the network.

        Parameters
        ----------
        **params : object
            Parameter names and values. A new `model_params` dict is written, never the user's.

        Returns
        -------
        self
            The estimator.
        """
        prefix = "model_params__"
        nested = {k[len(prefix) :]: v for k, v in params.items() if k.startswith(prefix)}
        super().set_params(**{k: v for k, v in params.items() if not k.startswith(prefix)})
        if nested:
            if "model_params" not in super().get_params(deep=False):
                raise ValueError(f"{type(self).__name__} has no parameter 'model_params'")
            self.model_params = {**(self.model_params or {}), **nested}
        return self

    @final
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None, X_val=None, y_val=None):
        """Learn from data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Samples: a table, or arrays such as images (height, width, channels).
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Class labels of any kind, or targets. Left out only where X gives batches with them,
            in the estimators that take such.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights; a weight of 2 is the same as the row twice, 0 as the row left out.
        X_val, y_val : array-like, default=None
            Held-out samples to watch, and to stop on with `early_stopping`.

        Returns
        -------
        self
            The fitted estimator.
        """
        resume = bool(getattr(self, "warm_start", False)) and self.__sklearn_is_fitted__()
        with self._restored_on_error():
            self._learn(X, y, sample_weight, X_val, y_val, resume=resume)
        return self

    def _learn(
        self,
        X,
        y,
        sample_weight=None,
        X_val=None,
        y_val=None,
        *,
        resume: bool,
        one_pass: bool = False,
        classes_known: bool = False,
    ) -> None:
        source = {"resume": resume, "one_pass": one_pass}
        if not self._learn_from_source(X, y, sample_weight, **source):
            given = X, y, sample_weight, X_val, y_val
            self._train(self._problem(*given, resume, one_pass, classes_known))

    def _problem(
        self, X, y, sample_weight, X_val, y_val, resume, one_pass=False, classes_known=False
    ) -> FitData:
        """Turn what the user gave into what is to be learned."""
        X, y = self._check_data(X, y, reset=not resume)
        X, y, weight = self._weighted(X, y, sample_weight)
        weights = None if weight is None else {"sample_weight": weight}
        told = {"X": X, "y": y, "metadata": weights}
        y = self._encode(y, reset=not (resume or classes_known))
        samples = self._as_samples(X, reset=not resume)
        data = self._collected(samples, y, self._balanced(y, weight))
        return FitData(
            data=self._scaled(data, reset=not resume),
            validation=self._held_out(X_val, y_val),
            n_outputs=self._n_outputs(y, one_pass),
            classifies=y.ndim == 1,
            seed=self._fit_seed(),
            resume=resume,
            one_pass=one_pass,
            told=told,
        )

    def _weighted(self, X, y, sample_weight):
        """Validate the weights, and leave out what has none."""
        if sample_weight is None:
            return X, y, None
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if weight.all():
            return X, y, weight
        kept = weight > 0
        return X[kept], y[kept], weight[kept]

    def _held_out(self, X_val, y_val) -> Data | None:
        if X_val is None and y_val is None:
            return None
        if X_val is None or y_val is None:
            raise ValueError("X_val and y_val go together; one of them is None")
        X, y = self._check_data(X_val, y_val, reset=False)
        samples = self._as_samples(X, reset=False)
        everyone = np.arange(len(X)), np.ones(len(X), np.float32)
        return self._scaled(Data(samples, self._encode(y, reset=False), *everyone), reset=False)

    def _fit_seed(self) -> int:
        """Draw the seed of this fit; without a `random_state` from fresh entropy.

        NumPy's global stream is left alone, unless the user hands it in.
        """
        state = getattr(self, "random_state", None)
        if state is None:
            return int(np.random.SeedSequence().generate_state(1)[0] % _SEED_LIMIT)
        return int(check_random_state(state).randint(_SEED_LIMIT))

    @contextmanager
    def _restored_on_error(self) -> Iterator[None]:
        """Leave the estimator as it was where a fit fails."""
        before = dict(self.__dict__)
        try:
            yield
        except TrainingInterrupted:
            raise
        except BaseException:
            kept = ("_callback_fit_ctx", "_skl_callbacks_to_teardown")
            before |= {name: self.__dict__[name] for name in kept if name in self.__dict__}
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def __sklearn_is_fitted__(self) -> bool:
        """Say whether `fit` or `partial_fit` has succeeded."""
        return hasattr(self, "n_iter_")

    def _check_input(self, X: Any, reset: bool, **with_y: Any) -> Any:
        """Validate X, and y where given, by scikit-learn's own rules."""
        dtypes = [keras.config.floatx(), np.uint8]
        if not hasattr(X, "ndim") and not hasattr(X, "shape"):
            X = np.asarray(X)
        if len(X.shape) <= 2:
            accepted = "csr" if self._takes_sparse else False
            return validate_data(
                self, X, reset=reset, dtype=dtypes, accept_sparse=accepted, **with_y
            )
        options = {"ensure_2d": False, "allow_nd": True}
        checked: Any = validate_data(self, X, reset=reset, dtype=dtypes, **options, **with_y)
        if reset:
            array = checked[0] if with_y else checked
            self.n_features_in_ = int(np.prod(array.shape[1:]))
        return checked

    def _as_samples(self, X: np.ndarray, reset: bool) -> np.ndarray:
        """Give rows the shape the network takes, and hold later data to it."""
        shape = getattr(self._settings, "image_shape", None)
        if shape is not None:
            if not all(isinstance(n, Integral) and int(n) >= 1 for n in shape) or not shape:
                raise ValueError(
                    "image_shape must hold integers >= 1 such as (28, 28, 1), found "
                    f"{tuple(shape)!r}"
                )
            shape = tuple(shape)
            if X.shape[1:] not in (shape, (int(np.prod(shape)),)) and X.shape[1:] + (1,) != shape:
                raise ValueError(
                    f"X must hold samples of image_shape={shape}, or rows of {np.prod(shape)} "
                    f"features, found samples of shape {X.shape[1:]}"
                )
            X = X.reshape(len(X), *shape)
        if reset:
            self.input_shape_ = X.shape[1:]
        elif X.shape[1:] != self.input_shape_:
            raise ValueError(
                f"X must hold samples of shape {self.input_shape_}, as in fit, found {X.shape[1:]}"
            )
        return X

    def _outputs(self, X: Any, **options: Any) -> np.ndarray:
        check_is_fitted(self)
        X = self._check_input(X, reset=False)
        return self._logits(self._as_samples(X, reset=False), **options).astype(np.float64)
