"""Early stopping of all members by the validation loss of their averaged prediction."""

from __future__ import annotations

import numpy as np
import pytest
from ensembles import cheap_ensemble
from sklearn.metrics import log_loss, mean_squared_error

from frozenfit import CheapEnsembleClassifier, CheapEnsembleRegressor
from frozenfit.estimators import ensemble_training
from frozenfit.training import epoch_count

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 6)).astype("float32")
NOISY = X[:, :3] + 0.8 * RNG.normal(size=(120, 3))
Y, LABELS, TARGETS = NOISY.argmax(axis=1), (NOISY > 0).astype(int), NOISY[:, :2]
TRAIN, TEST = slice(None, 60), slice(60, None)
MOST, PATIENCE = 8, 2


def ensemble(kind=CheapEnsembleClassifier, **params):
    settings = {"model_params": {"hidden_layer_sizes": (16,)}, "epochs": MOST, "batch_size": 20}
    settings |= {"learning_rate": 0.05, "lr_schedule": None, "random_state": 0, "n_estimators": 3}
    settings |= {"members": "adapters", "base": "joint", "patience": PATIENCE}
    return cheap_ensemble(kind, **settings | params)


def loss_of_labels(estimator, y):
    p = np.clip(estimator.predict_proba(X[TEST]), 1e-15, 1 - 1e-15)
    return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))


def loss_of_targets(estimator, y):
    scale = TARGETS[TRAIN].std(axis=0)
    return mean_squared_error(y / scale, estimator.predict(X[TEST]) / scale)


CASES = {
    "joint": ({}, Y, lambda fitted, y: log_loss(y, fitted.predict_proba(X[TEST]))),
    "frozen labels": ({"base": "frozen", "stopping": "ensemble"}, LABELS, loss_of_labels),
    "regression": ({"kind": CheapEnsembleRegressor}, TARGETS, loss_of_targets),
}


@pytest.mark.parametrize("case", list(CASES))
def test_all_members_have_the_best_epoch_of_the_ensemble(case):
    settings, y, loss = CASES[case]
    # Without early stopping, a fit of fewer epochs is the beginning of one of more.
    epochs = [
        ensemble(**{**settings, "epochs": n}).fit(X[TRAIN], y[TRAIN]) for n in range(1, MOST + 1)
    ]
    losses = [loss(each, y[TEST]) for each in epochs]
    stopping = ensemble(**settings, early_stopping=True)
    stopping.fit(X[TRAIN], y[TRAIN], X_val=X[TEST], y_val=y[TEST])
    found = stopping.history_["val_loss"]
    np.testing.assert_allclose(found, losses[: len(found)], rtol=1e-4)
    best = int(np.argmin(found))
    assert len(found) == min(MOST, best + 1 + PATIENCE) > best + 1, "the loss should rise"
    assert {member.n_iter_ for member in stopping.estimators_} == {len(found)}
    for ours, its in zip(stopping.estimators_, epochs[best].estimators_, strict=True):
        for path, value in its.part_.delta.trained.items():
            np.testing.assert_allclose(
                ours.part_.delta.trained[path], value, rtol=1e-4, atol=1e-5, err_msg=path
            )
    np.testing.assert_allclose(
        stopping.predict_members(X), epochs[best].predict_members(X), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("calibrate", [False, True])
def test_one_part_is_held_out_from_all_members(monkeypatch, calibrate):
    inner, seen = ensemble_training.train_stack, []

    def recorded(compiled, stack, runs, *others):
        seen.extend(runs)
        return inner(compiled, stack, runs, *others)

    monkeypatch.setattr(ensemble_training, "train_stack", recorded)
    estimator = ensemble(early_stopping=True, calibrate=calibrate, epochs=2).fit(X, Y)
    held_out = {id(run.validation) for run in seen}
    assert len(held_out) == 1
    inside, outside = (set(part.rows.tolist()) for part in (seen[0].data, seen[0].validation))
    assert (len(inside), len(outside), inside & outside) == (108, 12, set())
    # The loss of the mean probability is lower than the mean loss, on the same samples.
    each = np.mean([member.history_["val_loss"] for member in estimator.estimators_], axis=0)
    assert np.all(np.asarray(estimator.history_["val_loss"]) < each)
    assert (estimator.temperature_ != 1) == calibrate


def test_the_pilot_run_follows_the_ensemble(monkeypatch):
    inner, seen = epoch_count.best_number, []

    def recorded(history, most):
        seen.append(dict(history))
        return inner(history, most)

    monkeypatch.setattr(epoch_count, "best_number", recorded)
    rng = np.random.default_rng(2)
    rows, classes = rng.normal(size=(500, 6)).astype("float32"), rng.integers(0, 3, 500)
    estimator = ensemble(epochs="auto", batch_size=500, n_estimators=2).fit(rows, classes)
    assert seen[0] == seen[1] and list(seen[0]) == ["val_loss", "val_accuracy"]
    expected = min(epoch_count.MOST, int(np.argmin(seen[0]["val_loss"])) + 3)
    assert [member.n_iter_ for member in estimator.estimators_] == [expected] * 2
    assert estimator.history_ == {}


def test_stopping_together_requires_one_pass():
    with pytest.raises(ValueError, match="`stopping='ensemble'` requires .* vectorize=False"):
        ensemble(base="frozen", stopping="ensemble", vectorize=False).fit(X, Y)
    settings = {"trainable": "head()", "members": "same", "base": "frozen"}
    with pytest.raises(ValueError, match="`stopping='ensemble'` requires a network without"):
        ensemble(**settings, stopping="ensemble", early_stopping=True).fit(X, Y)
