"""Iterators, sparse matrices, memory maps and dask arrays give the estimator of the array."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import make_classification

from frozenfit import ELMClassifier, ELMRegressor

X, Y = make_classification(500, 10, n_informative=6, n_classes=3, random_state=1)
X = X.astype("float32")
X[np.abs(X) < 0.7] = 0.0
T = X[:, :2].astype(float) ** 2


def small(**settings):
    return ELMClassifier((40,), random_state=0, **settings)


def batches(size=70, weight=None):
    for start in range(0, 500, size):
        part = slice(start, start + size)
        yield (X[part], Y[part]) if weight is None else (X[part], Y[part], weight[part])


def test_an_iterator_of_batches_equals_the_whole():
    one = small().fit(batches())
    np.testing.assert_allclose(one.predict_proba(X), small().fit(X, Y).predict_proba(X), atol=1e-6)


def test_an_iterator_gives_weights_too():
    weight = 1.0 + np.arange(500) % 2
    one = small().fit(batches(weight=weight))
    other = small().fit(X, Y, sample_weight=weight)
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), atol=1e-6)


def test_an_iterator_beyond_loo_rows_agrees_on_scaled_columns():
    one = small(loo_rows=100, scale=None).fit(batches())
    other = small(loo_rows=100, scale=None).fit(X, Y)
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), atol=1e-6)


def test_an_iterator_feeds_a_regressor():
    one = ELMRegressor((40,), random_state=0).fit((X[i::4], T[i::4]) for i in range(4))
    other = ELMRegressor((40,), random_state=0).fit(X, T)
    np.testing.assert_allclose(one.predict(X), other.predict(X), atol=1e-6)


@pytest.mark.parametrize("direct_links", [False, True])
@pytest.mark.parametrize("loo_rows", [1000, 100])
def test_sparse_rows_equal_dense_rows(direct_links, loo_rows):
    settings = {"direct_links": direct_links, "loo_rows": loo_rows}
    one = small(**settings).fit(sparse.csr_array(X), Y)
    other = small(**settings).fit(X, Y)
    found = one.predict_proba(sparse.csc_matrix(X))
    np.testing.assert_allclose(found, other.predict_proba(X), atol=1e-6)


def test_many_sparse_columns_are_never_made_dense(monkeypatch):
    wide = sparse.random_array((200, 100_000), density=1e-4, rng=np.random.default_rng(0))
    wide = sparse.csr_array(wide.astype("float32"))
    monkeypatch.setattr(sparse.csr_array, "toarray", None)
    clf = ELMClassifier((10,), random_state=0).fit(wide, np.arange(200) % 2)
    assert clf.predict(wide).shape == (200,)


@pytest.fixture
def mapped(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, X)
    return np.load(path, mmap_mode="r")


def test_a_memory_map_equals_the_array(mapped):
    settings = {"loo_rows": 100, "batch_size": 64}
    one, other = small(**settings).fit(mapped, Y), small(**settings).fit(X, Y)
    np.testing.assert_allclose(one.predict_proba(mapped), other.predict_proba(X), atol=1e-6)
    np.testing.assert_array_equal(mapped, X)


def test_a_memory_map_is_read_in_blocks(mapped, monkeypatch):
    seen = []
    whole = ELMClassifier._check_data

    def watched(self, x, y, reset):
        seen.append(len(x))
        return whole(self, x, y, reset)

    monkeypatch.setattr(ELMClassifier, "_check_data", watched)
    small(loo_rows=100, batch_size=64).fit(mapped, Y, sample_weight=np.arange(500) % 3)
    assert max(seen) <= 64


def test_a_memory_map_feeds_a_regressor_of_several_targets(mapped):
    settings = {"loo_rows": 100, "batch_size": 64, "random_state": 0}
    one = ELMRegressor((40,), **settings).fit(mapped, T)
    other = ELMRegressor((40,), **settings).fit(X, T)
    np.testing.assert_allclose(one.predict(X), other.predict(X), atol=1e-6)


@pytest.mark.parametrize("loo_rows", [1000, 100])
def test_a_dask_array_equals_the_array(loo_rows):
    da = pytest.importorskip("dask.array")
    dask = pytest.importorskip("dask")
    names = np.array(["a", "b", "c"])[Y]
    weight = 1.0 + np.arange(500) % 2
    with dask.config.set(scheduler="synchronous"):
        given = da.from_array(X, chunks=(120, 4)), da.from_array(names, chunks=170)
        one = small(loo_rows=loo_rows).fit(*given, sample_weight=weight)
    other = small(loo_rows=loo_rows).fit(X, names, sample_weight=weight)
    np.testing.assert_array_equal(one.classes_, ["a", "b", "c"])
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), atol=1e-6)


def test_dask_blocks_are_summed_by_two_worker_processes():
    da = pytest.importorskip("dask.array")
    distributed = pytest.importorskip("distributed")
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    cluster = distributed.LocalCluster(processes=True, **settings)
    with cluster, distributed.Client(cluster):
        given = da.from_array(X, chunks=(100, 10)), da.from_array(T, chunks=(100, 2))
        one = ELMRegressor((20,), loo_rows=100, random_state=0).fit(*given)
    other = ELMRegressor((20,), loo_rows=100, random_state=0).fit(X, T)
    np.testing.assert_allclose(one.predict(X), other.predict(X), atol=1e-6)
