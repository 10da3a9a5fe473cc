"""Training steps on TensorFlow: a loop inside one compiled function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from frozenfit.training.backends.functional import Joined, PureStep, can_be_joined, join
from frozenfit.training.backends.trainer import BaseTrainer


class TensorFlowTrainer(BaseTrainer):
    """Trains in a `tf.while_loop`."""

    def _prepare(self) -> None:
        self._compiled: dict[tuple, Callable] = {}

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

    def _step(self, rate, x, y, weight, scale):
        self._rate.learning_rate.assign(rate)
        gradients, sums, states = self._step_gradients(x, y, weight)
        self._apply(gradients, scale)
        for variable, value in states:
            variable.assign(value)
        return list(sums)

    def _joined_step(self, joined: Joined) -> Callable:
        """Make the step that moves all trainable parameters as one vector."""

        def step(rate, x, y, weight, scale):
            for variable, value in zip(self.variables, joined.split(joined.vector), strict=True):
                variable.assign(value)
            joined.optimizer.learning_rate.assign(rate)
            gradients, sums, states = self._step_gradients(x, y, weight)
            joined.optimizer.apply([join(gradients)], [joined.vector])
            for variable, value in states:
                variable.assign(value)
            return list(sums)

        return step

    def _run(self, x, y, weight, rates, scales):
        import tensorflow as tf

        stacks: list[Any] = [tf.convert_to_tensor(a) for a in (rates, x, y, weight, scales)]
        # The number of steps and of rows is left open: one trace for all of them.
        key = tuple((a.dtype, *a.shape[2:]) for a in stacks)
        if key not in self._compiled:
            self._compiled[key] = self._compile(stacks)
        return self._compiled[key](*stacks)

    def _compile(self, stacks) -> Callable:
        import tensorflow as tf

        specs = [tf.TensorSpec((None,), stacks[0].dtype)]
        specs += [tf.TensorSpec((None, None, *a.shape[2:]), a.dtype) for a in stacks[1:-1]]
        specs += [tf.TensorSpec((None, *stacks[-1].shape[1:]), stacks[-1].dtype)]
        try:
            run = self._loop_over_values(specs)
        except (ValueError, TypeError, NotImplementedError):
            # Collected gradients, loss scales and the like look at variables as they go.
            run = self._loop_over_variables
        return tf.function(run, autograph=False).get_concrete_function(*specs)

    def _loop_over_variables(self, *stacks):
        def body(arguments, _):
            return self._step(*arguments), []

        return _loop(stacks, body, [])[0]

    def _loop_over_values(self, specs) -> Callable:
        import tensorflow as tf

        joined = None
        if not self.by_weight and can_be_joined(self.optimizer, self.variables):
            joined = Joined(self.optimizer, self.variables)
        step = self._step if joined is None else self._joined_step(joined)
        pure = PureStep(step, [tf.TensorSpec(s.shape[1:], s.dtype) for s in specs])
        # Assigned anew in each step, these are not carried to the next one.
        anew = [] if joined is None else self.variables
        rate = self._rate.learning_rate
        optimizer = self._rate if joined is None else joined.optimizer
        anew = {id(v.value) for v in (*anew, optimizer.learning_rate)}
        parts = {} if joined is None else {id(own.value): theirs for own, theirs in joined.parts}
        carried = [v for v in pure.changed if id(v) not in anew]
        keep = [i for i, v in enumerate(pure.changed) if id(v) not in anew]

        def value(variable):
            theirs = parts.get(id(variable), [variable])
            if len(theirs) == 1:
                return ops.convert_to_tensor(theirs[0])
            return join([ops.convert_to_tensor(v) for v in theirs])

        def run(*stacks):
            fixed = {id(v): value(v) for v in pure.read}

            def body(arguments, values):
                now = {**fixed, **{id(v): new for v, new in zip(carried, values, strict=True)}}
                sums, new = pure(arguments, now)
                return sums, [new[i] for i in keep]

            sums, values = _loop(stacks, body, [value(v) for v in carried])
            for variable, new in zip(carried, values, strict=True):
                theirs = parts.get(id(variable), [variable])
                pieces = joined.split(new) if joined and len(theirs) > 1 else [new]
                for target, piece in zip(theirs, pieces, strict=True):
                    target.assign(piece)
            rate.assign(stacks[0][-1])
            return sums

        return run


def _loop(stacks, body, values):
    """Run a body over all steps; return the sums of what it gives and the last values."""
    import tensorflow as tf

    def step(i, totals, values):
        sums, values = body([a[i] for a in stacks], values)
        return i + 1, [t + s for t, s in zip(totals, sums, strict=True)], values

    steps, zeros = tf.shape(stacks[0])[0], [tf.constant(0.0)] * 3
    start = (tf.constant(0), zeros, values)
    return tf.while_loop(lambda i, *_: i < steps, step, start)[1:]
