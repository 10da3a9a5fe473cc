"""The loop over epochs for members that are trained together.

Each member has its own samples, batch order and number of epochs. Where it also stops early by
itself and the stack is not joint, it ends with what `loop.train` would return for it alone, to
float tolerance. What the loop does not have, such as callbacks, checkpoints, sources of batches and
freeze schedules, is trained by `loop.train`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from frozenfit.delta import Delta, computed_forms, stores_parameters
from frozenfit.training import schedules
from frozenfit.training.checkpoint import Progress
from frozenfit.training.data import Data
from frozenfit.training.loop import (
    EpochCallback,
    Plan,
    TrainResult,
    evaluate,
    rows_are_independent,
    with_statistics,
)
from frozenfit.training.network import CompiledModel
from frozenfit.training.optimizers import OptimizerState
from frozenfit.training.stacked import CompiledStack


@dataclass
class MemberRun:
    """The training of one member.

    Attributes
    ----------
    data : Data
        Training samples. All members have the same number.
    plan : Plan
        Settings of the run. Those of members differ in the number of epochs and in the validation
        samples at most.
    rng : numpy.random.Generator
        Source of the order of the batches.
    optimizer_state : OptimizerState or None, default=None
        The optimizer to continue with; it has taken the same number of steps for all members.
    progress : Progress
        State of the run.
    logs : dict of str to float
        Metrics of the last epoch.
    """

    data: Data
    plan: Plan
    rng: np.random.Generator
    optimizer_state: OptimizerState | None = None
    progress: Progress = field(default_factory=Progress)
    logs: dict[str, float] = field(default_factory=dict)

    @property
    def validation(self) -> Data:
        """The validation samples."""
        assert isinstance(self.plan.validation, Data)  # sources are not stacked
        return self.plan.validation


class StoppingRule(Protocol):
    """Decides after each epoch which members have improved, and which stop."""

    def __call__(
        self, runs: Sequence[MemberRun], outputs: np.ndarray | None
    ) -> tuple[Sequence[bool], Sequence[bool]]:
        """Judge an epoch.

        Parameters
        ----------
        runs : sequence of MemberRun
            The members.
        outputs : ndarray of shape (n_validation, n_members, n_outputs) or None
            Outputs for the validation samples of each member, where there are any.

        Returns
        -------
        improved : sequence of bool
            Whether the present parameters of each member are the best ones so far.
        stops : sequence of bool
            Whether the training of each member ends.
        """
        ...


def each_by_its_loss(
    runs: Sequence[MemberRun], outputs: np.ndarray | None
) -> tuple[list[bool], list[bool]]:
    """Stop each member by its own validation loss, as it would stop if trained alone.

    Parameters
    ----------
    runs, outputs
        As for every `StoppingRule`.

    Returns
    -------
    improved, stops : list of bool
        Whether the loss of each member is its lowest one, and whether it is out of patience.
    """
    improved, stops = [], []
    for run in runs:
        patience, progress = run.plan.patience, run.progress
        if patience is None or progress.stopped:
            improved.append(False)
            stops.append(False)
            continue
        improved.append(progress.improves(run.logs["val_loss"]))
        stops.append(progress.epochs_waited >= patience)
    return improved, stops


class EnsembleLoss:
    """Stops all members by the validation loss of their averaged prediction.

    The members have one set of validation samples, and equal numbers of epochs.

    Parameters
    ----------
    average : callable
        ``f(outputs) -> averaged``, from outputs of shape (n_members, n, n_outputs) to the outputs
        of the ensemble, of shape (n, n_outputs).

    Attributes
    ----------
    history : dict of str to list of float
        Validation metrics of the averaged prediction, one value per epoch.
    """

    def __init__(self, average: Callable[[np.ndarray], np.ndarray]):
        self.average = average
        self.history: dict[str, list[float]] = {}
        self._progress = Progress()

    def __call__(
        self, runs: Sequence[MemberRun], outputs: np.ndarray | None
    ) -> tuple[list[bool], list[bool]]:
        """Judge an epoch, as every `StoppingRule` does."""
        no = [False] * len(runs)
        if outputs is None:
            return no, no
        run, progress = runs[0], self._progress
        averaged = self.average(np.moveaxis(outputs, 1, 0)).astype(np.float32)
        logs = evaluate(_in_order(averaged), run.validation, run.plan.objective, run.plan.metrics)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)
        if run.plan.patience is None:
            return no, no
        better = progress.improves(logs["val_loss"])
        out_of_patience = progress.epochs_waited >= run.plan.patience
        return [better] * len(runs), [out_of_patience] * len(runs)


class StackResult(NamedTuple):
    """The result of `train_stack`.

    Attributes
    ----------
    members : list of TrainResult
        One for each member. Those of a joint stack have no optimizer states.
    shared : dict of str to ndarray
        The weights that were trained for all members together, by path.
    optimizer_state : OptimizerState or None
        That of a joint stack as a whole, whose optimizer updates the shared weights too.
    """

    members: list[TrainResult]
    shared: dict[str, np.ndarray]
    optimizer_state: OptimizerState | None


def train_stack(
    compiled: CompiledModel,
    stack: CompiledStack,
    runs: Sequence[MemberRun],
    epoch_callbacks: Sequence[EpochCallback] = (),
    rule: StoppingRule = each_by_its_loss,
    optimizer_state: OptimizerState | None = None,
) -> StackResult:
    """Train the members that are loaded in a stack.

    Parameters
    ----------
    compiled : CompiledModel
        The model of one member, on which moving statistics are computed anew at the end.
    stack : CompiledStack
        A stack of this model, with all members loaded.
    runs : sequence of MemberRun
        One for each member.
    epoch_callbacks : sequence of EpochCallback, default=()
        Receive the means of the metrics of the members in training.
    rule : StoppingRule, default=each_by_its_loss
        Decides which members stop early. All members of a joint stack stop after the same epoch.
    optimizer_state : OptimizerState or None, default=None
        The optimizer of a joint stack to continue with.

    Returns
    -------
    StackResult
        The trained members, and what they share.
    """
    return _StackedLoop(compiled, stack, runs, epoch_callbacks, rule).train(optimizer_state)


class _StackedLoop:
    """The state of one call of `train_stack`."""

    def __init__(self, compiled, stack, runs, epoch_callbacks, rule):
        self.compiled: CompiledModel = compiled
        self.stack: CompiledStack = stack
        self.runs: Sequence[MemberRun] = runs
        self.epoch_callbacks: Sequence[EpochCallback] = epoch_callbacks
        self.rule: StoppingRule = rule
        plan = runs[0].plan
        self.own_rates = any(run.plan.epochs != plan.epochs for run in runs)
        self.trainer = stack.trainer(plan.optimizer(), plan.objective, self.own_rates)
        self.pad = rows_are_independent(compiled)
        self.paths = tuple(
            path
            for path, form in computed_forms(compiled.model.selection).items()
            if stores_parameters(form)
        )
        self.joint = bool(stack.stack.shared)
        self.ended: dict[int, tuple[Delta, OptimizerState | None]] = {}
        self.best_shared: dict[str, np.ndarray] | None = None

    def _continue(self, whole: OptimizerState | None) -> None:
        """Load the optimizer states to continue with, where they are those of this optimizer."""
        if self.joint:
            now = self._whole_state()
            shapes = [[a.shape for a in each.variables] for each in (now, whole or now)]
            if whole is not None and whole.paths == now.paths and shapes[0] == shapes[1]:
                self.trainer.load_optimizer_state(whole.variables)
                for run in self.runs:
                    run.progress.first_step = run.progress.step = whole.steps
            return
        states = [run.optimizer_state for run in self.runs if run.optimizer_state is not None]
        if len(states) < len(self.runs):
            return
        shapes = [a.shape for a in self.trainer.optimizer_states()[0]]
        if all(
            state.paths == self.paths and [a.shape for a in state.variables] == shapes
            for state in states
        ):
            self.trainer.load_optimizer_states([state.variables for state in states])
            for run, state in zip(self.runs, states, strict=True):
                run.progress.first_step = run.progress.step = state.steps

    def _whole_state(self) -> OptimizerState:
        """Copy the state of the optimizer of a joint stack."""
        paths = (*self.paths, *self.stack.stack.shared)
        steps = self.runs[0].progress.step
        return OptimizerState(paths, self.trainer.optimizer_state(), steps)

    def train(self, optimizer_state: OptimizerState | None) -> StackResult:
        """Run epochs until all members have stopped."""
        self._continue(optimizer_state)
        interrupted, epoch = [False] * len(self.runs), 0
        try:
            while not all(run.progress.stopped for run in self.runs):
                self._epoch(epoch)
                epoch += 1
        except KeyboardInterrupt:
            # Nothing was trained, so there is nothing to keep.
            if all(run.progress.step == run.progress.first_step for run in self.runs):
                raise
            interrupted = [not run.progress.stopped for run in self.runs]
            self._end([i for i, run in enumerate(self.runs) if not run.progress.stopped])
        state = self._whole_state() if self.joint else None
        last = self.stack.stack.shared_values()
        shared = last if self.best_shared is None else self.best_shared
        if shared:  # moving statistics are computed anew on the trained weights
            self.compiled.network.assign(shared)
        members = [self._result(i, interrupted[i]) for i in range(len(self.runs))]
        return StackResult(members, shared, state)

    def _result(self, i: int, interrupted: bool) -> TrainResult:
        run, (last, optimizer_state) = self.runs[i], self.ended[i]
        delta = last if run.progress.best is None else run.progress.best
        delta = with_statistics(
            self.compiled, delta, run.plan, run.progress.step, run.data, run.rng
        )
        callbacks = run.plan.callbacks.copies
        return TrainResult(delta, run.progress.history, optimizer_state, interrupted, callbacks)

    def _end(self, members: Sequence[int]) -> None:
        """Keep what members have reached; the others of the stack train on."""
        if not members:
            return
        deltas = self.stack.stack.deltas()
        states = [] if self.joint else self.trainer.optimizer_states()
        for i in members:
            steps = self.runs[i].progress.step
            state = None if self.joint else OptimizerState(self.paths, states[i], steps)
            self.ended[i] = deltas[i], state

    def _epoch(self, number: int) -> None:
        active = [i for i, run in enumerate(self.runs) if not run.progress.stopped]
        for callback in self.epoch_callbacks:
            callback.epoch_begin(number)
        self._train_epoch(active)
        outputs = self._evaluate(active)
        for i in active:
            run = self.runs[i]
            for name, value in run.logs.items():
                run.progress.history.setdefault(name, []).append(value)
        for callback in self.epoch_callbacks:
            names = self.runs[active[0]].logs
            logs = {n: float(np.mean([self.runs[i].logs[n] for i in active])) for n in names}
            callback.epoch_end(number, logs)
        improved, stop = self.rule(self.runs, outputs)
        if any(improved):
            deltas, self.best_shared = self.stack.stack.deltas(), self.stack.stack.shared_values()
            for run, delta, better in zip(self.runs, deltas, improved, strict=True):
                run.progress.best = delta if better else run.progress.best
        for i in active:
            progress = self.runs[i].progress
            progress.epochs = number + 1
            progress.stopped = bool(stop[i]) or progress.epochs == self.runs[i].plan.epochs
        self._end([i for i in active if self.runs[i].progress.stopped])

    def _train_epoch(self, active: Sequence[int]) -> None:
        """Train on every batch of each member once."""
        plan, one_shape = self.runs[0].plan, self.trainer.one_batch_shape
        # A member that has stopped draws no more batches, which would change what follows for it;
        # it computes those of another one, in vain.
        sources = [i if i in active else active[0] for i in range(len(self.runs))]
        orders = {
            i: self.runs[i].data.stacks(plan.batch_size, self.runs[i].rng, self.pad, one_shape)
            for i in active
        }
        sums = np.zeros((3, len(self.runs)))
        for batches in zip(*orders.values(), strict=True):
            of_member = dict(zip(active, batches, strict=True))
            x, y, weight = (
                np.stack(arrays, axis=1)
                for arrays in zip(*(of_member[i] for i in sources), strict=True)
            )
            rates, multipliers = self._rates(len(x))
            totals, _ = self.trainer.run(x, y, weight, rates, multipliers)
            sums += np.stack(totals)
            for i in active:
                self.runs[i].progress.step += len(rates)
        loss, n_correct, weight = sums
        for i in active:
            run = self.runs[i]
            run.logs = {"loss": float(loss[i] / weight[i])}
            if run.plan.objective.task != "regression":
                run.logs["accuracy"] = float(n_correct[i] / weight[i])

    def _rates(self, steps: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the rate of each step, and those of the members as multiples of it."""
        if not self.own_rates:
            return self._rates_of(next(r for r in self.runs if not r.progress.stopped), steps), None
        rates = np.stack([self._rates_of(run, steps) for run in self.runs])
        highest = rates.max(axis=0)
        multiples = np.divide(rates, highest, out=np.zeros_like(rates), where=highest > 0)
        return highest, np.repeat(multiples.T[:, None], len(self.trainer.variables), axis=1)

    def _rates_of(self, run: MemberRun, steps: int) -> np.ndarray:
        plan, progress = run.plan, run.progress
        if progress.stopped:
            return np.zeros(steps, np.float32)
        before = progress.first_step if isinstance(plan.lr_schedule, str) else 0
        total = plan.epochs * run.data.steps(plan.batch_size)
        end = progress.first_step + total - before
        start = progress.step - before
        return schedules.rates(plan.lr_schedule, plan.learning_rate, start, steps, end)

    def _evaluate(self, active: Sequence[int]) -> np.ndarray | None:
        """Add the validation metrics to the logs; return the outputs for the samples."""
        if self.runs[0].plan.validation is None:
            return None
        every = [run.validation for run in self.runs]
        own = any(data is not every[0] for data in every)
        predictor = self.stack.predictor(own)
        parts = zip(*(data.parts() for data in (every if own else every[:1])), strict=True)
        outputs = np.concatenate(
            [
                predictor(np.stack([x for x, _, _ in part], axis=1) if own else part[0][0])
                for part in parts
            ]
        )
        for i in active:
            run, its = self.runs[i], _in_order(outputs[:, i])
            run.logs |= evaluate(its, run.validation, run.plan.objective, run.plan.metrics)
        return outputs


def _in_order(outputs: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return a predictor that returns known outputs for consecutive parts of the samples."""
    start = 0

    def predictor(x: np.ndarray) -> np.ndarray:
        nonlocal start
        start += len(x)
        return outputs[start - len(x) : start]

    return predictor
