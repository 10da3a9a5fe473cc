"""Many training steps in one call, per backend: the cost of a step is arithmetic, not Python.

A `Trainer` takes batches stacked on a first axis, (steps, batch, ...), and runs them all before
it returns: a compiled loop on TensorFlow and JAX, a plain loop on torch. Keras's own optimisers
and layers do the work, so the weights are those of Keras's ``fit`` on the same batches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
from keras import ops

from frozenfit.partial import PartialModel
from frozenfit.seeding import TorchStream

_SMALL_PREDICT, _LARGE_PREDICT = 64, 512


class Totals(NamedTuple):
    """Sums over the steps of one call: of the loss times weight, of hits, and of weight."""

    loss: float
    hits: float
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
    hit = ops.cast(ops.equal(ops.argmax(logits, axis=-1), ops.cast(y, "int32")), "float32")
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


class _Trainer:
    """What the backends share: variables, slots and their reset."""

    fixed_batch = False  # whether each size of batch is compiled anew

    def __init__(self, model: PartialModel, optimizer: keras.optimizers.Optimizer, loss: str):
        self.model = model
        self.loss = LOSSES[loss]
        self.optimizer = _with_loss_scale(optimizer, model)
        self.optimizer.build(model.trainable_variables)
        self.optimizer.built = True
        self._stream: TorchStream | None = None
        self._initial = self.slots()
        self._rate = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        self._prepare()

    def _prepare(self) -> None:
        """Compile, where the backend does."""

    def slots(self) -> list[np.ndarray]:
        """Take out the optimiser's variables."""
        return [np.array(ops.convert_to_numpy(v)) for v in self.optimizer.variables]

    def load_slots(self, slots: list[np.ndarray]) -> None:
        """Put the optimiser's variables back."""
        for variable, value in zip(self.optimizer.variables, slots, strict=True):
            variable.assign(value)

    def reset(self) -> None:
        """Put the optimiser back to its first step."""
        self.load_slots(self._initial)

    def finish(self) -> None:
        """Let an optimiser with averaged weights write them, at the end of training."""
        self.optimizer.finalize_variable_values(self.model.trainable_variables)

    def run(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray, rates: np.ndarray) -> Totals:
        """Train on a stack of batches.

        Parameters
        ----------
        x : ndarray, shape (steps, batch, ...)
            Inputs.
        y : ndarray, shape (steps, batch) or (steps, batch, n_targets)
            Class indices or targets.
        weight : ndarray, shape (steps, batch)
            Sample weights; a row of weight 0 takes no part in the loss.
        rates : ndarray, shape (steps,)
            Learning rate of each step.

        Returns
        -------
        Totals
            Sums over all steps, taken before each step's update.
        """
        return Totals(*(float(ops.convert_to_numpy(v)) for v in self._run(x, y, weight, rates)))

    def _run(self, x, y, weight, rates) -> Any:
        raise AssertionError("made by a backend's trainer")

    def gradients(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> list[np.ndarray]:
        """Compute the gradient of one batch's loss, without a step.

        Parameters
        ----------
        x : ndarray, shape (batch, ...)
            Inputs.
        y : ndarray, shape (batch,) or (batch, n_targets)
            Class indices or targets.
        weight : ndarray, shape (batch,)
            Sample weights.

        Returns
        -------
        list of ndarray
            One per learned weight, in its compact shape.
        """
        tensors = [ops.convert_to_tensor(a) for a in (x, y, weight)]
        return [np.array(ops.convert_to_numpy(g)) for g in self._gradients(*tensors)]

    def _gradients(self, x, y, weight) -> Any:
        raise AssertionError("made by a backend's trainer")

    def _objective(self, x, y, weight):
        """Return the scaled loss, the totals and the changed states of one batch."""
        outputs, states, losses = self.model.apply_base(x, training=True)
        loss, totals = self.loss(y, outputs, weight)
        for extra in losses:
            loss = loss + ops.cast(extra, loss.dtype)
        return self.optimizer.scale_loss(loss), totals, states


def _with_loss_scale(optimizer: Any, model: PartialModel) -> Any:
    if model.compute_dtype == "float16" and model.variable_dtype == "float32":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


class _TorchTrainer(_Trainer):
    def reset(self) -> None:
        super().reset()
        self._stream = None

    def _private_stream(self) -> TorchStream:
        """Start from the seed states of the delta and from the step training goes on from."""
        states = [np.asarray(ops.convert_to_numpy(v)) for v in self.model.state_variables]
        whole = [v.ravel().astype(np.int64) for v in states if v.dtype.kind in "iu"]
        numbers = [int(n) % 2**32 for v in whole for n in v]
        sequence = np.random.SeedSequence(
            [*numbers, int(ops.convert_to_numpy(self.optimizer.iterations))]
        )
        return TorchStream(int(sequence.generate_state(1)[0]))

    def _gradients(self, x, y, weight):
        return self._step_gradients(x, y, weight)[0]

    def _step_gradients(self, x, y, weight):
        import torch

        loss, sums, states = self._objective(x, y, weight)
        values = [v.value for v in self.model.trainable_variables]
        gradients = torch.autograd.grad(loss, values, allow_unused=True, materialize_grads=True)
        return list(gradients), sums, states

    def _run(self, x, y, weight, rates):
        if self._stream is None:
            self._stream = self._private_stream()
        with self._stream.entered():
            return self._steps(x, y, weight, rates)

    def _steps(self, x, y, weight, rates):
        import torch

        variables = self.model.trainable_variables
        totals = [0.0, 0.0, 0.0]
        stacks = [ops.convert_to_tensor(a) for a in (x, y, weight)]
        for step in range(len(x)):
            self._rate.learning_rate.assign(rates[step])
            gradients, sums, states = self._step_gradients(*(a[step] for a in stacks))
            with torch.no_grad():
                self.optimizer.apply(gradients, variables)
                for variable, value in states:
                    variable.assign(value.detach())
                totals = [t + s.detach() for t, s in zip(totals, sums, strict=True)]
        return totals


class _TensorFlowTrainer(_Trainer):
    def _gradients(self, x, y, weight):
        return self._step_gradients(x, y, weight)[0]

    def _step_gradients(self, x, y, weight):
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss, sums, states = self._objective(x, y, weight)
        values = [v.value for v in self.model.trainable_variables]
        unused = tf.UnconnectedGradients.ZERO
        gradients: Any = tape.gradient(loss, values, unconnected_gradients=unused)
        return [tf.convert_to_tensor(g) for g in gradients], sums, states

    def _prepare(self) -> None:
        import tensorflow as tf

        def step(i, x, y, weight, rates, *totals):
            self._rate.learning_rate.assign(rates[i])
            gradients, sums, states = self._step_gradients(x[i], y[i], weight[i])
            self.optimizer.apply(gradients, self.model.trainable_variables)
            for variable, value in states:
                variable.assign(value)
            return (i + 1, x, y, weight, rates, *(t + s for t, s in zip(totals, sums, strict=True)))

        def run(x, y, weight, rates):
            zero = tf.constant(0.0)
            return tf.while_loop(
                lambda i, *_: i < tf.shape(rates)[0],
                step,
                (tf.constant(0), x, y, weight, rates, zero, zero, zero),
            )[-3:]

        self._compiled = tf.function(run, autograph=False, reduce_retracing=True)

    def _run(self, x, y, weight, rates):
        return self._compiled(*(ops.convert_to_tensor(a) for a in (x, y, weight, rates)))


class _JaxTrainer(_Trainer):
    fixed_batch = True

    def _prepare(self) -> None:
        import jax

        optimizer, rate = self.optimizer, self._rate._learning_rate

        def step(i, carry, fixed, data):
            learned, states, slots, totals = carry
            x, y, weight, rates = (a[i] for a in data)
            slots = [
                rates if v is rate else s for v, s in zip(optimizer.variables, slots, strict=True)
            ]
            gradient = jax.value_and_grad(self._stateless, has_aux=True)
            (_, (sums, states)), grads = gradient(learned, states, fixed, slots, x, y, weight)
            with self.model.reading(fixed):
                learned, slots = optimizer.stateless_apply(slots, grads, learned)
            return learned, states, slots, tuple(map(sum, zip(totals, sums, strict=True)))

        def run(carry, fixed, data, steps):
            return jax.lax.fori_loop(0, steps, lambda i, c: step(i, c, fixed, data), carry)

        self._compiled = jax.jit(run)
        self._compiled_gradient = jax.jit(jax.grad(self._stateless, has_aux=True))

    def _stateless(self, learned, states, fixed, slots, x, y, weight):
        """Compute the objective as a function of the values of all variables."""
        groups = self._variables
        mapping = [
            pair
            for group, values in zip(groups, (learned, states, fixed, slots), strict=True)
            for pair in zip(group, values, strict=True)
        ]
        with keras.StatelessScope(mapping):
            loss, totals, changed = self._objective(x, y, weight)
        new = {id(variable): value for variable, value in changed}
        after = [new.get(id(v), old) for v, old in zip(groups[1], states, strict=True)]
        return loss, (totals, after)

    @property
    def _variables(self):
        model = self.model
        fixed = model.fixed_variables
        return model.trainable_variables, model.state_variables, fixed, self.optimizer.variables

    def _gradients(self, x, y, weight):
        values = [[v.value for v in group] for group in self._variables]
        return self._compiled_gradient(*values, x, y, weight)[0]

    def _run(self, x, y, weight, rates):
        steps = len(x)
        room = 1 << (steps - 1).bit_length()
        data = [_place(_lengthen(np.asarray(a), room)) for a in (x, y, weight, rates)]
        learned, states, fixed, slots = ([v.value for v in group] for group in self._variables)
        carry = (learned, states, slots, (np.float32(0),) * 3)
        *values, totals = self._compiled(carry, fixed, data, steps)
        own = self.model.trainable_variables, self.model.state_variables, self.optimizer.variables
        for group, new in zip(own, values, strict=True):
            for variable, value in zip(group, new, strict=True):
                variable.assign(value)
        return totals


def _lengthen(stack: np.ndarray, room: int) -> np.ndarray:
    """Pad the steps to a power of two, so that few shapes are compiled; the rest is not run."""
    return np.concatenate([stack, np.zeros((room - len(stack), *stack.shape[1:]), stack.dtype)])


def _place(stack: np.ndarray) -> Any:
    """Spread the batches over the devices of a `keras.distribution`, where one is set."""
    import jax

    distribution = keras.distribution.distribution()
    if distribution is None or stack.ndim < 2:
        return stack
    layout = distribution.get_data_layout(stack.shape[1:])
    shards = layout.device_mesh.shape[layout.device_mesh.axis_names.index(layout.axes[0])]
    axes = (None, *layout.axes) if stack.shape[1] % shards == 0 else (None,) * stack.ndim
    spread = keras.distribution.TensorLayout(axes, layout.device_mesh)
    return jax.device_put(stack, spread.backend_layout)


class Predictor:
    """Outputs of a partial model, computed in batches of two fixed sizes.

    The sizes are fixed so that little is compiled and so that a row's outputs do not depend on
    how many rows it came with.

    Parameters
    ----------
    model : PartialModel
        The model.
    """

    def __init__(self, model: PartialModel):
        self.model = model
        backend = keras.config.backend()
        if backend == "jax":
            import jax

            self._compiled = jax.jit(self._stateless)
        elif backend == "tensorflow":
            import tensorflow as tf

            self._compiled = tf.function(self._outputs, autograph=False, reduce_retracing=True)

    def _outputs(self, x):
        outputs, _, _ = self.model.apply_base(x, training=False)
        return outputs

    def _stateless(self, values, x):
        with keras.StatelessScope(list(zip(self._variables, values, strict=True))):
            return self._outputs(x)

    @property
    def _variables(self) -> list:
        return [*self.model.trainable_variables, *self.model.non_trainable_variables]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Compute the outputs of some rows.

        Parameters
        ----------
        x : ndarray, shape (n, ...)
            Inputs.

        Returns
        -------
        ndarray of float32, shape (n, n_outputs)
            Outputs.
        """
        size = _SMALL_PREDICT if len(x) <= _SMALL_PREDICT else _LARGE_PREDICT
        parts = []
        for start in range(0, len(x), size):
            rows = np.asarray(x[start : start + size], keras.config.floatx())
            parts.append(self._batch(_lengthen(rows, size))[: len(rows)])
        return np.concatenate(parts)

    def _batch(self, x: np.ndarray) -> np.ndarray:
        backend = keras.config.backend()
        if backend == "jax":
            outputs = self._compiled([v.value for v in self._variables], x)
        elif backend == "tensorflow":
            outputs = self._compiled(ops.convert_to_tensor(x))
        else:
            import torch

            with torch.no_grad():
                outputs = self._outputs(ops.convert_to_tensor(x))
        return np.asarray(ops.convert_to_numpy(outputs), np.float32)


if TYPE_CHECKING:
    Trainer = _Trainer
else:
    Trainer = {"torch": _TorchTrainer, "tensorflow": _TensorFlowTrainer, "jax": _JaxTrainer}[
        keras.config.backend()
    ]
