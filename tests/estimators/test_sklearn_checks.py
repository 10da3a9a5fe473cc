"""scikit-learn's own checks on both estimators, each a test, none expected to fail."""

from __future__ import annotations

from sklearn.utils.estimator_checks import parametrize_with_checks

from frozenfit import PartialNetClassifier, PartialNetRegressor


@parametrize_with_checks([PartialNetClassifier(), PartialNetRegressor()])
def test_scikit_learn_check(estimator, check):
    check(estimator)
