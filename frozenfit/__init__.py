"""Train part of a neural network: Keras 3 models behind scikit-learn estimators.

Public names are imported on first use, so that ``import frozenfit`` loads no backend.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "CheapEnsembleClassifier": "frozenfit.estimators",
    "CheapEnsembleRegressor": "frozenfit.estimators",
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
    "clear_workspace": "frozenfit.training.workspace",
    "load": "frozenfit.storage",
    "save": "frozenfit.storage",
}
_BACKENDS = ("tensorflow", "jax", "torch")
_MODULES = ("architectures", "datasets", "plots", "search", "selector")

__all__ = [*sorted(_HOMES), *_MODULES, "__version__"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name in _HOMES:
        return getattr(_imported(_HOMES[name]), name)
    if name in _MODULES:
        return _imported(f"frozenfit.{name}")
    raise AttributeError(f"module 'frozenfit' has no attribute {name!r}")


def _imported(module: str) -> Any:
    """Import a module, and say in words where Keras lacks its backend."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0].replace("jaxlib", "jax")
        if missing not in _BACKENDS:
            raise
        found = f"the Keras backend {missing} is not installed"
    except ValueError as error:
        if "Unable to import backend" not in str(error):
            raise
        found = f"Keras knows no backend of the name {os.environ.get('KERAS_BACKEND')!r}"
        missing = _BACKENDS[0]
    raise ImportError(
        f'{found}; run pip install "frozenfit[{missing}]", or choose an installed one of '
        f"{', '.join(_BACKENDS)} by the environment variable KERAS_BACKEND"
    )


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
