"""Training steps and predictions on JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from frozenfit.training.backends.jax_pooling import pooled, pooling_layers
from frozenfit.training.backends.predictor import Predictor, as_floats, pad_rows
from frozenfit.training.backends.trainer import Trainer, scaled_step
from frozenfit.utils.arrays import to_numpy


class JaxTrainer(Trainer):
    """Trains in a compiled loop, or in one compiled call per step where a loop would be slow.

    XLA's CPU compiler runs a convolution inside a loop by naive code that takes 4 to 35 times as
    long as the same convolution outside of one, and takes several times as long to compile. Dense,
    recurrent, attention and pooling layers lose nothing in a loop. So steps with a convolution on
    a CPU are called one by one, and all others run in `jax.lax.fori_loop`.
    """

    one_batch_shape = True

    def _compile(self) -> None:
        import jax

        def loop(carry, fixed, stacks, steps):
            def body(i, state):
                carry, kept = state
                carry, outputs = self._step(carry, fixed, [stack[i] for stack in stacks])
                return carry, None if kept is None else kept.at[i].set(outputs)

            kept = None
            if self.keep_outputs:
                first = jax.eval_shape(self._step, carry, fixed, [stack[0] for stack in stacks])[1]
                kept = jax.numpy.zeros((len(stacks[0]), *first.shape), first.dtype)
            return jax.lax.fori_loop(0, steps, body, (carry, kept))

        self._pooling = pooling_layers(self.model.base) if _on_cpu() else []
        self._compiled_step = jax.jit(self._step)
        self._compiled_loop = jax.jit(loop)
        self._compiled_gradient = jax.jit(jax.grad(self._loss, has_aux=True))
        self._loops: bool | None = None

    def _step(self, carry, fixed, batch):
        """Take a step as a function of the values of all variables; return also the outputs."""
        import jax

        active, states, optimizer_state, totals = carry
        x, y, weight, moves, rate, multipliers = batch
        # The learning rate is a variable of the optimizer, so a new value needs no compilation.
        learning_rate = self._inner_optimizer._learning_rate
        optimizer_state = [
            rate if variable is learning_rate else value
            for variable, value in zip(self.optimizer.variables, optimizer_state, strict=True)
        ]
        gradient = jax.value_and_grad(self._loss, has_aux=True)
        (_, (sums, states, outputs)), gradients = gradient(
            active, states, fixed, optimizer_state, x, y, weight, moves
        )
        active, optimizer_state = self._updated(
            active, fixed, optimizer_state, gradients, multipliers
        )
        totals = tuple(total + each for total, each in zip(totals, sums, strict=True))
        return (active, states, optimizer_state, totals), outputs if self.keep_outputs else None

    def _updated(self, active, fixed, optimizer_state, gradients, multipliers):
        """Return the active variables and the optimizer state after a step."""
        # A constraint reads the whole weight, so the frozen part must be an argument of the trace
        # and not a constant of it.
        constants = fixed[len(fixed) - len(self.weights.fixed_variables) :]
        with self.weights.reading(constants):
            new, optimizer_state = self.optimizer.stateless_apply(
                optimizer_state, gradients, active
            )
            if self.phase.per_weight:
                steps = zip(self.variables, active, new, multipliers, strict=True)
                new = [scaled_step(*step) for step in steps]
        return new, optimizer_state

    def _loss(self, active, states, fixed, optimizer_state, x, y, weight, moves=None):
        """Compute the loss as a function of the values of all variables."""
        groups = self._variables
        values = (active, states, fixed, optimizer_state)
        mapping = [
            pair
            for group, given in zip(groups, values, strict=True)
            for pair in zip(group, given, strict=True)
        ]
        with keras.StatelessScope(mapping), pooled(self._pooling):
            loss, totals, changed, outputs = self._objective(x, y, weight, moves)
        # States that the batch does not change keep their values: the carry of a loop has a fixed
        # structure.
        new = {id(variable): value for variable, value in changed}
        after = [new.get(id(v), old) for v, old in zip(groups[1], states, strict=True)]
        return loss, (totals, after, outputs)

    @property
    def _variables(self) -> tuple[list, list, list, list]:
        """Active variables, states, what no step changes, and the optimizer's variables."""
        weights, active = self.weights, self.variables
        ids = {id(v) for v in active}
        waiting = [v for v in self.model.trainable_variables if id(v) not in ids]
        fixed = [*waiting, *weights.fixed_variables]
        return active, weights.state_variables, fixed, self.optimizer.variables

    def _gradients(self, x, y, weight):
        values = [[v.value for v in group] for group in self._variables]
        return self._compiled_gradient(*values, x, y, weight)[0]

    def _run(self, x, y, weight, moves, rates, multipliers):
        groups = self._variables
        active, states, fixed, optimizer_state = ([v.value for v in group] for group in groups)
        # XLA's CPU backend runs convolutions inside a loop on a path that is ten to sixty times
        # slower.
        if self._loops is None:
            batch = x[0], y[0], weight[0], moves[0]
            self._loops = not _on_cpu() or not _convolves(
                self._loss, active, states, fixed, optimizer_state, *batch
            )
        carry = (active, states, optimizer_state, (np.zeros(self._sum_shape, np.float32),) * 3)
        run = self._in_a_loop if self._loops else self._one_by_one
        carry, outputs = run(carry, fixed, (x, y, weight, moves), (rates, multipliers))
        *values, totals = carry
        # `fixed` is not assigned: no step changes it.
        for group, new in zip((groups[0], groups[1], groups[3]), values, strict=True):
            for variable, value in zip(group, new, strict=True):
                variable.assign(value)
        return totals, outputs

    def _in_a_loop(self, carry, fixed, batches, settings):
        steps = len(batches[0])
        # The stack is padded to a power of two, so that few lengths are compiled; the loop ends
        # before the padding.
        length = 1 << (steps - 1).bit_length()
        stacks = [_distribute(pad_rows(np.asarray(a), length)) for a in batches]
        stacks += [pad_rows(a, length) for a in settings]
        carry, outputs = self._compiled_loop(carry, fixed, stacks, steps)
        return carry, None if outputs is None else outputs[:steps]

    def _one_by_one(self, carry, fixed, batches, settings):
        stacks, kept = [*(_distribute(np.asarray(a)) for a in batches), *settings], []
        for batch in zip(*stacks, strict=True):
            carry, outputs = self._compiled_step(carry, fixed, batch)
            if self.keep_outputs:
                kept.append(to_numpy(outputs))
        return carry, np.stack(kept) if kept else None


class JaxPredictor(Predictor):
    """Computes outputs in a compiled function of the values of all variables."""

    # XLA adds the products of less than 64 rows in another order, and would compile to find out.
    _small_sizes = ()

    def _compile(self) -> None:
        import jax

        self._compiled = jax.jit(self._stateless)

    def _stateless(self, values, x):
        with keras.StatelessScope(list(zip(self._variables, values, strict=True))):
            return self._outputs(x)

    @property
    def _variables(self) -> list:
        return [*self.model.trainable_variables, *self.model.non_trainable_variables]

    def _compute(self, x):
        return self._compiled([v.value for v in self._variables], x)

    def _keep(self, values):
        import jax

        return jax.device_put([list(of_one) for of_one in values])

    def _of_each(self, variables, kept):
        import jax

        places = {id(variable): i for i, variable in enumerate(variables)}
        places = [places.get(id(variable)) for variable in self._variables]
        now = [variable.value for variable in self._variables]
        every = [
            [value if i is None else own[i] for i, value in zip(places, now, strict=True)]
            for own in kept
        ]

        def compute(rows):
            x = jax.device_put(rows)
            # The calls return before they are computed.
            outputs = [self._compiled(values, x) for values in every]
            return np.stack([as_floats(each) for each in outputs])

        return compute


def _on_cpu() -> bool:
    import jax

    return jax.default_backend() == "cpu"


def _convolves(function: Callable, *args: Any) -> bool:
    """Return whether a traced function contains a convolution, at any depth."""
    import jax

    pending = [jax.make_jaxpr(function)(*args).jaxpr]
    while pending:
        for equation in pending.pop().eqns:
            if equation.primitive.name == "conv_general_dilated":
                return True
            for value in equation.params.values():
                # A branch, body or called function is a jaxpr, a closed one, or a tuple of them.
                inner = value if isinstance(value, tuple | list) else (value,)
                jaxprs = (getattr(each, "jaxpr", each) for each in inner)
                pending += [each for each in jaxprs if hasattr(each, "eqns")]
    return False


def _distribute(stack: np.ndarray) -> Any:
    """Spread batches over the devices of `keras.distribution`, where a distribution is set."""
    import jax

    distribution = keras.distribution.distribution()
    if distribution is None:
        return stack
    layout = distribution.get_data_layout(stack.shape[1:])
    shards = layout.device_mesh.shape[layout.device_mesh.axis_names.index(layout.axes[0])]
    # A batch that cannot be split evenly is computed on every device.
    axes = (None, *layout.axes) if stack.shape[1] % shards == 0 else (None,) * stack.ndim
    spread = keras.distribution.TensorLayout(axes, layout.device_mesh)
    return jax.device_put(stack, spread.backend_layout)
