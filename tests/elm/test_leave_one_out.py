"""Alphas that are clearly worse on the first rows are dropped; nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

from frozenfit import ELMClassifier, ELMRegressor
from frozenfit.elm import calibration, leave_one_out, ridge

ALPHAS = np.logspace(-6, 4, 11)


def problem(n=300, m=12, seed=0):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(n, m))
    return A, A[:, :2] + 0.3 * rng.normal(size=(n, 2)), rng.uniform(0.5, 2.0, n)


def decomposed(A, T, w):
    sums = ridge.Sums(np.zeros(12), T.shape[1])
    sums.add(A, T, w)
    return ridge.decompose(sums)


def test_kept_alphas_have_the_scores_of_a_run_without_a_race(monkeypatch):
    monkeypatch.setattr(leave_one_out, "_ROWS", 50)
    A, T, w = problem()
    solution = decomposed(A, T, w)

    def blocks():
        return iter([A[:120], A[120:]])

    whole = leave_one_out.scores(solution, blocks, T, w, ALPHAS)
    shown = []

    def narrow(scores):
        shown.append(scores)
        return np.array([2, 5])

    kept, left = leave_one_out.race(solution, blocks, T, w, ALPHAS, "float64", narrow)
    assert kept.tolist() == [2, 5] and len(shown) == 1
    np.testing.assert_allclose(shown[0], whole[:, : shown[0].shape[1]], rtol=1e-10)
    np.testing.assert_allclose(left, whole[kept], rtol=1e-10)


def test_few_rows_drop_no_alpha():
    A, T, w = problem()

    def never(scores):
        raise AssertionError("asked")

    kept, left = leave_one_out.race(
        decomposed(A, T, w), lambda: iter([A]), T, w, ALPHAS, "float64", never
    )
    assert len(kept) == len(left) == len(ALPHAS)


def test_features_may_come_in_parts_side_by_side():
    A, T, w = problem()
    solution = decomposed([A[:, :5], A[:, 5:]], T, w)
    whole = leave_one_out.scores(decomposed(A, T, w), lambda: iter([A]), T, w, ALPHAS)
    parts = leave_one_out.scores(solution, lambda: iter([[A[:, :5], A[:, 5:]]]), T, w, ALPHAS)
    np.testing.assert_allclose(parts, whole, rtol=1e-9)


def test_two_views_of_a_sample_are_omitted_together():
    A, T, w = problem(n=40, m=6)
    mirrored = A[:, ::-1] + 0.1
    sums = ridge.Sums(np.zeros(6), 2)
    sums.add(A, T, w / 2)
    sums.add(mirrored, T, w / 2)
    solution = ridge.decompose(sums)
    blocks = [(A[:15], mirrored[:15]), (A[15:], mirrored[15:])]
    left = leave_one_out.scores(solution, lambda: iter(blocks), T, w, np.array([0.1]))[0]
    for i in (0, 20, 39):
        rest = ridge.Sums(np.zeros(6), 2)
        for view in (A, mirrored):
            others = np.arange(40) != i
            rest.add(view[others], T[others], w[others] / 2)
        again = ridge.decompose(rest)
        coef, intercept = again.head(0.1 * solution.unit / again.unit)
        np.testing.assert_allclose(left[i], A[i] @ coef + intercept, rtol=1e-9)


@pytest.mark.parametrize("kind", [ELMClassifier, ELMRegressor])
@pytest.mark.parametrize("seed", range(3))
def test_a_race_selects_the_alpha_that_all_rows_select(monkeypatch, kind, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(600, 4)).astype("f4")
    y = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.5 * rng.normal(size=600)
    y = (y > 0).astype(int) if kind is ELMClassifier else y
    slow = kind((60,), random_state=seed).fit(X, y)
    monkeypatch.setattr(leave_one_out, "_ROWS", 100)
    quick = kind((60,), random_state=seed).fit(X, y)
    assert quick.alpha_ == slow.alpha_
    assert quick.best_score_ == pytest.approx(slow.best_score_, rel=1e-9)


def test_losses_of_rows_average_to_the_loss():
    rng = np.random.default_rng(0)
    scores, y = rng.normal(size=(50, 3)), np.arange(50) % 3
    loss, beta = calibration.log_loss_at_best_temperature(scores, y, np.ones(50))
    assert calibration.row_losses(beta * scores, y).mean() == pytest.approx(loss, abs=1e-3)
