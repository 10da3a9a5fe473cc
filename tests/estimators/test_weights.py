"""Sample weights and class weights: a weight of 2 is the row twice, 0 the row left out."""

from __future__ import annotations

import numpy as np
import pytest
from estimator_data import classifier, regressor, same, table, targets

NAMES = np.array(["ant", "bee", "cat"])


def test_a_weight_of_two_is_the_row_twice():
    X, y = table()
    weight = np.where(np.arange(48) < 10, 2.0, 1.0)
    twice = np.concatenate([X, X[:10]]), np.concatenate([y, y[:10]])
    assert same(classifier().fit(X, y, sample_weight=weight), classifier().fit(*twice))


@pytest.mark.parametrize("make, data", [(classifier, table), (regressor, targets)])
def test_a_weight_of_zero_equals_removing_the_row(make, data):
    X, y = data()
    weight = (np.arange(48) % 5 > 0).astype(float)
    kept = weight > 0
    assert same(make().fit(X, y, sample_weight=weight), make().fit(X[kept], y[kept]))


def test_rows_of_weight_zero_decide_no_scale_of_the_targets():
    X, y = targets()
    y[:5] = 1e6
    estimator = regressor(epochs=5).fit(X, y, sample_weight=np.arange(48) >= 5)
    assert abs(estimator.predict(X)).max() < 1e3


def test_a_class_that_has_only_weight_zero_does_not_exist():
    X, y = table()
    estimator = classifier().fit(X, y, sample_weight=y < 2)
    assert estimator.classes_.tolist() == [0, 1]
    assert same(estimator, classifier().fit(X[y < 2], y[y < 2]))


def test_constant_weights_equal_no_weights():
    X, y = table()
    assert same(classifier().fit(X, y, sample_weight=np.full(48, 3.0)), classifier().fit(X, y))


def test_weights_change_the_trained_parameters():
    X, y = table()
    assert not same(classifier().fit(X, y, sample_weight=1.0 + y), classifier().fit(X, y))


def test_the_order_of_the_rows_changes_nothing():
    X, y = table()
    assert same(classifier().fit(X[::-1], y[::-1]), classifier().fit(X, y))


def test_class_weights_are_sample_weights_by_label():
    X, y = table()
    by_class = classifier(class_weight={"bee": 3.0}).fit(X, NAMES[y])
    by_sample = classifier().fit(X, NAMES[y], sample_weight=np.where(y == 1, 3.0, 1.0))
    assert same(by_class, by_sample)


def test_class_weights_multiply_sample_weights():
    X, y = table()
    weight = np.arange(48) % 3 + 1.0
    both = classifier(class_weight={2: 2.0}).fit(X, y, sample_weight=weight)
    assert same(both, classifier().fit(X, y, sample_weight=weight * np.where(y == 2, 2.0, 1.0)))


def test_balanced_gives_each_class_the_same_sum():
    X, y = table()
    X, y = X[:40], np.minimum(y, 1)[:40]
    sums = np.bincount(y)
    by_hand = (40 / (2 * sums))[y]
    balanced = classifier(class_weight="balanced").fit(X, y)
    assert same(balanced, classifier().fit(X, y, sample_weight=by_hand))


def test_balanced_with_string_labels():
    X, y = table()
    y = np.minimum(y, 1)
    words = classifier(class_weight="balanced").fit(X, NAMES[y])
    assert same(words, classifier(class_weight="balanced").fit(X, y))


def test_class_weights_count_in_partial_fit():
    X, y = table()
    plain = classifier().partial_fit(X, y, classes=[0, 1, 2])
    weighted = classifier(class_weight={0: 5.0}).partial_fit(X, y, classes=[0, 1, 2])
    assert not same(plain, weighted)


@pytest.mark.parametrize(
    "weights, words",
    [
        ({"dog": 2.0}, "`class_weight` contains .'dog'., .*'ant', 'bee', 'cat'"),
        ({"ant": -1.0}, "class_weight.*-1.0.*'ant'"),
        ({"ant": float("nan")}, "class_weight.*nan.*'ant'"),
        ({"ant": "much"}, "class_weight.*'much'.*'ant'"),
        ({"ant": 0, "bee": 0, "cat": 0}, "at least one class"),
    ],
)
def test_class_weights_that_make_no_sense_are_refused(weights, words):
    X, y = table()
    with pytest.raises(ValueError, match=words):
        classifier(class_weight=weights).fit(X, NAMES[y])


def test_negative_sample_weights_are_refused():
    X, y = table()
    with pytest.raises(ValueError, match="[Nn]egative"):
        classifier().fit(X, y, sample_weight=y - 1.0)


def test_all_samples_of_weight_zero_are_refused():
    X, y = table()
    with pytest.raises(ValueError, match="[Zz]ero|weight 0"):
        classifier().fit(X, y, sample_weight=np.zeros(48))


def test_weights_of_another_length_are_refused():
    X, y = table()
    with pytest.raises(ValueError, match="sample_weight.shape"):
        classifier().fit(X, y, sample_weight=np.ones(3))
