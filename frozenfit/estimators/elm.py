"""ELMClassifier, ELMRegressor and ELMFeatures: frozen random layers and a ridge in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from frozenfit.elm import device
from frozenfit.elm.frozen import Frozen
from frozenfit.elm.memory import Gathered, cut
from frozenfit.estimators.classifier import NetworkClassifier
from frozenfit.estimators.elm_base import ELM, RandomLayers
from frozenfit.estimators.regressor import NetworkRegressor
from frozenfit.utils.scikit_learn import StrOptions

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from frozenfit.types import (
        Activation,
        ClassWeight,
        DenseWeights,
        Features,
        RandomState,
        Shape,
    )


class ELMClassifier(ELM, NetworkClassifier):
    """Classifier with frozen random layers and a ridge regression in closed form.

    One class per sample, or several labels: y of 0 and 1, of shape (n_samples, n_labels).

    There is no gradient and no learning rate: one pass sums products of the outputs of the units,
    one decomposition gives the solution for every alpha, and exact leave-one-out scores select
    alpha and calibrate the probabilities.

    Parameters
    ----------
    hidden_layer_sizes : int or tuple of int, default=(1000,)
        Number of frozen units of each hidden layer. More units are more accurate and slower; use
        2000 with more than 10,000 rows. ``()`` applies the ridge to `features` directly.
    activation : str or callable, default="gelu"
        "square", the name of a Keras activation, or a function of a tensor. "relu" is as accurate
        and faster.
    features : None, str, FeatureStage, transformer or keras.Model, default=None
        What precedes the dense layers. None: the samples. "receptive_fields": the pixels of an
        image, with each unit connected to a random rectangle [1]_. "patches": convolutions with
        frozen filters, rectified and pooled. A scikit-learn transformer is cloned and fitted on
        at most `loo_rows` rows. A Keras model is applied in inference mode. A
        `frozenfit.FeatureStage` of your own, or the name of a registered one.
    feature_params : dict, default=None
        Arguments of a stage that is given by name: ``border`` and ``min_area`` of
        "receptive_fields"; ``n_filters``, ``patch_size``, ``filters``, ``whiten``, ``rectifier``,
        ``threshold``, ``pool``, ``stride``, ``grid``, ``root`` and ``min_contrast`` of "patches".
    weight_init : str, callable, or tuple of them, default="random"
        "random" (Gaussian), "signs" or "orthogonal" weights; "ciw", sums of the samples of a class
        with random signs; "differences" of two samples of different classes [1]_; or
        ``f(X, y, units, rng) -> (kernel, bias)``. A tuple divides the units among several kinds.
    weight_scale : {"auto", "loo"} or float, default="auto"
        Standard deviation of the input of a unit on scaled columns. "auto": 2 for "gelu" and
        "sigmoid", else 1. "loo" selects one of .5, 1, 2, 4 and 8 by exact leave-one-out on at most
        4,096 rows, which costs a fit on these rows for each.
    direct_links : "auto" or bool, default="auto"
        Whether the ridge receives the scaled columns too. "auto": for tables with no more
        columns than units.
    readout : {"last", "all", "each"}, default="last"
        With several layers: a ridge on the last one, one ridge on all, or the average of one
        ridge per layer.
    scale : {"auto", "columns", "common"} or None, default="auto"
        Scale columns to mean 0 and variance 1 before the first layer, each by its own standard
        deviation or all by a common one. "auto": "common" for images, else "columns".
    clip : "auto", float or None, default="auto"
        Largest absolute value of a scaled column. "auto": 3 with "columns", else None.
    alpha : "loo", float or list of float, default="loo"
        Regularization strength, relative to the mean eigenvalue of the centered Gram matrix.
        "loo" selects the best of 23 values between 1e-9 and 1e2 by exact leave-one-out
        (log loss); a list is another grid.
    loo_rows : int or None, default=16384
        Number of distinct rows for leave-one-out. Up to this number the rows themselves are kept,
        and a fit does not depend on how they arrived. None keeps all.
    batch_size : int, default=4096
        Maximum number of rows that are processed at a time; it does not change the result.
    dtype : {"auto", "float64", "float32"}, default="auto"
        Of the features; sums are always float64. "auto": float32 if the first layer has 2**20
        weights or more. float32 features are computed on an accelerator if there is one.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes. "balanced" raises the recall of rare classes and distorts
        probabilities. Must be None for several labels per sample.
    augment : "flip" or None, default=None
        "flip" trains on mirrored images too.
    image_shape : tuple of int, default=None
        Height, width and channels of images that are passed as rows.
    random_state : int, RandomState or None, default=None
        Seed of the frozen weights and of the choice of rows. Fits are identical bit for bit with
        the same number of BLAS threads; with another number they agree up to rounding.
    verbose : int, default=0
        1 shows a progress bar once a fit has taken three seconds.

    Attributes
    ----------
    classes_ : ndarray
        Class labels; the indices of the labels where a sample has several.
    alpha_ : float or ndarray
        The selected alpha; an array with several ridges.
    best_score_ : float
        Negative leave-one-out log loss at `alpha_`, with several labels the mean over them; larger
        is better.
    weight_scale_ : float
        The weight scale, given or selected.
    freeze_fraction_ : float
        Fraction of the parameters that are frozen.
    n_features_in_ : int
        Number of columns, or of values in an image.
    feature_names_in_ : ndarray of str
        Names of the columns, if X has any.
    input_shape_ : tuple of int
        Shape of one sample.
    n_iter_ : int
        1.

    See Also
    --------
    ELMRegressor : The same for regression.
    ELMFeatures : The frozen layers as a transformer.

    Notes
    -----
    `fit` accepts sparse matrices, memory maps (read in blocks), dask arrays (each block is summed
    by the worker that has it) and, in place of X and without y, a source of batches (X, y) or
    (X, y, sample_weight). The first batch of an iterator, which can be passed over only once, must
    contain every class unless `fit` is given `classes`.

    Up to `loo_rows` distinct rows, any sequence of `partial_fit` calls gives the same as one
    `fit`. Beyond that, the scaling, frozen weights made from data and "balanced" class weights
    stay as they are, and rows are added to sums.

    The estimator keeps these sums and a sample of rows for `partial_fit` and `unlearn`. A file
    written by `frozenfit.save` contains neither.

    References
    ----------
    .. [1] McDonnell, Tissera, Vladusich, van Schaik, Tapson 2015, arXiv 1412.8307.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from frozenfit import ELMClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = ELMClassifier(random_state=0).fit(X[::2], y[::2])
    >>> clf.score(X[1::2], y[1::2]) > 0.9
    True
    """

    _takes_multilabel = True
    _parameter_constraints = {
        **ELM._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (1000,),
        *,
        activation: Activation = "gelu",
        features: Features = None,
        feature_params: dict[str, Any] | None = None,
        weight_init: DenseWeights | Sequence[DenseWeights] = "random",
        weight_scale: float | Literal["auto", "loo"] = "auto",
        direct_links: bool | Literal["auto"] = "auto",
        readout: Literal["last", "all", "each"] = "last",
        scale: Literal["auto", "columns", "common"] | None = "auto",
        clip: float | Literal["auto"] | None = "auto",
        alpha: float | Sequence[float] | Literal["loo"] = "loo",
        loo_rows: int | None = 16384,
        batch_size: int = 4096,
        dtype: Literal["auto", "float64", "float32"] = "auto",
        class_weight: ClassWeight = None,
        augment: Literal["flip"] | None = None,
        image_shape: Shape | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.features = features
        self.feature_params = feature_params
        self.weight_init = weight_init
        self.weight_scale = weight_scale
        self.direct_links = direct_links
        self.readout = readout
        self.scale = scale
        self.clip = clip
        self.alpha = alpha
        self.loo_rows = loo_rows
        self.batch_size = batch_size
        self.dtype = dtype
        self.class_weight = class_weight
        self.augment = augment
        self.image_shape = image_shape
        self.random_state = random_state
        self.verbose = verbose


class ELMRegressor(ELM, NetworkRegressor):
    """Regressor with frozen random layers and a ridge regression in closed form.

    One target or several. Predictions are clipped to the range of the training targets.

    Parameters
    ----------
    hidden_layer_sizes : int or tuple of int, default=(1000,)
        Number of frozen units of each hidden layer. More units are more accurate and slower; use
        2000 with more than 10,000 rows. ``()`` applies the ridge to `features` directly.
    activation : str or callable, default="gelu"
        "square", the name of a Keras activation, or a function of a tensor. "relu" is as accurate
        and faster.
    features : None, str, FeatureStage, transformer or keras.Model, default=None
        What precedes the dense layers. None: the samples. "receptive_fields": the pixels of an
        image, with each unit connected to a random rectangle [1]_. "patches": convolutions with
        frozen filters, rectified and pooled. A scikit-learn transformer is cloned and fitted on
        at most `loo_rows` rows. A Keras model is applied in inference mode. A
        `frozenfit.FeatureStage` of your own, or the name of a registered one.
    feature_params : dict, default=None
        Arguments of a stage that is given by name: ``border`` and ``min_area`` of
        "receptive_fields"; ``n_filters``, ``patch_size``, ``filters``, ``whiten``, ``rectifier``,
        ``threshold``, ``pool``, ``stride``, ``grid``, ``root`` and ``min_contrast`` of "patches".
    weight_init : str, callable, or tuple of them, default="random"
        "random" (Gaussian), "signs" or "orthogonal" weights; "ciw", sums of the samples of a class
        with random signs; "differences" of two samples of different classes [1]_; or
        ``f(X, y, units, rng) -> (kernel, bias)``. A tuple divides the units among several kinds.
    weight_scale : {"auto", "loo"} or float, default="auto"
        Standard deviation of the input of a unit on scaled columns. "auto": 2 for "gelu" and
        "sigmoid", else 1. "loo" selects one of .5, 1, 2, 4 and 8 by exact leave-one-out on at most
        4,096 rows, which costs a fit on these rows for each.
    direct_links : "auto" or bool, default="auto"
        Whether the ridge receives the scaled columns too. "auto": for tables with no more
        columns than units.
    readout : {"last", "all", "each"}, default="last"
        With several layers: a ridge on the last one, one ridge on all, or the average of one
        ridge per layer.
    scale : {"auto", "columns", "common"} or None, default="auto"
        Scale columns to mean 0 and variance 1 before the first layer, each by its own standard
        deviation or all by a common one. "auto": "common" for images, else "columns".
    clip : "auto", float or None, default="auto"
        Largest absolute value of a scaled column. "auto": 3 with "columns", else None.
    alpha : "loo", float or list of float, default="loo"
        Regularization strength, relative to the mean eigenvalue of the centered Gram matrix.
        "loo" selects the best of 23 values between 1e-9 and 1e2 by exact leave-one-out
        (squared error); a list is another grid.
    loo_rows : int or None, default=16384
        Number of distinct rows for leave-one-out. Up to this number the rows themselves are kept,
        and a fit does not depend on how they arrived. None keeps all.
    batch_size : int, default=4096
        Maximum number of rows that are processed at a time; it does not change the result.
    dtype : {"auto", "float64", "float32"}, default="auto"
        Of the features; sums are always float64. "auto": float32 if the first layer has 2**20
        weights or more. float32 features are computed on an accelerator if there is one.
    augment : "flip" or None, default=None
        "flip" trains on mirrored images too.
    image_shape : tuple of int, default=None
        Height, width and channels of images that are passed as rows.
    random_state : int, RandomState or None, default=None
        Seed of the frozen weights and of the choice of rows. Fits are identical bit for bit with
        the same number of BLAS threads; with another number they agree up to rounding.
    verbose : int, default=0
        1 shows a progress bar once a fit has taken three seconds.

    Attributes
    ----------
    alpha_ : float or ndarray
        The selected alpha; an array with several ridges.
    best_score_ : float or None
        Leave-one-out R2 at `alpha_`; larger is better. None for a fixed alpha.
    weight_scale_ : float
        The weight scale, given or selected.
    freeze_fraction_ : float
        Fraction of the parameters that are frozen.
    n_features_in_ : int
        Number of columns, or of values in an image.
    feature_names_in_ : ndarray of str
        Names of the columns, if X has any.
    input_shape_ : tuple of int
        Shape of one sample.
    n_iter_ : int
        1.

    See Also
    --------
    ELMClassifier : The same for classification.
    ELMFeatures : The frozen layers as a transformer.

    Notes
    -----
    `fit` accepts sparse matrices, memory maps (read in blocks), dask arrays (each block is summed
    by the worker that has it) and, in place of X and without y, a source of batches (X, y) or
    (X, y, sample_weight).

    Up to `loo_rows` distinct rows, any sequence of `partial_fit` calls gives the same as one
    `fit`. Beyond that, the scaling and frozen weights made from data stay as they are, and
    rows are added to sums.

    The estimator keeps these sums and a sample of rows for `partial_fit` and `unlearn`. A file
    written by `frozenfit.save` contains neither.

    References
    ----------
    .. [1] McDonnell, Tissera, Vladusich, van Schaik, Tapson 2015, arXiv 1412.8307.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from frozenfit import ELMRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> reg = ELMRegressor((300,), random_state=0).fit(X[::2], y[::2])
    >>> reg.score(X[1::2], y[1::2]) > 0.4
    True
    """

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (1000,),
        *,
        activation: Activation = "gelu",
        features: Features = None,
        feature_params: dict[str, Any] | None = None,
        weight_init: DenseWeights | Sequence[DenseWeights] = "random",
        weight_scale: float | Literal["auto", "loo"] = "auto",
        direct_links: bool | Literal["auto"] = "auto",
        readout: Literal["last", "all", "each"] = "last",
        scale: Literal["auto", "columns", "common"] | None = "auto",
        clip: float | Literal["auto"] | None = "auto",
        alpha: float | Sequence[float] | Literal["loo"] = "loo",
        loo_rows: int | None = 16384,
        batch_size: int = 4096,
        dtype: Literal["auto", "float64", "float32"] = "auto",
        augment: Literal["flip"] | None = None,
        image_shape: Shape | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.features = features
        self.feature_params = feature_params
        self.weight_init = weight_init
        self.weight_scale = weight_scale
        self.direct_links = direct_links
        self.readout = readout
        self.scale = scale
        self.clip = clip
        self.alpha = alpha
        self.loo_rows = loo_rows
        self.batch_size = batch_size
        self.dtype = dtype
        self.augment = augment
        self.image_shape = image_shape
        self.random_state = random_state
        self.verbose = verbose

    def _plain_targets(self):
        # Predictions are not transformed back: the ridge keeps the scale of the targets.
        self._target_mean, self._target_scale = 0.0, 1.0


class ELMFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, RandomLayers):
    """The frozen hidden layers of an ELM as a transformer.

    Parameters
    ----------
    hidden_layer_sizes : int or tuple of int, default=(1000,)
        Number of frozen units of each hidden layer. More units are more accurate and slower; use
        2000 with more than 10,000 rows. ``()`` applies the ridge to `features` directly.
    activation : str or callable, default="gelu"
        "square", the name of a Keras activation, or a function of a tensor. "relu" is as accurate
        and faster.
    features : None, str, FeatureStage, transformer or keras.Model, default=None
        What precedes the dense layers. None: the samples. "receptive_fields": the pixels of an
        image, with each unit connected to a random rectangle [1]_. "patches": convolutions with
        frozen filters, rectified and pooled. A scikit-learn transformer is cloned and fitted on
        at most `loo_rows` rows. A Keras model is applied in inference mode. A
        `frozenfit.FeatureStage` of your own, or the name of a registered one.
    feature_params : dict, default=None
        Arguments of a stage that is given by name: ``border`` and ``min_area`` of
        "receptive_fields"; ``n_filters``, ``patch_size``, ``filters``, ``whiten``, ``rectifier``,
        ``threshold``, ``pool``, ``stride``, ``grid``, ``root`` and ``min_contrast`` of "patches".
    weight_init : str, callable, or tuple of them, default="random"
        "random" (Gaussian), "signs" or "orthogonal" weights; "ciw", sums of the samples of a class
        with random signs; "differences" of two samples of different classes [1]_; or
        ``f(X, y, units, rng) -> (kernel, bias)``. A tuple divides the units among several kinds.
    weight_scale : "auto" or float, default="auto"
        Standard deviation of the input of a unit on scaled columns. "auto": 2 for "gelu" and
        "sigmoid", else 1.
    direct_links : "auto" or bool, default=False
        Whether the features include the scaled columns too. "auto": for tables with no more
        columns than units.
    readout : {"last", "all", "each"}, default="last"
        With several layers: a ridge on the last one, one ridge on all, or the average of one
        ridge per layer.
    scale : {"auto", "columns", "common"} or None, default="auto"
        Scale columns to mean 0 and variance 1 before the first layer, each by its own standard
        deviation or all by a common one. "auto": "common" for images, else "columns".
    clip : "auto", float or None, default="auto"
        Largest absolute value of a scaled column. "auto": 3 with "columns", else None.
    batch_size : int, default=4096
        Maximum number of rows that are processed at a time; it does not change the result.
    dtype : {"auto", "float64", "float32"}, default="auto"
        Of the features; sums are always float64. "auto": float32 if the first layer has 2**20
        weights or more. float32 features are computed on an accelerator if there is one.
    image_shape : tuple of int, default=None
        Height, width and channels of images that are passed as rows.
    random_state : int, RandomState or None, default=None
        Seed of the frozen weights and of the choice of rows. Fits are identical bit for bit with
        the same number of BLAS threads; with another number they agree up to rounding.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns, or of values in an image.
    feature_names_in_ : ndarray of str
        Names of the columns, if X has any.
    input_shape_ : tuple of int
        Shape of one sample.
    n_iter_ : int
        1.

    See Also
    --------
    ELMClassifier : These features and a ridge.

    References
    ----------
    .. [1] McDonnell, Tissera, Vladusich, van Schaik, Tapson 2015, arXiv 1412.8307.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from frozenfit import ELMFeatures
    >>> X, y = load_iris(return_X_y=True)
    >>> ELMFeatures((50,), random_state=0).fit_transform(X).shape
    (150, 50)
    """

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (1000,),
        *,
        activation: Activation = "gelu",
        features: Features = None,
        feature_params: dict[str, Any] | None = None,
        weight_init: DenseWeights | Sequence[DenseWeights] = "random",
        weight_scale: float | Literal["auto"] = "auto",
        direct_links: bool | Literal["auto"] = False,
        readout: Literal["last", "all", "each"] = "last",
        scale: Literal["auto", "columns", "common"] | None = "auto",
        clip: float | Literal["auto"] | None = "auto",
        batch_size: int = 4096,
        dtype: Literal["auto", "float64", "float32"] = "auto",
        image_shape: Shape | None = None,
        random_state: RandomState = None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.features = features
        self.feature_params = feature_params
        self.weight_init = weight_init
        self.weight_scale = weight_scale
        self.direct_links = direct_links
        self.readout = readout
        self.scale = scale
        self.clip = clip
        self.batch_size = batch_size
        self.dtype = dtype
        self.image_shape = image_shape
        self.random_state = random_state

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether `fit` has succeeded."""
        return hasattr(self, "_frozen")

    def _learn_in_another_way(self, X, y, sample_weight, X_val, *, one_pass, classes_known):
        X = self._check_input(X, reset=True)
        X, targets, weight = self._weighted(X, self._targets(X, y), sample_weight)
        X = self._as_samples(X, reset=True)
        weight = np.ones(X.shape[0]) if weight is None else weight
        task = "classification" if targets.ndim == 1 else "regression"
        config = self._config(0, task, self._fit_seed(), targets)
        gathered: Gathered | None = None
        for block in cut((X, targets, weight), config.batch_size):
            part = Gathered.of(config, block)
            gathered = part if gathered is None else gathered.plus(part)
        assert gathered is not None
        self._frozen: Frozen = gathered.freeze(config).frozen  # type: ignore[assignment]
        self._n_features_out = sum(self._frozen.n_features)
        self.n_iter_ = 1
        return True

    def _targets(self, X, y) -> np.ndarray:
        kinds = (
            self.weight_init if isinstance(self.weight_init, list | tuple) else [self.weight_init]
        )
        if y is None or not any(callable(k) or k in ("ciw", "differences") for k in kinds):
            return np.zeros(X.shape[0], np.int32)
        check_consistent_length(X, y)
        y = column_or_1d(y)
        if type_of_target(y) in ("binary", "multiclass"):
            return np.unique(y, return_inverse=True)[1].astype(np.int32)
        return np.asarray(y, np.float64)[:, None]

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Compute the outputs of the hidden units.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_units)
            Outputs of the layers that `readout` selects, and scaled columns with `direct_links`.
        """
        check_is_fitted(self)
        samples = self._as_samples(self._check_input(X, reset=False), reset=False)
        size = self._frozen.config.batch_size
        parts = [
            np.hstack(device.features(self._frozen, samples[start : start + size]))
            for start in range(0, samples.shape[0], size)
        ]
        return np.concatenate(parts)
