"""Feature stages: what an ELM computes from its samples before the random dense layers.

One file per stage. Every module of this folder is imported, and a stage registers itself, so a new
stage is one new file here.
"""

from __future__ import annotations

import importlib
import pkgutil

from frozenfit.elm.stages.base import (
    FeatureStage,
    as_stage,
    frozen_row,
    register_stage,
    registered_stages,
)

__all__ = ["FeatureStage", "as_stage", "frozen_row", "register_stage", "registered_stages"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
