"""Scores over numbers of trained parameters, and lines with intervals against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from estimator_data import classifier, table
from scipy.stats import t

from frozenfit.analysis import log_fit, parameter_efficiency

X, Y = table()


def test_a_line_and_its_intervals_are_those_of_the_normal_equations():
    rng = np.random.default_rng(0)
    counts = 10.0 ** rng.uniform(1, 5, size=12)
    scores = 0.2 + 0.15 * np.log10(counts) + rng.normal(scale=0.02, size=12)
    found = log_fit(counts, scores, confidence=0.9)
    matrix = np.stack([np.log10(counts), np.ones(12)], axis=1)
    inverse = np.linalg.inv(matrix.T @ matrix)
    solution = inverse @ matrix.T @ scores
    residuals = scores - matrix @ solution
    errors = np.sqrt(np.diag(inverse) * (residuals @ residuals) / 10)
    half = t.ppf(0.95, 10) * errors
    np.testing.assert_allclose([found.slope, found.intercept], solution)
    np.testing.assert_allclose(found.slope_interval, solution[0] + half[0] * np.array([-1, 1]))
    np.testing.assert_allclose(found.intercept_interval, solution[1] + half[1] * np.array([-1, 1]))
    assert found.r2 == pytest.approx(1 - residuals @ residuals / np.var(scores) / 12)


def test_intervals_cover_the_slope_as_often_as_they_promise():
    rng = np.random.default_rng(1)
    x = np.array([10.0, 30, 100, 300, 1000])
    covered = 0
    for _ in range(400):
        scores = 0.1 * np.log10(x) + rng.normal(scale=0.05, size=5)
        low, high = log_fit(x, scores).slope_interval
        covered += low < 0.1 < high
    assert 0.92 < covered / 400 < 0.98


def test_equal_scores_have_no_slope():
    found = log_fit([1, 10, 100], [0.5, 0.5, 0.5])
    assert (found.slope, found.intercept, found.r2) == (0, 0.5, 1)


@pytest.mark.parametrize(
    ("counts", "scores", "message"),
    [
        ([1, 2], [1, 2], "at least 3"),
        ([1, 2, 3], [1, 2], "of one length"),
        ([0, 2, 3], [1, 2, 3], "at least 1"),
        ([1, 2, 3], [1, np.nan, 3], "must be finite"),
        ([5, 5, 5], [1, 2, 3], "different values"),
    ],
    ids=str,
)
def test_points_are_checked(counts, scores, message):
    with pytest.raises(ValueError, match=message):
        log_fit(counts, scores)


def test_the_confidence_is_checked():
    with pytest.raises(ValueError, match="`confidence` must be a float in"):
        log_fit([1, 2, 3], [1, 2, 3], confidence=95)


def test_rows_are_ordinary_fits():
    settings = classifier(epochs=3)
    values = ["head()", "subspace(30)", 1.0]
    rows = parameter_efficiency(settings, X, Y, X_val=X, y_val=Y, trainable=values)
    assert [row.trainable for row in rows] == values
    for row in rows:
        fitted = classifier(epochs=3, trainable=row.trainable).fit(X, Y)
        assert row.n_trainable == sum(each.trainable for each in fitted.parameter_table())
        assert row.score == fitted.score(X, Y)
    assert not hasattr(settings, "part_")


def test_values_and_estimators_are_checked():
    with pytest.raises(ValueError, match="at least one value"):
        parameter_efficiency(classifier(), X, Y, X_val=X, y_val=Y, trainable=())
    with pytest.raises(TypeError, match="must be a PartialNetClassifier"):
        parameter_efficiency(object(), X, Y, X_val=X, y_val=Y)
