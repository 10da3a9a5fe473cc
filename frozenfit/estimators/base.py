"""The scikit-learn interface that all estimators share.

A subclass defines its constructor, `_parameter_constraints` and two hooks: `_train(fit_data)`
trains and sets the fitted attributes, and `_logits(X)` computes outputs. The methods of classifiers
and those of regressors are in classifier.py and regressor.py. Public methods are final, except
`predict` and `predict_proba`: a subclass may add options with defaults, which `_outputs` passes to
`_logits`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self, final

import keras
import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from frozenfit.estimators import streams
from frozenfit.estimators.column_scales import warn_of_other_scales, warn_of_unscaled
from frozenfit.estimators.counting import Counter
from frozenfit.estimators.fit_signature import checkpoint_of
from frozenfit.isolation import SEED_LIMIT
from frozenfit.layer_kinds import is_normalization
from frozenfit.training.checkpoint import Checkpoint
from frozenfit.training.data import Data, distinct
from frozenfit.training.objective import Task
from frozenfit.training.sources import Source, as_source, refuse_beside, refuse_one_shot
from frozenfit.training.sparse_rows import SparseRows
from frozenfit.training.streamed import AnyData
from frozenfit.utils.doc_link import DocumentationLink
from frozenfit.utils.scikit_learn import CallbackSupportMixin, check_sample_weight, fit_context

if TYPE_CHECKING:
    from sklearn.utils import Tags

    from frozenfit.training.network import Network
    from frozenfit.types import ArrayLike, SamplesLike


_INTEGERS = tuple(np.dtype(code) for code in np.typecodes["AllInteger"])


class TrainingInterrupted(KeyboardInterrupt):
    """Raised after an interruption of training; the estimator is fitted with what it reached."""


@dataclass
class FitData:
    """Validated data and settings of one fit, passed to `_train`.

    Attributes
    ----------
    data : Data or StreamedData
        The weighted set of distinct training samples, or what a source yields; y contains class
        indices, or targets of shape (n, n_targets).
    validation : Data, StreamedData or None
        Validation data given by the user.
    n_outputs : int
        Number of classes or targets.
    task : {"classification", "multilabel", "regression"}
        The kind of the targets.
    seed : int
        Seed from which all random streams of this fit are derived.
    resume : bool
        Whether to continue from the fitted state.
    one_pass : bool
        Whether to pass over the data once, as `partial_fit` does.
    callback_args : dict
        X, y and the sample weights, as scikit-learn's callbacks receive them.
    checkpoint : Checkpoint or None, default=None
        Where the state of training is written.
    """

    data: AnyData
    validation: AnyData | None
    n_outputs: int
    task: Task
    seed: int
    resume: bool
    one_pass: bool
    callback_args: dict[str, Any]
    checkpoint: Checkpoint | None = None

    @property
    def is_streamed(self) -> bool:
        """Whether training or validation data come from a source of batches."""
        return any(data is not None and data.is_stream for data in (self.data, self.validation))

    def for_network(self, network: Network, names: Sequence[str] | None = None) -> FitData:
        """Return the same with samples of the dtype that a network asks for.

        Parameters
        ----------
        network : Network
            The network.
        names : sequence of str or None, default=None
            Names of the columns, for warnings.

        Returns
        -------
        FitData
            The same object where the samples have the dtype already.
        """
        if self.data.dtype is not None:
            return self
        data, validation = self.data.for_network(network.model), self.validation
        if validation is not None:
            validation = validation.for_network(network.model)
        first = next(iter(network.survey.layers.values()), None)
        scaled = first is not None and is_normalization(first)
        floats = data.dtype == keras.config.floatx()
        looked_at = data.first
        if looked_at.X.ndim == 2 and floats and not (scaled or self.resume or self.one_pass):
            warn_of_unscaled(looked_at.X, names, looked_at.rows)
        return replace(self, data=data, validation=validation)


class NetworkEstimator(DocumentationLink, CallbackSupportMixin, BaseEstimator):
    """Base class of all estimators; the module's docstring describes how to extend it."""

    _task: Task

    def __sklearn_tags__(self) -> Tags:
        """Declare support for sparse samples."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    _parameter_constraints: dict = {}
    # Whether sparse samples are trained on as they are, rather than densified batch by batch.
    _keeps_sparse = False
    _takes_integers = False

    @property
    def _settings(self) -> NetworkEstimator:
        """The estimator with the settings of training: itself, or that of a meta-estimator."""
        return self

    @abstractmethod
    def _train(self, fit_data: FitData) -> None:
        """Train, and set the fitted attributes."""

    @abstractmethod
    def _logits(self, X: np.ndarray) -> np.ndarray:
        """Compute the outputs, shape (n, n_outputs), of validated samples."""

    @abstractmethod
    def _check_data(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        """Validate X and y."""

    @abstractmethod
    def _encode(self, y: np.ndarray, reset: bool) -> np.ndarray:
        """Convert y to class indices, or to targets of shape (n, n_targets)."""

    @abstractmethod
    def _n_outputs(self, y: np.ndarray, one_pass: bool) -> int:
        """Return the number of outputs of the network for the encoded y."""

    @abstractmethod
    def _counter(self, y: np.ndarray, unknown: bool) -> Counter | None:
        """Return what the pass over a source must count before training, where there is anything.

        `y` are the first targets, and `unknown` is whether classes or scale are to be found out.
        """

    @abstractmethod
    def _encoding(self, y: np.ndarray, counter: Any, unknown: bool, training: bool) -> Callable:
        """Take in what was counted; return ``f(y, weight)``, which encodes a batch."""

    def _learn_in_another_way(
        self, X: Any, y: Any, sample_weight: Any, X_val: Any, *, one_pass: bool, classes_known: bool
    ) -> bool:
        """Train without `FitData`, and return True, where an estimator can do so with this X."""
        return False

    def _check_streams(self, one_pass: bool, validated: bool) -> None:
        """Raise an error where a setting cannot be combined with a source of batches."""

    def _needs_steps(self, one_pass: bool) -> bool:
        """Return whether the number of steps of an epoch must be known before training."""
        return False

    def _collected(self, X: Any, y: np.ndarray, weight: np.ndarray | None) -> Data:
        """Create the training data from validated samples, encoded targets and weights."""
        return distinct(X, y, weight)

    def _scaled(self, data: Data, reset: bool) -> Data:
        """Return the data with targets on the scale of training."""
        return data

    def _balanced(self, y: np.ndarray, weight: np.ndarray | None) -> np.ndarray | None:
        """Return the sample weights multiplied by class weights, where there are any."""
        return weight

    @final
    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters, including each of `model_params` as ``model_params__name``.

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
            if isinstance(nested, dict):  # `fit` raises an error for other types
                params |= {f"model_params__{name}": value for name, value in nested.items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters; ``model_params__name`` sets one argument of the network.

        Parameters
        ----------
        **params : object
            Parameter names and values. The current `model_params` dict is never modified, because
            clones may share it; a new one replaces it.

        Returns
        -------
        self
            The estimator.

        Raises
        ------
        ValueError
            If the estimator has no such parameter.
        """
        prefix = "model_params__"
        nested = {k[len(prefix) :]: v for k, v in params.items() if k.startswith(prefix)}
        super().set_params(**{k: v for k, v in params.items() if not k.startswith(prefix)})
        if nested:
            if "model_params" not in super().get_params(deep=False):
                raise ValueError(f"{type(self).__name__} has no parameter 'model_params'.")
            self.model_params = {**(self.model_params or {}), **nested}
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: SamplesLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        X_val: SamplesLike | None = None,
        y_val: ArrayLike | None = None,
    ) -> Self:
        """Fit the estimator to training data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...), or source of batches
            Samples: the rows of a table, or arrays such as images (height, width, channels). Or
            batches (X, y) or (X, y, sample_weight): a `keras.utils.PyDataset`, a
            `tf.data.Dataset`, a torch or Grain data loader, or a function that returns an iterator.
        y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            Targets; None if X yields batches, which contain them.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights. A weight of 2 is equivalent to repeating the sample, a weight of 0 to
            removing it.
        X_val, y_val : array-like, default=None
            Validation data, or a source of batches as `X_val` alone, on which each epoch is
            evaluated; `early_stopping` uses their loss. A pipeline does not transform them unless
            its ``transform_input`` names "X_val". A warning is issued where they have quite another
            scale than `X`.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        TypeError, ValueError
            If a parameter or the data are invalid. The estimator is then left as it was before.
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
        known = {"one_pass": one_pass, "classes_known": classes_known}
        if not self._learn_in_another_way(X, y, sample_weight, X_val, **known):
            given = X, y, sample_weight, X_val, y_val
            self._train(self._fit_data(*given, resume, **known))

    def _fit_data(
        self, X, y, sample_weight, X_val, y_val, resume, one_pass=False, classes_known=False
    ) -> FitData:
        """Validate and encode the arguments of `fit`."""
        checkpoint = None if one_pass else checkpoint_of(self)
        source, held_out = as_source(X), as_source(X_val)
        _check_source(source, "X", y, sample_weight, "`y` and `sample_weight`")
        _check_source(held_out, "X_val", y_val, None, "`y_val`")
        if source is not None or held_out is not None:
            self._check_streams(one_pass, X_val is not None)
        unknown = not (resume or classes_known)
        if source is None:
            data, y, callback_args = self._data_of_arrays(X, y, sample_weight, not resume, unknown)
        else:
            needs_steps = self._needs_steps(one_pass)
            data = streams.streamed(self, source, not resume, unknown, needs_steps=needs_steps)
            callback_args = {"X": X, "y": None, "metadata": None}
            y = data.first.y
            # The first samples may lack a class.
            y = y if y.ndim == 2 else np.arange(len(getattr(self, "classes_")))  # noqa: B009
        validation = self._held_out(X_val, y_val, held_out)
        if validation is not None and data.first.X.ndim == 2 and not resume:
            names = getattr(self, "feature_names_in_", None)
            warn_of_other_scales(data.first.X, validation.first.X, names)
        return FitData(
            data=data,
            validation=validation,
            n_outputs=self._n_outputs(y, one_pass),
            task=self._task,
            seed=self._fit_seed(),
            resume=resume,
            one_pass=one_pass,
            callback_args=callback_args,
            checkpoint=checkpoint,
        )

    def _data_of_arrays(
        self, X, y, sample_weight, reset: bool, unknown: bool
    ) -> tuple[Data, np.ndarray, dict[str, Any]]:
        """Return the training data, all encoded targets, and what callbacks receive."""
        X, y = self._check_data(X, y, reset=reset)
        X, y, weight = self._weighted(X, y, sample_weight)
        weights = None if weight is None else {"sample_weight": weight}
        # Callbacks receive the data before labels are encoded and equal samples are merged.
        callback_args = {"X": X, "y": y, "metadata": weights}
        y = self._encode(y, reset=unknown)
        samples = self._as_samples(X, reset=reset)
        data = self._collected(samples, y, self._balanced(y, weight))
        return self._scaled(data, reset=reset), y, callback_args

    def _weighted(self, X, y, sample_weight):
        """Validate the sample weights, and remove samples of weight 0."""
        if sample_weight is None:
            return X, y, None
        weight = check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if weight.all():
            return X, y, weight
        positive = weight > 0
        if not positive.any():  # scikit-learn checks it since 1.9
            raise ValueError(
                "`sample_weight` must be positive for at least one sample, got zero for all."
            )
        return X[positive], y[positive], weight[positive]

    def _held_out(self, X_val, y_val, source: Source | None) -> AnyData | None:
        if X_val is None and y_val is None:
            return None
        if source is not None:
            return streams.streamed(self, source, reset=False, unknown=False, training=False)
        if X_val is None or y_val is None:
            raise ValueError(
                "`X_val` and `y_val` must be given together, got None for one of them."
            )
        X, y = self._check_data(X_val, y_val, reset=False)
        samples = self._as_samples(X, reset=False)
        everyone = np.arange(len(samples)), np.ones(len(samples), np.float32)
        return self._scaled(Data(samples, self._encode(y, reset=False), *everyone), reset=False)

    def _fit_seed(self) -> int:
        """Draw the seed of this fit from `random_state`, or from fresh entropy where it is None.

        NumPy's global stream is used only where the user passes it as `random_state`.
        """
        state = getattr(self, "random_state", None)
        if state is None:
            return int(np.random.SeedSequence().generate_state(1)[0] % SEED_LIMIT)
        return int(check_random_state(state).randint(SEED_LIMIT))

    @contextmanager
    def _restored_on_error(self) -> Iterator[None]:
        """Restore the attributes of the estimator where a fit fails."""
        # A shallow copy is enough: a fit replaces fitted attributes and never modifies them.
        before = dict(self.__dict__)
        try:
            yield
        except TrainingInterrupted:
            raise
        except BaseException:
            # scikit-learn tears its callbacks down later and needs these attributes to find them.
            callbacks = ("_callback_fit_ctx", "_skl_callbacks_to_teardown")
            before |= {name: self.__dict__[name] for name in callbacks if name in self.__dict__}
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether `fit` or `partial_fit` has succeeded."""
        return hasattr(self, "n_iter_")

    def _check_input(self, X: Any, reset: bool, **with_y: Any) -> Any:
        """Validate X, and y where given, as scikit-learn does."""
        # uint8 images stay as they are, in a quarter of the memory, and other integers because the
        # network may ask for them; a batch is converted when it is used.
        dtypes = [keras.config.floatx(), *(_INTEGERS if self._takes_integers else (np.uint8,))]
        if not hasattr(X, "ndim") and not hasattr(X, "shape"):
            X = np.asarray(X)
        if len(X.shape) <= 2:
            dtypes = dtypes[:1] if sparse.issparse(X) else dtypes
            try:
                return validate_data(
                    self, X, reset=reset, dtype=dtypes, accept_sparse="csr", **with_y
                )
            except (TypeError, ValueError) as error:
                _refuse_text(X, error)
                raise
        options = {"ensure_2d": False, "allow_nd": True}
        # `validate_data` counts the features of tables only.
        checked: Any = validate_data(self, X, reset=reset, dtype=dtypes, **options, **with_y)
        if reset:
            array = checked[0] if with_y else checked
            self.n_features_in_ = int(np.prod(array.shape[1:]))
        return checked

    def _as_samples(self, X: Any, reset: bool) -> Any:
        """Reshape the samples for the network, and check that their shape is that of `fit`."""
        shape = getattr(self._settings, "image_shape", None)
        if sparse.issparse(X):
            if shape is not None:
                raise ValueError(
                    f"X must be dense with image_shape={tuple(shape)}, got a sparse matrix. Pass "
                    "X.toarray()."
                )
            X = X if self._keeps_sparse else SparseRows(X)
        if shape is not None:
            if not all(isinstance(n, Integral) and int(n) >= 1 for n in shape) or not shape:
                raise ValueError(
                    "`image_shape` must contain integers >= 1, such as (28, 28, 1), got "
                    f"{tuple(shape)!r}."
                )
            shape = tuple(shape)
            if X.shape[1:] not in (shape, (int(np.prod(shape)),)) and X.shape[1:] + (1,) != shape:
                raise ValueError(
                    f"X must contain samples of image_shape={shape}, or rows of "
                    f"{np.prod(shape)} features, got samples of shape {X.shape[1:]}."
                )
            X = X.reshape(len(X), *shape)
        if reset:
            self.input_shape_ = X.shape[1:]
        elif X.shape[1:] != self.input_shape_:
            raise ValueError(
                f"X must contain samples of shape {self.input_shape_}, as in `fit`, got "
                f"{X.shape[1:]}."
            )
        return X

    def _outputs(self, X: Any, **options: Any) -> np.ndarray:
        return self._over_samples(X, lambda samples: self._logits(samples, **options))

    def _over_samples(self, X: Any, compute: Callable, axis: int = 0) -> np.ndarray:
        """Compute outputs in float64 for the samples of an array, or for those of a source."""
        check_is_fitted(self)
        source = as_source(X)
        if source is None:
            X = self._as_samples(self._check_input(X, reset=False), reset=False)
            return compute(X).astype(np.float64)
        parts = [compute(block).astype(np.float64) for block in streams.blocks(self, source)]
        return np.concatenate(parts, axis=axis)


def _check_source(source: Source | None, name: str, y: Any, weight: Any, beside: str) -> None:
    """Raise an error where a source cannot be passed over again, or has something beside it."""
    if source is not None:
        refuse_one_shot(source, name)
        refuse_beside(source, y, weight, beside)


def _refuse_text(X: Any, error: Exception) -> None:
    """Raise an error that names the columns of a data frame which do not contain numbers."""
    found = {}
    for name in getattr(X, "columns", ()):
        try:
            np.asarray(X[name], np.float64)
        except (TypeError, ValueError):
            found[name] = next((value for value in X[name] if not _is_number(value)), X[name])
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        name, value = next(iter(found.items()))
        raise ValueError(
            f"X must contain numbers, but its column {name!r}{more} contains {value!r}. Encode "
            "such columns before the estimator, for example by make_pipeline("
            "make_column_transformer((OneHotEncoder(), columns), remainder=StandardScaler()), "
            "estimator)."
        ) from error


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
