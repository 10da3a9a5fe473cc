"""The network with which a report compares an ensemble."""

from __future__ import annotations

import numpy as np
import pytest
from ensembles import cheap_ensemble
from sklearn.datasets import load_digits

import frozenfit
from frozenfit import CheapEnsembleRegressor, PartialNetClassifier, PartialNetRegressor
from frozenfit.estimators import report_text

X, y = load_digits(return_X_y=True)
X, y = (X[:300] / 16).astype("float32"), y[:300]
SMALL = {"model_params": {"hidden_layer_sizes": (8,)}, "random_state": 0}


@pytest.fixture(scope="module")
def frozen():
    members = {"members": "adapters", "base": "frozen", "n_estimators": 2}
    return cheap_ensemble(epochs=2, **members, **SMALL).fit(X[:200], y[:200])


def test_a_report_without_training_data_has_no_such_network(frozen):
    names = [row.member for row in frozen.ensemble_report(X[200:], y[200:])]
    assert names == ["0", "1", "mean", "ensemble"]


def plain_loss(ensemble, epochs):
    """The log loss of an estimator trained as a whole from the values of the ensemble's base."""
    plain = PartialNetClassifier("mlp", trainable=1.0, epochs=epochs, **SMALL)
    plain._fit_seed = lambda: ensemble._seeds["base"]
    proba = plain.fit(X[:200], y[:200]).predict_proba(X[200:])
    return -np.log(proba[np.arange(100), y[200:]]).mean()


def test_the_network_is_trained_as_a_whole_and_the_members_are_unchanged(frozen):
    deltas = [member.part_.delta for member in frozen.estimators_]
    rows = frozen.ensemble_report(X[200:], y[200:], X_train=X[:200], y_train=y[:200])
    assert [row.member for row in rows[-2:]] == ["ensemble", "one network"]
    assert rows[-1].nll == pytest.approx(plain_loss(frozen, epochs=2), rel=1e-6)
    assert np.isnan(rows[-1].disagreement)
    assert report_text(rows).splitlines()[-1].startswith("one network")
    assert all(m.part_.delta is d for m, d in zip(frozen.estimators_, deltas, strict=True))


def test_a_loaded_ensemble_is_compared_with_the_same_network(frozen, tmp_path):
    frozenfit.save(frozen, tmp_path / "ensemble.frozenfit")
    loaded = frozenfit.load(tmp_path / "ensemble.frozenfit")
    each = [
        e.ensemble_report(X[200:], y[200:], X_train=X[:200], y_train=y[:200])[-1]
        for e in (frozen, loaded)
    ]
    assert each[0][:-1] == each[1][:-1]


def test_with_a_trained_base_the_network_gets_the_epochs_of_base_and_members():
    ensemble = cheap_ensemble(n_estimators=1, base_epochs=1, epochs=2, **SMALL)
    ensemble.fit(X[:200], y[:200])
    rows = ensemble.ensemble_report(X[200:], y[200:], X_train=X[:200], y_train=y[:200])
    assert rows[-1].nll == pytest.approx(plain_loss(ensemble, epochs=3), rel=1e-6)


def test_a_regressor_is_compared_in_the_unit_of_the_targets():
    target = 100 + 10 * X[:, :3].sum(axis=1)
    member = PartialNetRegressor("mlp", epochs=2, model_params=SMALL["model_params"])
    ensemble = CheapEnsembleRegressor(member, 2, base="frozen", random_state=0).fit(X, target)
    rows = ensemble.ensemble_report(X, target, X_train=X, y_train=target)
    assert rows[-1].member == "one network" and rows[-1].rmse < target.std()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"y_train": y}, "`y_train` requires `X_train`"),
        ({"X_train": X[:, :9], "y_train": y}, r"samples of shape \(64,\), as in `fit`"),
        ({"X_train": X[y < 9], "y_train": y[y < 9]}, "must have the classes of `fit`"),
    ],
    ids=["targets_alone", "other_columns", "other_classes"],
)
def test_training_data_that_do_not_match_are_refused(frozen, data, message):
    with pytest.raises(ValueError, match=message):
        frozen.ensemble_report(X, y, **data)
