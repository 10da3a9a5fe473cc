"""What an ELM is to be, as one value that can be sent to another process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["ALPHAS", "Config"]

# Relative to the mean eigenvalue. Best strengths on tables lie between 1e-4 and 1, once at 1e-9.
ALPHAS = np.logspace(-9, 2, 23)

# Larger arrays are fetched from the system anew each time, page by page.
_BLOCK = 2**21
_LEAST_ROWS = 2048


@dataclass(frozen=True)
class Config:
    """All that decides a fit besides the data.

    Attributes
    ----------
    input_shape : tuple of int
        Shape of one sample.
    n_outputs : int
        Classes or targets; 0 for features alone.
    classifies : bool
        Whether targets are class indices.
    seed : int
        Decides everything random.
    hidden_layer_sizes, activation, features, feature_params, weight_init, weight_scale, \
direct_links, readout, scale, clip, alpha, loo_rows, batch_size, dtype, class_weight, flip
        The estimator's parameters of these names; `class_weight` is None, "balanced" or an array
        with one weight per class.
    """

    input_shape: tuple[int, ...]
    n_outputs: int
    classifies: bool
    seed: int
    hidden_layer_sizes: tuple[int, ...]
    activation: Any = "gelu"
    features: Any = None
    feature_params: Any = None
    weight_init: Any = "random"
    weight_scale: Any = "auto"
    direct_links: Any = "auto"
    readout: str = "last"
    scale: Any = "auto"
    clip: Any = "auto"
    alpha: Any = "loo"
    loo_rows: int | None = 16384
    batch_size: int = 4096
    dtype: str = "auto"
    class_weight: Any = None
    flip: bool = False

    def rows(self, width: int) -> int:
        """Rows of a block of features: few enough that its memory is used again and again."""
        return min(self.batch_size, max(_BLOCK // max(width, 1), _LEAST_ROWS))

    @property
    def is_image(self) -> bool:
        """Whether samples are images."""
        return len(self.input_shape) in (2, 3)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels; a clear error where samples are no images."""
        if not self.is_image:
            raise ValueError(
                f"features={self.features!r} needs images, found samples of shape "
                f"{self.input_shape}; give image_shape=(height, width, channels), or X with "
                "those axes"
            )
        height, width, *channels = self.input_shape
        return height, width, channels[0] if channels else 1
