"""Training steps and predictions on TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from frozenfit.training.backends.predictor import Predictor, as_floats
from frozenfit.training.backends.trainer import Trainer


class TensorFlowTrainer(Trainer):
    """Trains in a `tf.while_loop` inside one compiled function."""

    def _compile(self) -> None:
        self._traces: dict[tuple, Callable] = {}

    def _gradients(self, x, y, weight):
        return self._step_gradients(x, y, weight)[0]

    def _step_gradients(self, x, y, weight, moves=None):
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss, sums, states, outputs = self._objective(x, y, weight, moves)
        values = [v.value for v in self.variables]
        # A trainable weight may be unused, as in a phase that runs on cached features.
        unused = tf.UnconnectedGradients.ZERO
        gradients: Any = tape.gradient(loss, values, unconnected_gradients=unused)
        # The gradient of an embedding is a list of rows; the optimizer needs it whole.
        return [tf.convert_to_tensor(g) for g in gradients], sums, states, outputs

    def _step(self, rate, x, y, weight, moves, multipliers):
        self._inner_optimizer.learning_rate.assign(rate)
        gradients, sums, states, outputs = self._step_gradients(x, y, weight, moves)
        self._apply(gradients, multipliers)
        # States last: the gradients above were computed with the old ones, as in Keras.
        for variable, value in states:
            variable.assign(value)
        return list(sums), outputs

    def _run(self, x, y, weight, moves, rates, multipliers):
        import tensorflow as tf

        given = rates, x, y, weight, moves, multipliers
        stacks: list[Any] = [tf.convert_to_tensor(a) for a in given]
        # The numbers of steps and of rows are left open: one trace serves all of them.
        key = tuple((a.dtype, *self._open_shape(a)) for a in stacks)
        if key not in self._traces:
            self._traces[key] = self._trace(stacks)
        return self._traces[key](*stacks)

    def _trace(self, stacks: list[Any]) -> Callable:
        import tensorflow as tf

        # Numbers of steps and rows stay open, so that a shorter last stack or batch needs no second
        # trace.
        specs = [tf.TensorSpec(self._open_shape(a), a.dtype) for a in stacks[:-1]]
        specs += [tf.TensorSpec((None, *stacks[-1].shape[1:]), stacks[-1].dtype)]
        return tf.function(self._loop, autograph=False).get_concrete_function(*specs)

    def _open_shape(self, stack: Any) -> tuple:
        open_axes = (0, self._row_axis)
        return tuple(None if i in open_axes else size for i, size in enumerate(stack.shape))

    def _loop(self, *stacks):
        import tensorflow as tf

        def body(i, totals, kept):
            sums, outputs = self._step(*(stack[i] for stack in stacks))
            totals = [t + s for t, s in zip(totals, sums, strict=True)]
            return i + 1, totals, kept.write(i, outputs) if self.keep_outputs else kept

        steps = tf.shape(stacks[0])[0]
        kept = tf.TensorArray(tf.float32, steps) if self.keep_outputs else ()
        start = tf.constant(0), [tf.zeros(self._sum_shape)] * 3, kept
        _, totals, kept = tf.while_loop(lambda i, *_: i < steps, body, start)
        return totals, kept.stack() if self.keep_outputs else ()


class TensorFlowPredictor(Predictor):
    """Computes outputs in a graph whose number of rows is left open."""

    def _compile(self) -> None:
        self._traces: dict[tuple, Callable] = {}

    def _compute(self, x: np.ndarray) -> Any:
        import tensorflow as tf

        key = (x.shape[1:], x.dtype)
        if key not in self._traces:
            function = tf.function(self._outputs, autograph=False)
            spec = tf.TensorSpec((None, *x.shape[1:]), x.dtype)
            self._traces[key] = function.get_concrete_function(spec)
        return self._traces[key](ops.convert_to_tensor(x))

    def _keep(self, values):
        import tensorflow as tf

        return [tf.convert_to_tensor(np.stack(of_one)) for of_one in zip(*values, strict=True)]

    def _of_each(self, variables, kept):
        import tensorflow as tf

        def of_members(x, *stacked):
            count = tf.shape(stacked[0])[0]

            def body(i, every):
                own = [(v, values[i]) for v, values in zip(variables, stacked, strict=True)]
                with keras.StatelessScope(own):
                    outputs = ops.cast(self._outputs(x), "float32")
                return i + 1, every.write(i, outputs)

            # One member at a time, so that a large batch needs no more memory than one member.
            start = tf.constant(0), tf.TensorArray(tf.float32, count)
            _, every = tf.while_loop(lambda i, _: i < count, body, start, parallel_iterations=1)
            return every.stack()

        def compute(rows):
            key = ("members", rows.shape[1:], rows.dtype)
            if key not in self._traces:
                # The numbers of members and of rows are left open: one trace serves all of them.
                given = [(rows.shape, rows.dtype), *((a.shape, a.dtype) for a in kept)]
                specs = [tf.TensorSpec((None, *shape[1:]), dtype) for shape, dtype in given]
                function = tf.function(of_members, autograph=False)
                self._traces[key] = function.get_concrete_function(*specs)
            return as_floats(self._traces[key](tf.convert_to_tensor(rows), *kept))

        return compute
