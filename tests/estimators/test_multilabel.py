"""Classifiers of several labels per sample."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit
from sklearn.datasets import make_multilabel_classification
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_score

import frozenfit
from frozenfit import CheapEnsembleClassifier, PartialNetClassifier

X, Y = make_multilabel_classification(300, 12, n_classes=4, n_labels=2, random_state=0)
X = (X - X.mean(axis=0)) / X.std(axis=0)


def network(**params):
    return PartialNetClassifier(**{"trainable": 0.5, "epochs": 30, "random_state": 0, **params})


def ensemble(**params):
    return CheapEnsembleClassifier(
        network(epochs=10), n_estimators=3, **{"random_state": 0, **params}
    )


@pytest.fixture(params=[network, ensemble, lambda: ensemble(calibrate=True)])
def estimator(request):
    return request.param()


def test_labels_are_predicted(estimator):
    estimator.fit(X, Y)
    logits, chance = estimator.decision_function(X), estimator.predict_proba(X)
    assert chance.shape == Y.shape and estimator.classes_.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(chance, expit(logits))
    np.testing.assert_allclose(estimator.predict_log_proba(X), np.log(chance), rtol=1e-5)
    np.testing.assert_array_equal(estimator.predict(X), (chance > 0.5).astype(int))
    assert (estimator.predict(X) == Y).mean() > 0.8
    assert estimator.score(X, Y) == (estimator.predict(X) == Y).all(axis=1).mean() > 0.4


def test_loss_and_accuracy_are_those_of_the_labels():
    clf = network(learning_rate=1e-30, epochs=1).fit(X, Y, X_val=X[:90], y_val=Y[:90])
    chance = clf.predict_proba(X)
    for rows, prefix in ((slice(None), ""), (slice(90), "val_")):
        loss = log_loss(Y[rows].ravel(), chance[rows].ravel())
        np.testing.assert_allclose(clf.history_[f"{prefix}loss"], [loss], rtol=1e-5)
        accuracy = clf.score(X[rows], Y[rows])
        np.testing.assert_allclose(clf.history_[f"{prefix}accuracy"], [accuracy], rtol=1e-6)


def test_losses_and_metrics():
    clf = network(loss="binary_focal_crossentropy", metrics=["auc", "binary_accuracy"]).fit(X, Y)
    assert (clf.predict(X) == Y).mean() > 0.8 and clf.history_["auc"][-1] > 0.85
    still = network(learning_rate=1e-30, epochs=1, metrics=["binary_accuracy"]).fit(X, Y)
    np.testing.assert_allclose(
        still.history_["binary_accuracy"], [(still.predict(X) == Y).mean()], rtol=1e-6
    )
    with pytest.raises(ValueError, match="multi-label classification.*'binary_crossentropy'"):
        network(loss="categorical_crossentropy").fit(X, Y)


def test_the_ensemble_averages_probabilities():
    clf = ensemble().fit(X, Y)
    each = clf.predict_members(X)
    assert each.shape == (3, 300, 4)
    np.testing.assert_allclose(clf.predict_proba(X), each.mean(axis=0), rtol=1e-6)
    mean = each.mean(axis=0)
    entropy = -(mean * np.log(mean) + (1 - mean) * np.log(1 - mean)).sum(axis=1)
    np.testing.assert_allclose(clf.predictive_entropy(X), entropy, rtol=1e-6)
    assert (clf.mutual_information(X) >= 0).all() and clf.mutual_information(X).max() > 0
    outputs = np.asarray(clf.to_keras().predict(X.astype("float32"), verbose=0))
    np.testing.assert_allclose(expit(outputs), clf.predict_proba(X), atol=1e-5)
    with pytest.raises(ValueError, match="one label per sample"):
        clf.ensemble_report(X, Y)


def test_a_temperature_lowers_the_loss_on_held_out_samples():
    plain, calibrated = (
        CheapEnsembleClassifier(network(epochs=60), 2, calibrate=c, random_state=0).fit(
            X[:200], Y[:200], X_val=X[200:], y_val=Y[200:]
        )
        for c in (False, True)
    )
    scores = [
        log_loss(Y[200:].ravel(), c.predict_proba(X[200:]).ravel()) for c in (plain, calibrated)
    ]
    assert calibrated.temperature_ != 1 and scores[1] < scores[0]


def test_files(estimator, tmp_path):
    frozenfit.save(estimator.fit(X, Y), tmp_path / "file")
    again = frozenfit.load(tmp_path / "file")
    np.testing.assert_array_equal(again.predict_proba(X), estimator.predict_proba(X))


def test_partial_fit_and_cross_validation():
    clf = network(learning_rate=0.01)
    for _ in range(15):
        clf.partial_fit(X, Y, classes=range(4))
    assert (clf.predict(X) == Y).mean() > 0.75
    with pytest.raises(ValueError, match="y must have 4 labels, as in the first fit, got 3"):
        clf.partial_fit(X, Y[:, :3])
    assert cross_val_score(network(), X, Y, scoring="f1_micro", cv=3).mean() > 0.6


def test_forms_of_y():
    expected = network().fit(X, Y).predict_proba(X)
    for form in (Y.tolist(), Y.astype(bool), Y.astype(float), sparse.csr_matrix(Y)):
        np.testing.assert_array_equal(network().fit(X, form).predict_proba(X), expected)
    with pytest.warns(Warning, match="column-vector"):
        column = network().fit(X, Y[:, :1])
    assert column.predict(X).shape == (300,)


def test_what_is_refused():
    with pytest.warns(UserWarning, match=r"exactly one label.*pass y.argmax\(axis=1\)"):
        network(epochs=1).fit(X, np.eye(3)[np.arange(300) % 3])
    with pytest.raises(ValueError, match="'multiclass-multioutput'.*MultiOutputClassifier"):
        network().fit(X, np.arange(600).reshape(300, 2) % 3)
    with pytest.raises(ValueError, match="`class_weight` must be None for a y of several labels"):
        network(class_weight="balanced").fit(X, Y)
    clf = network(epochs=1, warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match="y must be 2-d, as in the first fit, got a 1-d y"):
        clf.fit(X, Y[:, 0])
