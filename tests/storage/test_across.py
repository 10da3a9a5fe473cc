"""A file written on one backend predicts the same on the two others."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from estimator_data import classifier, images, regressor, table, targets

import frozenfit

READER = """
import json, sys
import numpy as np
import frozenfit
folder = sys.argv[1]
found = {}
for name in ("table", "images", "targets"):
    estimator = frozenfit.load(f"{folder}/{name}.frozenfit")
    X = np.load(f"{folder}/{name}.npy")
    found[name] = getattr(estimator, "predict_proba", estimator.predict)(X).tolist()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three files with what their estimators predict."""
    folder = tmp_path_factory.mktemp("across")
    params = {"hidden_layer_sizes": (8,), "batch_norm": True, "dropout": 0.2}
    estimators = {
        "table": (classifier(trainable="random(0.3)", model_params=params), table()),
        "images": (classifier(model="lenet5", trainable=0.5), images(channels=1)),
        "targets": (regressor(trainable=0.5), targets()),
    }
    expected = {}
    for name, (estimator, (X, y)) in estimators.items():
        if name == "images":
            X = X.repeat(4, axis=1).repeat(4, axis=2)
        estimator.fit(X, y)
        frozenfit.save(estimator, folder / f"{name}.frozenfit")
        np.save(folder / f"{name}.npy", X)
        expected[name] = getattr(estimator, "predict_proba", estimator.predict)(X)
    return folder, expected


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_another_backend_reads_the_file(folder, backend):
    if backend == keras.config.backend():
        pytest.skip(f"{backend} wrote the file")
    pytest.importorskip(backend)
    found = subprocess.run(
        [sys.executable, "-c", READER, str(folder[0])],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-2000:]
    read = json.loads(found.stdout.splitlines()[-1])
    for name, expected in folder[1].items():
        assert np.allclose(read[name], expected, rtol=1e-5, atol=1e-5), name
