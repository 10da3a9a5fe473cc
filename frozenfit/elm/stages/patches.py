"""The stage "patches": images convolved with frozen filters that are patches of the images.

Patches, whitening, the two-sided rectifier and pooling over quadrants: Coates, Lee and Ng 2011, and
Coates and Ng 2011. Absolute values, local means and a square root: McDonnell and Vladusich 2015,
arXiv 1503.04596.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from frozenfit.elm.stages.base import (
    FeatureStage,
    array_of,
    frozen_row,
    image_shape,
    register_stage,
)
from frozenfit.parameter_table import TableRow
from frozenfit.types import Shape

__all__ = ["CONTRAST", "Bank", "Patches"]

ops: Any = keras.ops

# Number of responses computed at a time, so that they stay in the processor's cache.
_RESPONSES = 2**18
_WHITENING_PATCHES = 200_000
# Added to the variance of a patch with pixels in [0, 1]: 10 on the scale of 0 to 255.
CONTRAST = 10.0 / 255**2
_WHITENING = 0.1

_CHOICES = {"filters": ("patches", "random"), "rectifier": ("abs", "relu", "two-sided")}


@dataclass(frozen=True)
class Bank:
    """Filters of one size.

    Attributes
    ----------
    size : int
        Side of the patches.
    kernel : ndarray of float32 of shape (size * size * channels, n_filters)
        Filters, whitening included.
    shift : ndarray of float32 of shape (n_filters,)
        Subtracted from the responses.
    rows, columns : ndarray of float32 of shape (n_regions, n_positions)
        Matrices that average the responses along the height and the width.
    """

    size: int
    kernel: np.ndarray
    shift: np.ndarray
    rows: np.ndarray = field(repr=False)
    columns: np.ndarray = field(repr=False)

    def convolve(self, x: Any, channels: int, whiten: bool) -> Any:
        """Compute the responses to a batch of symbolic images."""
        kernel = self.kernel.reshape(self.size, self.size, channels, -1)
        responses = ops.conv(x, kernel, padding="valid", data_format="channels_last")
        if not whiten:
            return responses
        box = np.full((self.size, self.size, channels, 1), 1 / kernel[..., 0].size, "f4")
        mean = ops.conv(x, box, padding="valid", data_format="channels_last")
        square = ops.conv(x * x, box, padding="valid", data_format="channels_last")
        variance = ops.maximum(square - mean * mean, 0.0)
        return responses / ops.sqrt(variance + CONTRAST) - self.shift


@register_stage("patches")
class Patches(FeatureStage):
    """Convolve images with frozen filters, rectify and pool.

    Parameters
    ----------
    n_filters : int, default=100
        Total number of filters.
    patch_size : int or sequence of int, default=7
        Side of the square patches. Several sizes share the filters.
    filters : {"patches", "random"}, default="patches"
        Random patches of the training images, or Gaussian noise.
    whiten : bool, default=False
        Whether to normalize the contrast of each patch and to whiten patches. Use it for color
        images.
    rectifier : {"abs", "relu", "two-sided"}, default="abs"
        Nonlinearity of the responses. "two-sided" keeps both signs apart and gives two features
        per filter and region.
    threshold : float, default=0.0
        Subtracted from the responses before they are rectified.
    pool, stride : int, default=5 and 3
        Side and step of the square regions over which responses are averaged.
    grid : int, default=None
        Average over this number of equal regions along each axis instead: 2 gives quadrants.
    root : bool, default=True
        Whether to take square roots after pooling.
    min_contrast : float, default=0.5
        Only patches whose standard deviation exceeds this fraction of the standard deviation of
        all pixels become filters.
    """

    shares_scale = True
    # A convolution is expensive per row, and a sample is enough for means and variances.
    statistics_rows = 4096

    def __init__(
        self,
        n_filters: int = 100,
        patch_size: int | Sequence[int] = 7,
        filters: str = "patches",
        whiten: bool = False,
        rectifier: str = "abs",
        threshold: float = 0.0,
        pool: int = 5,
        stride: int = 3,
        grid: int | None = None,
        root: bool = True,
        min_contrast: float = 0.5,
    ):
        self.n_filters = n_filters
        self.patch_size = patch_size
        self.filters = filters
        self.whiten = whiten
        self.rectifier = rectifier
        self.threshold = threshold
        self.pool = pool
        self.stride = stride
        self.grid = grid
        self.root = root
        self.min_contrast = min_contrast

    @property
    def _sizes(self) -> tuple[int, ...]:
        given = self.patch_size
        return (int(given),) if isinstance(given, int | np.integer) else tuple(given)

    def check(self, input_shape: Shape) -> None:
        """Require images that the patches fit into, and known choices."""
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"feature_params[{name!r}] must be one of {allowed}, got "
                    f"{getattr(self, name)!r}."
                )
        height, width, _ = image_shape(input_shape, "features='patches'")
        for size in self._sizes:
            if not 1 <= size <= min(height, width):
                raise ValueError(
                    f"feature_params['patch_size'] must fit into images of {height} x {width} "
                    f"pixels, got {size}."
                )

    def fit(self, X: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Patches:
        """Choose the filters from patches of the images."""
        self.image_shape_ = image_shape(X.shape[1:], "features='patches'")
        # The value that stands for 1: integers and values above 2 are pixels from 0 to 255.
        self.unit_ = 255.0 if X.dtype.kind in "ui" or float(X.max()) > 2.0 else 1.0
        images = X.reshape(-1, *self.image_shape_)
        parts = np.array_split(np.arange(self.n_filters), len(self._sizes))
        self.banks_ = tuple(
            self._bank(size, *self._filters(images, size, len(part), rng))
            for size, part in zip(self._sizes, parts, strict=True)
        )
        return self

    def _bank(self, size: int, kernel: np.ndarray, shift: np.ndarray) -> Bank:
        return Bank(size, kernel, shift, *(self._averages(n, size) for n in self.image_shape_[:2]))

    def _averages(self, length: int, size: int) -> np.ndarray:
        """Return the matrix that averages responses along an axis of the image."""
        length -= size - 1
        if self.grid is not None:
            borders = [length * i // self.grid for i in range(self.grid + 1)]
            edges = list(zip(borders[:-1], borders[1:], strict=True))
        else:
            side = min(self.pool, length)
            starts = range(0, length - side + 1, self.stride)
            edges = [(start, start + side) for start in starts]
        matrix = np.zeros((len(edges), length), np.float32)
        for i, (start, stop) in enumerate(edges):
            matrix[i, start:stop] = 1.0 / (stop - start)
        return matrix

    def _filters(
        self, images: np.ndarray, size: int, count: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return kernel and shift of the filters of one size."""
        n_patches = _WHITENING_PATCHES if self.whiten else max(50 * count, 2000)
        patches = _random_patches(images, size, n_patches, rng) / self.unit_
        patches = patches.astype(np.float64)
        patches -= patches.mean(axis=1, keepdims=True)
        spread = patches.std(axis=1)
        pixels = images[:1000].astype(np.float64) / self.unit_
        usable = np.flatnonzero(spread > self.min_contrast * float(np.std(pixels)))
        if len(usable) < count:
            usable = np.argsort(-spread, kind="stable")[: max(count, 1)]
        whitening, mean = np.eye(patches.shape[1]), np.zeros(patches.shape[1])
        if self.whiten:
            patches /= np.sqrt(spread**2 + CONTRAST)[:, None]
            mean = patches.mean(axis=0)
            values, vectors = np.linalg.eigh(np.cov(patches.T))
            whitening = (vectors / np.sqrt(np.maximum(values, 0) + _WHITENING)) @ vectors.T
        if self.filters == "random":
            filters = rng.standard_normal((count, patches.shape[1]))
        else:
            chosen = rng.choice(usable, count, replace=len(usable) < count)
            filters = (patches[chosen] - mean) @ whitening
        filters /= np.maximum(np.linalg.norm(filters, axis=1, keepdims=True), 1e-12)
        kernel = whitening @ filters.T
        shift = mean @ kernel
        # A kernel of mean 0 subtracts the mean of every patch, so that no patch has to be centered.
        kernel -= kernel.mean(axis=0)
        return kernel.astype(np.float32), shift.astype(np.float32)

    @property
    def n_features_(self) -> int:
        """Number of features."""
        sides = 2 if self.rectifier == "two-sided" else 1
        return sides * sum(len(b.rows) * len(b.columns) * len(b.shift) for b in self.banks_)

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Compute the features of images as float32."""
        images = X.reshape(-1, *self.image_shape_)
        out = np.empty((len(images), self.n_features_), np.float32)
        start = 0
        for bank in self.banks_:
            positions = np.prod([n - bank.size + 1 for n in self.image_shape_[:2]])
            group = max(1, _RESPONSES // int(positions * len(bank.shift)))
            for first in range(0, len(images), group):
                part = np.asarray(images[first : first + group], np.float32)
                pooled = self._pooled(part / np.float32(self.unit_), bank)
                stop = start + pooled.shape[1]
                out[first : first + group, start:stop] = pooled
            start = stop
        return out

    def _pooled(self, images: np.ndarray, bank: Bank) -> np.ndarray:
        responses = self._responses(images, bank)
        t = np.float32(self.threshold)
        if self.rectifier == "two-sided":
            # Only what exceeds +-threshold remains. The means of its positive and negative parts
            # follow from the means of its value and of its absolute value, without two arrays.
            responses -= np.clip(responses, -t, t)
            signed = _pool(responses, bank)
            size = _pool(np.abs(responses, out=responses), bank)
            pooled = np.concatenate([size + signed, size - signed], axis=3)
            pooled *= np.float32(0.5)
            np.maximum(pooled, 0, out=pooled)
        else:
            if self.rectifier == "abs":
                np.abs(responses, out=responses)
            if t or self.rectifier == "relu":
                responses -= t
                np.maximum(responses, 0, out=responses)
            pooled = _pool(responses, bank)
        if self.root:
            np.sqrt(np.maximum(pooled, 0, out=pooled), out=pooled)
        return pooled.reshape(len(images), -1)

    def _responses(self, images: np.ndarray, bank: Bank) -> np.ndarray:
        rows = _all_patches(images, bank.size)
        responses = rows.reshape(-1, rows.shape[-1]) @ bank.kernel
        if self.whiten:
            flat = rows.reshape(-1, rows.shape[-1])
            mean = flat.mean(axis=1)
            variance = np.einsum("ij,ij->i", flat, flat) / flat.shape[1] - mean * mean
            responses /= np.sqrt(np.maximum(variance, 0) + np.float32(CONTRAST))[:, None]
            responses -= bank.shift
        return responses.reshape(*rows.shape[:3], -1)

    def to_keras(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Compute the features with convolutions."""
        pixels = ops.reshape(inputs, (-1, *self.image_shape_)) / self.unit_
        parts = [keras.layers.Flatten()(self._pooled_in_keras(pixels, b)) for b in self.banks_]
        return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=1)

    def _pooled_in_keras(self, images: Any, bank: Bank) -> Any:
        responses = bank.convolve(images, self.image_shape_[2], self.whiten)
        t = self.threshold
        if self.rectifier == "two-sided":
            sides = [ops.relu(responses - t), ops.relu(-responses - t)]
            responses = ops.concatenate(sides, axis=-1)
        else:
            responses = ops.abs(responses) if self.rectifier == "abs" else responses
            if t or self.rectifier == "relu":
                responses = ops.relu(responses - t)
        pooled = ops.einsum("ai,bj,nijk->nabk", bank.rows, bank.columns, responses)
        return ops.sqrt(ops.maximum(pooled, 0.0)) if self.root else pooled

    def parameter_table(self) -> list[TableRow]:
        """Return one row per size of filters."""
        return [
            frozen_row(f"patches_{i}/kernel", bank.kernel) for i, bank in enumerate(self.banks_, 1)
        ]

    def state(self) -> dict[str, Any]:
        """Return the filters: they depend on the data, so no seed restores them."""
        state: dict[str, Any] = {"unit": self.unit_}
        for i, bank in enumerate(self.banks_, 1):
            state |= {f"patches_{i}/kernel": bank.kernel, f"patches_{i}/shift": bank.shift}
        return state

    def restore(self, state: Mapping[str, Any], input_shape: Shape) -> Patches:
        """Build the banks of filters from the arrays of a file."""
        self.image_shape_ = image_shape(input_shape, "features='patches'")
        self.unit_ = float(state["unit"])
        if self.unit_ not in (1.0, 255.0):
            raise ValueError(f"the unit of pixels must be 1 or 255, got {self.unit_}")
        banks = []
        for i, size in enumerate(self._sizes, 1):
            kernel = array_of(state, f"patches_{i}/kernel", 2)
            shift = array_of(state, f"patches_{i}/shift", 1)
            if kernel.shape != (size * size * self.image_shape_[2], len(shift)):
                raise ValueError(f"the filters {i} do not fit patches of {size} pixels")
            banks.append(self._bank(size, kernel, shift))
        self.banks_ = tuple(banks)
        return self


def _random_patches(images: np.ndarray, size: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return random patches as rows, in the dtype of the images."""
    which = rng.integers(0, len(images), n)
    top, left = (rng.integers(0, side - size + 1, n) for side in images.shape[1:3])
    step = np.arange(size)
    rows, columns = top[:, None, None] + step[:, None], left[:, None, None] + step
    return images[which[:, None, None], rows, columns].reshape(n, -1)


def _all_patches(images: np.ndarray, size: int) -> np.ndarray:
    """Return every patch as a row, shape (n, rows, columns, size * size * channels)."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))
    n, rows, columns = windows.shape[:3]
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(n, rows, columns, -1)


def _pool(responses: np.ndarray, bank: Bank) -> np.ndarray:
    n, rows, columns, k = responses.shape
    tall = np.matmul(bank.rows, responses.reshape(n, rows, columns * k))
    wide = np.matmul(bank.columns, tall.reshape(n * len(bank.rows), columns, k))
    return wide.reshape(n, len(bank.rows), len(bank.columns), k)
