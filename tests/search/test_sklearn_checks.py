"""scikit-learn's own checks on the search, each a test, none expected to fail."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from frozenfit import PartialNetClassifier, PartialNetRegressor
from frozenfit.search import FreezeSearchCV

pytest.importorskip("optuna")


def search(estimator):
    """Two trials of one shape, so that little is compiled."""
    return FreezeSearchCV(estimator, n_trials=2, cv=2, space={"kind": "filters", "fraction": 0.5})


# scikit-learn's type_of_target casts an infinite target, with which one check begins.
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@parametrize_with_checks([search(PartialNetClassifier()), search(PartialNetRegressor())])
def test_scikit_learn_check(estimator, check):
    check(estimator)
