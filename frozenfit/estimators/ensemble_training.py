"""Training of the members of an ensemble: together in one compiled pass, or one after the other.

All training of members passes through `train_members`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from frozenfit.estimators.stacked_parts import NotStackable, load_stack, require
from frozenfit.training import epoch_count, vectorization
from frozenfit.training.data import Data
from frozenfit.training.loop import TrainResult
from frozenfit.training.network import CompiledModel, Network
from frozenfit.training.phases import Phase
from frozenfit.training.progress import EpochProgress
from frozenfit.training.stacked import CompiledStack
from frozenfit.training.stacked_loop import MemberRun, train_stack
from frozenfit.training.workspace import workspace

__all__ = ["train_members"]


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
    vectorize: bool | str = False,
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
    vectorize : bool or "auto", default=False
        Whether the members are trained together. "auto" does so where they can be.

    Yields
    ------
    PartialNet
        Each member once it is trained.

    Raises
    ------
    ValueError
        If `vectorize` is True and the members cannot be trained together.
    """
    if vectorize:
        try:
            yield from _together(members, data_of_members, seeds)
            return
        except NotStackable as reason:
            if vectorize is True:
                raise ValueError(
                    f"`vectorize=True` requires {reason}. Use vectorize='auto', which trains such "
                    "members one after the other."
                ) from None
    for member, fit_data, seed in zip(members, data_of_members, seeds, strict=True):
        train_part(member, fit_data, seed)
        yield member


def _together(
    members: Sequence[PartialNet],
    data_of_members: Sequence[FitData],
    seeds: Sequence[dict[str, int]],
) -> Iterator[PartialNet]:
    """Train members in one compiled pass; raise `NotStackable` before anything is trained."""
    require(len(members) > 1, "at least two members, got one")
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
                _check_first(started[0], network)
        compiled, stack = load_stack([each.part for each in started], network)
        _check_alike(started)
        results = _run(started, compiled, stack)
    stopped: TrainingInterrupted | None = None
    for each, result in zip(started, results, strict=True):
        try:
            finish_part(each.member, each.fit_data, each.part, result)
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


def _check_first(first: _Started, network: Network) -> None:
    """Raise `NotStackable` where network or settings of a member are not suitable."""
    compiled = first.part.load(network)
    settings = vectorization.unsuitable_settings(first.run.plan)
    for reason in (settings, vectorization.unsuitable_network(compiled)):
        require(reason is None, str(reason))
    prefix = first.run.plan.cache_features and compiled.prefix(Phase()) is not None
    require(not prefix, "a network without a frozen prefix, got one that is computed beforehand")
    past = vectorization.depends_on_past_rates(first.run.plan.optimizer())
    require(
        not (plans.is_piloted(first.member, first.fit_data) and past),
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
    started: Sequence[_Started], compiled: CompiledModel, stack: CompiledStack
) -> list[TrainResult]:
    first, parts = started[0], [each.part for each in started]
    if plans.is_piloted(first.member, first.fit_data):
        pilots = []
        for each in started:
            rng = np.random.default_rng(each.seeds["split"])
            data, plan = epoch_count.pilot_run(each.run.data, each.run.plan, rng)
            pilots.append(MemberRun(data, plan, rng))
        for each, result in zip(started, train_stack(compiled, stack, pilots), strict=True):
            if result.interrupted:
                raise KeyboardInterrupt
            plan = each.run.plan
            plan.epochs = epoch_count.best_number(result.history, plan.epochs)
        stack.load([part.selection for part in parts], [part.delta for part in parts])
    plan, table = first.run.plan, first.part.selection.table()
    title = f"{len(parts)} members of {type(first.member).__name__}"
    epochs = max(each.run.plan.epochs for each in started)
    with EpochProgress(epochs, int(first.member.verbose), title, table.summary) as bar:
        results = train_stack(compiled, stack, [each.run for each in started], [bar])
    compiled.invalidate()
    return results
