#!/usr/bin/env bash
# Makes a virtual environment, installs frozenfit with the JAX backend, trains on digits.
set -euo pipefail
cd "$(dirname "$0")/.."
python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check ".[jax]"
KERAS_BACKEND=jax .venv/bin/python examples/quickstart.py
