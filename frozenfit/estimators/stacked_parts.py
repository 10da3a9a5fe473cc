"""Several fitted or starting parts on one base, loaded as a stack."""

from __future__ import annotations

from collections.abc import Sequence

from frozenfit.delta import forms_key
from frozenfit.estimators.fitted_part import FittedPart
from frozenfit.training import vectorization
from frozenfit.training.network import CompiledModel, Network
from frozenfit.training.stacked import CompiledStack


class NotStackable(Exception):
    """Parts cannot be computed together; the message is what is required and was received."""


def require(condition: bool, what: str) -> None:
    """Raise `NotStackable` where a condition is not met."""
    if not condition:
        raise NotStackable(what)


def have_same_frozen(parts: Sequence[FittedPart]) -> bool:
    """Return whether parts have one base, and treat its frozen values and statistics alike.

    Parameters
    ----------
    parts : sequence of FittedPart
        The parts.

    Returns
    -------
    bool
        False also for equal bases that are two objects.
    """
    first = parts[0]
    return all(
        part.base is first.base
        and (part.frozen, part.statistics) == (first.frozen, first.statistics)
        for part in parts
    )


def load_stack(
    parts: Sequence[FittedPart], network: Network, joint: bool = False
) -> tuple[CompiledModel, CompiledStack]:
    """Load parts as a stack.

    Parameters
    ----------
    parts : sequence of FittedPart
        The parts.
    network : Network
        A network with the structure of their bases.
    joint : bool, default=False
        Whether the kernels that they share are trained with them.

    Returns
    -------
    compiled : CompiledModel
        The model of one of them.
    stack : CompiledStack
        All of them.

    Raises
    ------
    NotStackable
        If they differ in more than values and positions, or the network is not suitable.
    """
    first = parts[0]
    require(have_same_frozen(parts), "members with the same frozen values, got different ones")
    # Their networks are made thinner, each for itself.
    require(first.frozen != "zero", "random or kept frozen values, got frozen='zero'")
    kinds = {forms_key(part.selection) for part in parts}
    require(len(kinds) == 1, "members that train equally many parameters of each weight")
    compiled = first.load(network)
    reason = vectorization.unsuitable_network(compiled, joint)
    require(reason is None, str(reason))
    own_positions = any(part.selection != first.selection for part in parts)
    stack = compiled.stack(len(parts), own_positions, joint)
    load_members(stack, parts, network)
    return compiled, stack


def load_members(stack: CompiledStack, parts: Sequence[FittedPart], network: Network) -> None:
    """Load parts and the values of their base into a stack that was compiled for them.

    Parameters
    ----------
    stack : CompiledStack
        The stack.
    parts : sequence of FittedPart
        The parts.
    network : Network
        A network with the structure of their base.
    """
    selections, deltas = zip(*((part.selection, part.delta) for part in parts), strict=True)
    stack.load(selections, deltas, network.values(parts[0].base))
