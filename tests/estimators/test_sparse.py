"""Sparse samples are densified batch by batch, with the results of dense ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from frozenfit import (
    CheapEnsembleClassifier,
    CheapEnsembleRegressor,
    PartialNetClassifier,
    PartialNetRegressor,
)
from frozenfit.training.sparse_rows import SparseRows

rng = np.random.default_rng(0)
DENSE = (rng.random((300, 20)) < 0.2) * rng.normal(size=(300, 20)).astype("float32")
LABELS = (DENSE.sum(axis=1) > 0).astype(int)
KINDS = [f"{form}_{kind}" for form in ("csr", "csc", "coo") for kind in ("matrix", "array")]


def estimators():
    settings = {"trainable": 0.5, "epochs": 3, "random_state": 0}
    net, reg = PartialNetClassifier(**settings), PartialNetRegressor(**settings)
    return [
        net,
        reg,
        CheapEnsembleClassifier(net, 2, random_state=0),
        CheapEnsembleRegressor(reg, 2, random_state=0),
    ]


def outputs(estimator, X):
    return getattr(estimator, "predict_proba", estimator.predict)(X)


@pytest.mark.parametrize("estimator", estimators(), ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_results_are_those_of_dense_samples(estimator, kind):
    X = getattr(sparse, kind)(DENSE)
    weight = rng.uniform(0, 2, len(DENSE)).round()
    estimator.fit(X, LABELS, weight, X_val=X.tocsr()[:40], y_val=LABELS[:40])
    found = outputs(estimator, X), outputs(estimator, DENSE)
    estimator.fit(DENSE, LABELS, weight, X_val=DENSE[:40], y_val=LABELS[:40])
    np.testing.assert_array_equal(found[0], outputs(estimator, DENSE))
    np.testing.assert_array_equal(found[1], found[0])


def test_early_stopping_and_partial_fit():
    X = sparse.csr_array(DENSE)
    clf = PartialNetClassifier(early_stopping=True, epochs=4, random_state=0)
    expected = clf.fit(DENSE, LABELS).predict_proba(DENSE)
    np.testing.assert_array_equal(clf.fit(X, LABELS).predict_proba(X), expected)
    dense, rows = PartialNetClassifier(random_state=0), PartialNetClassifier(random_state=0)
    dense.partial_fit(DENSE, LABELS, classes=[0, 1])
    rows.partial_fit(X, LABELS, classes=[0, 1])
    np.testing.assert_array_equal(rows.predict_proba(X), dense.predict_proba(DENSE))


def test_only_batches_become_dense(monkeypatch):
    sizes, original = [], SparseRows.__getitem__

    def recorded(self, rows):
        found = original(self, rows)
        sizes.append(found.nbytes)
        return found

    monkeypatch.setattr(SparseRows, "__getitem__", recorded)
    X = sparse.random_array((3000, 20_000), density=1e-4, format="csr", rng=rng, dtype="float32")
    y = rng.integers(0, 2, 3000)
    small = {"hidden_layer_sizes": (4,)}
    clf = PartialNetClassifier(trainable="head()", epochs=1, model_params=small)
    clf.fit(X, y, X_val=X, y_val=y).predict(X)
    assert max(sizes) <= 2**26 < 3000 * 20_000 * 4


def test_a_pipeline_of_one_hot_columns():
    table = np.array([[i % 7, i * 0.37 % 5] for i in range(200)], dtype=object)
    columns = make_column_transformer(
        (OneHotEncoder(), [0]), (StandardScaler(), [1]), sparse_threshold=1.0
    )
    pipeline = make_pipeline(columns, PartialNetClassifier(trainable=1.0, random_state=0))
    y = (np.arange(200) % 7 > 3).astype(int)
    assert pipeline.fit(table, y).score(table, y) > 0.95
    assert sparse.issparse(pipeline[0].transform(table))


def test_images_must_be_dense():
    with pytest.raises(ValueError, match=r"X must be dense with image_shape=\(4, 5, 1\)"):
        PartialNetClassifier("lenet5", image_shape=(4, 5, 1)).fit(sparse.csr_array(DENSE), LABELS)
