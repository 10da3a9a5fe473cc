"""The scores of masks in a file: one bit for each, which determines the masked kernel."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from frozenfit.selectors import Selection, Supermask
from frozenfit.utils.size_limit import charge


def packed(
    trained: Mapping[str, np.ndarray], selection: Selection
) -> tuple[dict[str, np.ndarray], dict[str, tuple[float, float]]]:
    """Replace scores by bits.

    Parameters
    ----------
    trained : mapping of str to ndarray
        The trained parameters by path.
    selection : Selection
        Their forms.

    Returns
    -------
    bits : dict of str to ndarray of uint8
        Which entries of a kernel are kept, eight in one number, by path.
    levels : dict of str to tuple of float
        The mean score of the entries that are removed, and that of those that are kept.
    """
    bits, levels = {}, {}
    for path, scores in trained.items():
        form = selection[path]
        if isinstance(form, Supermask):
            kept = form.kept(scores)
            bits[path] = np.packbits(kept)
            levels[path] = _levels(scores, kept)
    return bits, levels


def unpacked(
    trained: Mapping[str, np.ndarray],
    selection: Selection,
    levels: Mapping[str, tuple[float, float]],
) -> dict[str, np.ndarray]:
    """Return scores from bits: one value for all entries that are kept, and one for the others.

    Parameters
    ----------
    trained : mapping of str to ndarray
        The bits by path, among other arrays.
    selection : Selection
        The forms of the trained parameters.
    levels : mapping of str to tuple of float
        The scores of a path, as `packed` returns them.

    Returns
    -------
    dict of str to ndarray of float32
        The scores of the paths of `levels`.

    Raises
    ------
    ValueError
        If bits or levels are not those of a mask.
    """
    scores = {}
    for path, (low, high) in levels.items():
        form, shape = selection.forms.get(path), selection.layout[path].shape
        bits = trained.get(path)
        count = math.prod(shape)
        if not isinstance(form, Supermask) or bits is None or bits.dtype != np.uint8:
            raise ValueError(f"the weight {path!r} has levels of scores and no mask")
        charge("the scores of a mask", shape)
        if bits.shape != (-(-count // 8),):
            raise ValueError(f"a mask of {bits.size} bytes cannot have shape {shape}")
        kept = np.unpackbits(bits, count=count).astype(bool).reshape(shape)
        pair = np.asarray((low, high), np.float32)
        if not (np.isfinite(pair).all() and pair[0] < pair[1] and kept.sum() == form.count(shape)):
            raise ValueError(
                f"the mask of {path!r} must keep {form.count(shape)} entries with a higher finite "
                f"score than the others, got {kept.sum()} with {high} and {low}"
            )
        scores[path] = np.where(kept, pair[1], pair[0])
    return scores


def _levels(scores: np.ndarray, kept: np.ndarray) -> tuple[float, float]:
    """Return the mean scores of both kinds of entries, that of kept ones being the larger one."""
    high = scores[kept].mean(dtype=np.float64)
    low = scores[~kept].mean(dtype=np.float64) if not kept.all() else high - 1
    low, high = np.float32(low), np.float32(high)
    return float(low), float(max(high, np.nextafter(low, np.float32(np.inf))))
