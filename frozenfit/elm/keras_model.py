"""A fitted ELM as a plain Keras model, of Keras's own layers and operations."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from frozenfit.elm import calibration, device
from frozenfit.elm.config import Config
from frozenfit.elm.frozen import Frozen
from frozenfit.elm.head import Head
from frozenfit.isolation import isolated

__all__ = ["build"]

ops: Any = keras.ops


def build(frozen: Frozen, head: Head) -> keras.Model:
    """Build the model.

    Parameters
    ----------
    frozen : Frozen
        The frozen part.
    head : Head
        The trained output.

    Returns
    -------
    keras.Model
        Takes float32 samples of the shape of the training samples.

    Raises
    ------
    ValueError
        If the feature stage has no Keras form.
    """
    with isolated(0):  # building a Keras model draws from Python's global random stream
        inputs, features = device.symbolic_features(frozen)
        scores = [
            device.dense_layer(x, coef, intercept, f"head_{i}", trainable=True)
            for i, (x, coef, intercept) in enumerate(
                zip(features, head.coefs, head.intercepts, strict=True), 1
            )
        ]
        mean = scores[0] if len(scores) == 1 else ops.mean(ops.stack(scores), axis=0)
        return keras.Model(inputs, _outputs(frozen.config, head, mean), name="elm")


def _outputs(config: Config, head: Head, scores: Any) -> Any:
    if not config.classifies:
        low, high = np.asarray(head.low, "f4"), np.asarray(head.high, "f4")
        return ops.minimum(ops.maximum(scores, low), high)
    if config.task == "multilabel":
        beta, gamma = np.asarray(head.beta, "f4"), np.asarray(head.gamma, "f4")
        return scores * (2.0 * beta) + (_log_share(scores) - _log_share(-scores)) * gamma
    if head.gamma == 0:
        return head.beta * scores
    return head.beta * scores + head.gamma * _log_share(scores)


def _log_share(scores: Any) -> Any:
    return ops.log(ops.maximum((1.0 + scores) / 2.0, calibration.FLOOR))
