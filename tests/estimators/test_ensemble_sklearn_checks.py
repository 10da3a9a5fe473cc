"""scikit-learn's own checks on both ensembles, each a test, none expected to fail."""

from __future__ import annotations

from sklearn.utils.estimator_checks import parametrize_with_checks

from frozenfit import CheapEnsembleClassifier, CheapEnsembleRegressor


@parametrize_with_checks([CheapEnsembleClassifier(), CheapEnsembleRegressor()])
def test_scikit_learn_check(estimator, check):
    check(estimator)
