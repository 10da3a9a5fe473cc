"""Data spread over several devices trains as one device does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import keras, numpy as np
from frozenfit import PartialNetClassifier, clear_workspace
assert len(keras.distribution.list_devices("cpu")) == 4
x = np.random.default_rng(0).normal(size=(50, 6)).astype("float32")
y = (x[:, 0] + x[:, 1] > 0).astype(int)
def fit():
    settings = dict(trainable=0.5, epochs=3, batch_size=16, random_state=0)
    net = PartialNetClassifier("mlp", model_params={"hidden_layer_sizes": (8,)}, **settings)
    return net.fit(x, y).predict_proba(x), net.history_["loss"]
alone = fit()
mesh = keras.distribution.DataParallel(devices=keras.distribution.list_devices("cpu"))
keras.distribution.set_distribution(mesh)
spread = fit()
for one, many in zip(alone, spread):
    np.testing.assert_allclose(one, many, atol=1e-5)
keras.distribution.set_distribution(None)
np.testing.assert_array_equal(fit()[0], alone[0])
print("equal")
"""


@pytest.mark.skipif(keras.config.backend() != "jax", reason="simulated devices are JAX's")
def test_four_simulated_devices_give_the_result_of_one():
    environment = {
        **os.environ,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        "PYTHONPATH": str(ROOT),
    }
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.split()[-1] == "equal"
