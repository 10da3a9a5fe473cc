"""Keras metrics that a fit reports for each epoch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from scipy.special import expit, softmax

from frozenfit.isolation import isolated
from frozenfit.training.objective import Task
from frozenfit.utils.arrays import to_numpy
from frozenfit.utils.names import did_you_mean, snake_case

_RESERVED = ("loss", "accuracy", "acc")


class Metrics:
    """Computes the metrics of an epoch from the outputs of its batches.

    A metric of a classifier receives probabilities, and a metric of a regressor predictions and
    targets on the original scale. With two classes it receives those of the second class, of
    shape (n, 1), as the metrics of a network with one sigmoid output do. With more classes, and
    for the metrics of Keras whose name contains "categorical", labels are one-hot; those whose name
    begins with "Sparse" receive class indices.

    Parameters
    ----------
    metrics : sequence of str, keras.metrics.Metric and callable, or None
        Names of Keras, metrics, or functions of targets and predictions that return one value
        per sample. The metrics are copied, so that the objects of the user keep their state.
    task : {"classification", "multilabel", "regression"}
        The kind of the targets.
    mean, scale : ndarray or float
        What targets of a regression were standardized by.

    Raises
    ------
    ValueError
        If a name is unknown, or two metrics have the same name.
    """

    def __init__(
        self,
        metrics: Sequence[str | keras.metrics.Metric | Callable] | None,
        task: Task,
        mean: Any = 0.0,
        scale: Any = 1.0,
    ):
        self.task, self.mean, self.scale = task, mean, scale
        self._metrics: dict[str, keras.metrics.Metric] = {}
        for metric in metrics or ():
            if isinstance(metric, str) and metric in ("accuracy", "acc") and task != "regression":
                continue  # reported in any case
            name, made = _copied(metric)
            if name in self._metrics or name in _RESERVED:
                raise ValueError(
                    f"`metrics` must have different names, other than 'loss' and 'accuracy', got "
                    f"{name!r} again. Give the metric another name: "
                    f"{type(made).__name__}(..., name='...')."
                )
            self._metrics[name] = made

    def check(self, n_outputs: int) -> None:
        """Raise the error of a metric that cannot be computed before training starts.

        Parameters
        ----------
        n_outputs : int
            Number of outputs of the network.
        """
        y: Any = np.zeros((2, n_outputs), np.float32)
        if self.task == "classification":
            y = np.arange(2, dtype=np.int32) % n_outputs
        self.reset()
        self.update(y, np.zeros((2, n_outputs), np.float32), np.ones(2, np.float32))
        self.result()

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self._metrics)

    @property
    def objects(self) -> list[keras.metrics.Metric]:
        """The metrics, in the order in which they are reported."""
        return list(self._metrics.values())

    def reset(self) -> None:
        """Begin an epoch."""
        for metric in self._metrics.values():
            metric.reset_state()

    def update(self, y: np.ndarray, outputs: np.ndarray, weight: np.ndarray) -> None:
        """Add samples.

        Parameters
        ----------
        y : ndarray of shape (n,) or (n, n_outputs)
            Targets, on the scale of training.
        outputs : ndarray of shape (n, n_outputs)
            Outputs of the network, without an activation.
        weight : ndarray of shape (n,)
            Sample weights; samples of weight 0 are left out.
        """
        kept = weight > 0
        y, outputs, weight = y[kept], outputs[kept].astype(np.float32), weight[kept]
        for metric in self._metrics.values():
            pair = map(keras.ops.convert_to_tensor, self._arguments(metric, y, outputs))
            metric.update_state(*pair, sample_weight=keras.ops.convert_to_tensor(weight))

    def result(self, prefix: str = "") -> dict[str, float]:
        """Return the values of the epoch by name."""
        values = {}
        for name, metric in self._metrics.items():
            value = to_numpy(metric.result())
            if value.size != 1:
                raise ValueError(
                    f"`metrics` must be single numbers, got {value.size} from {name!r}. Average "
                    "them, as with average='macro' of keras.metrics.F1Score."
                )
            values[prefix + name] = float(value.item())
        return values

    def _arguments(self, metric: Any, y: np.ndarray, outputs: np.ndarray) -> tuple[np.ndarray, ...]:
        if self.task == "regression":
            y, outputs = (v * self.scale + self.mean for v in (y, outputs))
            return y.astype(np.float32), outputs.astype(np.float32)
        if self.task == "multilabel":
            return y.astype(np.float32), expit(outputs)
        probabilities = softmax(outputs, axis=1)
        kind = type(metric).__name__
        if kind.startswith("Sparse"):
            return y, probabilities
        if outputs.shape[1] == 2 and "Categorical" not in kind:
            return y[:, None].astype(np.float32), probabilities[:, 1:]
        return np.eye(outputs.shape[1], dtype=np.float32)[y], probabilities


def _copied(metric: Any) -> tuple[str, keras.metrics.Metric]:
    """Return the name under which a metric is reported, and a metric without state."""
    # Creating a metric takes names and draws seeds; isolation keeps Keras's global state unchanged.
    with isolated(0):
        if isinstance(metric, keras.metrics.Metric):
            return metric.name, _fresh(metric)
        if not isinstance(metric, str):
            name = getattr(metric, "__name__", type(metric).__name__)
            return name, keras.metrics.MeanMetricWrapper(metric, name=name)
        try:
            made: Any = keras.metrics.get(metric)
            return metric, made
        except ValueError:
            known = sorted(snake_case(n) for n in dir(keras.metrics) if n[0].isupper())
            raise ValueError(
                "`metrics` must contain names of Keras metrics, keras.metrics.Metric objects or "
                f"functions, got {metric!r}. {did_you_mean(metric, known)}"
            ) from None


def _fresh(metric: keras.metrics.Metric) -> keras.metrics.Metric:
    kind = type(metric)
    if getattr(keras.metrics, kind.__name__, None) is kind:
        return kind.from_config(metric.get_config())
    # The configuration of a class of the user may be incomplete.
    made = copy.deepcopy(metric)
    made.reset_state()
    return made
