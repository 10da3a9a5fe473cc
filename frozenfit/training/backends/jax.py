"""Training steps on JAX: a loop inside one compiled function."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from frozenfit.training.backends.predictor import lengthen
from frozenfit.training.backends.trainer import BaseTrainer, part_of_the_way


class JaxTrainer(BaseTrainer):
    """Trains in a `jax.lax.fori_loop`."""

    fixed_batch = True

    def _prepare(self) -> None:
        import jax

        optimizer, rate = self.optimizer, self._rate._learning_rate

        def step(i, carry, fixed, data):
            moving, states, optimizer_state, totals = carry
            x, y, weight, rates, scales = (a[i] for a in data)
            optimizer_state = [
                rates if v is rate else s
                for v, s in zip(optimizer.variables, optimizer_state, strict=True)
            ]
            gradient = jax.value_and_grad(self._stateless, has_aux=True)
            (_, (sums, states)), grads = gradient(
                moving, states, fixed, optimizer_state, x, y, weight
            )
            moving, optimizer_state = self._stateless_apply(
                moving, fixed, optimizer_state, grads, scales
            )
            return moving, states, optimizer_state, tuple(map(sum, zip(totals, sums, strict=True)))

        def run(carry, fixed, data, steps):
            return jax.lax.fori_loop(0, steps, lambda i, c: step(i, c, fixed, data), carry)

        self._compiled = jax.jit(run)
        self._compiled_gradient = jax.jit(jax.grad(self._stateless, has_aux=True))

    def _stateless_apply(self, moving, fixed, optimizer_state, gradients, scales):
        """Take a step as a function of the values of all variables."""
        constants = fixed[len(fixed) - len(self.model.fixed_variables) :]
        with self.model.reading(constants):
            new, optimizer_state = self.optimizer.stateless_apply(
                optimizer_state, gradients, moving
            )
            if self.by_weight:
                steps = zip(self.variables, moving, new, scales, strict=True)
                new = [part_of_the_way(*step) for step in steps]
        return new, optimizer_state

    def _stateless(self, moving, states, fixed, optimizer_state, x, y, weight):
        """Compute the objective as a function of the values of all variables."""
        groups = self._variables
        mapping = [
            pair
            for group, values in zip(groups, (moving, states, fixed, optimizer_state), strict=True)
            for pair in zip(group, values, strict=True)
        ]
        with keras.StatelessScope(mapping):
            loss, totals, changed = self._objective(x, y, weight)
        new = {id(variable): value for variable, value in changed}
        after = [new.get(id(v), old) for v, old in zip(groups[1], states, strict=True)]
        return loss, (totals, after)

    @property
    def _variables(self):
        """What moves, the states, what no step changes, and the slots."""
        model, moving = self.model, self.variables
        still = [v for v in model.trainable_variables if not any(v is m for m in moving)]
        fixed = [*still, *model.fixed_variables]
        return moving, model.state_variables, fixed, self.optimizer.variables

    def _gradients(self, x, y, weight):
        values = [[v.value for v in group] for group in self._variables]
        return self._compiled_gradient(*values, x, y, weight)[0]

    def _run(self, x, y, weight, rates, scales):
        steps = len(x)
        room = 1 << (steps - 1).bit_length()
        data = [_place(lengthen(np.asarray(a), room)) for a in (x, y, weight)]
        data += [lengthen(a, room) for a in (rates, scales)]
        groups = self._variables
        moving, states, fixed, optimizer_state = ([v.value for v in group] for group in groups)
        carry = (moving, states, optimizer_state, (np.float32(0),) * 3)
        *values, totals = self._compiled(carry, fixed, data, steps)
        for group, new in zip((groups[0], groups[1], groups[3]), values, strict=True):
            for variable, value in zip(group, new, strict=True):
                variable.assign(value)
        return totals


def _place(stack: np.ndarray) -> Any:
    """Spread the batches over the devices of a `keras.distribution`, where one is set."""
    import jax

    distribution = keras.distribution.distribution()
    if distribution is None:
        return stack
    layout = distribution.get_data_layout(stack.shape[1:])
    shards = layout.device_mesh.shape[layout.device_mesh.axis_names.index(layout.axes[0])]
    axes = (None, *layout.axes) if stack.shape[1] % shards == 0 else (None,) * stack.ndim
    spread = keras.distribution.TensorLayout(axes, layout.device_mesh)
    return jax.device_put(stack, spread.backend_layout)
