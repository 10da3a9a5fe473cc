#!/usr/bin/env bash
# Makes a virtual environment, installs what the tests need, checks style and types, runs them.
# KERAS_BACKEND chooses the backend: tensorflow (the default), jax or torch.
set -euo pipefail
cd "$(dirname "$0")/.."
export KERAS_BACKEND="${KERAS_BACKEND:-tensorflow}"
# One thread: on small networks more only spin, up to a hundred times slower on torch.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 TF_CPP_MIN_LOG_LEVEL=3
# Tests on JAX mostly compile.
export JAX_DISABLE_MOST_OPTIMIZATIONS=1
[ -x .venv-test/bin/python ] || python3 -m venv .venv-test
.venv-test/bin/python -m pip install --quiet --disable-pip-version-check \
    -e ".[$KERAS_BACKEND,data,search,plot,dask,test]"
if [ -z "${TESTS_ONLY:-}" ]; then
    .venv-test/bin/ruff check .
    .venv-test/bin/ruff format --check .
    .venv-test/bin/pyright
fi
exec .venv-test/bin/python -m pytest "$@"
