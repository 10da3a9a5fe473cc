"""The figures of an ensemble, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from frozenfit.estimators.calibration import pooled, temperature
from frozenfit.estimators.ensemble_report import (
    calibration_error,
    classifier_report,
    disagreements,
    entropy,
    regressor_report,
    report_text,
)

TWO = np.array(
    [
        [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]],
        [[0.7, 0.3], [0.2, 0.8], [0.4, 0.6]],
    ]
)
Y = np.array([0, 0, 1])


def test_a_row_has_accuracy_log_loss_and_brier_score():
    first = classifier_report(TWO, Y)[0]
    assert first.member == "0" and first.accuracy == 1.0
    assert first.nll == pytest.approx(-np.log([0.9, 0.6, 0.8]).mean())
    assert first.brier == pytest.approx(np.mean([2 * 0.01, 2 * 0.16, 2 * 0.04]))


def test_the_last_rows_are_the_mean_and_the_mean_of_probabilities():
    *members, mean, ensemble = classifier_report(TWO, Y)
    assert [row.member for row in (mean, ensemble)] == ["mean", "ensemble"]
    assert mean.nll == pytest.approx(np.mean([row.nll for row in members]))
    assert ensemble.nll == pytest.approx(-np.log([0.8, 0.4, 0.7]).mean())
    assert ensemble.accuracy == pytest.approx(2 / 3)
    assert ensemble.nll <= mean.nll and ensemble.brier <= mean.brier


def test_disagreement_is_the_share_of_other_labels():
    rows = classifier_report(TWO, Y)
    assert [row.disagreement for row in rows] == pytest.approx([1 / 3] * 4)


def test_disagreement_is_averaged_over_the_others():
    distances = np.array([[0, 0.2, 0.4], [0.2, 0, 0.6], [0.4, 0.6, 0]])
    np.testing.assert_allclose(disagreements(distances), [0.3, 0.4, 0.5])


def test_a_single_member_disagrees_with_nobody():
    assert np.isnan(classifier_report(TWO[:1], Y)[-1].disagreement)


def test_brier_of_the_ensemble_is_the_mean_minus_the_ambiguity():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), size=(3, 50))
    y = rng.integers(0, 4, 50)
    *_, mean, ensemble = classifier_report(p, y)
    ambiguity = ((p - p.mean(axis=0)) ** 2).sum(axis=2).mean()
    assert ensemble.brier == pytest.approx(mean.brier - ambiguity)


def test_calibration_error_weighs_the_bins_by_their_samples():
    p = np.array([[0.95, 0.05]] * 3 + [[0.55, 0.45]])
    y = np.array([0, 0, 1, 1])
    expected = (3 * abs(2 / 3 - 0.95) + 1 * abs(0 - 0.55)) / 4
    assert calibration_error(p, y) == pytest.approx(expected)


def test_a_bin_is_open_on_the_left_and_closed_on_the_right():
    # 0.6 = 9/15 ends the ninth bin; 0.61 is in the tenth: apart, errors add up.
    p = np.array([[0.6, 0.4], [0.61, 0.39]])
    assert calibration_error(p, np.array([0, 1])) == pytest.approx((0.4 + 0.61) / 2)


def test_entropy_of_a_certain_and_an_even_distribution():
    np.testing.assert_allclose(entropy(np.array([[1.0, 0], [0.5, 0.5]])), [0, np.log(2)])


def test_a_regressor_is_measured_in_root_mean_squares():
    predictions = np.array([[[1.0], [2.0]], [[3.0], [2.0]]])
    rows = regressor_report(predictions, np.array([[2.0], [2.0]]))
    assert rows[0].rmse == pytest.approx(np.sqrt(0.5))
    assert rows[-1].rmse == 0
    assert rows[0].disagreement == pytest.approx(np.sqrt(2))


def test_the_text_has_a_line_for_each_row():
    lines = report_text(classifier_report(TWO, Y)).splitlines()
    assert len(lines) == 5 and lines[0].split()[:2] == ["member", "accuracy"]


def test_pooled_outputs_have_the_mean_of_the_softmaxes():
    logits = np.log(TWO) + np.array([5.0, -3.0])[:, None, None]
    np.testing.assert_allclose(np.exp(pooled(logits)), TWO.mean(axis=0))


def test_pooled_outputs_are_finite_where_all_members_are_sure():
    logits = np.array([[[0.0, -1000, -2000], [1, 2, 3]], [[0, -1100, -1500], [3, 2, 1]]])
    found = pooled(logits, 0.5)
    # The larger of two terms, whose ratio is no longer a number.
    np.testing.assert_allclose(found[0, 1:], [-2000 - np.log(2), -3000 - np.log(2)])
    np.testing.assert_allclose(found[1], pooled(logits[:, 1:], 0.5)[0])


def test_pooled_outputs_stay_finite_for_very_sure_members():
    assert np.isfinite(pooled(np.array([[[0.0, 2000.0]], [[0.0, 3000.0]]]))).all()


@pytest.mark.parametrize("true", [0.5, 2.0])
def test_the_temperature_that_made_the_labels_is_found(true):
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=3, size=(1, 20_000, 3))
    noise = rng.gumbel(size=logits.shape[1:])
    y = (logits[0] / true + noise).argmax(axis=1)
    assert temperature(logits, y, np.ones(len(y))) == pytest.approx(true, rel=0.05)


def test_weights_count_in_the_temperature():
    logits = np.array([[[2.0, 0.0], [2.0, 0.0], [2.0, 0.0]]])
    y = np.array([0, 0, 1])
    even = temperature(logits, y, np.ones(3))
    sure = temperature(logits, y, np.array([1.0, 1.0, 0.1]))
    assert sure < even


def test_a_temperature_of_few_samples_without_an_error_stays_moderate():
    logits = np.tile([4.0, 0.0], (3, 50, 1))
    found = temperature(logits, np.zeros(50, int), np.ones(50))
    assert 0.3 < found < 1  # the log loss alone decreases down to 0


def test_a_weight_of_two_in_a_temperature_is_a_repeated_sample():
    logits = np.array([[[2.0, 0.0], [1.0, 0.0], [2.5, 0.0]]])
    y, weight = np.array([0, 0, 1]), np.array([1.0, 2.0, 1.0])
    repeated = temperature(np.repeat(logits, [1, 2, 1], axis=1), y[[0, 1, 1, 2]], np.ones(4))
    assert temperature(logits, y, weight) == pytest.approx(repeated, rel=1e-4)
