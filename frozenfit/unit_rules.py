"""How zeros and gradients pass through one operation of a network, unit by unit.

`frozenfit.dead_units` makes one of these rules for each operation. Nothing here depends on Keras.
"""

from __future__ import annotations

from typing import Any

import numpy as np


class Units:
    """The units of one tensor along one axis.

    Attributes
    ----------
    axis : int or None
        The axis; None where the units of the tensor are not followed.
    alive : ndarray of bool
        Units that may be other than zero.
    reached : ndarray of bool
        Units that a gradient may reach.
    kept : ndarray of bool
        Units that stay in the network: those that are alive, and those that others need.
    """

    def __init__(self, axis: int | None, size: int):
        self.axis = axis
        self.alive, self.reached, self.kept = (np.zeros(size, bool) for _ in range(3))

    def all_stay(self) -> None:
        """Follow none of the units."""
        for each in (self.alive, self.reached, self.kept):
            each[:] = True


class Opaque:
    """An operation whose units are not followed: it gets and gives whole tensors."""

    def __init__(self, inputs: list[Units], outputs: list[Units]):
        self.inputs, self.outputs = inputs, outputs
        for units in outputs:
            units.all_stay()

    def forward(self) -> None:
        """Mark the outputs that are alive."""

    def backward(self) -> None:
        """Mark the inputs that a gradient reaches."""
        for units in self.inputs:
            units.reached[:] = True

    def keep(self) -> None:
        """Keep what the operation needs."""
        for units in (*self.inputs, *self.outputs):
            units.kept[:] = True


class _Followed:
    """An operation whose units are followed.

    Attributes
    ----------
    output : Units
        Its output.
    offset : Offset
        What it adds to each unit.
    passes_zero : bool
        Whether its activation maps zero to zero.
    stops_at_zero : bool
        Whether its activation has no gradient at zero.
    """

    output: Units
    offset: Offset
    passes_zero: bool = True
    stops_at_zero: bool = False

    def _activate(self, alive: Any) -> None:
        self._before = alive | self.offset.alive
        self.output.alive |= self._before if self.passes_zero else True

    def _reached_before(self) -> np.ndarray:
        """Return the units, before the activation, that a gradient reaches."""
        reached = self.output.reached.copy()
        if self.stops_at_zero:
            reached &= self._before
        self.offset.reached |= reached
        return reached


class Product(_Followed):
    """A product of units with a kernel.

    Attributes
    ----------
    reads : ndarray of bool, shape (n_inputs, n_outputs)
        Where the kernel may be other than zero.
    """

    def __init__(self, units: Units, output: Units, reads: np.ndarray, offset: Offset):
        self.units, self.output, self.reads, self.offset = units, output, reads, offset

    def forward(self) -> None:
        """Mark the outputs that are alive."""
        self._activate(np.any(self.reads[self.units.alive], axis=0))

    def backward(self) -> None:
        """Mark the inputs that a gradient reaches."""
        self.units.reached |= self.reads[:, self._reached_before()].any(axis=1)

    def keep(self) -> None:
        """Keep what is alive; outputs are computed without inputs that are dead."""
        _keep_alive(self.units, self.output)


class Channelwise(_Followed):
    """An operation that computes each unit from units of its inputs at given places.

    Attributes
    ----------
    places : list of ndarray of int
        For each input the unit that each unit of the output is computed from; -1 for none.
    """

    def __init__(
        self, inputs: list[Units], output: Units, places: list[np.ndarray], offset: Offset
    ):
        self.inputs, self.output, self.offset = inputs, output, offset
        pairs = zip(inputs, places, strict=True)
        self._pairs = [(u, np.flatnonzero(p >= 0), p[p >= 0]) for u, p in pairs]

    def forward(self) -> None:
        """Mark the outputs that are alive."""
        alive = np.zeros(len(self.output.alive), bool)
        for units, to, place in self._pairs:
            alive[to] |= units.alive[place]
        self._activate(alive)

    def backward(self) -> None:
        """Mark the inputs that a gradient reaches."""
        reached = self._reached_before()
        for units, to, place in self._pairs:
            np.logical_or.at(units.reached, place, reached[to])

    def keep(self) -> None:
        """Keep the same units in all inputs and in the output."""
        _keep_alive(*self.inputs, self.output)
        for units, to, place in self._pairs:
            np.logical_or.at(units.kept, place, self.output.kept[to])
        for units, to, place in self._pairs:
            self.output.kept[to] |= units.kept[place]


def _keep_alive(*groups: Units) -> None:
    for units in groups:
        units.kept |= units.alive
        if not units.kept.any():  # a layer has one unit at least
            units.kept[0] = True


class Offset:
    """What a layer adds to each of its units: a bias, or the offset of a batch normalization.

    Attributes
    ----------
    alive : ndarray of bool
        Where it may be other than zero.
    reached : ndarray of bool
        Where a gradient may reach it.
    still : ndarray of bool
        Where it is zero, and trainable in principle.
    """

    def __init__(self, size: int):
        self.alive, self.reached, self.still = (np.zeros(size, bool) for _ in range(3))

    def wake(self) -> bool:
        """Let what a gradient reaches be alive; return whether anything is that was not."""
        woken = self.still & self.reached
        self.alive |= woken
        self.still &= ~woken
        return bool(woken.any())
