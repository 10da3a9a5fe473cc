"""The loss of a batch and the sums of a record, for classes and for targets."""

from __future__ import annotations

from typing import NamedTuple

from keras import ops


class Totals(NamedTuple):
    """Sums over the steps of one call: of the loss times weight, of hits, and of weight."""

    loss: float
    n_correct: float
    weight: float


def classification_loss(y, logits, weight):
    """Weighted mean cross-entropy of integer labels, with sums for the record.

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
        Weighted loss, weighted hits, weight.
    """
    logits = ops.cast(logits, "float32")
    each = ops.sparse_categorical_crossentropy(y, logits, from_logits=True)
    # Keras's argmax is seven operations on TensorFlow, to order -0 before 0; this is one.
    found = ops.top_k(logits, 1, sorted=False)[1]
    hit = ops.cast(ops.equal(ops.squeeze(found, -1), ops.cast(y, "int32")), "float32")
    return _weighted(each, hit, weight)


def regression_loss(y, outputs, weight):
    """Weighted mean squared error, averaged over the targets, with sums for the record.

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
        As of `classification_loss`; there are no hits.
    """
    each = ops.mean(ops.square(ops.cast(outputs, "float32") - ops.cast(y, "float32")), axis=-1)
    return _weighted(each, ops.zeros_like(each), weight)


def _weighted(each, hit, weight):
    total = ops.sum(weight)
    loss = ops.sum(each * weight)
    return loss / total, (loss, ops.sum(hit * weight), total)


LOSSES = {"classification": classification_loss, "regression": regression_loss}
