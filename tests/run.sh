#!/usr/bin/env bash
# Makes a virtual environment, installs what the tests need, checks style and types, and runs the
# tests in two processes. KERAS_BACKEND selects the backend: tensorflow (the default), jax or torch.
# Arguments are those of pytest; without any, the examples of all docstrings run too.
# TESTS_ONLY=1 skips the checks of style and types. LOWEST=1 installs the lowest supported versions.
set -euo pipefail
cd "$(dirname "$0")/.."
export KERAS_BACKEND="${KERAS_BACKEND:-tensorflow}"
# One thread per process: on small networks more threads only spin, on torch up to a hundred times
# slower. OMP_NUM_THREADS does not bind TensorFlow.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
export TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 TF_CPP_MIN_LOG_LEVEL=3
# On JAX the tests mostly compile.
export JAX_DISABLE_MOST_OPTIMIZATIONS=1
case "$KERAS_BACKEND" in
    tensorflow) backend=tensorflow-cpu ;; # a fraction of the download of tensorflow
    *) backend="$KERAS_BACKEND" ;;
esac
venv=.venv-test
pins=""
if [ -n "${LOWEST:-}" ]; then
    venv=.venv-lowest
    TESTS_ONLY=1
    # A release of today may warn about the use that an old release makes of it.
    set -- -W default "$@"
fi
[ -x $venv/bin/python ] || python3 -m venv $venv
if [ -n "${LOWEST:-}" ]; then
    $venv/bin/python tests/lowest_versions.py >$venv/lowest.txt
    pins="--constraint $venv/lowest.txt"
fi
$venv/bin/python -m pip install --quiet --disable-pip-version-check \
    $pins "$backend" -e ".[data,search,postgresql,grpc,plot,tables,dask,test]"
if [ -z "${TESTS_ONLY:-}" ]; then
    $venv/bin/ruff check .
    $venv/bin/ruff format --check .
    $venv/bin/codespell
    $venv/bin/pyright --pythonpath $venv/bin/python
fi
[ $# -gt 0 ] || set -- --doctest-modules tests frozenfit
exec $venv/bin/python -m pytest -n 2 "$@"
