"""Training steps on TensorFlow: a loop inside one compiled function."""

from __future__ import annotations

from typing import Any

from keras import ops

from frozenfit.training.epochs.trainer import BaseTrainer


class TensorFlowTrainer(BaseTrainer):
    """Trains in a `tf.while_loop`."""

    def _gradients(self, x, y, weight):
        return self._step_gradients(x, y, weight)[0]

    def _step_gradients(self, x, y, weight):
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss, sums, states = self._objective(x, y, weight)
        values = [v.value for v in self.variables]
        unused = tf.UnconnectedGradients.ZERO
        gradients: Any = tape.gradient(loss, values, unconnected_gradients=unused)
        return [tf.convert_to_tensor(g) for g in gradients], sums, states

    def _prepare(self) -> None:
        import tensorflow as tf

        def step(i, x, y, weight, rates, scales, *totals):
            self._rate.learning_rate.assign(rates[i])
            gradients, sums, states = self._step_gradients(x[i], y[i], weight[i])
            self._apply(gradients, scales[i])
            for variable, value in states:
                variable.assign(value)
            totals = (t + s for t, s in zip(totals, sums, strict=True))
            return (i + 1, x, y, weight, rates, scales, *totals)

        def run(x, y, weight, rates, scales):
            zero = tf.constant(0.0)
            return tf.while_loop(
                lambda i, *_: i < tf.shape(rates)[0],
                step,
                (tf.constant(0), x, y, weight, rates, scales, zero, zero, zero),
            )[-3:]

        self._compiled = tf.function(run, autograph=False, reduce_retracing=True)

    def _run(self, x, y, weight, rates, scales):
        return self._compiled(*(ops.convert_to_tensor(a) for a in (x, y, weight, rates, scales)))
