"""scikit-learn's own checks on the three ELM classes, each a test, none expected to fail."""

from __future__ import annotations

from sklearn.utils.estimator_checks import parametrize_with_checks

from frozenfit import ELMClassifier, ELMFeatures, ELMRegressor


@parametrize_with_checks([ELMClassifier(), ELMRegressor(), ELMFeatures()])
def test_scikit_learn_check(estimator, check):
    check(estimator)
