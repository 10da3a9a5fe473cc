"""Ensembles of small residual networks on images: joint, trained and random bases.

    python benchmarks/ensemble_images.py --data-dir TFDS_FOLDER --out images.jsonl

ResNet-8 on Fashion-MNIST and CIFAR-10, images averaged to half their size, few of them and few
epochs, so that it runs on a CPU in minutes. A seed draws the training sample. Members are adapters
on a base that is trained with them, that was trained as a whole for half of the epochs, or that is
random; the one network is trained as a whole for as many epochs as base and members together. Runs
are appended to the file, and a run that is started again measures what is missing;
`ensemble_tables.py` turns the file into a table.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import keras
import numpy as np
from defaults import Rows

import frozenfit
from frozenfit import CheapEnsembleClassifier, PartialNetClassifier

SETS = ("fashion_mnist", "cifar10")
BASES = ("joint", "trained", "frozen")
BATCH = 64


def halved(X: np.ndarray) -> np.ndarray:
    """Average pixels over squares of 2 x 2."""
    n, height, width, channels = X.shape
    return X.reshape(n, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4)).astype("f4")


def parts(data: frozenfit.datasets.Dataset, counts: tuple[int, int], seed: int) -> tuple:
    """Return (X, y, X_new, y_new), a drawn part of the training and the first test samples."""
    train, test = counts
    chosen = np.sort(np.random.default_rng(seed).permutation(len(data.X_train))[:train])
    return (
        *(halved(data.X_train[chosen]), data.y_train[chosen]),
        *(halved(data.X_test[:test]), data.y_test[:test]),
    )


def measured(base: str, members: int, epochs: int, seed: int, X, y, X_new, y_new) -> dict:
    """Fit an ensemble, and report its members, itself and the one network of the same epochs."""
    own = epochs // 2 if base == "trained" else epochs
    one = PartialNetClassifier("resnet", model_params={"depth": 8}, epochs=own, batch_size=BATCH)
    settings = {"base": base, "base_epochs": epochs - own or 1, "members": "adapters"}
    model = CheapEnsembleClassifier(one, members, random_state=seed, **settings)
    start = time.process_time()
    model.fit(X, y)
    seconds = time.process_time() - start
    report = model.ensemble_report(X_new, y_new, X_train=X, y_train=y)
    rows = {row.member: row for row in report}
    found = {"seconds": seconds}
    for member in ("mean", "ensemble", "one network"):
        found[member] = rows[member].accuracy
        found[f"{member} log_loss"] = rows[member].nll
    return found


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--out", type=Path, required=True, help="the file of measured runs")
    parser.add_argument("--bases", nargs="+", choices=BASES, default=list(BASES))
    parser.add_argument("--counts", type=int, nargs=2, default=(5000, 5000), metavar="N")
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    rows = Rows(args.out)
    data = {name: frozenfit.datasets.load(name, data_dir=args.data_dir) for name in SETS}
    budget = {"members": args.members, "epochs": args.epochs, "counts": list(args.counts)}
    for seed in range(args.seeds):
        for base in args.bases:
            for name, each in data.items():
                key = {"set": name, "base": base, "seed": seed, **budget}
                key["backend"] = keras.config.backend()
                drawn = parts(each, tuple(args.counts), seed)
                args_of = base, args.members, args.epochs, seed, *drawn
                rows.add(lambda a=args_of: measured(*a), **key)
                print(base, seed, name, "done", flush=True)


if __name__ == "__main__":
    main()
