"""The scikit-learn estimators.

base.py, classifier.py and regressor.py implement the interface of scikit-learn for all estimators.
Each other file implements one family of estimators, or a part of it.
"""

from __future__ import annotations

import importlib
from typing import Any

from frozenfit.estimators.ensemble_classifier import CheapEnsembleClassifier
from frozenfit.estimators.ensemble_regressor import CheapEnsembleRegressor
from frozenfit.estimators.ensemble_report import report_text
from frozenfit.estimators.partial_net import PartialNetClassifier, PartialNetRegressor

_LATER = {
    "ELMClassifier": "frozenfit.estimators.elm",
    "ELMFeatures": "frozenfit.estimators.elm",
    "ELMRegressor": "frozenfit.estimators.elm",
}

__all__ = [
    "CheapEnsembleClassifier",
    "CheapEnsembleRegressor",
    "PartialNetClassifier",
    "PartialNetRegressor",
    "report_text",
    *_LATER,
]


def __getattr__(name: str) -> Any:
    """Import an estimator on first use (PEP 562)."""
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    raise AttributeError(f"module 'frozenfit.estimators' has no attribute {name!r}")
