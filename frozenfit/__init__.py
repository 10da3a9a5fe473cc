"""Train part of a neural network: Keras 3 models behind scikit-learn estimators.

Public names are imported on first use, so that ``import frozenfit`` loads no backend.
"""

from __future__ import annotations

from typing import Any

from frozenfit.utils.optional import import_with_backend, use_only_backend

__version__ = "0.1.0"

# Here and not on first use: a user who imports keras after frozenfit gets the same backend.
use_only_backend()

_HOMES = {
    "Base": "frozenfit.training.base",
    "CheapEnsembleClassifier": "frozenfit.estimators",
    "CheapEnsembleRegressor": "frozenfit.estimators",
    "Checkpoint": "frozenfit.training.checkpoint",
    "ELMClassifier": "frozenfit.estimators.elm",
    "ELMFeatures": "frozenfit.estimators.elm",
    "ELMRegressor": "frozenfit.estimators.elm",
    "FeatureStage": "frozenfit.elm.stages",
    "FreezeOut": "frozenfit.training.schedules",
    "FreezeSchedule": "frozenfit.training.schedules",
    "GradualUnfreeze": "frozenfit.training.schedules",
    "LayerwiseRates": "frozenfit.training.schedules",
    "PartialModel": "frozenfit.partial",
    "PartialNetClassifier": "frozenfit.estimators",
    "PartialNetRegressor": "frozenfit.estimators",
    "StorageError": "frozenfit.storage",
    "TableEncoder": "frozenfit.table_encoder",
    "TokenEncoder": "frozenfit.token_encoder",
    "clear_workspace": "frozenfit.training.workspace",
    "load": "frozenfit.storage",
    "save": "frozenfit.storage",
    "with_head": "frozenfit.export",
}
_MODULES = ("analysis", "architectures", "datasets", "layers", "plots", "search", "selectors")

__all__ = [*sorted(_HOMES), *_MODULES, "__version__"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name in _HOMES:
        return getattr(import_with_backend(_HOMES[name]), name)
    if name in _MODULES:
        return import_with_backend(f"frozenfit.{name}")
    raise AttributeError(f"module 'frozenfit' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
