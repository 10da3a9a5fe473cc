"""Every private part of scikit-learn that this package relies on.

scikit-learn documents these names for developers of estimators or uses them throughout its own
estimators, but does not promise to keep them. A new release is checked against this file alone.
It also contains every line that depends on the version of scikit-learn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.base import BaseEstimator
from sklearn.base import _clone_parametrized as clone_parametrized
from sklearn.base import _fit_context as fit_context
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metadata_routing import _routing_enabled as routing_enabled
from sklearn.utils.metaestimators import _safe_split as safe_split
from sklearn.utils.multiclass import _check_partial_fit_first_call as check_partial_fit_first_call
from sklearn.utils.validation import _check_feature_names_in as check_feature_names_in
from sklearn.utils.validation import _check_method_params as check_method_params
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

try:
    from sklearn.callback import CallbackSupportMixin  # pyright: ignore[reportAssignmentType]
except ImportError:  # scikit-learn 1.7 and 1.8 have no callbacks, and so no `set_callbacks`

    class CallbackSupportMixin:
        """Stands for scikit-learn's class of this name."""


if TYPE_CHECKING:
    from sklearn.callback import CallbackContext

__all__ = [
    "CallbackSupportMixin",
    "HasMethods",
    "Interval",
    "StrOptions",
    "callback_context",
    "check_feature_names_in",
    "check_method_params",
    "check_partial_fit_first_call",
    "check_sample_weight",
    "clone_parametrized",
    "fit_context",
    "has_callbacks",
    "routing_enabled",
    "safe_split",
]


def callback_context(estimator: BaseEstimator, max_subtasks: int) -> CallbackContext | None:
    """Begin the root task of a fit for scikit-learn's callbacks.

    Parameters
    ----------
    estimator : estimator
        The estimator that is being fitted.
    max_subtasks : int
        Largest number of tasks that the root task can have.

    Returns
    -------
    CallbackContext or None
        The root task; None where scikit-learn has no callbacks (before 1.9).
    """
    begin = getattr(estimator, "_init_callback_context", None)
    return None if begin is None else begin(max_subtasks=max_subtasks)


def has_callbacks(estimator: BaseEstimator) -> bool:
    """Return whether `set_callbacks` has set callbacks of scikit-learn."""
    return bool(getattr(estimator, "_skl_callbacks", None))
