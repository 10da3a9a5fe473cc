"""Features of images: random rectangles, and frozen filters made from patches of the images.

Receptive fields: McDonnell et al. 2015 (arXiv 1412.8307). Patches, whitening, two-sided rectifier
and pooling over quadrants: Coates, Lee and Ng 2011, and Coates and Ng 2011. Absolute values, local
means and a square root: McDonnell and Vladusich 2015 (arXiv 1503.04596).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from frozenfit.draws import draw

__all__ = ["Patches", "PatchParams", "rectangles"]

_ROUNDS = 32
_GROUP = 2**18  # responses computed at a time, so that they stay in the cache
_DRAWN_FROM = 200_000  # patches


def rectangles(
    shape: tuple[int, int, int], units: int, seed: int, path: str, params: dict[str, Any]
) -> np.ndarray:
    """Draw one random rectangle of the image for each unit.

    Parameters
    ----------
    shape : (int, int, int)
        Height, width, channels.
    units : int
        How many.
    seed : int
        The seed.
    path : str
        Name of the layer.
    params : dict
        ``border`` pixels that stay outside (default 3, 0 for images under 20 pixels) and
        ``min_area`` (default 10, 4 for small images), the least (rows - 1) * (columns - 1).

    Returns
    -------
    ndarray of bool, shape (height * width * channels, units)
    """
    height, width, channels = shape
    small = min(height, width) < 20
    border = int(params.get("border", 0 if small else 3))
    least = int(params.get("min_area", 4 if small else 10))
    inner = np.array([height - 2 * border, width - 2 * border])
    if border < 0 or (inner - 1).min() < 1 or np.prod(inner - 1) < least:
        raise ValueError(
            f"receptive fields of min_area={least} do not fit in images of {height} x {width} "
            f"with border={border}; give smaller feature_params"
        )
    config = {"minval": 0.0, "maxval": 1.0}
    text = json.dumps({"class_name": "RandomUniform", "config": config})
    places = draw(text, (_ROUNDS, units, 2, 2), seed, f"{path}/fields")
    corners = np.sort((places * inner[:, None]).astype(int), axis=3)
    size = corners[..., 1] - corners[..., 0]
    good = (size.min(axis=2) > 0) & (size.prod(axis=2) >= least)
    chosen = np.argmax(good, axis=0)
    found = corners[chosen, np.arange(units)]
    found[~good.any(axis=0)] = np.stack([[0, 0], inner - 1], axis=1)
    found += border
    rows, columns = np.arange(height)[:, None], np.arange(width)[:, None]
    tall = (rows >= found[:, 0, 0]) & (rows <= found[:, 0, 1])
    wide = (columns >= found[:, 1, 0]) & (columns <= found[:, 1, 1])
    mask = tall[:, None, None, :] & wide[None, :, None, :]
    return np.broadcast_to(mask, (height, width, channels, units)).reshape(-1, units)


@dataclass(frozen=True)
class PatchParams:
    """What `feature_params` may hold for ``features="patches"``.

    Attributes
    ----------
    n_filters : int
        Filters in all.
    patch_size : int or tuple of int
        Side of the square patches; several share the filters.
    filters : {"patches", "random"}
        Random patches of the training images, or noise.
    whiten : bool
        Whiten patches, each brought to one contrast before. Right for color images.
    rectifier : {"abs", "relu", "two-sided"}
        "two-sided" keeps both signs apart and gives two features for each filter.
    threshold : float
        Taken off the responses before rectifying.
    pool, stride : int
        Side and step of the squares over which responses are averaged.
    grid : int or None
        Average over this many equal parts each way instead: 2 for quadrants.
    root : bool
        Take square roots after pooling.
    min_contrast : float
        Only patches whose standard deviation is this part of all pixels' make filters.
    """

    n_filters: int = 100
    patch_size: Any = 7
    filters: str = "patches"
    whiten: bool = False
    rectifier: str = "abs"
    threshold: float = 0.0
    pool: int = 5
    stride: int = 3
    grid: int | None = None
    root: bool = True
    min_contrast: float = 0.5

    @classmethod
    def of(cls, params: dict[str, Any] | None) -> PatchParams:
        """Check a dict of parameters."""
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(params or {}) - known)
        if unknown:
            raise ValueError(
                f"feature_params has no {unknown[0]!r} for features='patches'; it may hold "
                f"{', '.join(sorted(known))}"
            )
        made = cls(**(params or {}))
        choices = {"filters": ("patches", "random"), "rectifier": ("abs", "relu", "two-sided")}
        for name, allowed in choices.items():
            if getattr(made, name) not in allowed:
                raise ValueError(
                    f"feature_params[{name!r}] must be one of {allowed}, found "
                    f"{getattr(made, name)!r}"
                )
        return made

    @property
    def sizes(self) -> tuple[int, ...]:
        """The patch sizes as a tuple."""
        given = self.patch_size
        return tuple(given) if isinstance(given, list | tuple) else (int(given),)


@dataclass(frozen=True)
class Bank:
    """Filters of one size.

    Attributes
    ----------
    size : int
        Side of the patches.
    kernel : ndarray of float32, shape (size * size * channels, n)
        Filters, whitening included.
    shift : ndarray of float32, shape (n,)
        Taken off the responses.
    rows, columns : ndarray of float32
        Averaging along the height and the width of the responses.
    """

    size: int
    kernel: np.ndarray
    shift: np.ndarray
    rows: np.ndarray = field(repr=False)
    columns: np.ndarray = field(repr=False)


# Added to the variance of a patch whose pixels lie in [0, 1]: 10 on the scale of 0 to 255.
CONTRAST = 10.0 / 255**2
_WHITENING = 0.1


@dataclass(frozen=True)
class Patches:
    """Convolves images with frozen filters, rectifies and pools.

    Attributes
    ----------
    shape : (int, int, int)
        Height, width, channels.
    params : PatchParams
        The settings.
    unit : float
        What stands for 1 in the images: 255 for integers.
    banks : tuple of Bank
        One per patch size.
    """

    shape: tuple[int, int, int]
    params: PatchParams
    unit: float
    banks: tuple[Bank, ...]

    @classmethod
    def fit(
        cls, X: np.ndarray, shape: tuple[int, int, int], params: PatchParams, rng: Any
    ) -> Patches:
        """Make filters from images.

        Parameters
        ----------
        X : ndarray, shape (n, ...)
            Images, or rows of their pixels.
        shape : (int, int, int)
            Height, width, channels.
        params : PatchParams
            The settings.
        rng : numpy.random.Generator
            Chooses the patches.

        Returns
        -------
        Patches
        """
        unit = 255.0 if X.dtype.kind in "ui" or float(X.max()) > 2.0 else 1.0
        images = X.reshape(-1, *shape)
        counts = [
            len(part) for part in np.array_split(np.arange(params.n_filters), len(params.sizes))
        ]
        banks = []
        for size, count in zip(params.sizes, counts, strict=True):
            if not 1 <= size <= min(shape[:2]):
                raise ValueError(
                    f"feature_params['patch_size'] must fit into images of {shape[0]} x "
                    f"{shape[1]}, found {size}"
                )
            kernel, shift = _filters(images, size, count, params, unit, rng)
            pools = [averaging(n - size + 1, params) for n in shape[:2]]
            banks.append(Bank(size, kernel, shift, *pools))
        return cls(shape, params, unit, tuple(banks))

    @property
    def width(self) -> int:
        """Number of features."""
        sides = 2 if self.params.rectifier == "two-sided" else 1
        return sides * sum(len(b.rows) * len(b.columns) * len(b.shift) for b in self.banks)

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Compute the features of images, float32 of shape (n, width)."""
        images = X.reshape(-1, *self.shape)
        out = np.empty((len(images), self.width), np.float32)
        start = 0
        for bank in self.banks:
            positions = np.prod([n - bank.size + 1 for n in self.shape[:2]])
            group = max(1, _GROUP // int(positions * len(bank.shift)))
            for first in range(0, len(images), group):
                part = np.asarray(images[first : first + group], np.float32)
                found = self._pooled(part / np.float32(self.unit), bank)
                stop = start + found.shape[1]
                out[first : first + group, start:stop] = found
            start = stop
        return out

    def _pooled(self, images: np.ndarray, bank: Bank) -> np.ndarray:
        responses = self._responses(images, bank)
        p = self.params
        t = np.float32(p.threshold)
        if p.rectifier == "two-sided":
            # What is left outside +-threshold; the means of its two sides come from the means of
            # its value and of its size.
            responses -= np.clip(responses, -t, t)
            signed = _pool(responses, bank)
            size = _pool(np.abs(responses, out=responses), bank)
            pooled = np.concatenate([size + signed, size - signed], axis=3)
            pooled *= np.float32(0.5)
            np.maximum(pooled, 0, out=pooled)
        else:
            if p.rectifier == "abs":
                np.abs(responses, out=responses)
            if t or p.rectifier == "relu":
                responses -= t
                np.maximum(responses, 0, out=responses)
            pooled = _pool(responses, bank)
        if p.root:
            np.sqrt(np.maximum(pooled, 0, out=pooled), out=pooled)
        return pooled.reshape(len(images), -1)

    def _responses(self, images: np.ndarray, bank: Bank) -> np.ndarray:
        rows = _all_patches(images, bank.size)
        responses = rows.reshape(-1, rows.shape[-1]) @ bank.kernel
        if self.params.whiten:
            flat = rows.reshape(-1, rows.shape[-1])
            mean = flat.mean(axis=1)
            spread = np.einsum("ij,ij->i", flat, flat) / flat.shape[1] - mean * mean
            responses /= np.sqrt(np.maximum(spread, 0) + np.float32(CONTRAST))[:, None]
            responses -= bank.shift
        return responses.reshape(*rows.shape[:3], -1)


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


def averaging(length: int, params: PatchParams) -> np.ndarray:
    """Return the matrix that averages along one axis of responses, shape (parts, length)."""
    if params.grid is not None:
        edges = [
            (length * i // params.grid, length * (i + 1) // params.grid) for i in range(params.grid)
        ]
    else:
        size = min(params.pool, length)
        starts = range(0, length - size + 1, params.stride)
        edges = [(start, start + size) for start in starts]
    matrix = np.zeros((len(edges), length), np.float32)
    for i, (start, stop) in enumerate(edges):
        matrix[i, start:stop] = 1.0 / (stop - start)
    return matrix


def _filters(images, size, count, params, unit, rng) -> tuple[np.ndarray, np.ndarray]:
    n, height, width, channels = images.shape
    wanted = _DRAWN_FROM if params.whiten else max(50 * count, 2000)
    which = rng.integers(0, n, wanted)
    top, left = (rng.integers(0, side - size + 1, wanted) for side in (height, width))
    step = np.arange(size)
    rows, columns = top[:, None, None] + step[:, None], left[:, None, None] + step
    patches = images[which[:, None, None], rows, columns].reshape(wanted, -1) / unit
    patches = patches.astype(np.float64)
    patches -= patches.mean(axis=1, keepdims=True)
    spread = patches.std(axis=1)
    floor = params.min_contrast * float(np.std(images[:1000].astype(np.float64) / unit))
    usable = np.flatnonzero(spread > floor)
    if len(usable) < count:
        usable = np.argsort(-spread, kind="stable")[: max(count, 1)]
    whitening, mean = np.eye(patches.shape[1]), np.zeros(patches.shape[1])
    if params.whiten:
        patches /= np.sqrt(spread**2 + CONTRAST)[:, None]
        mean = patches.mean(axis=0)
        values, vectors = np.linalg.eigh(np.cov(patches.T))
        whitening = (vectors / np.sqrt(np.maximum(values, 0) + _WHITENING)) @ vectors.T
    if params.filters == "random":
        filters = rng.standard_normal((count, patches.shape[1]))
    else:
        chosen = rng.choice(usable, count, replace=len(usable) < count)
        filters = (patches[chosen] - mean) @ whitening
    filters /= np.maximum(np.linalg.norm(filters, axis=1, keepdims=True), 1e-12)
    kernel = whitening @ filters.T
    shift = mean @ kernel
    kernel -= kernel.mean(axis=0)  # takes each patch's mean off
    return kernel.astype(np.float32), shift.astype(np.float32)
