"""Fits of an ensemble and of a search compute the features of equal frozen layers once."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from estimator_data import classifier, table

from frozenfit import CheapEnsembleClassifier
from frozenfit.search import FreezeSearchCV
from frozenfit.training import feature_file, prefix, shared_features

DEEP = {"model_params": {"hidden_layer_sizes": (8, 8, 8)}, "epochs": 3}


@pytest.fixture
def computed(monkeypatch) -> list[int]:
    """The numbers of rows whose features were computed."""
    seen: list[int] = []
    inner = prefix.Prefix.features

    def features(self, data, *args, **kwargs):
        seen.append(len(data))
        return inner(self, data, *args, **kwargs)

    monkeypatch.setattr(prefix.Prefix, "features", features)
    return seen


def ensemble(**params):
    member = classifier(trainable="head()", **DEEP)
    return CheapEnsembleClassifier(member, n_estimators=4, base="frozen", random_state=0, **params)


def test_members_compute_their_frozen_layers_once(computed):
    X, y = table()
    model = ensemble().fit(X, y)
    assert computed == [len(X)]
    computed.clear()
    model.predict_proba(X[:20])
    assert computed == [20]


def test_members_are_those_that_compute_their_own(monkeypatch):
    X, y = table()
    shared = ensemble().fit(X, y)
    monkeypatch.setattr(shared_features, "is_sharing", lambda: False)
    alone = ensemble().fit(X, y)
    for one, other in zip(shared.estimators_, alone.estimators_, strict=True):
        for path, value in one.part_.delta.trained.items():
            np.testing.assert_array_equal(value, other.part_.delta.trained[path])
    np.testing.assert_allclose(shared.predict_proba(X), alone.predict_proba(X), atol=1e-6)


def test_trials_and_folds_compute_their_frozen_layers_once(computed):
    X, y = table()
    X, y = X[:90], y[:90]
    search = FreezeSearchCV(
        classifier(trainable="head()", **DEEP),
        space=lambda trial, _: {"learning_rate": trial.suggest_float("learning_rate", 0.001, 0.1)},
        n_trials=3,
        cv=2,
        refit=False,
        random_state=0,
    ).fit(X, y)
    assert len(search.cv_results_["params"]) == 3
    # The training and the validation part of each of the two folds.
    assert sum(computed) == 2 * len(X)


def test_other_weights_and_other_samples_have_features_of_their_own(computed):
    X, y = table()
    with shared_features.sharing():
        first = classifier(trainable="head()", random_state=0, **DEEP).fit(X, y)
        for seed, rows in ((1, X), (0, X + 1)):
            classifier(trainable="head()", random_state=seed, **DEEP).fit(rows, y)
        assert computed == [len(X)] * 3
        first.predict(X[::-1])
        first.predict(X[::-1])
        assert computed == [len(X)] * 4
    assert not shared_features._stored


def test_the_oldest_features_are_dropped_beyond_the_limit(computed, monkeypatch):
    X, y = table()
    one = 4 * len(X) * 8
    monkeypatch.setattr(prefix, "memory_limit", lambda: int(1.5 * one))
    with shared_features.sharing():
        for shift in (0, 1, 0):
            classifier(trainable="head()", random_state=0, **DEEP).fit(X + shift, y)
            assert len(shared_features._stored) == 1
    assert computed == [len(X)] * 3


def fits_on_disk(monkeypatch, limit):
    """Fit twice on each of three samples; return the heads, files, and bytes kept in memory."""
    X, y = table()
    files, in_memory = [], []

    class Watched(feature_file.FeatureFile):
        def __init__(self, *args):
            super().__init__(*args)
            files.append(weakref.ref(self))

    monkeypatch.setattr(prefix, "FeatureFile", Watched)
    monkeypatch.setattr(prefix, "memory_limit", lambda: limit)
    heads = []
    with shared_features.sharing():
        for shift in (0, 1, 2, 0, 1, 2):
            settings = {"trainable": "head()", "cache_features": "disk", **DEEP}
            clf = classifier(random_state=0, **settings).fit(X + shift, y)
            heads.append(clf.part_.delta.trained)
            in_memory.append(shared_features._in_memory())
        kept = len([ref for ref in files if ref() is not None])
    gc.collect()
    assert all(ref() is None for ref in files)
    return heads, kept, in_memory


def test_features_beyond_the_limit_are_shared_on_disk(computed, monkeypatch):
    one = 4 * len(table()[0]) * 8
    heads, kept, in_memory = fits_on_disk(monkeypatch, int(1.5 * one))
    assert kept == 2 and max(in_memory) == one
    assert len(computed) == 3
    expected, kept, _ = fits_on_disk(monkeypatch, 10 * one)
    assert kept == 0
    for found, head in zip(heads, expected, strict=True):
        assert all(np.array_equal(found[path], head[path]) for path in head)


def test_features_larger_than_memory_are_shared_on_disk(computed, monkeypatch):
    _, kept, in_memory = fits_on_disk(monkeypatch, 100)
    assert kept == 3 and max(in_memory) == 0
    assert len(computed) == 3


def test_files_of_other_fits_are_dropped_from_a_full_disk(computed, monkeypatch):
    one = 4 * len(table()[0]) * 8

    def disk_usage(_):
        return SimpleNamespace(free=one * (2 - len(shared_features._stored)))

    monkeypatch.setattr(feature_file.shutil, "disk_usage", disk_usage)
    _, kept, _ = fits_on_disk(monkeypatch, 100)
    assert kept == 2
    # All but the first two take the place of the oldest, once they did not fit.
    assert len(computed) == 6 + 4
