"""What a network is trained for: the kind of its targets, and the loss that is minimized."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeAlias

import keras
import numpy as np
from scipy.special import log_softmax

from frozenfit.isolation import isolated
from frozenfit.utils import losses
from frozenfit.utils.arrays import to_numpy
from frozenfit.utils.names import did_you_mean, snake_case

ops: Any = keras.ops

Task: TypeAlias = Literal["classification", "multilabel", "regression"]
# A Keras loss, or a function of targets and outputs that returns one value per sample.
SampleLoss: TypeAlias = "keras.losses.Loss | Callable[[Any, Any], Any]"

# The losses of Keras that fit outputs without an activation and, for regression, targets of mean 0.
_LOSSES: dict[Task, tuple[str, ...]] = {
    "classification": (
        "SparseCategoricalCrossentropy",
        "CategoricalCrossentropy",
        "CategoricalFocalCrossentropy",
        "CategoricalHinge",
    ),
    "multilabel": ("BinaryCrossentropy", "BinaryFocalCrossentropy", "Hinge", "SquaredHinge"),
    "regression": ("MeanSquaredError", "MeanAbsoluteError", "Huber", "LogCosh", "CosineSimilarity"),
}
_ALIASES = {
    "mse": "MeanSquaredError",
    "mae": "MeanAbsoluteError",
    "bce": "BinaryCrossentropy",
    "logcosh": "LogCosh",
}


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


@dataclass(frozen=True, eq=False)
class Objective:
    """The kind of the targets, and the loss.

    Parameters
    ----------
    task : {"classification", "multilabel", "regression"}
        Class indices of shape (batch,), labels 0 and 1 of shape (batch, n_labels), or targets of
        shape (batch, n_targets).
    loss : keras.losses.Loss, callable or None, default=None
        The loss of each sample. None is the cross-entropy of the softmax or sigmoid of the outputs,
        or the squared error, averaged over labels or targets.
    """

    task: Task
    loss: SampleLoss | None = None

    @cached_property
    def key(self) -> tuple:
        """What compiled code depends on."""
        loss: Any = self.loss
        if losses.is_of_keras(loss):
            loss = type(loss), json.dumps(losses.arguments(loss), sort_keys=True, default=str)
        # The configuration of a loss of the user may be incomplete, so the object is compared.
        return self.task, loss

    def __call__(self, y: Any, outputs: Any, weight: Any) -> tuple[Any, tuple[Any, Any, Any]]:
        """Compute the loss of a batch.

        Parameters
        ----------
        y : tensor
            Targets, of the shape that the task has.
        outputs : tensor, shape (batch, n_outputs)
            Outputs of the network, without an activation.
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
        outputs = ops.cast(outputs, "float32")
        each, correct = self.values(y, outputs), self._correct(y, outputs)
        # The mean is over weights, not rows, so that padding rows of weight 0 change nothing.
        total, loss = ops.sum(weight), ops.sum(each * weight)
        correct = ops.zeros_like(loss) if correct is None else ops.sum(correct * weight)
        return loss / total, (loss, correct, total)

    def values(self, y: Any, outputs: Any) -> Any:
        """Compute the loss of each sample, shape (batch,), from float32 outputs."""
        if self.loss is not None:
            return self._given(y, outputs)
        if self.task == "classification":
            return ops.sparse_categorical_crossentropy(y, outputs, from_logits=True)
        y = ops.cast(y, "float32")
        if self.task == "multilabel":
            return ops.mean(ops.binary_crossentropy(y, outputs, from_logits=True), axis=-1)
        return ops.mean(ops.square(outputs - y), axis=-1)

    def evaluated(self, y: np.ndarray, outputs: np.ndarray) -> tuple[np.ndarray, Any]:
        """Compute the loss of each validation sample, and whether its prediction is right.

        Parameters
        ----------
        y : ndarray
            Targets, of the shape that the task has.
        outputs : ndarray of float32, shape (n, n_outputs)
            Outputs of the network.

        Returns
        -------
        values : ndarray of shape (n,)
            In float64, unless the loss is given.
        correct : ndarray of bool, shape (n,), or None
            None for regression.
        """
        exact = outputs.astype(np.float64)
        if self.task == "classification":
            values = -log_softmax(exact, axis=1)[np.arange(len(y)), y]
            correct = outputs.argmax(axis=1) == y
        elif self.task == "multilabel":
            # log(1 + exp(z)) - y * z without overflow
            values = np.mean(np.logaddexp(0, exact) - y * exact, axis=1)
            correct = np.all((outputs > 0) == (y > 0), axis=1)
        else:
            values, correct = np.mean((exact - y) ** 2, axis=1), None
        if self.loss is not None:
            tensors = ops.convert_to_tensor(y), ops.convert_to_tensor(outputs)
            values = to_numpy(self.values(*tensors))
        return values, correct

    def _given(self, y: Any, outputs: Any) -> Any:
        loss: Any = self.loss
        sparse = isinstance(loss, keras.losses.SparseCategoricalCrossentropy)
        if self.task == "classification" and not sparse:
            y = ops.one_hot(y, outputs.shape[-1], dtype="float32")
        elif self.task != "classification":
            y = ops.cast(y, "float32")
        # `call` returns a value per sample; the call of a Keras loss reduces them.
        each = (loss.call if isinstance(loss, keras.losses.Loss) else loss)(y, outputs)
        if len(each.shape) != 1:
            raise ValueError(
                "`loss` must return one value per sample, of shape (batch,), got the shape "
                f"{tuple(each.shape)} for outputs of shape {tuple(outputs.shape)}. Average over "
                "the last axis only: keras.ops.mean(..., axis=-1)."
            )
        return ops.cast(each, "float32")

    def _correct(self, y: Any, outputs: Any) -> Any:
        """Return 1 for each sample whose prediction is right, 0 for others; None for regression."""
        if self.task == "regression":
            return None
        if self.task == "multilabel":
            right = ops.equal(ops.cast(outputs > 0, "float32"), ops.cast(y, "float32"))
            return ops.cast(ops.all(right, axis=-1), "float32")
        # top_k is one operation on TensorFlow; Keras's argmax is seven, to order -0 before 0.
        predicted = ops.squeeze(ops.top_k(outputs, 1, sorted=False)[1], -1)
        return ops.cast(ops.equal(predicted, ops.cast(y, "int32")), "float32")


def make_loss(loss: str | SampleLoss, task: Task) -> SampleLoss | None:
    """Return the loss that the `loss` of an estimator names.

    Parameters
    ----------
    loss : str, keras.losses.Loss or callable
        "auto", the name of a loss of Keras, a loss, or a function ``f(y_true, y_pred)`` that
        returns one value per sample.
    task : {"classification", "multilabel", "regression"}
        The kind of the targets.

    Returns
    -------
    keras.losses.Loss, callable or None
        None for "auto". A loss by name is computed from logits where it can be.

    Raises
    ------
    ValueError
        If the name is unknown, or the loss does not fit the task, takes probabilities, or is a sum.
    """
    if isinstance(loss, str):
        return None if loss == "auto" else _by_name(loss, task)
    if not isinstance(loss, keras.losses.Loss):
        return loss
    kind = type(loss)
    if losses.is_of_keras(loss):
        _check_task(kind.__name__, task, f"a {kind.__name__}")
        if loss.get_config().get("from_logits") is False:
            raise ValueError(
                "`loss` must be computed from logits, because networks have no activation at the "
                f"end, got a {kind.__name__} of probabilities. Use {kind.__name__}"
                "(from_logits=True)."
            )
    if loss.reduction == "sum":
        raise ValueError(
            "`loss` must not have reduction='sum', because training averages over the weighted "
            f"samples of a batch, got such a {kind.__name__}. Leave out `reduction`."
        )
    return loss


def _by_name(name: str, task: Task) -> keras.losses.Loss:
    classes = {snake_case(cls): cls for cls in sum(_LOSSES.values(), ())}
    found = _ALIASES.get(name.lower()) or classes.get(name, name)
    if found not in classes.values() and not hasattr(keras.losses, found):
        known = [snake_case(cls) for cls in _LOSSES[task]]
        raise ValueError(
            "`loss` must be 'auto', the name of a Keras loss, a keras.losses.Loss or a function, "
            f"got {name!r}. {did_you_mean(name, known)}"
        )
    _check_task(found, task, repr(name))
    kind = getattr(keras.losses, found)
    logits = "from_logits" in inspect.signature(kind).parameters
    with isolated(0):
        return kind(from_logits=True) if logits else kind()


def _check_task(kind: str, task: Task, received: str) -> None:
    if kind not in _LOSSES[task]:
        known = ", ".join(repr(snake_case(cls)) for cls in _LOSSES[task])
        what = {"multilabel": "multi-label classification"}.get(task, task)
        raise ValueError(
            f"`loss` must be a loss for {what} of outputs without an activation, got {received}. "
            f"Use one of {known}, or a function f(y_true, y_pred)."
        )
