"""The ridge: leave-one-out scores are those of fits without the row; sums add up."""

from __future__ import annotations

import numpy as np
import pytest

from frozenfit.elm import leave_one_out, ridge

ALPHAS = np.array([1e-6, 1e-2, 1.0])


def problem(n=30, m=12, k=2, seed=0):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(n, m)) + 3.0
    T = A[:, :k] ** 2 + rng.normal(size=(n, k))
    return A, T, rng.uniform(0.5, 3.0, n)


def summed(A, T, w, center=None):
    sums = ridge.Sums(A[:5].mean(axis=0) if center is None else center, T.shape[1])
    sums.add(A.copy(), T, w)
    return sums


def refitted(A, T, w, alpha):
    """Coefficients and intercept by the textbook, for an absolute alpha."""
    mean, target = np.average(A, axis=0, weights=w), np.average(T, axis=0, weights=w)
    Z = A - mean
    gram = Z.T @ (w[:, None] * Z) + alpha * np.eye(A.shape[1])
    coef = np.linalg.solve(gram, Z.T @ (w[:, None] * (T - target)))
    return coef, target - mean @ coef


def scores_without_each_row(A, T, w, alpha):
    out = np.empty_like(T)
    for i in range(len(A)):
        rest = np.arange(len(A)) != i
        coef, intercept = refitted(A[rest], T[rest], w[rest], alpha)
        out[i] = A[i] @ coef + intercept
    return out


@pytest.mark.parametrize("weighted", [False, True])
def test_leave_one_out_scores_are_those_of_fits_without_the_row(weighted):
    A, T, w = problem()
    w = w if weighted else np.ones(len(A))
    solution = ridge.decompose(summed(A, T, w))
    left = leave_one_out.scores(solution, lambda: iter([A[:7], A[7:]]), T, w, ALPHAS)
    for alpha, scores in zip(ALPHAS, left, strict=True):
        wanted = scores_without_each_row(A, T, w, alpha * solution.unit)
        np.testing.assert_allclose(scores, wanted, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("weighted", [False, True])
def test_fewer_rows_than_features_give_exact_leave_one_out_scores(weighted):
    A, T, w = problem(n=10, m=25)
    w = w if weighted else np.ones(len(A))
    solution = ridge.decompose_rows(A, T, w)
    left = leave_one_out.scores(solution, lambda: iter([A]), T, w, ALPHAS[1:])
    for alpha, scores in zip(ALPHAS[1:], left, strict=True):
        wanted = scores_without_each_row(A, T, w, alpha * solution.unit)
        np.testing.assert_allclose(scores, wanted, rtol=1e-8, atol=1e-8)


def test_one_alpha_solved_by_cholesky_gives_exact_leave_one_out_scores():
    A, T, w = problem()
    coef, intercept, whitened = ridge.solve_at(summed(A, T, w), 0.1)
    unit = ridge.decompose(summed(A, T, w)).unit
    np.testing.assert_allclose(coef, refitted(A, T, w, 0.1 * unit)[0], rtol=1e-10)
    np.testing.assert_allclose(intercept, refitted(A, T, w, 0.1 * unit)[1], rtol=1e-10)
    left = leave_one_out.scores(whitened, lambda: iter([A]), T, w, np.zeros(1))[0]
    np.testing.assert_allclose(left, scores_without_each_row(A, T, w, 0.1 * unit), rtol=1e-8)


def test_the_two_decompositions_give_one_head():
    A, T, w = problem(n=12, m=12)
    for alpha in ALPHAS[1:]:
        by_columns = ridge.decompose(summed(A, T, w)).head(alpha)
        by_rows = ridge.decompose_rows(A, T, w).head(alpha)
        for one, other in zip(by_columns, by_rows, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9)


def test_products_in_float32_change_scores_in_the_sixth_digit_at_most():
    A, T, w = problem(n=60)
    solution = ridge.decompose(summed(A, T, w))
    exact = leave_one_out.scores(solution, lambda: iter([A]), T, w, ALPHAS)
    quick = leave_one_out.scores(solution, lambda: iter([A]), T, w, ALPHAS, "float32")
    assert quick.dtype == np.float32
    np.testing.assert_allclose(quick, exact, atol=1e-4)


def test_sums_of_parts_add_up_to_the_sums_of_all():
    A, T, w = problem()
    whole = summed(A, T, w, center=np.full(12, 3.0))
    parts = [summed(A[i::3], T[i::3], w[i::3], np.full(12, 3.0)) for i in range(3)]
    joined = parts[0].plus(parts[1]).plus(parts[2])
    for one, other in zip(joined.centered(), whole.centered(), strict=True):
        np.testing.assert_allclose(np.tril(one), np.tril(other), rtol=1e-10)


def test_removed_rows_leave_the_sums_of_the_others():
    A, T, w = problem()
    center = np.full(12, 3.0)
    rest = summed(A, T, w, center).plus(summed(A[20:], T[20:], w[20:], center), -1.0)
    assert rest.is_positive()
    wanted = ridge.decompose(summed(A[:20], T[:20], w[:20], center)).head(0.1)
    for one, other in zip(ridge.decompose(rest).head(0.1), wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


def test_removing_rows_that_were_never_added_is_detected():
    A, T, w = problem()
    center = np.full(12, 3.0)
    strange = summed(A[:3] + 50.0 * np.eye(12)[:3], T[:3], w[:3], center)
    assert not summed(A, T, w, center).plus(strange, -1.0).is_positive()


def test_a_singular_gram_matrix_is_solved():
    A = np.repeat(np.arange(8.0)[:, None], 5, axis=1)
    T = 2 * A[:, :1] + 1
    sums = summed(A, T, np.ones(8))
    for coef, intercept in (ridge.decompose(sums).head(1e-9), ridge.solve_at(sums, 1e-9)[:2]):
        np.testing.assert_allclose(A @ coef + intercept, T, atol=1e-5)


def test_features_without_variance_predict_the_mean():
    A, T = np.ones((6, 3)), np.arange(6.0)[:, None]
    coef, intercept = ridge.decompose(summed(A, T, np.ones(6))).head(1e-3)
    np.testing.assert_allclose(A @ coef + intercept, np.full((6, 1), 2.5))


def test_a_decomposition_that_fails_once_is_tried_with_jitter(monkeypatch):
    A, T, w = problem()
    wanted = ridge.decompose(summed(A, T, w)).head(1e-2)[0]
    whole, calls = ridge._eigh, []

    def failing_once(*given, **named):
        calls.append(given[1])
        if len(calls) == 1:
            raise np.linalg.LinAlgError("did not converge")
        return whole(*given, **named)

    monkeypatch.setattr(ridge, "_eigh", failing_once)
    np.testing.assert_allclose(ridge.decompose(summed(A, T, w)).head(1e-2)[0], wanted, rtol=1e-6)
    assert calls == ["evd", "ev"]
