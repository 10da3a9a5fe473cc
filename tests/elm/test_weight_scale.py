"""The weight scale that leave-one-out chooses."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import make_multilabel_classification

import frozenfit
from frozenfit import ELMClassifier, ELMFeatures, ELMRegressor
from frozenfit.elm.weight_scale import WEIGHT_SCALES

rng = np.random.default_rng(0)
X = rng.uniform(-2, 2, (300, 2)).astype(np.float32)
WAVES = (np.sin(6 * X[:, 0]) * np.sin(6 * X[:, 1]) > 0).astype(int)  # needs steep units
LINE = X[:, 0] + 0.5 * rng.normal(size=300)  # needs flat ones


def elm(kind=ELMClassifier, scale="loo", **params):
    return kind(60, weight_scale=scale, random_state=0, **params)


@pytest.mark.parametrize(
    ("kind", "y", "params"),
    [
        (ELMClassifier, WAVES, {}),
        (ELMClassifier, WAVES, {"class_weight": "balanced"}),
        (ELMClassifier, WAVES, {"alpha": 0.01, "activation": "relu"}),
        (ELMClassifier, np.stack([WAVES, LINE > 0, X[:, 1] > 0], axis=1), {}),
        (ELMRegressor, LINE, {}),
        (ELMRegressor, np.stack([LINE, WAVES], axis=1), {"alpha": [0.1, 1.0]}),
    ],
    ids=["classes", "balanced", "alpha", "labels", "target", "targets"],
)
def test_it_is_the_best_of_the_grid(kind, y, params):
    fixed = {scale: elm(kind, scale, **params).fit(X, y) for scale in WEIGHT_SCALES}
    best = max(fixed, key=lambda scale: fixed[scale].best_score_)
    clf = elm(kind, **params).fit(X, y)
    assert clf.weight_scale_ == best and clf.best_score_ == fixed[best].best_score_
    np.testing.assert_array_equal(clf.predict(X), fixed[best].predict(X))


def test_data_decide():
    waves, line = elm().fit(X, WAVES), elm(ELMRegressor).fit(X, LINE)
    assert waves.weight_scale_ > 2 > line.weight_scale_


def test_a_fixed_alpha_of_a_regressor_is_scored():
    clf = elm(ELMRegressor, alpha=0.1).fit(X, LINE)
    grid = elm(ELMRegressor, alpha=[0.1]).fit(X, LINE)
    assert clf.weight_scale_ == grid.weight_scale_ and clf.best_score_ is None


def test_a_constant_target_gives_the_usual_scale():
    assert elm(ELMRegressor).fit(X, np.ones(300)).weight_scale_ == 2
    assert elm(ELMRegressor, activation="relu").fit(X, np.ones(300)).weight_scale_ == 1


def test_given_scales_are_reported():
    assert elm(scale="auto").fit(X, WAVES).weight_scale_ == 2
    assert elm(scale=3).fit(X, WAVES).weight_scale_ == 3.0


def test_parts_of_the_data_give_what_all_give():
    whole, parts = elm().fit(X, WAVES), elm()
    for rows in (slice(0, 90), slice(90, 300)):
        parts.partial_fit(X[rows], WAVES[rows], classes=[0, 1])
    assert parts.weight_scale_ == whole.weight_scale_
    np.testing.assert_array_equal(parts.predict_proba(X), whole.predict_proba(X))
    less = whole.unlearn(X[:50], WAVES[:50])
    expected = elm().fit(X[50:], WAVES[50:])
    assert less.weight_scale_ == expected.weight_scale_
    np.testing.assert_array_equal(less.predict_proba(X), expected.predict_proba(X))


def test_beyond_loo_rows_the_sample_chooses_once():
    clf = elm(loo_rows=200).fit(iter([(X[:250], WAVES[:250]), (X[250:], WAVES[250:])]))
    scale = clf.weight_scale_
    assert scale in WEIGHT_SCALES
    clf.partial_fit(X, (LINE > 0).astype(int))
    assert clf.weight_scale_ == scale
    mapped = elm(loo_rows=200).fit(X, WAVES)
    assert mapped.weight_scale_ in WEIGHT_SCALES


def test_files_keep_it(tmp_path):
    clf = elm().fit(X, WAVES)
    frozenfit.save(clf, tmp_path / "file")
    again = frozenfit.load(tmp_path / "file")
    assert again.weight_scale == "loo" and again.weight_scale_ == clf.weight_scale_
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))


def test_without_layers_there_is_nothing_to_choose():
    features = X.reshape(-1, 1, 2, 1)
    params = {"features": "patches", "feature_params": {"n_filters": 3, "patch_size": 1}}
    clf = ELMClassifier((), weight_scale="loo", random_state=0, **params)
    assert clf.fit(features, WAVES).weight_scale_ == 2


def test_features_alone_refuse_it():
    with pytest.raises(ValueError, match="'weight_scale' parameter of ELMFeatures"):
        ELMFeatures(10, weight_scale="loo").fit(X)


def test_labels_choose_by_their_log_loss():
    A, Y = make_multilabel_classification(200, 8, n_classes=3, random_state=0)
    scores = [elm(scale=s).fit(A, Y).best_score_ for s in WEIGHT_SCALES]
    assert elm().fit(A, Y).weight_scale_ == WEIGHT_SCALES[int(np.argmax(scores))]
