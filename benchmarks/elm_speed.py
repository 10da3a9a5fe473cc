"""Speed and memory of the ELM estimators compared with the matrix products they consist of.

Every part runs in a separate process for each number of BLAS threads. Reported are CPU seconds of
all threads, and the peak memory above that of the interpreter with all imports, mapped pages
included. Without ``--data`` the first part uses random pixels of the size of MNIST.

    python benchmarks/elm_speed.py --parts gram small predict stream --threads 1 2 --data DIR
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ALPHAS = [10.0**k for k in range(-9, 6)]
UNITS = 4096
BLOCK = 4096


def pixels(data: str | None, rows: int):
    """Return the training images of MNIST as rows, or noise of this size."""
    import numpy as np

    if data is None:
        rng = np.random.default_rng(0)
        X = rng.random((rows, 784), dtype=np.float32)
        return X, (X @ rng.normal(size=(784, 10)).astype("f4")).argmax(axis=1)
    from frozenfit import datasets

    mnist = datasets.load("mnist", data_dir=data)
    return mnist.X_train.reshape(-1, 784)[:rows], mnist.y_train[:rows]


def cpu(function) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def elm(**settings):
    from frozenfit import ELMClassifier

    return ELMClassifier(UNITS, activation="relu", direct_links=False, random_state=0, **settings)


def bare(options) -> dict:
    """Measure X W, H'H and one Cholesky factorization in NumPy, in float64 and in blocks."""
    import numpy as np

    X, _ = pixels(options.data, options.rows)
    rng = np.random.default_rng(0)
    W = rng.normal(size=(784, UNITS)) / 28
    G = np.zeros((UNITS, UNITS))
    found = {"XW": 0.0, "HtH": 0.0}
    for start in range(0, len(X), BLOCK):
        block = X[start : start + BLOCK].astype(np.float64)
        begin = time.process_time()
        H = block @ W
        middle = time.process_time()
        np.maximum(H, 0, out=H)
        later = time.process_time()
        product = H.T @ H
        found["XW"] += middle - begin
        found["HtH"] += time.process_time() - later
        G += product
    G += 1e-3 * np.trace(G) / UNITS * np.eye(UNITS)
    found["cholesky"] = cpu(lambda: np.linalg.cholesky(G))
    return {**found, "cpu_s": sum(found.values())}


def ours(options) -> dict:
    X, y = pixels(options.data, options.rows)
    model = elm(alpha=ALPHAS, scale="common")
    model.set_params(clip=None)
    return {"cpu_s": cpu(lambda: model.fit(X, y)), "alpha": float(model.alpha_)}


def sampler(options) -> dict:
    """Measure RBFSampler and RidgeClassifierCV over the same grid."""
    from sklearn.kernel_approximation import RBFSampler
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.pipeline import make_pipeline

    X, y = pixels(options.data, options.rows)
    model = make_pipeline(
        RBFSampler(gamma=0.02, n_components=UNITS, random_state=0), RidgeClassifierCV(ALPHAS)
    )
    return {"cpu_s": cpu(lambda: model.fit(X, y))}


def throughput(options) -> dict:
    """Measure rows per CPU second of predict, and of the same products in NumPy."""
    import numpy as np

    X, y = pixels(options.data, options.rows)
    model = elm(alpha=1e-3, scale="common", clip=None, loo_rows=2000)
    model.fit(X[:5000], y[:5000])
    W = model._current()[0].layers[0].kernel
    B = model._current()[1].coefs[0].astype(np.float32)

    def products():
        for start in range(0, len(X), 1024):
            H = X[start : start + 1024] @ W
            np.maximum(H, 0, out=H)
            (H @ B).argmax(axis=1)

    products()
    seconds = {"bare": cpu(products), "predict": cpu(lambda: model.predict(X))}
    rates = {f"{name}_rows_per_cpu_s": len(X) / s for name, s in seconds.items()}
    return {**rates, "ratio": seconds["bare"] / seconds["predict"]}


def synthetic():
    from sklearn.datasets import make_classification
    from sklearn.preprocessing import StandardScaler

    X, y = make_classification(
        14_000, 50, n_informative=25, n_redundant=0, n_classes=10, random_state=0
    )
    X = StandardScaler().fit_transform(X).astype("float32")
    return X[:10_000], y[:10_000], X[10_000:], y[10_000:]


def small(options) -> dict:
    """Measure 10,000 x 50, 10 classes, 1,000 units: defaults, a fixed alpha, and scikit-learn."""
    import numpy as np
    from sklearn.linear_model import RidgeClassifierCV

    from frozenfit import ELMClassifier

    A, a, B, b = synthetic()
    found = {}
    rng = np.random.default_rng(0)
    W, bias = rng.normal(size=(50, 1000)) / 50**0.5, rng.normal(size=1000)
    H, J = np.tanh(A @ W + bias), np.tanh(B @ W + bias)
    models = {
        "default": (ELMClassifier(random_state=0), A, B),
        "9 alphas": (
            ELMClassifier(alpha=[10.0**k for k in range(-6, 3)], random_state=0),
            A,
            B,
        ),
        "alpha .01": (ELMClassifier(alpha=0.01, random_state=0), A, B),
        "tanh + RidgeClassifierCV": (RidgeClassifierCV(np.logspace(-4, 4, 9)), H, J),
    }
    for name, (model, given, test) in models.items():
        found[name] = {"cpu_s": cpu(lambda m=model, g=given: m.fit(g, a))}
        found[name]["accuracy"] = float(model.score(test, b))
    return found


def stream(options) -> dict:
    """Measure 1,000,000 x 100 in a memory map, 1,000 units."""
    import numpy as np

    rows = options.rows if options.rows < 60_000 else 1_000_000
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        path = Path(folder) / "x.npy"
        X = np.lib.format.open_memmap(path, "w+", np.float32, (rows, 100))
        rng = np.random.default_rng(0)
        for start in range(0, rows, 10_000):
            X[start : start + 10_000] = rng.normal(size=(min(10_000, rows - start), 100))
        y = (X[:, 0] * X[:, 1] > 0).astype(np.int32)
        del X
        from frozenfit import ELMClassifier

        before = reset_peak()
        model = ELMClassifier(1000, activation="relu", random_state=0)
        seconds = cpu(lambda: model.fit(np.load(path, mmap_mode="r"), y))
        return {"cpu_s": seconds, "peak_above_start_MiB": peak() - before}


PARTS = {
    "gram": ("bare", "ours"),
    "peer": ("sampler",),
    "small": ("small",),
    "predict": ("throughput",),
    "stream": ("stream",),
}


def peak() -> float:
    """Return the peak resident memory in MiB since `reset_peak`, mapped pages included."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def reset_peak() -> float:
    """Reset the recorded peak where the system allows it; return the current memory in MiB."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")
    return peak()


def run_one(options) -> None:
    import numpy as np  # noqa: F401
    import sklearn.linear_model  # noqa: F401

    import frozenfit.estimators.elm  # noqa: F401

    before = reset_peak()
    found = globals()[options.one](options)
    found.setdefault("peak_above_start_MiB", round(peak() - before, 1))
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--data", default=None, help="folder of TensorFlow Datasets")
    parser.add_argument("--scratch", default=None, help="folder for a file of 400 MB")
    parser.add_argument("--one", default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        run_one(options)
        return
    for threads in options.threads:
        limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
        for name in [name for part in options.parts for name in PARTS[part]]:
            command = [sys.executable, __file__, "--one", name, "--rows", str(options.rows)]
            command += ["--data", options.data] if options.data else []
            command += ["--scratch", options.scratch] if options.scratch else []
            done = subprocess.run(
                command, env={**os.environ, **limits}, capture_output=True, text=True
            )
            print(threads, name, done.stdout.strip() or done.stderr[-800:], flush=True)


if __name__ == "__main__":
    main()
