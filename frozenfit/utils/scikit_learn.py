"""Every private part of scikit-learn that this package relies on.

scikit-learn documents these names for developers of estimators or uses them throughout its own
estimators, but does not promise to keep them. A new release is checked against this file alone.
"""

from __future__ import annotations

from sklearn.base import _clone_parametrized as clone_parametrized
from sklearn.base import _fit_context as fit_context
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metadata_routing import _routing_enabled as routing_enabled
from sklearn.utils.metaestimators import _safe_split as safe_split
from sklearn.utils.multiclass import _check_partial_fit_first_call as check_partial_fit_first_call
from sklearn.utils.validation import _check_method_params as check_method_params
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

__all__ = [
    "HasMethods",
    "Interval",
    "StrOptions",
    "check_method_params",
    "check_partial_fit_first_call",
    "check_sample_weight",
    "clone_parametrized",
    "fit_context",
    "routing_enabled",
    "safe_split",
]
