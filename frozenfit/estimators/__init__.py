"""The scikit-learn estimators.

base.py holds scikit-learn's contract once; each other file holds one family of estimators.
"""

from frozenfit.estimators.partial_net import PartialNetClassifier, PartialNetRegressor

__all__ = ["PartialNetClassifier", "PartialNetRegressor"]
