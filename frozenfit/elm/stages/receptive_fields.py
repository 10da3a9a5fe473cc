"""The stage "receptive_fields": every unit sees a random rectangle of the image.

McDonnell, Tissera, Vladusich, van Schaik and Tapson 2015, arXiv 1412.8307.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from frozenfit.draws import draw
from frozenfit.elm.scaling import rows_of
from frozenfit.elm.stages.base import FeatureStage, image_shape, register_stage
from frozenfit.types import Shape

__all__ = ["ReceptiveFields"]

_CANDIDATES = 32  # rectangles drawn per unit, of which the first large enough one is taken
_SMALL = 20  # pixels


@register_stage("receptive_fields")
class ReceptiveFields(FeatureStage):
    """Pass images on, and connect each unit of the first layer to a random rectangle.

    Parameters
    ----------
    border : int, default=None
        Number of pixels at the edge of the image that no rectangle covers. None means 3, and 0
        for images with a side under 20 pixels.
    min_area : int, default=None
        Minimum of (rows - 1) * (columns - 1) of a rectangle. None means 10, and 4 for images with
        a side under 20 pixels.
    """

    passes_samples = True
    shares_scale = True

    def __init__(self, border: int | None = None, min_area: int | None = None):
        self.border = border
        self.min_area = min_area

    def check(self, input_shape: Shape) -> None:
        """Require images that rectangles fit into."""
        self._limits(image_shape(input_shape, "features='receptive_fields'"))

    def fit(self, X: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> ReceptiveFields:
        """Store the shape of the images."""
        return self.restore({}, X.shape[1:])

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Return the pixels of each image as a row."""
        return rows_of(X)

    def mask(self, units: int, seed: int, path: str) -> np.ndarray:
        """Draw one rectangle per unit."""
        height, width, channels = self.image_shape_
        border, min_area = self._limits(self.image_shape_)
        inner = np.array([height - 2 * border, width - 2 * border])
        text = json.dumps({"class_name": "RandomUniform", "config": {"minval": 0.0, "maxval": 1.0}})
        # Drawn by `frozenfit.draws`, not by NumPy: a file stores the seed and not the rectangles.
        places = draw(text, (_CANDIDATES, units, 2, 2), seed, f"{path}/fields")
        corners = np.sort((places * inner[:, None]).astype(int), axis=3)
        size = corners[..., 1] - corners[..., 0]
        large = (size.min(axis=2) > 0) & (size.prod(axis=2) >= min_area)
        chosen = corners[np.argmax(large, axis=0), np.arange(units)]
        chosen[~large.any(axis=0)] = np.stack([[0, 0], inner - 1], axis=1)
        chosen += border
        rows, columns = np.arange(height)[:, None], np.arange(width)[:, None]
        tall = (rows >= chosen[:, 0, 0]) & (rows <= chosen[:, 0, 1])
        wide = (columns >= chosen[:, 1, 0]) & (columns <= chosen[:, 1, 1])
        mask = tall[:, None, None, :] & wide[None, :, None, :]
        return np.broadcast_to(mask, (height, width, channels, units)).reshape(-1, units)

    def to_keras(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Return the images: the rectangles are zeros in the weights of the first layer."""
        return inputs

    def state(self) -> dict[str, Any]:
        """Return an empty state: the rectangles follow from the seed."""
        return {}

    def restore(self, state: Mapping[str, Any], input_shape: Shape) -> ReceptiveFields:
        """Store the shape of the images."""
        self.image_shape_ = image_shape(input_shape, "features='receptive_fields'")
        return self

    def _limits(self, shape: tuple[int, int, int]) -> tuple[int, int]:
        """Return border and minimum area for images of a shape."""
        height, width, _ = shape
        small = min(height, width) < _SMALL
        border = (0 if small else 3) if self.border is None else int(self.border)
        min_area = (4 if small else 10) if self.min_area is None else int(self.min_area)
        inner = np.array([height - 2 * border, width - 2 * border])
        if border < 0 or (inner - 1).min() < 1 or np.prod(inner - 1) < min_area:
            raise ValueError(
                f"receptive fields with min_area={min_area} do not fit into images of {height} x "
                f"{width} pixels with border={border}. Pass smaller values in `feature_params`."
            )
        return border, min_area
