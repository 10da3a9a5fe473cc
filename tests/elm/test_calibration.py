"""Two numbers turn ridge scores into probabilities and do not change the predicted class."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from frozenfit.elm import calibration


def noisy_scores(n=400, k=4, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    share = rng.dirichlet(np.ones(k), n)
    share[np.arange(n), y] += 0.3
    return 2 * share / share.sum(axis=1, keepdims=True) - 1, y


def loss(scores, y, beta, gamma):
    found = log_softmax(calibration.logits(scores, beta, gamma), axis=1)
    return -found[np.arange(len(y)), y].mean()


def test_the_two_numbers_maximize_the_likelihood():
    scores, y = noisy_scores()
    beta, gamma = calibration.calibrate(scores, y, np.ones(len(y)))
    best = minimize(
        lambda v: loss(scores, y, *v), [1.0, 1.0], bounds=[(1e-3, 99), (0, 99)], tol=1e-12
    )
    assert loss(scores, y, beta, gamma) <= best.fun + 1e-4


def test_both_numbers_stay_positive_for_misleading_scores():
    scores, y = noisy_scores()
    beta, gamma = calibration.calibrate(-scores, y, np.ones(len(y)))
    assert beta > 0 and gamma >= 0


def test_the_predicted_class_stays():
    scores, y = noisy_scores()
    for labels in (y, y[::-1]):
        logits = calibration.logits(scores, *calibration.calibrate(scores, labels, np.ones(len(y))))
        np.testing.assert_array_equal(logits.argmax(axis=1), scores.argmax(axis=1))


def test_separated_scores_give_finite_numbers():
    y = np.arange(40) % 2
    scores = np.where(np.eye(2)[y] > 0, 1.0, -1.0)
    beta, gamma = calibration.calibrate(scores, y, np.ones(40))
    assert np.isfinite([beta, gamma]).all() and loss(scores, y, beta, gamma) < 0.02


def test_a_weight_of_two_counts_a_row_twice():
    scores, y = noisy_scores(60)
    w = np.where(np.arange(60) < 30, 2.0, 1.0)
    rows = np.concatenate([np.arange(60), np.arange(30)])
    once = calibration.calibrate(scores, y, w / w.mean())
    twice = calibration.calibrate(scores[rows], y[rows], np.ones(90))
    np.testing.assert_allclose(once, twice, rtol=5e-2)


def test_the_temperature_minimizes_the_log_loss():
    scores, y = noisy_scores()
    found, beta = calibration.log_loss_at_best_temperature(scores, y, np.ones(len(y)))
    around = [loss(scores, y, beta * factor, 0.0) for factor in (0.9, 1.0, 1.1)]
    assert np.argmin(around) == 1
    np.testing.assert_allclose(found, around[1], atol=1e-3)
