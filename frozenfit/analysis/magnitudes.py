"""Magnitudes of the trained and the frozen parameters of each weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from frozenfit.analysis import fitted
from frozenfit.selectors import forms

if TYPE_CHECKING:
    from frozenfit.estimators.partial_base import PartialNet


class Magnitudes(NamedTuple):
    """Size of some parameters of one weight, before and after training.

    Parameters
    ----------
    path : str
        Path of the weight.
    part : {"trained", "frozen"}
        Which parameters.
    n : int
        Their number.
    initial, final : float
        Mean absolute value before and after training.
    variance : float
        Variance after training (``ddof=0``).
    distance : float
        Root of the mean squared difference between the values before and after training.

    See Also
    --------
    weight_magnitudes : Compute them.

    Examples
    --------
    >>> from frozenfit.analysis import Magnitudes
    >>> Magnitudes("head/kernel", "trained", 30, 0.2, 0.5, 0.1, 0.4).final
    0.5
    """

    path: str
    part: str
    n: int
    initial: float
    final: float
    variance: float
    distance: float


def weight_magnitudes(estimator: PartialNet) -> list[Magnitudes]:
    """Compare the trained with the frozen parameters of each weight.

    Parameters
    ----------
    estimator : PartialNetClassifier or PartialNetRegressor
        A fitted estimator.

    Returns
    -------
    list of Magnitudes
        For each weight in the order of the network, a row for its trained and one for its frozen
        parameters, where there are such.

    Raises
    ------
    TypeError
        If the estimator is of another kind.

    See Also
    --------
    layer_criticality : How much the score depends on each layer.

    References
    ----------
    Rosenfeld & Tsotsos 2018, arXiv 1802.00844, Figure 6: few trained parameters grow larger.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from frozenfit import PartialNetClassifier
    >>> from frozenfit.analysis import weight_magnitudes
    >>> X, y = load_iris(return_X_y=True)
    >>> classifier = PartialNetClassifier("mlp", epochs=2, random_state=0).fit(X, y)
    >>> [(row.path, row.part, row.n) for row in weight_magnitudes(classifier)][:2]
    [('dense1/kernel', 'trained', 204), ('dense1/kernel', 'frozen', 1844)]
    """
    estimator = fitted.check_network(estimator, "weight_magnitudes")
    part = estimator.part_
    initial, final = fitted.initial_values(part), fitted.trained_values(part)
    rows = []
    for path, form in part.selection.items():
        chosen = forms.to_mask(form, part.selection.layout[path].shape)
        for name, where in (("trained", chosen), ("frozen", ~chosen)):
            if where.any():
                before, after = initial[path][where], final[path][where]
                rows.append(_row(path, name, before, after))
    return rows


def _row(path: str, part: str, before: Any, after: Any) -> Magnitudes:
    before, after = np.asarray(before, np.float64), np.asarray(after, np.float64)
    distance = float(np.sqrt(np.mean((after - before) ** 2)))
    initial, final = float(np.abs(before).mean()), float(np.abs(after).mean())
    return Magnitudes(path, part, len(after), initial, final, float(after.var()), distance)
