"""Ensembles on tables: shared kernels with adapters, independent networks, trees, and TabM.

    python benchmarks/ensembles.py --data FOLDER --out runs.jsonl            # training parts only
    python benchmarks/ensembles.py --data FOLDER --out table.jsonl --test    # once, on test parts

FOLDER holds one NAME.npz per data set with X, y, `categorical` (one flag per column) and, where
there is an official one, `split` (0 train, 1 test); else 30 % are the test part. Categories are
one-hot encoded and other columns standardized, by the training part. Without --test, a quarter of
each training part is what arms are compared on. Networks have two hidden layers, Adam at 0.002 with
weight decay 0.0003, batches of 128, and stop early on 15 % of the rows. TabM runs where the package
`tabm` and torch are installed. Runs are appended to the file as they are measured, and a run that
is started again measures what is missing; `ensemble_tables.py` turns the file into tables.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import itertools
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from defaults import Rows, encoded, has_classes, load
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor

import frozenfit
from frozenfit import (
    CheapEnsembleClassifier,
    CheapEnsembleRegressor,
    PartialNetClassifier,
    PartialNetRegressor,
)
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
Predict = Callable[[np.ndarray], np.ndarray]
# Predictions by the prefix of their measures, and what else is known about the fit.
Fitted = tuple[dict[str, Predict], dict[str, float]]


def network(
    y: np.ndarray, width: int, seed: int, **settings: Any
) -> PartialNetClassifier | PartialNetRegressor:
    """Return a network with two hidden layers."""
    layers = {"hidden_layer_sizes": (width, width)}
    kind = PartialNetClassifier if has_classes(y) else PartialNetRegressor
    return kind("mlp", model_params=layers, random_state=seed, **TRAINING | settings)


def predictions(model: Any) -> Predict:
    """Return the function that computes probabilities, or numbers."""
    return getattr(model, "predict_proba", model.predict)


def size_of_file(estimator: Any) -> int:
    """Return the bytes of the file of an estimator."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.frozenfit"
        frozenfit.save(estimator, path)
        return path.stat().st_size


def one_network(X: np.ndarray, y: np.ndarray, seed: int, width: int = 128) -> Fitted:
    """Train everything."""
    model = network(y, width, seed, trainable=1.0).fit(X, y)
    return {"": predictions(model)}, {"bytes": size_of_file(model), "epochs": model.n_iter_}


def deep_ensemble(X: np.ndarray, y: np.ndarray, seed: int, members: int = 8) -> Fitted:
    """Train independent networks."""
    seeds = range(1000 * seed, 1000 * seed + members)
    models = [network(y, 128, each, trainable=1.0).fit(X, y) for each in seeds]

    def predict(X: np.ndarray) -> np.ndarray:
        return np.mean([predictions(model)(X) for model in models], axis=0)

    return {"": predict}, {"bytes": sum(map(size_of_file, models))}


def adapters(X: np.ndarray, y: np.ndarray, seed: int, width: int, base: str) -> Fitted:
    """Train adapters of 16 members, which stop together."""
    settings = {"members": "adapters", "base": base, "stopping": "ensemble", "random_state": seed}
    one = network(y, width, seed)
    if not has_classes(y):
        model = CheapEnsembleRegressor(one, 16, **settings).fit(X, y)
        return {"": model.predict}, {"bytes": size_of_file(model), "epochs": model.n_iter_}
    model = CheapEnsembleClassifier(one, 16, calibrate=True, **settings).fit(X, y)
    # The samples that end the training also determine the temperature, so one fit serves both.
    plain = copy.copy(model)
    plain.temperature_ = 1.0
    about = {"bytes": size_of_file(model), "epochs": model.n_iter_}
    about["temperature"] = model.temperature_
    return {"": plain.predict_proba, "calibrated ": model.predict_proba}, about


def boosting(X: np.ndarray, y: np.ndarray, seed: int) -> Fitted:
    """Train trees until the held-out loss does not improve."""
    kind = HistGradientBoostingClassifier if has_classes(y) else HistGradientBoostingRegressor
    return {"": predictions(kind(early_stopping=True, random_state=seed).fit(X, y))}, {}


def bagging(X: np.ndarray, y: np.ndarray, seed: int) -> Fitted:
    """Train scikit-learn's network on eight bootstrap samples."""
    net, kind = MLPRegressor, BaggingRegressor
    if has_classes(y):
        net, kind = MLPClassifier, BaggingClassifier
    one = net(hidden_layer_sizes=(128, 128), batch_size=128, early_stopping=True)
    return {"": predictions(kind(one, n_estimators=8, random_state=seed).fit(X, y))}, {}


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
    return {"": lambda X: predict(torch.as_tensor(X)).numpy()}, {"bytes": 4 * count}


ARMS: dict[str, Callable[..., Fitted]] = {
    "one network": one_network,
    "frozen, 128": lambda X, y, seed: adapters(X, y, seed, 128, "frozen"),
    "joint, 128": lambda X, y, seed: adapters(X, y, seed, 128, "joint"),
    "8 independent networks": deep_ensemble,
    "HistGradientBoosting": boosting,
    "TabM, 128": tabm,
    "frozen, 256": lambda X, y, seed: adapters(X, y, seed, 256, "frozen"),
    "trained, 128": lambda X, y, seed: adapters(X, y, seed, 128, "trained"),
    "joint, 256": lambda X, y, seed: adapters(X, y, seed, 256, "joint"),
    "bagging of 8": bagging,
}


def measured(arm: Callable[..., Fitted], seed: int, X, y, X_new, y_new) -> dict[str, float]:
    """Fit an arm, and score it on new samples."""
    start = time.process_time()
    predicts, row = arm(X, y, seed)
    row["seconds"] = time.process_time() - start
    for prefix, predict in predicts.items():
        start = time.process_time()
        outputs = np.asarray(predict(X_new), np.float64)
        row[prefix + "seconds_predict"] = time.process_time() - start
        if not has_classes(y):
            row[prefix + "score"] = float(r2_score(y_new, outputs))
            continue
        proba = outputs / outputs.sum(axis=1, keepdims=True)
        place = np.searchsorted(np.unique(y), y_new)
        chosen = proba[np.arange(len(place)), place]
        row[prefix + "log_loss"] = float(-np.log(np.maximum(chosen, 1e-15)).mean())
        row[prefix + "score"] = float(np.mean(proba.argmax(axis=1) == place))
        row[prefix + "ece"] = calibration_error(proba, place)
    return row


def parts(
    folder: Path, test: bool, seed: int, limit: int
) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]]:
    """Yield name and (X, y, X_new, y_new) of each data set."""
    for name, (X, X_new, y, y_new), categorical in load(folder):
        if name == "digits":
            continue
        if not test:
            stratify = y if has_classes(y) else None
            X, X_new, y, y_new = train_test_split(
                X, y, test_size=0.25, random_state=100 + seed, stratify=stratify
            )
        chosen = np.random.default_rng(seed).permutation(len(X))[:limit]
        A, B = encoded(categorical, X[chosen], X_new)
        yield name, (A, y[chosen], B, y_new)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the file of measured runs")
    parser.add_argument("--test", action="store_true", help="score on the test parts")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--sets", nargs="+", default=None)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=int, default=3000, help="most training rows")
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    rows = Rows(args.out)
    data = [dict(parts(args.data, args.test, seed, args.limit)) for seed in range(args.seeds)]
    for arm, seed in itertools.product(args.arms, range(args.seeds)):
        for name, (X, y, X_new, y_new) in data[seed].items():
            chosen = args.sets is None or name in args.sets
            can = arm != "TabM, 128" or (has_classes(y) and importlib.util.find_spec("tabm"))
            if chosen and can:
                key = {"set": name, "model": arm, "seed": seed, "test": args.test}
                key |= {"limit": args.limit, "backend": keras.config.backend()}
                each = seed, X, y, X_new, y_new
                rows.add(lambda arm=ARMS[arm], each=each: measured(arm, *each), **key)
                keras.utils.clear_session()
        print(arm, seed, "done", flush=True)


if __name__ == "__main__":
    main()
