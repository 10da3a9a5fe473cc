"""What every copy of a fitted estimator has in common with it."""

from __future__ import annotations

import copy
import pickle

import numpy as np
from sklearn.base import clone

import frozenfit


def assert_copies_predict_the_same(fitted, X, y, folder) -> None:
    """Compare an estimator with its pickle, copy, file, a clone fitted again, and its export."""
    expected = fitted.predict_proba(X)
    frozenfit.save(fitted, folder / "model.frozenfit")
    copies = [
        pickle.loads(pickle.dumps(fitted)),
        copy.deepcopy(fitted),
        frozenfit.load(folder / "model.frozenfit"),
        clone(fitted).fit(X, y),
    ]
    for each in copies:
        np.testing.assert_array_equal(each.predict_proba(X), expected)
        assert each.part_.selection == fitted.part_.selection
    exported = fitted.to_keras().predict(X, verbose=0)
    np.testing.assert_allclose(exported, fitted.part_.outputs(X), rtol=1e-4, atol=1e-5)
