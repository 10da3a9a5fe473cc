#!/usr/bin/env bash
# Makes a virtual environment, installs frozenfit with TensorFlow, trains on digits.
set -euo pipefail
cd "$(dirname "$0")/.."
python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check ".[tensorflow]"
TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow .venv/bin/python examples/quickstart.py
