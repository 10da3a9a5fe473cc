"""Default ELM estimators on tables, compared with common models of scikit-learn.

Reads files NAME.npz with arrays X and y. At most 7,000 rows, 70 % of them for training, stratified,
two seeds; columns are standardized for the other models. Prints a table and writes JSON.

    python benchmarks/elm_tabular.py --data DIR --out tabular.json
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifierCV, RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from frozenfit import ELMClassifier, ELMRegressor

SETS = (
    "covertype15k letter adult satimage spambase pendigits magic_gamma wine_quality "
    "bank_additional california_housing"
).split()
ROWS = 7000
ALPHAS = np.logspace(-6, 3, 10)


def models(regression: bool, d: int, seed: int) -> dict:
    sampler = RBFSampler(gamma=1 / d, n_components=1000, random_state=seed)
    if regression:
        return {
            "linear": make_pipeline(StandardScaler(), LinearRegression()),
            "RBFSampler + ridge": make_pipeline(StandardScaler(), sampler, RidgeCV(ALPHAS)),
            "MLP": make_pipeline(StandardScaler(), MLPRegressor(max_iter=60, random_state=seed)),
            "ELM": ELMRegressor(random_state=seed),
            "ELM, 2000 units": ELMRegressor(2000, random_state=seed),
        }
    return {
        "linear": make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
        "RBFSampler + ridge": make_pipeline(StandardScaler(), sampler, RidgeClassifierCV(ALPHAS)),
        "MLP": make_pipeline(StandardScaler(), MLPClassifier(max_iter=60, random_state=seed)),
        "ELM": ELMClassifier(random_state=seed),
        "ELM, 2000 units": ELMClassifier(2000, random_state=seed),
    }


def calibration_error(proba: np.ndarray, correct: np.ndarray, bins: int = 15) -> float:
    """Return the expected calibration error of the predicted class."""
    confidence = proba.max(axis=1)
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(confidence[bin_of == b].mean() - correct[bin_of == b].mean()) * np.mean(bin_of == b)
        for b in np.unique(bin_of)
    ]
    return float(sum(gaps))


def measure(model, A, a, B, b) -> dict[str, float]:
    start = time.process_time()
    model.fit(A, a)
    fitted = time.process_time()
    found = {"score": float(model.score(B, b)), "fit_cpu_s": fitted - start}
    if hasattr(model, "predict_proba"):
        proba = model.predict_proba(B)
        index = np.searchsorted(model.classes_, b)
        chosen = proba[np.arange(len(b)), index]
        found["nll"] = float(-np.log(np.maximum(chosen, 1e-15)).mean())
        found["ece"] = calibration_error(proba, proba.argmax(axis=1) == index)
    return found


def one_set(path: Path, seed: int) -> dict[str, dict[str, float]]:
    data = np.load(path, allow_pickle=False)
    X, y = data["X"], data["y"]
    regression = y.dtype.kind == "f"
    chosen = np.random.default_rng(seed).permutation(len(X))[:ROWS]
    X, y = X[chosen], y[chosen]
    keep = np.ones(len(y), bool)
    if not regression:
        labels, counts = np.unique(y, return_counts=True)
        keep = np.isin(y, labels[counts > 1])
    parts = train_test_split(
        X[keep], y[keep], test_size=0.3, random_state=seed, stratify=None if regression else y[keep]
    )
    A, B, a, b = parts
    return {
        name: measure(model, A, a, B, b)
        for name, model in models(regression, X.shape[1], seed).items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of NAME.npz")
    parser.add_argument("--out", type=Path, default=None, help="JSON file to write")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    results: dict[str, list] = {}
    for name in options.sets:
        results[name] = [one_set(options.data / f"{name}.npz", s) for s in range(options.seeds)]
        columns = [
            f"{model} {np.mean([run[model]['score'] for run in results[name]]):.4f}"
            for model in results[name][0]
        ]
        print(f"{name:20}", "  ".join(columns), flush=True)
    summarize(results)
    if options.out is not None:
        options.out.write_text(json.dumps(results, indent=1) + "\n")


def summarize(results: dict[str, list]) -> None:
    """Print means over the classification sets."""
    runs = [run for name in results if name != "california_housing" for run in results[name]]
    for model in runs[0] if runs else ():
        means = {figure: np.mean([run[model][figure] for run in runs]) for figure in runs[0][model]}
        print(f"mean {model:20}", "  ".join(f"{k} {v:.4f}" for k, v in means.items()), flush=True)


if __name__ == "__main__":
    main()
