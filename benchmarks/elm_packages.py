"""Comparison of ELM packages: CPU seconds of a fit with 1,000 units, and test accuracy.

10,000 rows of 50 standardized columns and 10 classes (make_classification), and 4,000 test rows.
Each line runs in a separate process with one BLAS thread; reported are the median of the seconds
and the mean of the accuracies over three seeds. The other packages (hpelm, scikit-elm, pyoselm,
gfdl) need other versions of NumPy and Python: pass the interpreters that have them. The lines run
in turn, so that load on the machine affects all of them.

    python benchmarks/elm_packages.py --pythons ENV1/bin/python ENV2/bin/python --rounds 3
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

UNITS = 1000
SEEDS = 3


def frozenfit(seed: int, a, **settings):
    from frozenfit import ELMClassifier

    return ELMClassifier(**{"hidden_layer_sizes": UNITS, **settings}, random_state=seed)


def ridge_on_tanh(seed: int, a):
    """Return tanh units and scikit-learn's ridge with leave-one-out over 9 values of alpha."""
    import numpy as np
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    rng = np.random.default_rng(seed)
    W, bias = rng.normal(size=(a.shape[1], UNITS)) / a.shape[1] ** 0.5, rng.normal(size=UNITS)
    hidden = FunctionTransformer(lambda X: np.tanh(X @ W + bias))
    return make_pipeline(hidden, RidgeClassifierCV(np.logspace(-4, 4, 9)))


class Hpelm:
    """Hpelm with the methods of a scikit-learn classifier."""

    def __init__(self, seed: int, a):
        import hpelm
        import numpy as np

        np.random.seed(seed)
        self.net = hpelm.ELM(a.shape[1], 10, classification="c")
        self.net.add_neurons(UNITS, "tanh")

    def fit(self, X, y):
        """Fit the network."""
        import numpy as np

        self.net.train(X.astype(float), np.eye(10)[y], "c")

    def score(self, X, y):
        """Return the accuracy."""
        return (self.net.predict(X.astype(float)).argmax(axis=1) == y).mean()


def scikit_elm(seed: int, a):
    import skelm

    return skelm.ELMClassifier(n_neurons=UNITS, ufunc="tanh", random_state=seed)


def pyoselm(seed: int, a, **settings):
    import pyoselm

    named = {"n_hidden": UNITS, "activation_func": "tanh", "random_state": seed}
    return pyoselm.ELMClassifier(**named, **settings)


def oselm(seed: int, a):
    import pyoselm

    return pyoselm.OSELMClassifier(n_hidden=UNITS, activation_func="tanh", random_state=seed)


def gfdl(seed: int, a, **settings):
    from gfdl.model import GFDLClassifier

    return GFDLClassifier(
        hidden_layer_sizes=(UNITS,),
        activation="tanh",
        weight_scheme="lecun_normal",
        seed=seed,
        **settings,
    )


LINES = {
    "ELMClassifier": (frozenfit, {}),
    "ELMClassifier, alpha=.01": (frozenfit, {"alpha": 0.01}),
    "ELMClassifier, 200 units": (frozenfit, {"hidden_layer_sizes": 200}),
    "ELMClassifier, 300 units": (frozenfit, {"hidden_layer_sizes": 300}),
    "RidgeClassifierCV on tanh units": (ridge_on_tanh, {}),
    "hpelm": (Hpelm, {}),
    "scikit-elm": (scikit_elm, {}),
    "pyoselm ELM, alpha 1": (pyoselm, {"alpha": 1.0}),
    "pyoselm OS-ELM": (oselm, {}),
    "gfdl, alpha 1": (gfdl, {"reg_alpha": 1.0}),
}


def data(path: Path) -> None:
    import numpy as np
    from sklearn.datasets import make_classification
    from sklearn.preprocessing import StandardScaler

    X, y = make_classification(
        14_000, 50, n_informative=25, n_redundant=0, n_classes=10, random_state=0
    )
    X = StandardScaler().fit_transform(X).astype("float32")
    np.savez(path, A=X[:10_000], a=y[:10_000], B=X[10_000:], b=y[10_000:])


def run_one(name: str, path: str) -> None:
    import numpy as np

    given = np.load(path)
    A, a, B, b = (given[key] for key in "AaBb")
    make, settings = LINES[name]
    make(0, A, **settings).fit(A[:1500], a[:1500])
    found = []
    for seed in range(SEEDS):
        model = make(seed, A, **settings)
        start = time.process_time()
        model.fit(A, a)
        found.append((time.process_time() - start, float(model.score(B, b))))
    print("found", json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pythons", nargs="*", default=[], help="interpreters with other packages")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        run_one(*options.one)
        return
    found: dict[str, list] = {name: [] for name in LINES}
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.npz"
        data(path)
        for _ in range(options.rounds):
            for name in LINES:
                for python in [sys.executable, *options.pythons]:
                    done = subprocess.run(
                        [python, __file__, "--one", name, str(path)],
                        env={**os.environ, **limits},
                        capture_output=True,
                        text=True,
                    )
                    if done.returncode == 0:
                        found[name] += json.loads(done.stdout.rsplit("found", 1)[1])
                        break
    for name, runs in found.items():
        if not runs:
            print(f"{name:34s} not installed in any of the interpreters")
            continue
        seconds, accuracies = zip(*runs, strict=True)
        print(
            f"{name:34s} {statistics.median(seconds):6.2f} s (minimum {min(seconds):.2f})"
            f"   accuracy {statistics.mean(accuracies):.3f}"
        )


if __name__ == "__main__":
    main()
