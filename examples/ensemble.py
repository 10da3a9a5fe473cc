"""Five members on one base, against their mean and against five networks of their own.

    python examples/ensemble.py --budget tiny
    OMP_NUM_THREADS=1 KERAS_BACKEND=tensorflow python examples/ensemble.py --budget cpu --seeds 3 \
        --data-dir FOLDER --out ensemble.json

A base is trained in full for some epochs, then five members learn their part of it for some more
(Rosenfeld & Tsotsos 2018, arXiv 1802.00844, Table 4). The independent networks are trained in full
for the epochs of both. Data: scikit-learn's digits, and a part of Fashion-MNIST from the
tensorflow-datasets FOLDER.
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
from frozenfit.estimators.ensemble_report import classifier_report

HEAD = "head() | batch_norm()"
MEMBERS = 5


def settings(budget: str) -> list[dict]:
    """Say which network learns what, where and how long."""
    mlp = {"name": "digits, mlp(100)", "model": "mlp", "data": "digits", "flat": True}
    if budget == "tiny":
        short = {"train": 200, "base_epochs": 1, "epochs": 1, "learned": [0.1]}
        return [{**mlp, "params": {"hidden_layer_sizes": (16,)}, **short}]
    densenet = {"depth": 16, "growth": 8, "bottleneck": True}
    lenet = ["head()", "filters(0.1) | head()", "filters(0.4) | head()", 1.0]
    return [
        {**mlp, "params": {}, "base_epochs": 2, "epochs": 8, "learned": ["head()", 0.1, 0.4, 1.0]},
        {
            "name": "digits, densenet(16, growth 8)",
            "model": "densenet",
            "data": "digits",
            "params": densenet,
            "base_epochs": 2,
            "epochs": 3,
            "learned": [HEAD, 0.1, 0.4, 1.0],
        },
        {
            "name": "fashion_mnist (5000), lenet5",
            "model": "lenet5",
            "data": "fashion_mnist",
            "params": {},
            "train": 5000,
            "base_epochs": 1,
            "epochs": 3,
            "learned": lenet,
        },
    ]


def load(setting: dict, data_dir: str | None) -> tuple[np.ndarray, ...]:
    """Return the training and the test part that a setting asks for."""
    data = frozenfit.datasets.load(setting["data"], data_dir=data_dir)
    count = setting.get("train", len(data.X_train))
    parts = [data.X_train[:count], data.y_train[:count], data.X_test[:4000], data.y_test[:4000]]
    if setting.get("flat"):
        parts[0], parts[2] = (x.reshape(len(x), -1) for x in (parts[0], parts[2]))
    return tuple(parts)


def figures(rows: list) -> dict[str, dict[str, float]]:
    """Take the mean member and the ensemble out of a report."""
    found = {row.member: row._asdict() for row in rows if row.member in ("mean", "ensemble")}
    return {name: {k: v for k, v in row.items() if k != "member"} for name, row in found.items()}


def size_of(estimator) -> int:
    """Return the bytes of an estimator's file."""
    with tempfile.TemporaryDirectory() as folder:
        frozenfit.save(estimator, Path(folder) / "x.frozenfit")
        return (Path(folder) / "x.frozenfit").stat().st_size


def cheap(setting: dict, learned, data: tuple, seed: int) -> dict:
    """Measure one cheap ensemble."""
    X, y, X_test, y_test = data
    start = time.process_time()
    ensemble = frozenfit.CheapEnsembleClassifier(
        setting["model"],
        model_params=setting["params"],
        n_estimators=MEMBERS,
        learned=learned,
        base_epochs=setting["base_epochs"],
        epochs=setting["epochs"],
        random_state=seed,
    ).fit(X, y)
    seconds = time.process_time() - start
    found = figures(ensemble.ensemble_report(X_test, y_test))
    own = {"learned": ensemble.n_learned_, "bytes": size_of(ensemble), "seconds": seconds}
    return {**found, **own}


def independent(setting: dict, data: tuple, seed: int) -> dict:
    """Measure networks that share nothing, trained in full."""
    X, y, X_test, y_test = data
    start = time.process_time()
    networks = [
        frozenfit.PartialNetClassifier(
            setting["model"],
            model_params=setting["params"],
            learned=1.0,
            epochs=setting["base_epochs"] + setting["epochs"],
            random_state=1000 * seed + i,
        ).fit(X, y)
        for i in range(MEMBERS)
    ]
    seconds = time.process_time() - start
    probabilities = np.stack([network.predict_proba(X_test) for network in networks])
    learned = sum(row[3] for row in networks[0].learned_table()) * MEMBERS
    own = {"learned": learned, "bytes": sum(map(size_of, networks)), "seconds": seconds}
    return {**figures(classifier_report(probabilities, y_test)), **own}


def row_of(name: str, runs: list[dict]) -> dict:
    """Sum up the seeds: means and spread of the figures, the median time."""
    row: dict = {"learned by each": name}
    for who in ("mean", "ensemble"):
        for figure in ("accuracy", "nll", "ece", "disagreement"):
            values = [run[who][figure] for run in runs]
            row[f"{who} {figure}"] = statistics.fmean(values)
            row[f"{who} {figure} spread"] = statistics.pstdev(values)
    row |= {"learned": runs[0]["learned"], "bytes": runs[0]["bytes"]}
    row["seconds"] = statistics.median(run["seconds"] for run in runs)
    return row


def show(row: dict) -> None:
    """Print one line of the table."""
    print(
        f"| {row['learned by each']} | {row['mean accuracy']:.4f} | {row['ensemble accuracy']:.4f} "
        f"± {row['ensemble accuracy spread']:.4f} | {row['mean nll']:.3f} | "
        f"{row['ensemble nll']:.3f} | {row['mean ece']:.3f} | {row['ensemble ece']:.3f} | "
        f"{row['ensemble disagreement']:.3f} | {row['learned']:,} | {row['bytes']:,} | "
        f"{row['seconds']:.1f} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", choices=("tiny", "cpu"), default="tiny")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    results = []
    for setting in settings(args.budget):
        data = load(setting, args.data_dir)
        print(
            f"\n{setting['name']}: base {setting['base_epochs']}, then {setting['epochs']} epochs"
        )
        print(
            "| learned by each | mean acc | ensemble acc | mean NLL | ens. NLL | mean ECE | "
            "ens. ECE | disagree | learned | bytes | CPU s |"
        )
        rows = []
        for learned in setting["learned"]:
            runs = [cheap(setting, learned, data, seed) for seed in range(args.seeds)]
            rows.append(row_of(str(learned), runs))
            show(rows[-1])
        runs = [independent(setting, data, seed) for seed in range(args.seeds)]
        rows.append(row_of("5 networks of their own", runs))
        show(rows[-1])
        results.append({"setting": setting, "rows": rows})
    if args.out:
        about = {"budget": args.budget, "seeds": args.seeds, "backend": os.environ["KERAS_BACKEND"]}
        args.out.write_text(json.dumps({**about, "results": results}, indent=1))


if __name__ == "__main__":
    main()
