"""Forged files of every kind of estimator: each raises StorageError, or loads and predicts."""

from __future__ import annotations

import os
import random
import time

import numpy as np
import pytest
from estimator_data import classifier, images, regressor, small_cnn, table, targets
from forgery import forge
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.pipeline import Pipeline, make_pipeline

import frozenfit
from frozenfit import StorageError
from frozenfit.utils import container

EXAMPLES = int(os.environ.get("FROZENFIT_FUZZ_EXAMPLES", "40"))  # for each kind
SECONDS = 30.0 * EXAMPLES / 40  # for each kind; later examples are skipped


def ensemble(kind, **params):
    member = classifier(epochs=1) if kind == "Classifier" else regressor(epochs=1)
    cls = getattr(frozenfit, f"CheapEnsemble{kind}")
    return cls(member, n_estimators=2, random_state=0, **params)


def several():
    first = classifier(epochs=1).fit(*table())
    second = classifier(epochs=1, model=first.base_, trainable="head()").fit(*table())
    return {"first": first, "second": second}


def pipeline():
    rng = np.random.default_rng(0)
    cells = np.empty((48, 2), dtype=object)
    cells[:, 0], cells[:, 1] = rng.normal(size=48), rng.choice(["a", "b", "c"], 48)
    return make_pipeline(frozenfit.TableEncoder(), classifier(epochs=1)).fit(cells, table()[1])


KINDS = {
    "pipeline of a table": pipeline,
    "classifier": lambda: classifier(epochs=1).fit(*table()),
    "optimizer": lambda: classifier().partial_fit(*table(), classes=[0, 1, 2]),
    "regressor": lambda: regressor(epochs=1).fit(*targets(n_targets=2)),
    "several": lambda: several(),
    "mask": lambda: classifier(epochs=1, trainable="magnitude(0.3)", frozen="random").fit(*table()),
    "network": lambda: classifier(model=small_cnn((8, 8, 1), 2), epochs=1).fit(*images()),
    "ensemble of classifiers": lambda: ensemble("Classifier").fit(*table()),
    "ensemble of regressors": lambda: ensemble("Regressor", base="frozen").fit(*targets()),
    "elm classifier": lambda: frozenfit.ELMClassifier((5, 4), random_state=0).fit(*table()),
    "elm regressor": lambda: frozenfit.ELMRegressor(5, random_state=0).fit(*targets()),
    "elm of patches": lambda: frozenfit.ELMClassifier(5, features="patches", random_state=0).fit(
        *images(channels=3)
    ),
    "elm of images": lambda: frozenfit.ELMClassifier(
        5, features="receptive_fields", random_state=0
    ).fit(*images()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_forged_file_is_refused_or_predicts(kind, tmp_path):
    path, forged = tmp_path / "honest", tmp_path / "forged"
    options = {"include_frozen": kind == "network", "include_optimizer": kind == "optimizer"}
    frozenfit.save(KINDS[kind](), path, **options)
    record = container.from_file(path)
    start = time.monotonic()

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**32))
    def check(seed):
        if time.monotonic() - start < SECONDS:
            forged.write_bytes(forge(record, random.Random(f"{kind} {seed}")))
            refused_or_predicts(forged)

    check()


def refused_or_predicts(path):
    try:
        loaded = frozenfit.load(path, max_bytes=2**24)
    except StorageError as error:
        assert "\n" not in str(error)
        return
    finally:
        frozenfit.clear_workspace()
    if isinstance(loaded, Pipeline):
        X = np.zeros((2, loaded.n_features_in_), dtype=object)
        assert len(loaded.predict(X)) == 2
        return
    for estimator in loaded.values() if isinstance(loaded, dict) else [loaded]:
        X = np.zeros((2, *estimator.input_shape_), "float32")
        assert len(estimator.predict(X)) == 2
