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
from frozenfit.elm.memory import Gathered
from frozenfit.elm.stream import cut
from frozenfit.estimators.base import NetworkClassifier, NetworkRegressor
from frozenfit.estimators.elm_base import ELM, Hidden


class ELMClassifier(ELM, NetworkClassifier):
    """X."""

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
        ridge_alpha: Any = "loo",
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
        self.ridge_alpha = ridge_alpha
        self.loo_rows = loo_rows
        self.batch_size = batch_size
        self.dtype = dtype
        self.class_weight = class_weight
        self.augment = augment
        self.image_shape = image_shape
        self.random_state = random_state
        self.verbose = verbose


class ELMRegressor(ELM, NetworkRegressor):
    """X."""

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
        ridge_alpha: Any = "loo",
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
        self.ridge_alpha = ridge_alpha
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
    """X."""

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
        kinds = self.weight_init if isinstance(self.weight_init, list | tuple) else [self.weight_init]
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
