"""Cheap ensembles with their settings and those of their members in one call."""

from __future__ import annotations

import inspect

from frozenfit import (
    CheapEnsembleClassifier,
    CheapEnsembleRegressor,
    PartialNetClassifier,
    PartialNetRegressor,
)

MEMBERS = {
    CheapEnsembleClassifier: PartialNetClassifier,
    CheapEnsembleRegressor: PartialNetRegressor,
}


def cheap_ensemble(kind=CheapEnsembleClassifier, **params):
    """Make an ensemble; parameters that are not its own go to its estimator."""
    own = inspect.signature(kind).parameters
    mine = {name: value for name, value in params.items() if name in own}
    theirs = {name: value for name, value in params.items() if name not in own}
    return kind(MEMBERS[kind](**theirs), **mine)
