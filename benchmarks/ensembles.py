"""Ensembles on tables: shared kernels with adapters, independent networks, trees, and TabM.

    python benchmarks/ensembles.py --data FOLDER --out runs.jsonl            # training parts only
    python benchmarks/ensembles.py --data FOLDER --out table.jsonl --test    # once, on test parts

FOLDER holds one NAME.npz per data set with X, y, `categorical` (one flag per column) and, where
there is an official one, `split` (0 train, 1 test); else 30 % are the test part. At most 6,000 rows
are trained on. Categories are one-hot encoded and other columns standardized, by the training part.
Without --test, a quarter of each training part is what arms are compared on. Networks have two
hidden layers, Adam at 0.002 with weight decay 0.0003, batches of 128, and stop early on 15 % of the
rows. TabM runs where the package `tabm` and torch are installed. Runs are appended to the file as
they are measured, and a run that is started again measures what is missing.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from defaults import Rows, cells, encoded, has_classes, load
from sklearn.ensemble import BaggingClassifier, HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import frozenfit
from frozenfit import CheapEnsembleClassifier, PartialNetClassifier
from frozenfit.estimators.ensemble_report import calibration_error

TRAINING = {
    "epochs": 150,
    "batch_size": 128,
    "learning_rate": 0.002,
    "lr_schedule": None,
    "weight_decay": 0.0003,
    "early_stopping": True,
    "validation_fraction": 0.15,
    "patience": 6,
}
MOST_ROWS = 6000

Probabilities = Callable[[np.ndarray], np.ndarray]
Fitted = tuple[Probabilities, dict[str, float]]


def network(width: int, seed: int, **settings: Any) -> PartialNetClassifier:
    """Return a network with two hidden layers."""
    layers = {"hidden_layer_sizes": (width, width)}
    return PartialNetClassifier(
        "mlp", model_params=layers, random_state=seed, **TRAINING | settings
    )


def size_of_file(estimator: Any) -> int:
    """Return the bytes of the file of an estimator."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.frozenfit"
        frozenfit.save(estimator, path)
        return path.stat().st_size


def one_network(X: np.ndarray, y: np.ndarray, seed: int, width: int = 128) -> Fitted:
    """Train everything."""
    model = network(width, seed, trainable=1.0).fit(X, y)
    return model.predict_proba, {"bytes": size_of_file(model), "epochs": model.n_iter_}


def deep_ensemble(X: np.ndarray, y: np.ndarray, seed: int, members: int = 8) -> Fitted:
    """Train independent networks."""
    models = [network(128, 1000 * seed + i, trainable=1.0).fit(X, y) for i in range(members)]

    def predict(X: np.ndarray) -> np.ndarray:
        return np.mean([model.predict_proba(X) for model in models], axis=0)

    return predict, {"bytes": sum(map(size_of_file, models))}


def adapters(X: np.ndarray, y: np.ndarray, seed: int, width: int, base: str) -> Fitted:
    """Train adapters of 16 members."""
    settings = {"n_estimators": 16, "members": "adapters", "random_state": seed}
    model = CheapEnsembleClassifier(network(width, seed), base=base, **settings).fit(X, y)
    return model.predict_proba, {"bytes": size_of_file(model), "epochs": model.n_iter_}


def boosting(X: np.ndarray, y: np.ndarray, seed: int) -> Fitted:
    """Train trees until the held-out loss does not improve."""
    model = HistGradientBoostingClassifier(early_stopping=True, random_state=seed).fit(X, y)
    return model.predict_proba, {}


def bagging(X: np.ndarray, y: np.ndarray, seed: int) -> Fitted:
    """Train scikit-learn's network on eight bootstrap samples."""
    one = MLPClassifier((128, 128), batch_size=128, early_stopping=True)
    model = BaggingClassifier(one, n_estimators=8, random_state=seed).fit(X, y)
    return model.predict_proba, {}


def tabm(X: np.ndarray, y: np.ndarray, seed: int, width: int = 128, members: int = 16) -> Fitted:
    """Train TabM on the encoded columns, with the settings of the other networks."""
    import torch
    from tabm import TabM

    torch.manual_seed(seed)
    A, B, a, b = train_test_split(X, y, test_size=0.15, random_state=seed, stratify=y)
    classes = np.unique(y)
    A, B = torch.as_tensor(A), torch.as_tensor(B)
    a, b = (torch.as_tensor(np.searchsorted(classes, part)) for part in (a, b))
    model = TabM.make(
        n_num_features=X.shape[1], d_out=len(classes), k=members, n_blocks=2, d_block=width
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.002, weight_decay=0.0003)
    loss = torch.nn.functional.cross_entropy

    def predict(X: torch.Tensor) -> torch.Tensor:
        model.eval()
        with torch.no_grad():
            return torch.softmax(model(X), dim=-1).mean(dim=1)

    best, kept, waited = np.inf, model.state_dict(), 0
    for _ in range(TRAINING["epochs"]):
        model.train()
        for rows in torch.randperm(len(A)).split(128):
            optimizer.zero_grad()
            logits = model(A[rows])
            loss(logits.flatten(0, 1), a[rows].repeat_interleave(members)).backward()
            optimizer.step()
        held_out = float(torch.nn.functional.nll_loss(predict(B).clamp_min(1e-12).log(), b))
        if held_out < best:
            best, waited = held_out, 0
            kept = {name: value.clone() for name, value in model.state_dict().items()}
        else:
            waited += 1
            if waited == TRAINING["patience"]:
                break
    model.load_state_dict(kept)
    count = sum(value.numel() for value in model.parameters())
    return lambda X: predict(torch.as_tensor(X)).numpy(), {"bytes": 4 * count}


ARMS: dict[str, Callable[..., Fitted]] = {
    "one network": one_network,
    "frozen, 128": lambda X, y, seed: adapters(X, y, seed, 128, "frozen"),
    "frozen, 256": lambda X, y, seed: adapters(X, y, seed, 256, "frozen"),
    "trained, 128": lambda X, y, seed: adapters(X, y, seed, 128, "trained"),
    "HistGradientBoosting": boosting,
    "TabM, 128": tabm,
    "8 independent networks": deep_ensemble,
    "bagging of 8 MLPClassifier": bagging,
}


def measured(arm: Callable[..., Fitted], seed: int, X, y, X_new, y_new) -> dict[str, float]:
    """Fit an arm, and score it on new samples."""
    start = time.process_time()
    predict, about = arm(X, y, seed)
    fitted = time.process_time()
    proba = np.asarray(predict(X_new), np.float64)
    proba /= proba.sum(axis=1, keepdims=True)
    place = np.searchsorted(np.unique(y), y_new)
    chosen = proba[np.arange(len(place)), place]
    return about | {
        "log_loss": float(-np.log(np.maximum(chosen, 1e-15)).mean()),
        "score": float(np.mean(proba.argmax(axis=1) == place)),
        "ece": calibration_error(proba, place),
        "seconds": fitted - start,
        "seconds_predict": time.process_time() - fitted,
    }


def parts(folder: Path, test: bool, seed: int) -> Iterator[tuple[str, tuple]]:
    """Yield name and (X, X_new, y, y_new) of each data set with classes."""
    for name, (X, X_new, y, y_new), categorical in load(folder):
        if name == "digits" or not has_classes(y):
            continue
        if not test:
            X, X_new, y, y_new = train_test_split(
                X, y, test_size=0.25, random_state=100 + seed, stratify=y
            )
        chosen = np.random.default_rng(seed).permutation(len(X))[:MOST_ROWS]
        A, B = encoded(categorical, X[chosen], X_new)
        yield name, (A, y[chosen], B, y_new)


def print_table(rows: list[dict]) -> None:
    """Print one Markdown table per measure: data sets by arms, for the sets of all arms."""
    arms = [arm for arm in ARMS if any(row["model"] == arm for row in rows)]
    for column in ("log_loss", "score", "ece", "seconds", "bytes"):
        found = cells(rows, column)
        shown = [arm for arm in arms if any(model == arm for _, model in found)]
        names = list(dict.fromkeys(name for name, _ in found))
        print(f"\n| {column} | " + " | ".join(shown) + " |\n" + "|---" * (len(shown) + 1) + "|")
        digits = {"seconds": 1, "bytes": 0}.get(column, 3)
        for name in names:
            values = [found.get((name, arm)) for arm in shown]
            texts = ("" if value is None else f"{value[0]:.{digits}f}" for value in values)
            print(f"| {name} | " + " | ".join(texts) + " |")
        whole = [name for name in names if all((name, arm) in found for arm in shown)]
        if whole:
            means = (np.mean([found[name, arm][0] for name in whole]) for arm in shown)
            print(
                f"| mean of {len(whole)} | " + " | ".join(f"{m:.{digits}f}" for m in means) + " |"
            )


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the file of measured runs")
    parser.add_argument("--test", action="store_true", help="score on the test parts")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--sets", nargs="+", default=None)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    arms = [a for a in args.arms if a != "TabM, 128" or importlib.util.find_spec("tabm")]
    rows = Rows(args.out)
    for seed in range(args.seeds):
        for name, data in parts(args.data, args.test, seed):
            if args.sets is not None and name not in args.sets:
                continue
            for arm in arms:
                key = {"set": name, "model": arm, "seed": seed, "test": args.test}
                key["backend"] = keras.config.backend()
                rows.add(lambda a=ARMS[arm], s=seed, d=data: measured(a, s, *d), **key)
                keras.utils.clear_session()
            print(name, seed, "done", flush=True)
    print_table([row for row in rows.rows if row["test"] == args.test])


if __name__ == "__main__":
    main()
