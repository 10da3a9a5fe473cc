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
import numpy as np
from frozenfit import PartialNetClassifier
X, y = np.eye(4, dtype="float32"), [0, 1, 0, 1]
first = PartialNetClassifier(epochs=1, random_state=0).fit(X, y)
if os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
try:
    first.predict(X)
    PartialNetClassifier(epochs=1, random_state=0).fit(X, y)
except RuntimeError as error:
    print(error, flush=True)
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_works_or_is_refused():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, env=environment, timeout=120
    )
    assert run.returncode == 0, run.stderr
    refused = "forked after its first use. Start processes by 'spawn'" in run.stdout
    assert refused == (keras.config.backend() != "torch")
