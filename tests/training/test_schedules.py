"""Freezing over time as numbers: freeze times, rates, who learns when."""

from __future__ import annotations

import numpy as np
import pytest
from schedule_contract import ScheduleContract

from frozenfit.training.schedules import (
    FreezeOut,
    GradualUnfreeze,
    LayerwiseRates,
    as_freeze_schedule,
)

POWERS = {"linear": 1, "squared": 2, "cubic": 3}


@pytest.mark.parametrize(
    ("how", "published"),
    [
        ("linear", [0.8, 0.84, 0.88, 0.92, 0.96, 1]),
        ("cubic", [0.512, 0.5927, 0.6815, 0.7787, 0.8847, 1]),
    ],
)
def test_freeze_times_are_the_published_ones(how, published):
    assert np.allclose(FreezeOut(0.8, how).freeze_times(6), published, atol=5e-5)


@pytest.mark.parametrize("how", POWERS)
def test_a_rate_falls_along_a_half_cosine_to_zero_at_its_time(how):
    policy = FreezeOut(0.5, how, scale_lr=False)
    times = policy.freeze_times(4)
    assert np.allclose(policy.multipliers(4, np.zeros(1)), 1)
    assert np.allclose(np.diag(policy.multipliers(4, times / 2)), 0.5)
    assert np.allclose(np.diag(policy.multipliers(4, times)), 0)
    assert np.all(policy.multipliers(4, np.array([0.999]))[0, :-1] == 0)


@pytest.mark.parametrize("how", POWERS)
def test_scaled_rates_move_every_layer_as_much_in_all(how):
    at = (np.arange(20_000) + 0.5) / 20_000
    assert np.allclose(FreezeOut(0.4, how).multipliers(5, at).mean(axis=0), 0.5, atol=1e-6)


def test_layers_stop_in_order_and_in_groups_of_equal_size():
    policy = FreezeOut(0.5, "linear", phases=2)  # times .5, .625, .75, .875 and 1
    moving = [policy.active(5, t).tolist() for t in (0, 0.62, 0.625, 0.87, 0.875, 0.99)]
    assert moving[0] == moving[1] == [True] * 5
    assert moving[2] == moving[3] == [False, False, True, True, True]
    assert moving[4] == moving[5] == [False, False, False, False, True]


def test_more_phases_than_layers_stop_each_layer_at_its_time():
    policy = FreezeOut(0.5, "linear", phases=9)  # times .5, .75 and 1
    moving = [policy.active(3, t).tolist() for t in (0.49, 0.5, 0.75)]
    assert moving == [[True, True, True], [False, True, True], [False, False, True]]


def test_a_layer_that_has_stopped_had_no_rate_left():
    policy, at = FreezeOut(0.7), np.linspace(0, 0.999, 200)
    for t in at:
        assert not (policy.multipliers(7, [t])[0] * ~policy.active(7, t)).any()


def test_the_last_layer_alone_is_trained_to_the_end():
    assert FreezeOut(0.3).freeze_times(1).tolist() == [1]
    assert FreezeOut(0.3).active(1, 0.99).tolist() == [True]


@pytest.mark.parametrize("n_layers", [2, 3, 5, 8])
def test_gradual_unfreezing_begins_at_the_last_layer_and_ends_in_time(n_layers):
    times = GradualUnfreeze(steps=3, until=0.6).start_times(n_layers)
    assert times[-1] == 0 and np.isclose(times[0], 0.6)
    assert np.all(np.diff(times) <= 0)


def test_gradual_unfreezing_longer_than_the_run_is_refused():
    GradualUnfreeze(steps=3, until=0.5).check(6)
    with pytest.raises(ValueError, match="needs `epochs` >= 6, got 5"):
        GradualUnfreeze(steps=3, until=0.5).check(5)


def test_layerwise_rates_fall_from_the_head_to_the_input():
    rates = LayerwiseRates(0.5).multipliers(4, np.array([0, 0.7]))
    assert rates.tolist() == [[0.125, 0.25, 0.5, 1]] * 2


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FreezeOut(0), "`t0` must be a float in"),
        (lambda: FreezeOut(1.2), "`t0` must be a float in"),
        (lambda: FreezeOut(0.5, "quartic"), "`how` must be one of 'linear', 'squared', 'cubic'"),
        (lambda: FreezeOut(0.5, phases=0), "`phases` must be an int >= 1"),
        (lambda: GradualUnfreeze(steps=0), "`steps` must be an int >= 1"),
        (lambda: GradualUnfreeze(until=1), "`until` must be a float in"),
        (lambda: LayerwiseRates(0), "`decay` must be a float in"),
    ],
)
def test_wrong_settings_are_refused_with_a_sentence(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    "made", [FreezeOut(0.5, "linear", phases=2), GradualUnfreeze(until=0.3), LayerwiseRates(0.8)]
)
def test_a_schedule_can_be_written_as_the_call_that_creates_it(made):
    assert as_freeze_schedule(repr(made)) == as_freeze_schedule(made) == made
    assert as_freeze_schedule(None) is None


@pytest.mark.parametrize(
    "text",
    ["freezeout", "FreezeOut", "FreezeOut(t1=0.5)", "Adam()", "print(1)", "FreezeOut(x)", ""],
)
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match="such as 'FreezeOut\\(0.5\\)', got"):
        as_freeze_schedule(text)


class TestFreezeOut(ScheduleContract):
    schedule = FreezeOut(0.5, "squared")


class TestGradualUnfreeze(ScheduleContract):
    schedule = GradualUnfreeze(steps=2, until=0.4)


class TestLayerwiseRates(ScheduleContract):
    schedule = LayerwiseRates(0.7)
