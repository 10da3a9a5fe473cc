"""A `keras.distribution` over several devices gives what one device gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

# Every case is fitted on one device, on four, and on one again, in one process: devices are
# simulated when JAX starts.
WORKER = """
import json, sys
sys.path.insert(0, sys.argv[1])
import keras
from estimator_data import classifier, given_net, images, regressor, small_cnn, table, targets
from frozenfit import CheapEnsembleClassifier, CheapEnsembleRegressor, FreezeOut
from frozenfit.training.backends import on_jax

def ensemble(**params):
    member = classifier(trainable=0.5)
    return CheapEnsembleClassifier(member, n_estimators=2, random_state=0, **params)

X, y = table()

def batches():
    for start in range(0, len(X), 16):
        yield X[start : start + 16], y[start : start + 16]

CASES = {
    "source of batches": lambda: (classifier(), batches, None),
    "ensemble on a source": lambda: (ensemble(), batches, None),
    "classifier": lambda: (classifier(trainable=0.5), X, y),
    "regressor": lambda: (regressor(trainable=0.5), *targets(n_targets=2)),
    "random mask": lambda: (classifier(trainable="random(0.5) | head()"), X, y),
    "uneven batches": lambda: (classifier(batch_size=15), X, y),
    "head of a given network": lambda: (classifier(model=given_net(), trainable="head()"), X, y),
    "images": lambda: (classifier(model=small_cnn, refresh_statistics=True), *images()),
    "early stopping": lambda: (classifier(early_stopping=True, epochs=3), X, y),
    "freeze schedule": lambda: (classifier(freeze_schedule=FreezeOut(0.5), epochs=4), X, y),
    "ensemble on a trained base": lambda: (ensemble(base="trained"), X, y),
    "ensemble on a frozen base": lambda: (ensemble(base="frozen"), X, y),
    "calibrated ensemble": lambda: (ensemble(members="disjoint", calibrate=True), X, y),
    "ensemble of regressors": lambda: (
        CheapEnsembleRegressor(regressor(), n_estimators=2, random_state=0), *targets()
    ),
}

shards = []
distribute = on_jax._distribute
def watched(stack):
    found = distribute(stack)
    shards.append(getattr(getattr(found, "sharding", None), "is_fully_replicated", None))
    return found
on_jax._distribute = watched

def outcome(case):
    estimator, samples, labels = CASES[case]()
    shards.clear()
    estimator.fit(samples, labels)
    predict = getattr(estimator, "predict_proba", estimator.predict)
    return predict(samples).tolist(), False in shards

devices = keras.distribution.list_devices("cpu")
assert len(devices) == 4
found = [{case: outcome(case) for case in CASES}]
for distribution in (keras.distribution.DataParallel(devices=devices), None):
    keras.distribution.set_distribution(distribution)
    found.append({case: outcome(case) for case in CASES})
print(json.dumps(found))
"""
CASES = (
    "source of batches",
    "ensemble on a source",
    "classifier",
    "regressor",
    "random mask",
    "uneven batches",
    "head of a given network",
    "images",
    "early stopping",
    "freeze schedule",
    "ensemble on a trained base",
    "ensemble on a frozen base",
    "calibrated ensemble",
    "ensemble of regressors",
)


@pytest.fixture(scope="module")
def found():
    ended = subprocess.run(
        [sys.executable, "-c", WORKER, str(Path(__file__).parents[1] / "support")],
        env={**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.skipif(keras.config.backend() != "jax", reason="simulated devices are JAX's")
@pytest.mark.parametrize("case", CASES)
def test_four_devices_give_the_result_of_one(found, case):
    assert [set(each) for each in found] == [set(CASES)] * 3
    (one, never), (four, spread), (again, _) = (each[case] for each in found)
    assert not never and spread == (case != "uneven batches")
    np.testing.assert_allclose(four, one, atol=1e-5, rtol=1e-5)
    np.testing.assert_array_equal(again, one)
