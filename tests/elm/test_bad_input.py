"""Invalid input is refused with a clear message, and the fitted state does not change."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.preprocessing import FunctionTransformer

from frozenfit import ELMClassifier, ELMFeatures, ELMRegressor

X, Y = make_classification(120, 5, n_informative=4, n_redundant=0, n_classes=2, random_state=0)


def small(**settings):
    return ELMClassifier((20,), random_state=0, **settings)


def batches(*parts):
    return iter(parts)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": -1.0}, "alpha"),
        ({"alpha": [1.0, 0.0]}, "float > 0"),
        ({"alpha": []}, "float > 0"),
        ({"activation": "no such"}, "`activation` must be"),
        ({"weight_init": "no such"}, "`weight_init` must be"),
        ({"weight_init": ()}, "`weight_init` must be"),
        ({"features": "no such"}, "`features` must be"),
        ({"features": 3}, "features"),
        ({"features": "patches"}, "Pass image_shape"),
        ({"features": "receptive_fields"}, "Pass image_shape"),
        ({"augment": "flip"}, "Pass image_shape"),
        ({"hidden_layer_sizes": ()}, "at least one layer"),
        ({"hidden_layer_sizes": (0,)}, "hidden_layer_sizes"),
        ({"features": FunctionTransformer(lambda x: None)}, "must return an array"),
        ({"features": FunctionTransformer(lambda x: x[:, :0])}, "must return an array"),
        ({"features": FunctionTransformer(lambda x: x * np.inf)}, "finite"),
        ({"weight_init": lambda *given: 3}, "must return"),
        ({"class_weight": {7: 1.0}}, "not among the classes"),
    ],
)
def test_a_wrong_setting_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        ELMClassifier(**{"hidden_layer_sizes": (20,), **settings}).fit(X, Y)


def test_wrong_patches_are_refused():
    images = np.zeros((10, 8, 8))
    for params, words in (
        ({"patch_size": 9}, "must fit into images"),
        ({"n_filter": 3}, "unknown key 'n_filter'.*Did you mean 'n_filters'"),
        ({"rectifier": "no such"}, "rectifier"),
    ):
        with pytest.raises(ValueError, match=words):
            small(features="patches", feature_params=params).fit(images, np.arange(10) % 2)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (batches(), "at least one batch"),
        (batches((X, Y), (X[:, :3], Y)), "features"),
        (batches((X[:10], Y[:10]), (X[:2], [5, 6])), "not among the classes"),
        (batches((X[:3], [1, 1, 1])), "one class"),
        (batches(X), "must yield tuples"),
        (batches((X[:50], Y[:50]), (X[50:] * np.nan, Y[50:])), "NaN"),
    ],
)
def test_wrong_batches_are_refused_and_change_nothing(given, words):
    clf = small().fit(X, Y)
    before = clf.predict_proba(X)
    with pytest.raises(ValueError, match=words):
        clf.fit(given)
    np.testing.assert_array_equal(clf.predict_proba(X), before)


@pytest.mark.parametrize("loo_rows", [500, 40])
@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.full((3, 5), np.nan), [0, 1, 0], "NaN"),
        (np.full((3, 5), np.inf), [0, 1, 0], "infinity"),
        (X[:3, :2], Y[:3], "features"),
        (X[:3], [0, 1, 9], "not among the classes"),
        (X[:3], Y[:2], "number of samples|inconsistent|same number"),
        (X[:0], Y[:0], "sample"),
    ],
)
def test_a_wrong_part_is_refused_and_changes_nothing(x, y, words, loo_rows):
    clf, other = (
        small(loo_rows=loo_rows).partial_fit(X[:60], Y[:60], classes=[0, 1]) for _ in range(2)
    )
    before = clf.predict_proba(X)
    for call in (clf.partial_fit, clf.unlearn):
        with pytest.raises(ValueError, match=words):
            call(x, y)
    np.testing.assert_array_equal(clf.predict_proba(X), before)
    # The sums did not change either.
    clf.partial_fit(X[60:], Y[60:]), other.partial_fit(X[60:], Y[60:])
    np.testing.assert_array_equal(clf.predict_proba(X), other.predict_proba(X))


@pytest.mark.parametrize("loo_rows", [500, 60])
def test_a_refused_unlearn_leaves_the_sums_unchanged(loo_rows):
    clf, other = (small(loo_rows=loo_rows, scale=None).fit(X[:100], Y[:100]) for _ in range(2))
    with pytest.raises(ValueError, match="part of the fit"):
        clf.unlearn(30 * X[100:], Y[100:])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # approximate beyond loo_rows
        clf.unlearn(X[:20], Y[:20]), other.unlearn(X[:20], Y[:20])
    np.testing.assert_array_equal(clf.predict_proba(X), other.predict_proba(X))


@pytest.mark.parametrize(
    "settings",
    [
        {"alpha": -1.0},
        {"features": FunctionTransformer(lambda x: None)},
        {"features": "patches"},
        {"weight_init": "no such"},
    ],
)
def test_a_refused_setting_leaves_what_was_fitted(settings):
    clf = small().fit(X, Y)
    before = clf.predict_proba(X)
    known = {name: clf.get_params()[name] for name in settings}
    with pytest.raises(ValueError):
        clf.set_params(**settings).fit(X, Y)
    np.testing.assert_array_equal(clf.set_params(**known).predict_proba(X), before)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="one class"):
        small().fit(X, np.zeros(120))


@pytest.mark.parametrize("loo_rows", [500, 60])
def test_rows_never_seen_cannot_be_unlearned(loo_rows):
    clf = small(loo_rows=loo_rows, scale=None).fit(X[:100], Y[:100])
    before = clf.predict_proba(X)
    with pytest.raises(ValueError, match="part of the fit"):
        clf.unlearn(30 * X[100:], Y[100:])
    with pytest.raises(ValueError, match="part of the fit"):
        clf.unlearn(np.repeat(X[:1], 90, axis=0), np.repeat(Y[:1], 90))
    np.testing.assert_array_equal(clf.predict_proba(X), before)


def test_all_rows_cannot_be_unlearned():
    with pytest.raises(ValueError, match="no row"):
        small().fit(X, Y).unlearn(X, Y)


def test_units_that_overflow_are_reported():
    with pytest.raises(ValueError, match="too large"):
        ELMRegressor((200,), scale=None, clip=None, activation="exponential").fit(1e4 * X, Y)


def test_validation_data_are_refused():
    with pytest.raises(ValueError, match="no effect"):
        small().fit(X, Y, X_val=X, y_val=Y)


def test_partial_fit_refuses_an_iterator():
    with pytest.raises(ValueError, match="one batch as an array in partial_fit"):
        small().partial_fit(batches((X, Y)), None, classes=[0, 1])


def test_weights_from_classes_need_no_classes_in_a_transformer():
    made = ELMFeatures((8,), weight_init="differences", random_state=0).fit(X)
    assert np.isfinite(made.transform(X)).all()
