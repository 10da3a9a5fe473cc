"""Training of the members of an ensemble: together in one compiled pass, or one after the other.

All training of members passes through `train_members`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from frozenfit.estimators import plans
from frozenfit.estimators.base import FitData, TrainingInterrupted
from frozenfit.estimators.bases import make_base
from frozenfit.estimators.fitted_part import FittedPart
from frozenfit.estimators.partial_base import (
    PartialNet,
    finish_part,
    start_part,
    train_part,
)
from frozenfit.estimators.stacked_parts import (
    NotStackable,
    load_members,
    load_stack,
    require,
)
from frozenfit.training import epoch_count, vectorization
from frozenfit.training.data import Data
from frozenfit.training.network import CompiledModel, Network
from frozenfit.training.optimizers import OptimizerState
from frozenfit.training.phases import Phase
from frozenfit.training.progress import EpochProgress
from frozenfit.training.stacked import CompiledStack
from frozenfit.training.stacked_loop import (
    EnsembleLoss,
    MemberRun,
    StackResult,
    each_by_its_loss,
    train_stack,
)
from frozenfit.training.workspace import workspace

__all__ = ["Together", "train_members"]


@dataclass
class Together:
    """How members are trained in one compiled pass, and what such training returns besides them.

    Parameters
    ----------
    required_by : str or None, default=None
        The setting for which members have to be trained together, such as ``vectorize=True``, with
        what to use instead. None trains them one after the other where they cannot be.
    instead : str, default=""
        What to use in its place.
    joint : bool, default=False
        Whether the kernels of the base are trained with the members.
    average : callable or None, default=None
        Computes the outputs of the ensemble from those of the members, where its validation loss
        ends the training of all members; None lets each member stop by itself.
    optimizer_state : OptimizerState or None, default=None
        The optimizer of joint members; after training, its new state.

    Attributes
    ----------
    history : dict of str to list of float
        Validation metrics of the ensemble, one value per epoch; empty without `average`.
    """

    required_by: str | None = None
    instead: str = ""
    joint: bool = False
    average: Callable[[np.ndarray], np.ndarray] | None = None
    optimizer_state: OptimizerState | None = None
    history: dict[str, list[float]] = field(default_factory=dict)


class _Started(NamedTuple):
    """A member whose training is about to begin."""

    member: PartialNet
    fit_data: FitData
    part: FittedPart
    seeds: dict[str, int]
    run: MemberRun


def train_members(
    members: Sequence[PartialNet],
    data_of_members: Sequence[FitData],
    seeds: Sequence[dict[str, int]],
    together: Together | None = None,
) -> Iterator[PartialNet]:
    """Train members on one base.

    Parameters
    ----------
    members : sequence of PartialNet
        Members with the base as their model; fitted members continue.
    data_of_members : sequence of FitData
        Training data of each member.
    seeds : sequence of dict
        Seeds of each member.
    together : Together or None, default=None
        How the members are trained in one compiled pass. None trains one after the other.

    Yields
    ------
    PartialNet
        Each member once it is trained.

    Raises
    ------
    ValueError
        If the members have to be trained together, and cannot be.
    """
    if together is not None:
        try:
            yield from _together(members, data_of_members, seeds, together)
            return
        except NotStackable as reason:
            if together.required_by is not None:
                raise ValueError(
                    f"`{together.required_by}` requires {reason}. Use {together.instead}."
                ) from None
    for member, fit_data, seed in zip(members, data_of_members, seeds, strict=True):
        train_part(member, fit_data, seed)
        yield member


def _together(
    members: Sequence[PartialNet],
    data_of_members: Sequence[FitData],
    seeds: Sequence[dict[str, int]],
    together: Together,
) -> Iterator[PartialNet]:
    """Train members in one compiled pass; raise `NotStackable` before anything is trained."""
    alone = together.average is None and len(members) == 1
    require(not alone, "at least two members, got one")
    bases = [
        make_base(member, fit_data, seed["base"])
        for member, fit_data, seed in zip(members, data_of_members, seeds, strict=True)
    ]
    with workspace.check_out(bases[0]) as network:
        started: list[_Started] = []
        for each in zip(members, data_of_members, bases, seeds, strict=True):
            member, fit_data, base, seed = each
            started.append(_started(member, fit_data, network, base, seed))
            if len(started) == 1:  # before the others are started, which a selector may make slow
                _check_first(started[0], network, together)
        if together.joint:
            started = _with_values(started, network)
        parts = [each.part for each in started]
        compiled, stack = load_stack(parts, network, together.joint)
        _check_alike(started)
        result = _run(started, network, compiled, stack, together)
    if together.joint:
        base = started[0].part.base.with_values(result.shared)
        started = [each._replace(part=replace(each.part, base=base)) for each in started]
        for member in members:
            member.set_params(model=base)
    together.optimizer_state = result.optimizer_state
    stopped: TrainingInterrupted | None = None
    for each, of_member in zip(started, result.members, strict=True):
        try:
            finish_part(each.member, each.fit_data, each.part, of_member)
        except TrainingInterrupted as stop:
            stopped = stop
    if stopped is not None:
        raise stopped
    yield from members


def _started(
    member: PartialNet, fit_data: FitData, network: Network, base: Any, seeds: dict[str, int]
) -> _Started:
    require(not fit_data.is_streamed, "arrays as X and X_val, got a source of batches")
    require(fit_data.checkpoint is None, "checkpoint=None, got a checkpoint")
    fit_data, part = start_part(member, fit_data, network, base, seeds)
    data, plan = member._data_and_plan(fit_data, seeds)
    assert isinstance(data, Data)  # sources are refused above
    rng = np.random.default_rng(seeds["batches"])
    state = member._optimizer_state_to_load(part)
    return _Started(member, fit_data, part, seeds, MemberRun(data, plan, rng, state))


def _with_values(started: Sequence[_Started], network: Network) -> list[_Started]:
    """Return joint members whose base has the values that its kernels start from."""
    first = started[0].part
    if first.frozen != "random":
        return list(started)
    base = first.base.with_random_frozen(first.selection, network.survey)
    return [each._replace(part=replace(each.part, base=base, frozen="keep")) for each in started]


def _check_first(first: _Started, network: Network, together: Together) -> None:
    """Raise `NotStackable` where network or settings of a member are not suitable."""
    compiled = first.part.load(network)
    settings = vectorization.unsuitable_settings(first.run.plan)
    for reason in (settings, vectorization.unsuitable_network(compiled, together.joint)):
        require(reason is None, str(reason))
    chosen = together.required_by is not None or vectorization.is_cheaper(compiled)
    require(chosen, "a network without convolutions, got some")
    # The layers before the adapters of joint members have nothing that is frozen.
    cached = first.run.plan.cache_features and not together.joint
    require(
        not (cached and compiled.prefix(Phase()) is not None),
        "a network without a frozen prefix, got one that is computed beforehand",
    )
    past = vectorization.depends_on_past_rates(first.run.plan.optimizer())
    own_epochs = plans.is_piloted(first.member, first.fit_data) and together.average is None
    require(
        not (own_epochs and past),
        "a number as `epochs` where the optimizer has momentum as SGD has it, got epochs='auto'",
    )


def _check_alike(started: Sequence[_Started]) -> None:
    """Raise `NotStackable` where members do not take the same steps."""
    counts = {(len(each.run.data), _validation_rows(each.run)) for each in started}
    require(len(counts) == 1, f"members with equally many samples, got {sorted(counts)}")
    steps = {None if (s := each.run.optimizer_state) is None else s.steps for each in started}
    require(len(steps) == 1, "members that all start or all continue, got both")


def _validation_rows(run: MemberRun) -> int:
    return 0 if run.plan.validation is None else len(run.validation)


def _run(
    started: Sequence[_Started],
    network: Network,
    compiled: CompiledModel,
    stack: CompiledStack,
    together: Together,
) -> StackResult:
    first, parts = started[0], [each.part for each in started]
    if plans.is_piloted(first.member, first.fit_data):
        _set_epochs(started, compiled, stack, together)
        load_members(stack, parts, network)
    table = first.part.selection.table()
    title = f"{len(parts)} members of {type(first.member).__name__}"
    epochs = max(each.run.plan.epochs for each in started)
    rule = None if together.average is None else EnsembleLoss(together.average)
    with EpochProgress(epochs, int(first.member.verbose), title, table.summary) as bar:
        runs = [each.run for each in started]
        result = train_stack(
            compiled, stack, runs, [bar], rule or each_by_its_loss, together.optimizer_state
        )
    if rule is not None:
        together.history = rule.history
    compiled.invalidate()
    return result


def _set_epochs(
    started: Sequence[_Started], compiled: CompiledModel, stack: CompiledStack, together: Together
) -> None:
    """Set the number of epochs of each member, or of the ensemble, by a pilot run."""
    rngs = [np.random.default_rng(each.seeds["split"]) for each in started]
    runs = [each.run for each in started]
    if together.average is None:
        rule = None
        split = [
            epoch_count.pilot_run(run.data, run.plan, rng)
            for run, rng in zip(runs, rngs, strict=True)
        ]
    else:
        rule = EnsembleLoss(together.average)
        split = [epoch_count.pilot_run(runs[0].data, runs[0].plan, rngs[0])] * len(runs)
    pilots = [MemberRun(*each, rng) for each, rng in zip(split, rngs, strict=True)]
    results = train_stack(compiled, stack, pilots, (), rule or each_by_its_loss).members
    if any(result.interrupted for result in results):
        raise KeyboardInterrupt
    for run, result in zip(runs, results, strict=True):
        history = result.history if rule is None else rule.history
        run.plan.epochs = epoch_count.best_number(history, run.plan.epochs)
