"""The extension point for features: the abstract stage and the registry of stages by name."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator

from frozenfit.parameter_table import TableRow
from frozenfit.types import Features, Samples, Shape
from frozenfit.utils.names import did_you_mean

if TYPE_CHECKING:
    import keras

__all__ = [
    "FeatureStage",
    "apply_stage",
    "array_of",
    "as_stage",
    "frozen_row",
    "image_shape",
    "register_stage",
    "register_wrapper",
    "registered_stages",
]


class FeatureStage(BaseEstimator, ABC):
    """Frozen features between the samples of an ELM and its random dense layers.

    Derive a class, implement `fit` and `__call__`, and pass an instance as ``features=`` of
    `ELMClassifier`, `ELMRegressor` or `ELMFeatures`. The other methods are optional: each one adds
    an ability.

    Attributes
    ----------
    passes_samples : bool, default=False
        Whether `__call__` returns the values of the samples unchanged. Column statistics are then
        summed over all rows in the first pass over the data, before the stage is fitted.
    shares_scale : bool, default=False
        Whether all features of an image have one unit, as pixels have; ``scale="auto"`` then
        scales them by one common factor.
    statistics_rows : int or None, default=None
        Number of rows whose features are computed to find the scaling; None means every row that
        the stage is fitted on. Set it where a row is expensive.

    See Also
    --------
    register_stage : Make a stage available by name and storable in files.

    Notes
    -----
    *Parameters.* A stage is a scikit-learn estimator: ``__init__`` stores its arguments under the
    same names and does nothing else, so that `clone`, `set_params` and searches reach them.

    *State.* `fit` and `restore` are called on a shallow copy of the user's object. They may set
    attributes, whose names end in an underscore, and must not change an object that a parameter
    refers to. After `fit` a stage never changes.

    *Determinism.* The result of `fit` depends on its arguments alone, and all randomness comes from
    `rng`. The rows come in an order that does not depend on the order in which the user passed
    them. The features of a row do not depend on the other rows of a call.

    *Threads and processes.* A fitted stage is pickled to workers and may be called from several
    threads.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from frozenfit import ELMClassifier
    >>> from frozenfit.elm import FeatureStage
    >>> class Ratios(FeatureStage):
    ...     def fit(self, X, y, rng):
    ...         return self
    ...     def __call__(self, X):
    ...         return np.hstack([X, X / X.sum(axis=1, keepdims=True)])
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = ELMClassifier(200, features=Ratios(), random_state=0).fit(X[::2], y[::2])
    >>> clf.score(X[1::2], y[1::2]) > 0.9
    True
    """

    passes_samples: ClassVar[bool] = False
    shares_scale: ClassVar[bool] = False
    statistics_rows: ClassVar[int | None] = None
    # The registered name. It also names the random stream that `fit` receives.
    name: ClassVar[str] = "features"

    @classmethod
    def wrap(cls, features: Any) -> FeatureStage | None:
        """Return a stage made of another kind of object.

        It is called only for classes decorated with `register_wrapper`.

        Parameters
        ----------
        features : object
            The argument ``features`` of an estimator.

        Returns
        -------
        FeatureStage or None
            The stage; None if the object is not of the kind that this class wraps.
        """
        return None

    def check(self, input_shape: Shape) -> None:  # noqa: B027 - optional
        """Raise a ValueError if parameters or the shape of a sample are not supported.

        It is called before any data is read.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample.
        """

    @abstractmethod
    def fit(self, X: Samples, y: np.ndarray, rng: np.random.Generator) -> FeatureStage:
        """Fit the stage.

        Parameters
        ----------
        X : ndarray of shape (n_samples, ...) or CSR array
            Distinct samples: all of them, or `loo_rows` of them where there are more.
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Class indices, or regression targets.
        rng : numpy.random.Generator
            The only source of randomness; it follows from `random_state` of the estimator.

        Returns
        -------
        self
            The fitted stage.
        """

    @abstractmethod
    def __call__(self, X: Samples) -> Samples:
        """Compute features.

        Parameters
        ----------
        X : ndarray of shape (n_samples, ...) or CSR array
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_features) or CSR array
            Finite numbers. Further axes are flattened.
        """

    def mask(self, units: int, seed: int, path: str) -> np.ndarray | None:
        """Return which features each unit of the first dense layer is connected to.

        Parameters
        ----------
        units : int
            Number of units.
        seed : int
            Seed of the fit.
        path : str
            Name of the dense layer, for `frozenfit.draws.draw`.

        Returns
        -------
        ndarray of bool of shape (n_features, units), or None
            None connects every unit to every feature.
        """
        return None

    def to_keras(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Compute the features from a symbolic Keras tensor, with Keras layers and operations.

        Parameters
        ----------
        inputs : keras.KerasTensor of shape (None, ...)
            Samples as float32.

        Returns
        -------
        keras.KerasTensor
            The features.

        Raises
        ------
        ValueError
            If the stage has no Keras form.
        """
        raise ValueError(
            f"features={type(self).__name__} has no Keras form; implement to_keras(), or pass "
            "these features to the estimator in a Pipeline"
        )

    @property
    def has_keras_form(self) -> bool:
        """Whether `to_keras` is implemented; an accelerator then computes the features."""
        return type(self).to_keras is not FeatureStage.to_keras

    def parameter_table(self) -> list[TableRow]:
        """Return the frozen parameters for the table of a fitted estimator.

        Returns
        -------
        list of TableRow
            One row for each array of frozen parameters, made by `frozen_row`.
        """
        return []

    def state(self) -> dict[str, Any]:
        """Return the result of `fit` as arrays of numbers and values that JSON can express.

        Returns
        -------
        dict of str to object
            Empty where the parameters determine the stage.

        Raises
        ------
        ValueError
            If the stage cannot be stored.
        """
        raise ValueError(
            f"features={type(self).__name__} cannot be stored in a file; implement state() and "
            "restore(), or pickle the estimator"
        )

    def restore(self, state: Mapping[str, Any], input_shape: Shape) -> FeatureStage:
        """Fit the stage from a state that `state` returned.

        Parameters
        ----------
        state : mapping of str to object
            Read from a file, and therefore not to be trusted: check types and shapes.
        input_shape : tuple of int
            Shape of one sample.

        Returns
        -------
        self
            The fitted stage.

        Raises
        ------
        ValueError
            If the state does not match the parameters.
        """
        return self


Stage = TypeVar("Stage", bound=type[FeatureStage])

_named: dict[str, type[FeatureStage]] = {}
_wrappers: list[type[FeatureStage]] = []


def register_stage(name: str) -> Callable[[Stage], Stage]:
    """Register a `FeatureStage` under a name.

    The name may be passed as ``features=``, with ``feature_params`` as arguments of the class.
    `frozenfit.save` stores a stage by its name; the module that registers it must be imported
    before `frozenfit.load`.

    Parameters
    ----------
    name : str
        The name.

    Returns
    -------
    callable
        A class decorator.

    Raises
    ------
    ValueError
        If another class has the name.

    See Also
    --------
    FeatureStage : The base class of stages.

    Examples
    --------
    >>> from frozenfit.elm import FeatureStage, register_stage
    >>> @register_stage("squares")
    ... class Squares(FeatureStage):
    ...     def fit(self, X, y, rng):
    ...         return self
    ...     def __call__(self, X):
    ...         return X**2
    """

    def decorate(kind: Stage) -> Stage:
        known = _named.get(name)
        # A module that is executed again, as in a notebook, defines the same class anew.
        if known is not None and _home(known) != _home(kind):
            raise ValueError(
                f"a feature stage named {name!r} is registered by {known.__module__}; choose "
                "another name"
            )
        kind.name = name
        _named[name] = kind
        return kind

    return decorate


def _home(kind: Any) -> tuple[str, str]:
    return kind.__module__, kind.__qualname__


def register_wrapper(kind: Stage) -> Stage:
    """Register a class whose `wrap` turns another kind of object into a stage."""
    _wrappers.append(kind)
    return kind


def registered_stages() -> dict[str, type[FeatureStage]]:
    """Return the registered stages by name."""
    return dict(_named)


def as_stage(features: Features, params: Mapping[str, Any] | None = None) -> FeatureStage:
    """Turn the `features` of an estimator into a stage.

    Parameters
    ----------
    features : FeatureStage, str, None, transformer or keras.Model
        A stage, the name of a registered one, or an object that a registered class wraps.
    params : mapping of str to object, default=None
        Arguments of a stage that is given by name.

    Returns
    -------
    FeatureStage
        Not fitted.

    Raises
    ------
    ValueError
        If the name or a key of `params` is unknown.
    TypeError
        If `features` is another kind of object.
    """
    if isinstance(features, FeatureStage):
        return features
    if isinstance(features, str):
        return _by_name(features, params or {})
    for kind in _wrappers:
        stage = kind.wrap(features)
        if stage is not None:
            return stage
    raise TypeError(
        "`features` must be None, the name of a stage, a FeatureStage, a scikit-learn transformer "
        f"or a Keras model, got {features!r}."
    )


def _by_name(name: str, params: Mapping[str, Any]) -> FeatureStage:
    kind = _named.get(name)
    if kind is None:
        raise ValueError(
            "`features` must be None, the name of a stage, a FeatureStage, a scikit-learn "
            f"transformer or a Keras model, got {name!r}. {did_you_mean(name, _named)}"
        )
    known = list(inspect.signature(kind).parameters)
    for key in params:
        if key not in known:
            raise ValueError(
                f"`feature_params` has an unknown key {key!r} for features={name!r}. "
                f"{did_you_mean(key, known)}"
            )
    return kind(**params)


def apply_stage(stage: FeatureStage, X: Any) -> Any:
    """Compute the features of samples and check them.

    Parameters
    ----------
    stage : FeatureStage
        A fitted stage.
    X : ndarray of shape (n_samples, ...) or CSR array
        Samples.

    Returns
    -------
    ndarray of shape (n_samples, n_features) or CSR array

    Raises
    ------
    ValueError
        If the stage does not return one row of finite numbers per sample.
    """
    out: Any = stage(X)
    if stage.passes_samples:
        return out  # the estimator has validated these values
    name, n = type(stage).__name__, X.shape[0]
    is_sparse = sparse.issparse(out)
    out = sparse.csr_array(out) if is_sparse else np.asarray(out)
    if out.dtype == object or out.ndim < 2 or 0 in out.shape or out.shape[0] != n:
        raise ValueError(
            f"features={name} must return an array with one row of features for each of {n} "
            f"samples, got an array of shape {out.shape} and dtype {out.dtype}."
        )
    if not is_sparse:
        out = out.reshape(n, -1)
    if not np.isfinite(out.data if is_sparse else out).all():
        raise ValueError(f"features={name} must return finite numbers, got NaN or infinity.")
    return out


def frozen_row(path: str, array: Any) -> TableRow:
    """Return the row of a parameter table for an array of frozen parameters.

    Parameters
    ----------
    path : str
        Name of the array.
    array : ndarray
        The array.

    Returns
    -------
    TableRow
        The row, without trainable parameters.

    See Also
    --------
    FeatureStage.parameter_table : The method that returns such rows.

    Examples
    --------
    >>> import numpy as np
    >>> from frozenfit.elm import frozen_row
    >>> frozen_row("filters/kernel", np.zeros((3, 4))).total
    12
    """
    shape = tuple(array.shape)
    return TableRow(path, shape, "nothing", 0, int(np.prod(shape)))


def array_of(state: Mapping[str, Any], key: str, ndim: int) -> np.ndarray:
    """Return an array of a state that was read from a file, after checking it.

    Parameters
    ----------
    state : mapping of str to object
        The state.
    key : str
        Name of the array.
    ndim : int
        Its number of axes.

    Returns
    -------
    ndarray of float

    Raises
    ------
    ValueError
        If the array is missing, has another number of axes, or contains NaN or infinity.
    """
    array = state.get(key)
    if array is None:
        raise ValueError(f"the array {key!r} is missing")
    number = isinstance(array, np.ndarray) and array.dtype.kind == "f" and array.ndim == ndim
    if not number or not np.isfinite(array).all():
        raise ValueError(f"the array {key!r} must contain finite numbers on {ndim} axes")
    return array


def image_shape(input_shape: Shape, purpose: str) -> tuple[int, int, int]:
    """Return height, width and channels of images.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of one sample.
    purpose : str
        The setting that needs images, for the error, such as ``"features='patches'"``.

    Returns
    -------
    tuple of int

    Raises
    ------
    ValueError
        If samples of this shape are not images.
    """
    if len(input_shape) not in (2, 3):
        raise ValueError(
            f"{purpose} needs images, got samples of shape {input_shape}. Pass "
            "image_shape=(height, width, channels), or X with these axes."
        )
    height, width, *channels = input_shape
    return height, width, channels[0] if channels else 1
