"""Several tasks on one random network, against a network of its own for each.

    python examples/tasks.py --budget tiny
    OMP_NUM_THREADS=1 KERAS_BACKEND=tensorflow python examples/tasks.py --budget cpu --seeds 3 \
        --data-dir FOLDER --out tasks.json

The base is one lenet5 with batch normalisation, drawn from a seed and never trained. Each task owns
its learned entries, statistics and head; learning one leaves the others bit by bit as they were
(Rosenfeld & Tsotsos 2018, arXiv 1802.00844, name this use). `cpu` takes parts of MNIST,
Fashion-MNIST and CIFAR-10 (in grey, cut to 28 x 28) from the tensorflow-datasets FOLDER; `tiny`
takes digits, the even ones only, and digits inverted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np

import frozenfit
from frozenfit import PartialNetClassifier

TRAIN, TEST = 3000, 2000
PARTS = {
    "head and batch norm": "head() | batch_norm()",
    "a tenth": "filters(0.1) | head() | batch_norm()",
    "four tenths": "filters(0.4) | head() | batch_norm()",
}


def tiny_tasks() -> dict[str, tuple]:
    """Make tasks of digits."""
    data = frozenfit.datasets.load("digits")
    part = data.X_train[:300], data.y_train[:300], data.X_test, data.y_test
    even = [k % 2 == 0 for k in (part[1], part[3])]
    return {
        "digits": part,
        "even": (part[0][even[0]], part[1][even[0]], part[2][even[1]], part[3][even[1]]),
        "inverted": (1 - part[0], part[1], 1 - part[2], part[3]),
    }


def grey(images: np.ndarray) -> np.ndarray:
    """Turn 32 x 32 colour images into their inner 28 x 28 pixels in grey."""
    return (images[:, 2:30, 2:30] @ np.array([0.299, 0.587, 0.114], "float32"))[..., None]


def real_tasks(data_dir: str | None) -> dict[str, tuple]:
    """Load parts of three data sets as grey images of 28 x 28 pixels."""
    found = {}
    for name in ("mnist", "fashion_mnist", "cifar10"):
        data = frozenfit.datasets.load(name, data_dir=data_dir)
        train, test = data.X_train[:TRAIN], data.X_test[:TEST]
        if name == "cifar10":
            train, test = grey(train), grey(test)
        found[name] = train, data.y_train[:TRAIN], test, data.y_test[:TEST]
    return found


def saved_size(estimators) -> int:
    """Return the bytes of a file, the base of several tasks once."""
    with tempfile.TemporaryDirectory() as folder:
        frozenfit.save(estimators, Path(folder) / "x.frozenfit")
        return (Path(folder) / "x.frozenfit").stat().st_size


def on_one_base(tasks: dict[str, tuple], learned: str, epochs: int, seed: int) -> dict:
    """Learn one task after the other on one base, and see that none is forgotten."""
    params = {"learned": learned, "epochs": epochs, "random_state": seed}
    models: dict[str, PartialNetClassifier] = {}
    first: PartialNetClassifier | None = None
    said: dict[str, bytes] = {}
    for name, (X, y, X_test, _) in tasks.items():
        if first is None:
            model = PartialNetClassifier("lenet5", model_params={"batch_norm": True}, **params)
            first = model
        else:
            model = PartialNetClassifier(first.base_, **params)
        models[name] = model.fit(X, y)
        said[name] = model.predict_proba(X_test).tobytes()
    for name, (_, _, X_test, _) in tasks.items():
        if models[name].predict_proba(X_test).tobytes() != said[name]:
            raise RuntimeError(f"{name} was forgotten")
    return {
        "accuracy": scores(models, tasks),
        "learned": count(models),
        "bytes": saved_size(models),
    }


def on_their_own(tasks: dict[str, tuple], epochs: int, seed: int) -> dict:
    """Learn each task with a network of its own, all of it."""
    models = {
        name: PartialNetClassifier(
            "lenet5",
            model_params={"batch_norm": True},
            learned=1.0,
            epochs=epochs,
            random_state=seed,
        ).fit(X, y)
        for name, (X, y, _, _) in tasks.items()
    }
    sizes = sum(map(saved_size, models.values()))
    return {"accuracy": scores(models, tasks), "learned": count(models), "bytes": sizes}


def scores(models: dict, tasks: dict[str, tuple]) -> dict[str, float]:
    """Return the test accuracy of each task."""
    return {name: float(models[name].score(*tasks[name][2:])) for name in tasks}


def count(models: dict) -> int:
    """Return the learned entries of all tasks."""
    return sum(row[3] for model in models.values() for row in model.learned_table())


def show(name: str, runs: list[dict]) -> dict:
    """Print one line of the table, and return it."""
    tasks = list(runs[0]["accuracy"])
    means = {t: statistics.fmean(run["accuracy"][t] for run in runs) for t in tasks}
    spread = {t: statistics.pstdev(run["accuracy"][t] for run in runs) for t in tasks}
    cells = " | ".join(f"{means[t]:.4f} ± {spread[t]:.4f}" for t in tasks)
    print(f"| {name} | {cells} | {runs[0]['learned']:,} | {runs[0]['bytes']:,} |", flush=True)
    own = {"learned": runs[0]["learned"], "bytes": runs[0]["bytes"]}
    return {"name": name, "accuracy": means, "spread": spread, **own}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", choices=("tiny", "cpu"), default="tiny")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    start = time.process_time()
    tasks = tiny_tasks() if args.budget == "tiny" else real_tasks(args.data_dir)
    epochs = 1 if args.budget == "tiny" else 5
    print(f"| learned | {' | '.join(tasks)} | learned weights | bytes |")
    rows = []
    parts = list(PARTS.items())
    for name, learned in parts[1:2] if args.budget == "tiny" else parts:
        runs = [on_one_base(tasks, learned, epochs, seed) for seed in range(args.seeds)]
        rows.append(show(f"{name}, one base", runs))
    runs = [on_their_own(tasks, epochs, seed) for seed in range(args.seeds)]
    rows.append(show("everything, a network each", runs))
    print(f"{time.process_time() - start:.0f} CPU seconds")
    if args.out:
        about = {"budget": args.budget, "seeds": args.seeds, "epochs": epochs}
        about["backend"] = os.environ["KERAS_BACKEND"]
        args.out.write_text(json.dumps({**about, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
