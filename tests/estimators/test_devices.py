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

WORKER = """
import json, sys
sys.path.insert(0, sys.argv[1])
import jax, keras
from estimator_data import classifier, table
X, y = table()
found = []
for devices in (1, 4):
    assert len(jax.devices()) == 4
    if devices > 1:
        keras.distribution.set_distribution(keras.distribution.DataParallel())
    estimator = classifier(epochs=4).fit(X, y)
    found.append([estimator.history_["loss"], estimator.predict_proba(X).tolist()])
print(json.dumps(found))
"""


@pytest.mark.skipif(keras.config.backend() != "jax", reason="four host devices are JAX's")
def test_four_devices_train_as_one_does():
    found = subprocess.run(
        [sys.executable, "-c", WORKER, str(Path(__file__).parents[1] / "support")],
        env={**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-2000:]
    one, four = json.loads(found.stdout.splitlines()[-1])
    assert np.allclose(one[0], four[0], rtol=1e-5)
    assert np.allclose(one[1], four[1], atol=1e-5)
