"""The weight scale that leave-one-out chooses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from frozenfit.elm import activations
from frozenfit.elm.config import Config
from frozenfit.elm.sample import Sample

__all__ = ["WEIGHT_SCALES", "choose_weight_scale", "fixed_weight_scale"]

WEIGHT_SCALES = (0.5, 1.0, 2.0, 4.0, 8.0)
# As many as the choice of one in five needs: each scale costs a fit on them.
_ROWS = 4096


def fixed_weight_scale(config: Config) -> float:
    """Return the weight scale of a configuration in which it is not to be chosen."""
    if config.weight_scale == "auto":
        return activations.gain(config.activation)
    return float(config.weight_scale)


def choose_weight_scale(
    config: Config, sample: Sample, score: Callable[[Config, Sample], float | None]
) -> Config:
    """Replace the weight scale "loo" by the one with the best leave-one-out score.

    Parameters
    ----------
    config : Config
        The settings.
    sample : Sample
        Rows, in random order. At most 4,096 of them are used.
    score : callable
        Fits on rows with other settings and returns the leave-one-out score.

    Returns
    -------
    Config
        The same object where the scale is given.
    """
    if config.weight_scale != "loo":
        return config
    plain = replace(config, weight_scale="auto")
    scales = list(WEIGHT_SCALES)
    if not config.hidden_layer_sizes:  # nothing is scaled
        return plain
    few = replace(sample, limit=_ROWS).trimmed()
    # A grid, so that a fixed alpha is scored too. The rows are few enough to be kept.
    alpha = config.alpha if isinstance(config.alpha, str) else np.atleast_1d(config.alpha)
    trial = replace(plain, alpha=alpha, loo_rows=None)
    rows = replace(few, limit=None, complete=True)
    # The usual scale first: it is chosen where others are not better.
    scales.sort(key=lambda scale: abs(np.log(scale / fixed_weight_scale(plain))))
    found = [score(replace(trial, weight_scale=scale), rows) for scale in scales]
    scores = [-np.inf if value is None else value for value in found]
    return replace(config, weight_scale=scales[int(np.argmax(scores))])
