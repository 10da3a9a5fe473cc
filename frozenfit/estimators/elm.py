"""ELMClassifier, ELMRegressor and ELMFeatures: frozen random layers and a ridge in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from frozenfit.elm import device
from frozenfit.elm.hidden import Frozen
from frozenfit.elm.memory import Gathered, cut
from frozenfit.estimators.classifier import NetworkClassifier
from frozenfit.estimators.elm_base import ELM, Hidden
from frozenfit.estimators.regressor import NetworkRegressor


class ELMClassifier(ELM, NetworkClassifier):
    """Classifier with frozen random layers and a ridge in closed form.

    No gradient, no learning rate: one pass sums products of the units' outputs, one decomposition
    gives every ridge strength, and exact leave-one-out chooses among them and calibrates the
    probabilities.

    Parameters
    ----------
    hidden_layer_sizes : int or tuple of int, default=(1000,)
        Frozen units of each hidden layer; more are better and dearer, 2000 where there are over
        10,000 rows. ``()`` puts the ridge on `features` themselves.
    activation : str or callable, default="gelu"
        "square", any Keras activation, or a function of a tensor. "relu" is a tie at a lower cost.
    features : None, "receptive_fields", "patches", transformer or keras.Model, default=None
        What comes before the dense layers: nothing; for images a random rectangle for each unit,
        or frozen filters that are convolved, rectified and pooled; a scikit-learn transformer,
        cloned and fitted on at most `loo_rows` rows; or a frozen network.
    feature_params : dict, default=None
        Settings of "receptive_fields" (``border``, ``min_area``) or "patches" (``n_filters``,
        ``patch_size``, ``filters``, ``whiten``, ``rectifier``, ``threshold``, ``pool``,
        ``stride``, ``grid``, ``root``, ``min_contrast``).
    weight_init : str, callable, or tuple of them, default="random"
        "random" (Gaussian), "signs", "orthogonal"; "ciw" sums the samples of a class with random
        signs, "differences" takes two samples of different classes [1]_; or
        ``f(X, y, units, rng) -> (kernel, bias)``. A tuple shares the units out.
    weight_scale : "auto" or float, default="auto"
        Spread of the units' inputs on scaled columns: 2 for "gelu" and "sigmoid", else 1.
    direct_links : "auto" or bool, default="auto"
        Whether the ridge sees the scaled columns too. "auto": for tables with no more columns
        than units.
    readout : {"last", "all", "each"}, default="last"
        With several layers: a ridge on the last, one ridge on all, or one ridge for each depth,
        averaged.
    scale : {"auto", "columns", "common"} or None, default="auto"
        Bring columns to mean 0 and a common spread before the first layer: each by its own
        standard deviation, or all by one. "auto": "common" for images, else "columns".
    clip : "auto", float or None, default="auto"
        Largest absolute value of a scaled column. "auto": 3 with "columns", else none.
    alpha : "loo", float or list of float, default="loo"
        Ridge strength relative to the mean eigenvalue of the centered Gram. "loo" takes the best
        of 23 between 1e-9 and 1e2 by exact leave-one-out (log loss); a list
        is another grid.
    loo_rows : int or None, default=16384
        So many distinct rows are left out, chosen by their values; up to as many the rows
        themselves are kept, and a fit does not depend on how they came. None keeps all.
    batch_size : int, default=4096
        Most rows that are dealt with at a time; changes no result.
    dtype : {"auto", "float64", "float32"}, default="auto"
        Of the features. The sums are float64 always. "auto": float32 from 2**20 weights of the
        first layer on. float32 features are computed on an accelerator where there is one.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes. "balanced" raises rare classes and spoils probabilities.
    augment : "flip" or None, default=None
        "flip" learns from mirrored images too.
    image_shape : tuple of int, default=None
        Height, width and channels of images given as rows.
    random_state : int, RandomState or None, default=None
        Decides frozen weights and the choice of rows.
    verbose : int, default=0
        1 shows a bar once a fit has taken three seconds.

    Attributes
    ----------
    classes_ : ndarray
        Class labels.
    alpha_ : float or ndarray
        The strength, one for each ridge.
    best_score_ : float or None
        Leave-one-out log loss at the chosen strength; less is better.
    freeze_fraction_ : float
        Frozen entries over all entries.
    n_features_in_ : int
        Number of columns, or of values in an image.
    feature_names_in_ : ndarray of str
        Names of the columns, where X had any.
    input_shape_ : tuple of int
        Shape of one sample.
    n_iter_ : int
        1.

    Notes
    -----
    `fit` also takes sparse matrices, memory maps (read in blocks), dask arrays (summed block by
    block where they lie) and, in place of X and without y, an iterator of (X, y) or
    (X, y, sample_weight) batches, the first of which must hold every class.

    Until more than `loo_rows` distinct rows have come, any sequence of `partial_fit` calls gives
    what one `fit` gives. Then scaling, frozen weights made from data, and "balanced" class
    weights stay as they are at that point, and rows are added to sums.

    The estimator keeps its sums and sample of rows for `partial_fit` and `forget`; a file that
    `frozenfit.save` writes holds neither.

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

    _parameter_constraints = {
        **ELM._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (1000,),
        *,
        activation: Any = "gelu",
        features: Any = None,
        feature_params: dict[str, Any] | None = None,
        weight_init: Any = "random",
        weight_scale: float | str = "auto",
        direct_links: bool | str = "auto",
        readout: str = "last",
        scale: str | None = "auto",
        clip: float | str | None = "auto",
        alpha: Any = "loo",
        loo_rows: int | None = 16384,
        batch_size: int = 4096,
        dtype: str = "auto",
        class_weight: Any = None,
        augment: str | None = None,
        image_shape: tuple[int, ...] | None = None,
        random_state: Any = None,
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
    """Regressor with frozen random layers and a ridge in closed form, for one target or several.

    Predictions stay within the range of the targets seen.

    Parameters
    ----------
    hidden_layer_sizes : int or tuple of int, default=(1000,)
        Frozen units of each hidden layer; more are better and dearer, 2000 where there are over
        10,000 rows. ``()`` puts the ridge on `features` themselves.
    activation : str or callable, default="gelu"
        "square", any Keras activation, or a function of a tensor. "relu" is a tie at a lower cost.
    features : None, "receptive_fields", "patches", transformer or keras.Model, default=None
        What comes before the dense layers: nothing; for images a random rectangle for each unit,
        or frozen filters that are convolved, rectified and pooled; a scikit-learn transformer,
        cloned and fitted on at most `loo_rows` rows; or a frozen network.
    feature_params : dict, default=None
        Settings of "receptive_fields" (``border``, ``min_area``) or "patches" (``n_filters``,
        ``patch_size``, ``filters``, ``whiten``, ``rectifier``, ``threshold``, ``pool``,
        ``stride``, ``grid``, ``root``, ``min_contrast``).
    weight_init : str, callable, or tuple of them, default="random"
        "random" (Gaussian), "signs", "orthogonal"; "ciw" sums the samples of a class with random
        signs, "differences" takes two samples of different classes [1]_; or
        ``f(X, y, units, rng) -> (kernel, bias)``. A tuple shares the units out.
    weight_scale : "auto" or float, default="auto"
        Spread of the units' inputs on scaled columns: 2 for "gelu" and "sigmoid", else 1.
    direct_links : "auto" or bool, default="auto"
        Whether the ridge sees the scaled columns too. "auto": for tables with no more columns
        than units.
    readout : {"last", "all", "each"}, default="last"
        With several layers: a ridge on the last, one ridge on all, or one ridge for each depth,
        averaged.
    scale : {"auto", "columns", "common"} or None, default="auto"
        Bring columns to mean 0 and a common spread before the first layer: each by its own
        standard deviation, or all by one. "auto": "common" for images, else "columns".
    clip : "auto", float or None, default="auto"
        Largest absolute value of a scaled column. "auto": 3 with "columns", else none.
    alpha : "loo", float or list of float, default="loo"
        Ridge strength relative to the mean eigenvalue of the centered Gram. "loo" takes the best
        of 23 between 1e-9 and 1e2 by exact leave-one-out (squared error); a list
        is another grid.
    loo_rows : int or None, default=16384
        So many distinct rows are left out, chosen by their values; up to as many the rows
        themselves are kept, and a fit does not depend on how they came. None keeps all.
    batch_size : int, default=4096
        Most rows that are dealt with at a time; changes no result.
    dtype : {"auto", "float64", "float32"}, default="auto"
        Of the features. The sums are float64 always. "auto": float32 from 2**20 weights of the
        first layer on. float32 features are computed on an accelerator where there is one.
    augment : "flip" or None, default=None
        "flip" learns from mirrored images too.
    image_shape : tuple of int, default=None
        Height, width and channels of images given as rows.
    random_state : int, RandomState or None, default=None
        Decides frozen weights and the choice of rows.
    verbose : int, default=0
        1 shows a bar once a fit has taken three seconds.

    Attributes
    ----------
    alpha_ : float or ndarray
        The strength, one for each ridge.
    best_score_ : float or None
        Leave-one-out R2 at the chosen strength; None for a fixed strength.
    freeze_fraction_ : float
        Frozen entries over all entries.
    n_features_in_ : int
        Number of columns, or of values in an image.
    feature_names_in_ : ndarray of str
        Names of the columns, where X had any.
    input_shape_ : tuple of int
        Shape of one sample.
    n_iter_ : int
        1.

    Notes
    -----
    `fit` also takes sparse matrices, memory maps (read in blocks), dask arrays (summed block by
    block where they lie) and, in place of X and without y, an iterator of (X, y) or
    (X, y, sample_weight) batches, the first of which must hold every class.

    Until more than `loo_rows` distinct rows have come, any sequence of `partial_fit` calls gives
    what one `fit` gives. Then scaling, frozen weights made from data, and "balanced" class
    weights stay as they are at that point, and rows are added to sums.

    The estimator keeps its sums and sample of rows for `partial_fit` and `forget`; a file that
    `frozenfit.save` writes holds neither.

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
        hidden_layer_sizes: Any = (1000,),
        *,
        activation: Any = "gelu",
        features: Any = None,
        feature_params: dict[str, Any] | None = None,
        weight_init: Any = "random",
        weight_scale: float | str = "auto",
        direct_links: bool | str = "auto",
        readout: str = "last",
        scale: str | None = "auto",
        clip: float | str | None = "auto",
        alpha: Any = "loo",
        loo_rows: int | None = 16384,
        batch_size: int = 4096,
        dtype: str = "auto",
        augment: str | None = None,
        image_shape: tuple[int, ...] | None = None,
        random_state: Any = None,
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
        # Predictions are put back by these: the ridge is on the targets' own scale.
        self._target_mean, self._target_scale = 0.0, 1.0


class ELMFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Hidden):
    """The frozen hidden layers of an ELM alone, as a transformer.

    Parameters
    ----------
    hidden_layer_sizes : int or tuple of int, default=(1000,)
        Frozen units of each hidden layer; more are better and dearer, 2000 where there are over
        10,000 rows. ``()`` puts the ridge on `features` themselves.
    activation : str or callable, default="gelu"
        "square", any Keras activation, or a function of a tensor. "relu" is a tie at a lower cost.
    features : None, "receptive_fields", "patches", transformer or keras.Model, default=None
        What comes before the dense layers: nothing; for images a random rectangle for each unit,
        or frozen filters that are convolved, rectified and pooled; a scikit-learn transformer,
        cloned and fitted on at most `loo_rows` rows; or a frozen network.
    feature_params : dict, default=None
        Settings of "receptive_fields" (``border``, ``min_area``) or "patches" (``n_filters``,
        ``patch_size``, ``filters``, ``whiten``, ``rectifier``, ``threshold``, ``pool``,
        ``stride``, ``grid``, ``root``, ``min_contrast``).
    weight_init : str, callable, or tuple of them, default="random"
        "random" (Gaussian), "signs", "orthogonal"; "ciw" sums the samples of a class with random
        signs, "differences" takes two samples of different classes [1]_; or
        ``f(X, y, units, rng) -> (kernel, bias)``. A tuple shares the units out.
    weight_scale : "auto" or float, default="auto"
        Spread of the units' inputs on scaled columns: 2 for "gelu" and "sigmoid", else 1.
    direct_links : "auto" or bool, default=False
        Whether the ridge sees the scaled columns too. "auto": for tables with no more columns
        than units.
    readout : {"last", "all", "each"}, default="last"
        With several layers: a ridge on the last, one ridge on all, or one ridge for each depth,
        averaged.
    scale : {"auto", "columns", "common"} or None, default="auto"
        Bring columns to mean 0 and a common spread before the first layer: each by its own
        standard deviation, or all by one. "auto": "common" for images, else "columns".
    clip : "auto", float or None, default="auto"
        Largest absolute value of a scaled column. "auto": 3 with "columns", else none.
    batch_size : int, default=4096
        Most rows that are dealt with at a time; changes no result.
    dtype : {"auto", "float64", "float32"}, default="auto"
        Of the features. The sums are float64 always. "auto": float32 from 2**20 weights of the
        first layer on. float32 features are computed on an accelerator where there is one.
    image_shape : tuple of int, default=None
        Height, width and channels of images given as rows.
    random_state : int, RandomState or None, default=None
        Decides frozen weights and the choice of rows.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns, or of values in an image.
    feature_names_in_ : ndarray of str
        Names of the columns, where X had any.
    input_shape_ : tuple of int
        Shape of one sample.
    n_iter_ : int
        1.

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
        hidden_layer_sizes: Any = (1000,),
        *,
        activation: Any = "gelu",
        features: Any = None,
        feature_params: dict[str, Any] | None = None,
        weight_init: Any = "random",
        weight_scale: float | str = "auto",
        direct_links: bool | str = False,
        readout: str = "last",
        scale: str | None = "auto",
        clip: float | str | None = "auto",
        batch_size: int = 4096,
        dtype: str = "auto",
        image_shape: tuple[int, ...] | None = None,
        random_state: Any = None,
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
        """Say whether the layers have been made."""
        return hasattr(self, "_frozen")

    def _learn_from_source(self, X, y, sample_weight, *, resume, one_pass):
        X = self._check_input(X, reset=True)
        X, targets, weight = self._weighted(X, self._targets(X, y), sample_weight)
        X = self._as_samples(X, reset=True)
        weight = np.ones(X.shape[0]) if weight is None else weight
        config = self._config(0, targets.ndim == 1, self._fit_seed(), targets)
        gathered: Gathered | None = None
        for block in cut((X, targets, weight), config.batch_size):
            part = Gathered.of(config, block)
            gathered = part if gathered is None else gathered.plus(part)
        assert gathered is not None
        self._frozen: Frozen = gathered.frozen_on(config).frozen  # type: ignore[assignment]
        self._n_features_out = sum(self._frozen.widths)
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

    def transform(self, X):
        """Compute the hidden units' outputs.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_units)
            Of all layers that `readout` names, and the scaled columns with `direct_links`.
        """
        check_is_fitted(self)
        X = self._as_samples(self._check_input(X, reset=False), reset=False)
        size = self._frozen.config.batch_size
        parts = [
            np.hstack(device.features(self._frozen, X[start : start + size]))
            for start in range(0, X.shape[0], size)
        ]
        return np.concatenate(parts)
