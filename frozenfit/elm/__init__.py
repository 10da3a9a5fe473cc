"""Networks with frozen random hidden layers and a closed-form output, in NumPy and SciPy.

The estimators are in `frozenfit.estimators.elm`. Here, in the order of the computation:

- `config`: the settings of a fit as one value.
- `stages`: features computed before the dense layers, such as convolutions with image patches.
- `scaling`, `weights`, `activations`, `dense`: the parts of the random dense layers.
- `frozen`: everything between the samples and the ridge; `device` runs it on an accelerator.
- `sample`, `ridge`, `memory`: what is kept of the data, and the sums over its rows.
- `leave_one_out`, `calibration`, `head`: the choice of alpha, probabilities, and the output.
- `stream`: data that does not fit into memory.
- `keras_model`, `store`: a fitted ELM as a Keras model and as arrays of a file.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frozenfit.elm.stages import FeatureStage, frozen_row, register_stage

__all__ = ["FeatureStage", "frozen_row", "register_stage"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use: the sums and solvers need no Keras."""
    if name in __all__:
        return getattr(importlib.import_module("frozenfit.elm.stages"), name)
    raise AttributeError(f"module 'frozenfit.elm' has no attribute {name!r}")
