"""The settings of a fit as one value, which can be sent to another process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from frozenfit.elm.stages import FeatureStage
from frozenfit.elm.stages.base import image_shape
from frozenfit.training.objective import Task

__all__ = ["ALPHAS", "Config"]

# Relative to the mean eigenvalue. The best alpha on tables lies between 1e-4 and 1, once at 1e-9.
ALPHAS = np.logspace(-9, 2, 23)

# The operating system maps larger arrays anew at every allocation, page by page.
_BLOCK_SIZE = 2**21
_MIN_BLOCK_ROWS = 2048


@dataclass(frozen=True)
class Config:
    """Everything that determines a fit apart from the data.

    Attributes
    ----------
    input_shape : tuple of int
        Shape of one sample.
    n_outputs : int
        Number of classes or targets; 0 for features alone.
    task : {"classification", "multilabel", "regression"}
        Whether targets are class indices, 0 and 1 for each label, or numbers.
    seed : int
        Seed of all random numbers.
    hidden_layer_sizes : tuple of int
        Units of the dense layers.
    stage : FeatureStage
        What precedes the dense layers, not fitted.
    activation, weight_init, weight_scale, direct_links, readout, scale, clip, alpha, loo_rows, \
batch_size, dtype
        The parameters of the estimator of these names.
    class_weight : None, "balanced" or ndarray of shape (n_classes,)
        Weights of the classes.
    flip : bool
        Whether mirrored images are trained on too.
    """

    input_shape: tuple[int, ...]
    n_outputs: int
    task: Task
    seed: int
    hidden_layer_sizes: tuple[int, ...]
    stage: FeatureStage
    activation: str | Callable = "gelu"
    weight_init: Any = "random"
    weight_scale: float | str = "auto"
    direct_links: bool | str = "auto"
    readout: str = "last"
    scale: str | None = "auto"
    clip: float | str | None = "auto"
    alpha: Any = "loo"
    loo_rows: int | None = 16384
    batch_size: int = 4096
    dtype: str = "auto"
    class_weight: Any = None
    flip: bool = False

    def block_rows(self, n_features: int) -> int:
        """Return the rows per block of features: few enough that its memory is reused."""
        return min(self.batch_size, max(_BLOCK_SIZE // max(n_features, 1), _MIN_BLOCK_ROWS))

    @property
    def classifies(self) -> bool:
        """Whether outputs are logits."""
        return self.task != "regression"

    @property
    def is_image(self) -> bool:
        """Whether samples have the axes of images."""
        return len(self.input_shape) in (2, 3)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels, for mirrored images."""
        return image_shape(self.input_shape, "augment='flip'")
