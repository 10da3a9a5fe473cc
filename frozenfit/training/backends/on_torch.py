"""Training steps and predictions on torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from frozenfit.isolation import TorchStream
from frozenfit.training.backends.predictor import Predictor, as_floats
from frozenfit.training.backends.torch_optimizers import compute_on_tensors, updates_in
from frozenfit.training.backends.torch_recorder import (
    PATIENCE,
    Recorder,
    can_be_recorded,
    draws_random_numbers,
    is_always_the_same,
)
from frozenfit.training.backends.trainer import Trainer
from frozenfit.utils.arrays import to_numpy


class TorchTrainer(Trainer):
    """Trains step by step with a private random stream for dropout.

    Steps that are always the same tensor operations are recorded and replayed without Keras.
    """

    _stream: TorchStream | None = None
    _recorder: Recorder | None = None

    def _compile(self) -> None:
        model, optimizer_state = self.model, self.optimizer.variables
        if can_be_recorded(model.base, self.optimizer):
            compute_on_tensors(self._inner_optimizer)
            changed = [*self.variables, *self.weights.state_variables, *optimizer_state]
            read = [*model.trainable_variables, *self.weights.fixed_variables]
            # The Python of a step that is vectorized over members costs about twice as much.
            patience = PATIENCE // 2 if self._sum_shape else None
            draws = draws_random_numbers(model.base)
            self._recorder = Recorder(self._step, changed, read, draws=draws, patience=patience)

    def reset(self) -> None:
        """Return the optimizer and the random stream to the state before the first step."""
        super().reset()
        self._stream = None

    def random_state(self) -> dict[str, np.ndarray]:
        """Copy the state of the private stream, where a step has drawn from it."""
        return {} if self._stream is None else self._stream.state()

    def load_random_state(self, state: dict[str, np.ndarray]) -> None:
        """Continue the private stream from what `random_state` returned."""
        self._stream = TorchStream.from_state(state) if state else None

    def _private_stream(self) -> TorchStream:
        """Seed a stream by the seed states of the delta and the step to continue from."""
        states = [np.asarray(to_numpy(v)) for v in self.weights.state_variables]
        whole = [v.ravel().astype(np.int64) for v in states if v.dtype.kind in "iu"]
        numbers = [int(n) % 2**32 for v in whole for n in v]
        # The step is part of the seed, so that a continued fit does not repeat the random numbers
        # of the first.
        sequence = np.random.SeedSequence([*numbers, int(to_numpy(self.optimizer.iterations))])
        return TorchStream(int(sequence.generate_state(1)[0]))

    def _gradients(self, x, y, weight):
        return self._step_gradients(x, y, weight)[0]

    def _step_gradients(self, x, y, weight, moves=None):
        import torch

        loss, sums, states, outputs = self._objective(x, y, weight, moves)
        values = [v.value for v in self.variables]
        # For the active variables alone: `backward` would compute the gradient of every variable of
        # the base.
        gradients = torch.autograd.grad(loss, values, allow_unused=True, materialize_grads=True)
        return list(gradients), sums, states, outputs

    def _run(self, *stacks):
        if self._recorder is not None and not self._recorder.draws:
            # These steps draw nothing, so fits in other threads need not wait.
            return self._steps(*stacks)
        if self._stream is None:
            self._stream = self._private_stream()
        with self._stream.entered():
            return self._steps(*stacks)

    def _steps(self, x, y, weight, moves, rates, multipliers):
        given = rates, x, y, weight, moves, multipliers
        tensors: list[Any] = [ops.convert_to_tensor(a) for a in given]
        stacks = [tensor.unbind(0) for tensor in tensors]
        steps = [self._step] * len(rates)
        if self._recorder is not None:
            first = [stack[0] for stack in stacks]
            updates = updates_in(self.optimizer, len(rates))
            of = {kind: self._recorder.stepper(first, kind) for kind in set(updates)}
            steps = [of[kind] for kind in updates]
        totals, kept = [0.0, 0.0, 0.0], []
        for step, *batch in zip(steps, *stacks, strict=True):
            *sums, outputs = step(*batch)
            totals = [t + s for t, s in zip(totals, sums, strict=True)]
            if self.keep_outputs:
                kept.append(to_numpy(outputs))
        return totals, np.stack(kept) if kept else None

    def _step(self, rate, x, y, weight, moves, multipliers):
        import torch

        self._inner_optimizer.learning_rate.assign(rate)
        gradients, sums, states, outputs = self._step_gradients(x, y, weight, moves)
        with torch.no_grad():
            self._apply(gradients, multipliers)
            for variable, value in states:
                variable.assign(value.detach())
        tensors: Any = (*sums, outputs)
        return [t.detach() for t in tensors]


class TorchPredictor(Predictor):
    """Computes outputs without recording operations for gradients.

    Networks that always run the same tensor operations are recorded and replayed without Keras.
    """

    _recorder: Recorder | None = None

    def _compile(self) -> None:
        model = self.model
        if is_always_the_same(model.base):
            trained = [v for v in model.trainable_variables if v.value.is_floating_point()]
            ids = {id(v) for v in trained}
            read = [*model.variables, *self._weights_of(model).fixed_variables]
            read = [v for v in read if id(v) not in ids]
            self._recorder = Recorder(self._plain, trained, read, _at_other_values(trained))

    def _plain(self, x: Any) -> list[Any]:
        return [self._outputs(x)]

    def _batch_outputs(self, x: np.ndarray) -> Any:
        import torch

        if self._recorder is None:
            return self._compute(x)
        with torch.no_grad():
            batch = ops.convert_to_tensor(x)
            return self._recorder.stepper([batch])(batch)[0]

    def _compute(self, x: np.ndarray) -> Any:
        import torch

        with torch.no_grad():
            return self._outputs(ops.convert_to_tensor(x))

    def _keep(self, values):
        return [[ops.convert_to_tensor(value) for value in of_one] for of_one in values]

    def _of_each(self, variables, kept):
        import torch

        tensors = [variable.value for variable in variables]

        def assign(values):
            for tensor, value in zip(tensors, values, strict=True):
                tensor.copy_(value)

        def compute(rows):
            outputs = []
            with torch.no_grad():
                x = ops.convert_to_tensor(rows)
                run = self._plain if self._recorder is None else self._recorder.stepper([x])
                try:
                    for values in kept:
                        assign(values)
                        outputs.append(as_floats(run(x)[0]))
                finally:
                    assign(kept[0])
            return np.stack(outputs)

        return compute


def _at_other_values(variables: Sequence[Any]) -> Callable:
    """Return what changes a batch, and the variables, before predictions are recorded."""

    def other(x: Any) -> tuple:
        for variable in variables:
            variable.value.mul_(0.9)
        return (x.flip(0),)

    return other
