"""The ELM estimators: rows in any order and batches, unlearn, class weights, depth."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.datasets import load_digits, make_classification, make_regression
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from frozenfit import ELMClassifier, ELMRegressor

X, Y = make_classification(600, 12, n_informative=8, n_classes=3, class_sep=0.8, random_state=0)
X = X.astype("float32")
R, T = make_regression(300, 6, noise=5.0, random_state=0)
PARTS = [slice(0, 50), slice(50, 51), slice(51, 300), slice(300, 400)]


def small(**settings):
    return ELMClassifier((60,), random_state=0, **settings)


def in_parts(clf, parts=PARTS):
    for part in parts:
        clf.partial_fit(X[part], Y[part], classes=[0, 1, 2])
    return clf


def test_the_defaults_work_on_digits():
    digits = load_digits()
    clf = ELMClassifier(random_state=0).fit(digits.data[:1200], digits.target[:1200])
    assert clf.score(digits.data[1200:], digits.target[1200:]) > 0.95


def test_parts_equal_the_whole():
    whole = small().fit(X[:400], Y[:400])
    np.testing.assert_allclose(
        in_parts(small()).predict_proba(X), whole.predict_proba(X), atol=1e-6
    )


@pytest.mark.parametrize("scale", [None, "columns"])
def test_parts_equal_the_whole_beyond_loo_rows(scale):
    settings = {"loo_rows": 80, "scale": scale}
    given = X if scale is None else (X - X.mean(0)) / X.std(0)
    parts = [slice(0, 100), *[slice(s, s + 50) for s in range(100, 400, 50)]]
    one, other = small(**settings), small(**settings)
    for part in parts:
        one.partial_fit(given[part], Y[part], classes=[0, 1, 2])
    other.partial_fit(given[:100], Y[:100], classes=[0, 1, 2])
    other.partial_fit(given[100:400], Y[100:400])
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), atol=1e-6)
    if scale is None:
        whole = small(**settings).fit(given[:400], Y[:400])
        np.testing.assert_allclose(one.predict_proba(X), whole.predict_proba(X), atol=1e-6)


def test_the_order_of_rows_changes_nothing():
    order = np.random.default_rng(0).permutation(600)
    for rows in (None, 100):
        one = small(loo_rows=rows).fit(X, Y)
        other = small(loo_rows=rows).fit(X[order], Y[order])
        np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), atol=1e-6)


def test_partial_fit_continues_a_fit():
    clf = small().fit(X[:200], Y[:200]).partial_fit(X[200:400], Y[200:400])
    whole = small().fit(X[:400], Y[:400])
    np.testing.assert_allclose(clf.predict_proba(X), whole.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("loo_rows", [1000, 150])
def test_unlearned_rows_leave_no_trace(loo_rows):
    settings = {"loo_rows": loo_rows, "scale": None, "alpha": 0.01}
    clf = small(**settings).fit(X, Y)
    if loo_rows == 1000:
        clf.unlearn(X[400:], Y[400:])
    else:
        with pytest.warns(UserWarning, match="loo_rows"):
            clf.unlearn(X[400:], Y[400:])
    never = small(**settings).fit(X[:400], Y[:400])
    np.testing.assert_allclose(
        clf._current()[1].coefs[0], never._current()[1].coefs[0], rtol=1e-6, atol=1e-8
    )
    if loo_rows == 1000:
        np.testing.assert_array_equal(clf.predict_proba(X), never.predict_proba(X))


def test_a_weight_of_two_repeats_a_row_and_of_zero_drops_it():
    weight = np.arange(600) % 3
    rows = np.repeat(np.arange(600), weight)
    for settings in ({}, {"loo_rows": 100, "scale": None, "alpha": 0.1}):
        one = small(**settings).fit(X, Y, sample_weight=weight)
        other = small(**settings).fit(X[rows], Y[rows])
        np.testing.assert_allclose(one.decision_function(X), other.decision_function(X), atol=1e-6)


def test_balanced_class_weights_raise_the_rare_class():
    rare = np.flatnonzero((Y > 0) | (np.arange(600) % 8 == 0))
    x, y = X[rare], (Y[rare] > 0).astype(int)
    plain, balanced = (small(class_weight=w).fit(x, y) for w in (None, "balanced"))
    assert (balanced.predict(x) == 0).sum() > (plain.predict(x) == 0).sum()


def test_class_weights_of_a_dict_are_sample_weights():
    # With scale=None, since the scaling depends on sample weights and not on class weights.
    one = small(class_weight={1: 3.0}, scale=None).fit(X, Y)
    other = small(scale=None).fit(X, Y, sample_weight=np.where(Y == 1, 3.0, 1.0))
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), atol=1e-9)


def test_labels_may_be_strings():
    names = np.array(["low", "middle", "high"])
    clf = small().fit(X, names[Y])
    np.testing.assert_array_equal(clf.predict(X), names[small().fit(X, Y).predict(X)])


@pytest.mark.parametrize("readout", ["last", "all", "each"])
def test_readout_determines_the_heads(readout):
    clf = ELMClassifier((50, 40), readout=readout, random_state=0).fit(X, Y)
    heads = [row for row in clf.parameter_table() if row.path.endswith("kernel") and row.trainable]
    shapes = {"last": [(52, 3)], "all": [(102, 3)], "each": [(62, 3), (52, 3)]}[readout]
    assert [row.shape for row in heads] == shapes
    assert clf.score(X, Y) > 0.8


def test_a_fixed_alpha_is_kept_and_probabilities_are_still_calibrated():
    clf = small(alpha=0.5).fit(X, Y)
    assert clf.alpha_ == 0.5 and clf._current()[1].beta != 1.0


def test_alpha_is_selected_from_a_given_list():
    assert small(alpha=[0.3, 100.0]).fit(X, Y).alpha_ == 0.3


def test_best_score_is_the_negative_log_loss_on_new_rows():
    clf = small().fit(X[:400], Y[:400])
    proba = clf.predict_proba(X[400:])
    new_log_loss = -np.log(proba[np.arange(200), Y[400:]]).mean()
    assert clf.best_score_ == pytest.approx(-new_log_loss, abs=0.15)
    assert clf.best_score_ < 0
    useless = small(alpha=1e6).fit(X[:400], Y[:400])
    assert clf.best_score_ > useless.best_score_  # larger is better


def test_regression_predicts_several_targets_on_any_scale():
    both = np.stack([T, 1e6 + 1e-3 * T], axis=1)
    reg = ELMRegressor((80,), random_state=0).fit(R[:200], both[:200])
    single = ELMRegressor((80,), random_state=0).fit(R[:200], T[:200])
    assert reg.predict(R).shape == (300, 2) and single.predict(R).shape == (300,)
    assert reg.score(R[200:], both[200:]) > 0.9
    assert 0.9 < single.best_score_ < 1  # R2: larger is better
    useless = ELMRegressor((80,), alpha=[1e6, 1e7], random_state=0).fit(R[:200], T[:200])
    assert useless.best_score_ < 0.1
    assert ELMRegressor((80,), alpha=0.1, random_state=0).fit(R, T).best_score_ is None


def test_predictions_stay_in_the_range_of_the_targets_seen():
    reg = ELMRegressor((80,), random_state=0).fit(R, T)
    far = reg.predict(100 * R)
    assert far.min() >= T.min() and far.max() <= T.max()


def test_regression_in_parts_with_unlearned_rows_equals_the_whole():
    whole = ELMRegressor((40,), random_state=0).fit(R[:200], T[:200])
    parts = ELMRegressor((40,), random_state=0)
    for start in range(0, 300, 60):
        parts.partial_fit(R[start : start + 60], T[start : start + 60])
    parts.unlearn(R[200:], T[200:])
    np.testing.assert_allclose(
        parts._current()[1].coefs[0], whole._current()[1].coefs[0], rtol=1e-6, atol=1e-6
    )


def test_unlearned_targets_leave_the_range_of_predictions():
    targets = T.copy()
    targets[:5] = 10 * np.abs(T).max()
    reg = ELMRegressor((40,), random_state=0).fit(R, targets).unlearn(R[:5], targets[:5])
    never = ELMRegressor((40,), random_state=0).fit(R[5:], targets[5:])
    np.testing.assert_array_equal(reg.predict(100 * R), never.predict(100 * R))


def test_a_transformer_or_a_network_may_come_first():
    import keras

    first = ELMClassifier((60,), features=PCA(5, random_state=0), random_state=0).fit(X, Y)
    assert first.score(X, Y) > 0.6 and first._current()[0].scaler.mean.shape == (5,)
    network = keras.Sequential([keras.Input((12,)), keras.layers.Dense(7, "tanh")])
    second = ELMClassifier((60,), features=network, random_state=0).fit(X, Y)
    assert second.score(X, Y) > 0.6 and second._current()[0].scaler.mean.shape == (7,)


def test_the_ridge_may_use_given_features_only():
    clf = ELMClassifier((), features=PCA(8, random_state=0), random_state=0).fit(X, Y)
    linear = LogisticRegression(max_iter=500).fit(X, Y)
    assert clf.score(X, Y) > linear.score(X, Y) - 0.1


def test_a_pickled_estimator_predicts_and_continues():
    clf = small().fit(X[:300], Y[:300])
    again = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
    again.partial_fit(X[300:], Y[300:])
    whole = small().fit(X, Y)
    np.testing.assert_allclose(again.predict_proba(X), whole.predict_proba(X), atol=1e-6)


def test_float32_features_predict_nearly_the_same():
    one, other = (small(dtype=d).fit(X, Y).predict_proba(X) for d in ("float32", "float64"))
    np.testing.assert_allclose(one, other, atol=1e-3)


@pytest.mark.parametrize("kept_bytes", [0, 2**26])
def test_leave_one_out_in_float32_predicts_nearly_the_same(monkeypatch, kept_bytes):
    from frozenfit.elm import frozen, memory

    wanted = small().fit(X, Y)
    monkeypatch.setattr(frozen, "_FLOAT32_PRODUCTS", 0)
    monkeypatch.setattr(memory, "_KEPT_BYTES", kept_bytes)
    found = small().fit(X, Y)
    assert found.alpha_ == wanted.alpha_
    np.testing.assert_allclose(found.predict_proba(X), wanted.predict_proba(X), atol=1e-3)
