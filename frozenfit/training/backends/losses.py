"""The loss of a batch, and the sums behind the metrics of an epoch."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras

ops: Any = keras.ops


class Totals(NamedTuple):
    """Sums over the steps of one call.

    Attributes
    ----------
    loss : float
        Sum of the sample losses times their weights.
    n_correct : float
        Sum of the weights of correctly classified samples; 0 for regression.
    weight : float
        Sum of the weights.
    """

    loss: float
    n_correct: float
    weight: float


def classification_loss(y, logits, weight):
    """Return the weighted mean cross-entropy of integer labels, and the sums of `Totals`.

    Parameters
    ----------
    y : tensor of int, shape (batch,)
        Class indices.
    logits : tensor, shape (batch, n_classes)
        Outputs of the network.
    weight : tensor, shape (batch,)
        Sample weights.

    Returns
    -------
    loss : scalar tensor
        ``sum(w * l) / sum(w)``.
    totals : tuple of scalar tensors
        Loss, correct predictions and weights, as in `Totals`.
    """
    # Under mixed precision the exponentials of float16 logits would overflow.
    logits = ops.cast(logits, "float32")
    each = ops.sparse_categorical_crossentropy(y, logits, from_logits=True)
    # top_k is one operation on TensorFlow; Keras's argmax is seven, to order -0 before 0.
    predicted = ops.squeeze(ops.top_k(logits, 1, sorted=False)[1], -1)
    correct = ops.cast(ops.equal(predicted, ops.cast(y, "int32")), "float32")
    return _weighted(each, correct, weight)


def regression_loss(y, outputs, weight):
    """Return the weighted mean squared error over the targets, and the sums of `Totals`.

    Parameters
    ----------
    y : tensor, shape (batch, n_targets)
        Targets.
    outputs : tensor, shape (batch, n_targets)
        Outputs of the network.
    weight : tensor, shape (batch,)
        Sample weights.

    Returns
    -------
    loss, totals
        As for `classification_loss`.
    """
    each = ops.mean(ops.square(ops.cast(outputs, "float32") - ops.cast(y, "float32")), axis=-1)
    return _weighted(each, ops.zeros_like(each), weight)


def _weighted(each, correct, weight):
    # The mean is over weights, not rows, so that padding rows of weight 0 change nothing.
    total = ops.sum(weight)
    loss = ops.sum(each * weight)
    return loss / total, (loss, ops.sum(correct * weight), total)


LOSSES = {"classification": classification_loss, "regression": regression_loss}
