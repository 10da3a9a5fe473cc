"""Promises of a FreezeSchedule, as a test class to derive from for each schedule."""

from __future__ import annotations

import numpy as np
import pytest

from frozenfit import FreezeSchedule
from frozenfit.training.schedules import as_freeze_schedule

TIMES = np.linspace(0, 0.999, 50)


class ScheduleContract:
    """Derive a class and set `schedule`; pytest runs every promise on it.

    For example::

        class TestProbeThenTune(ScheduleContract):
            schedule = ProbeThenTune(0.25)
    """

    schedule: FreezeSchedule

    @pytest.mark.parametrize("n_layers", [1, 2, 5, 9])
    def test_at_least_one_layer_is_active_at_any_time(self, n_layers):
        for progress in TIMES:
            active = self.schedule.active(n_layers, progress)
            assert active.dtype == bool and active.shape == (n_layers,) and active.any()

    @pytest.mark.parametrize("n_layers", [1, 2, 5, 9])
    def test_multipliers_are_finite_and_not_negative(self, n_layers):
        multipliers = self.schedule.multipliers(n_layers, TIMES)
        assert multipliers.shape == (len(TIMES), n_layers)
        assert np.isfinite(multipliers).all() and (multipliers >= 0).all()

    def test_the_same_call_returns_the_same_values(self):
        first, second = (self.schedule.multipliers(4, TIMES) for _ in range(2))
        assert np.array_equal(first, second)
        assert np.array_equal(self.schedule.active(4, 0.3), self.schedule.active(4, 0.3))

    def test_finished_layers_stay_finished_and_added_layers_stay_active(self):
        active = np.array([self.schedule.active(6, t) for t in TIMES])
        changes = np.diff(active.astype(int), axis=0)
        if self.schedule.finishes:
            assert (changes <= 0).all()
        elif self.schedule.needs_end:
            assert (changes >= 0).all()

    def test_its_text_creates_an_equal_schedule(self):
        assert as_freeze_schedule(repr(self.schedule)) == self.schedule
        assert hash(as_freeze_schedule(repr(self.schedule))) == hash(self.schedule)
