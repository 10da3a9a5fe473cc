"""Fits and predictions in a forked child."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import os, sys, warnings
warnings.simplefilter("ignore")
import keras, numpy as np
from frozenfit import ELMClassifier, PartialNetClassifier
X, y = np.eye(4, dtype="float32"), [0, 1, 0, 1]
def network():
    return PartialNetClassifier(epochs=1, random_state=0)
def elm():
    body = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    return ELMClassifier(features=body, random_state=0)
first = {made}().fit(X, y)
if os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
for use in (lambda: first.predict(X), lambda: {made}().fit(X, y)):
    try:
        use()
    except RuntimeError as error:
        print(error, flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("made", ["network", "elm"])
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_works_or_is_refused(made):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", CODE.replace("{made}", made)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    refusals = run.stdout.count("forked after its first use. Start processes by 'spawn'")
    assert refusals == (0 if keras.config.backend() == "torch" else 2)
