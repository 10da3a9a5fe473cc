"""ELMs with several labels per sample, and with several targets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit
from sklearn.datasets import make_multilabel_classification
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import log_loss

import frozenfit
from frozenfit import ELMClassifier, ELMRegressor

X, Y = make_multilabel_classification(400, 12, n_classes=4, n_labels=2, random_state=0)
X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)
HALF = slice(0, 200)


def elm(**params):
    return ELMClassifier(40, random_state=0, **params)


def loss(clf, rows=slice(200, None)):
    return log_loss(Y[rows].ravel(), clf.predict_proba(X[rows]).ravel())


def test_labels_are_predicted():
    clf = elm().fit(X[HALF], Y[HALF])
    logits, chance = clf.decision_function(X), clf.predict_proba(X)
    assert chance.shape == Y.shape and clf.classes_.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(chance, expit(logits))
    np.testing.assert_allclose(clf.predict_log_proba(X), np.log(chance), rtol=1e-6)
    np.testing.assert_array_equal(clf.predict(X), (chance > 0.5).astype(int))
    linear = RidgeClassifier().fit(X[HALF], Y[HALF])
    ours, theirs = ((c.predict(X[200:]) == Y[200:]).mean() for c in (clf, linear))
    assert ours > theirs - 0.02 and ours > 0.7
    assert clf.score(X, Y) == (clf.predict(X) == Y).all(axis=1).mean()


def test_the_ridge_is_that_of_each_label():
    clf = elm(alpha=0.1).fit(X, Y)
    for k in range(4):
        alone = elm(alpha=0.1).fit(X, Y[:, k])
        # Of two classes, a margin of calibrated scores is the logit of the second one.
        np.testing.assert_allclose(
            clf.decision_function(X)[:, k], alone.decision_function(X), rtol=1e-3, atol=1e-3
        )
    losses = [elm(alpha=0.1).fit(X, Y[:, k]).best_score_ for k in range(4)]
    np.testing.assert_allclose(clf.best_score_, np.mean(losses), rtol=1e-3)


def test_leave_one_out_chooses_alpha_by_the_log_loss_of_labels():
    grid = [1e-6, 1e-2, 1e4]
    each = {alpha: elm(alpha=alpha).fit(X[HALF], Y[HALF]) for alpha in grid}
    clf = elm(alpha=grid).fit(X[HALF], Y[HALF])
    assert clf.alpha_ == max(each, key=lambda alpha: each[alpha].best_score_)
    np.testing.assert_allclose(clf.best_score_, each[clf.alpha_].best_score_, rtol=1e-5)
    assert abs(-clf.best_score_ - loss(clf)) < 0.1  # what held-out samples show


def test_each_label_has_its_calibration():
    clf = elm().fit(X, Y)
    head = clf._current()[1]
    assert np.shape(head.beta) == np.shape(head.gamma) == (4,) and len(set(head.beta)) == 4


def test_a_label_that_is_constant():
    labels = Y.copy()
    labels[:, 1], labels[:, 2] = 0, 1
    clf = elm().fit(X, labels)
    chance = clf.predict_proba(X)
    assert np.isfinite(chance).all()
    np.testing.assert_array_equal(clf.predict(X)[:, 1:3], labels[:, 1:3])


@pytest.mark.parametrize("rows", [1000, 100], ids=["kept", "summed"])
def test_partial_fit_and_unlearn(rows):
    whole = elm(loo_rows=rows).fit(X, Y)
    parts = elm(loo_rows=rows)
    for start in range(0, 400, 100):
        part = slice(start, start + 100)
        parts.partial_fit(X[part], Y[part], classes=range(4))
    both = [c.decision_function(X) for c in (whole, parts)]
    if rows == 1000:
        np.testing.assert_array_equal(*both)
        less = whole.unlearn(X[:50], Y[:50])
        expected = elm(loo_rows=rows).fit(X[50:], Y[50:])
        np.testing.assert_array_equal(less.predict_proba(X), expected.predict_proba(X))
    else:
        assert (parts.predict(X) == Y).mean() > 0.75
    with pytest.raises(ValueError, match="y must have 4 labels, as in the first fit, got 3"):
        parts.partial_fit(X, Y[:, :3])


def test_iterators_memory_maps_and_weights(tmp_path):
    expected = elm(loo_rows=150).fit(X, Y).predict_proba(X)
    path = tmp_path / "x.npy"
    np.save(path, X)
    mapped = elm(loo_rows=150).fit(np.load(path, mmap_mode="r"), Y)
    np.testing.assert_allclose(mapped.predict_proba(X), expected, atol=1e-6)
    batches = ((X[i : i + 100], Y[i : i + 100]) for i in range(0, 400, 100))
    np.testing.assert_array_equal(
        elm().fit(batches).predict_proba(X), elm().fit(X, Y).predict_proba(X)
    )
    weight = np.r_[np.full(100, 2.0), np.ones(300)]
    twice = elm().fit(np.r_[X, X[:100]], np.r_[Y, Y[:100]]).predict_proba(X)
    np.testing.assert_allclose(elm().fit(X, Y, weight).predict_proba(X), twice, atol=1e-6)


def test_dask():
    da = pytest.importorskip("dask.array")
    expected = elm(loo_rows=150).fit(X, Y).predict_proba(X)
    blocks = da.from_array(X, chunks=(100, 12)), da.from_array(Y, chunks=(100, 4))
    found = elm(loo_rows=150).fit(*blocks)
    assert found.classes_.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(found.predict_proba(X), expected, atol=1e-6)
    labels = Y.copy()
    labels[-1, 0] = 2
    with pytest.raises(ValueError, match="y must contain 0 and 1 alone for each label"):
        elm().fit(blocks[0], da.from_array(labels, chunks=(100, 4)))


@pytest.mark.parametrize("seeded", ["random", "ciw"])
def test_files_and_plain_keras(tmp_path, seeded):
    clf = elm(weight_init=seeded).fit(X, Y)
    frozenfit.save(clf, tmp_path / "file")
    again = frozenfit.load(tmp_path / "file")
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
    np.testing.assert_array_equal(again.predict(X), clf.predict(X))
    # A file whose calibration has another number of labels.
    again._solved.pair = (again._current()[0], replace(again._current()[1], beta=np.ones(3)))
    with pytest.raises(ValueError, match="calibration|inhomogeneous"):
        frozenfit.save(again, tmp_path / "forged")
        frozenfit.load(tmp_path / "forged")
    outputs = np.asarray(clf.to_keras().predict(X, verbose=0))
    np.testing.assert_allclose(outputs, clf.decision_function(X), rtol=1e-3, atol=1e-3)


def test_forms_of_y_and_what_is_refused():
    expected = elm().fit(X, Y).predict_proba(X)
    for form in (Y.tolist(), Y.astype(bool), sparse.csr_matrix(Y)):
        np.testing.assert_array_equal(elm().fit(X, form).predict_proba(X), expected)
    for weights in ("balanced", {0: 2.0}):
        clf = elm(class_weight=weights)
        with pytest.raises(ValueError, match="`class_weight` must be None for a y of several"):
            clf.fit(X, Y)
        with pytest.raises(ValueError, match="`class_weight` must be None for a y of several"):
            clf.fit(iter([(X, Y)]))
    with pytest.raises(ValueError, match="'multiclass-multioutput'"):
        elm().fit(X, Y + np.arange(400)[:, None] % 3)
    # A fit of the other kind afterwards starts anew.
    clf = elm().fit(X, Y).fit(X, Y[:, 0])
    assert clf.predict(X).shape == (400,) and clf.predict_proba(X).shape == (400, 2)


def test_a_regressor_of_several_targets(tmp_path):
    rng = np.random.default_rng(0)
    T = np.stack([X[:, 0] * 3, 100 + X[:, 1] * X[:, 2], rng.normal(size=400)], axis=1)
    reg = ELMRegressor(40, alpha=0.01, random_state=0).fit(X[HALF], T[HALF])
    for k in range(3):
        alone = ELMRegressor(40, alpha=0.01, random_state=0).fit(X[HALF], T[HALF, k])
        np.testing.assert_allclose(reg.predict(X)[:, k], alone.predict(X), rtol=1e-6, atol=1e-6)
    frozenfit.save(reg, tmp_path / "file")
    np.testing.assert_array_equal(frozenfit.load(tmp_path / "file").predict(X), reg.predict(X))
    parts = ELMRegressor(40, alpha=0.01, random_state=0)
    for part in (slice(0, 70), slice(70, 200)):
        parts.partial_fit(X[part], T[part])
    np.testing.assert_array_equal(parts.predict(X), reg.predict(X))
    with pytest.raises(ValueError, match="y must have 3 targets"):
        parts.partial_fit(X, T[:, :2])
