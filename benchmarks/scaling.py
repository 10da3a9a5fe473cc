"""Rows per second and memory of one fit on an array, a memory map, a source, a cluster and devices.

    KERAS_BACKEND=jax python benchmarks/scaling.py

Each part is a separate process. The first three train an MLP of 64 units for two epochs on the
same 1,000,000 rows of 100 float32 features (400 MB) in batches of 512. The memory is what the
process took on top of that after a tiny fit on the same network: private pages, without those of
mapped files, which the system can take back. The cluster cross-validates the head of a network of
40 MB on two local processes. The devices are simulated by JAX on the cores of the machine, so they
compare results, not speed. Linux only; the cluster needs the extra ``dask``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import joblib
import keras
import numpy as np
from sklearn.model_selection import cross_val_score

from frozenfit import PartialNetClassifier

FEATURES, BATCH, EPOCHS = 100, 512, 2


def private_mb() -> float:
    """Return the memory of the process without pages of mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


@contextmanager
def peak() -> Iterator[list[float]]:
    """Yield a list whose last element is the most memory inside the block."""
    found, end = [private_mb()], threading.Event()

    def look() -> None:
        while not end.wait(0.005):
            found.append(max(found[-1], private_mb()))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        end.set()
        thread.join()


def rows(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw samples and the labels that a line separates."""
    X = np.random.default_rng(seed).standard_normal((count, FEATURES), np.float32)
    return X, (X[:, 0] + X[:, 1] > 0).astype(int)


def classifier(model: Any = "mlp", **params: Any) -> PartialNetClassifier:
    """Return the classifier of all parts."""
    if model == "mlp":
        params = {"model_params": {"hidden_layer_sizes": (64,)}, "trainable": 1.0, **params}
    return PartialNetClassifier(
        model, **{"epochs": EPOCHS, "batch_size": BATCH, "random_state": 0, **params}
    )


def report(part: str, count: int, seconds: float, cpu: float, memory: float) -> None:
    """Print a row of the table."""
    print(
        f"| {part} | {keras.config.backend()} | {count / seconds:,.0f} | {count / cpu:,.0f} "
        f"| {memory:+,.0f} |",
        flush=True,
    )


def fit(part: str, count: int) -> None:
    """Train on one kind of data."""
    with tempfile.TemporaryDirectory() as folder:
        file, labels = Path(folder) / "X.npy", np.empty(count, int)
        mapped = np.lib.format.open_memmap(file, "w+", np.float32, (count, FEATURES))
        for start in range(0, count, 50_000):
            X, y = rows(min(50_000, count - start), start)
            mapped[start : start + len(X)], labels[start : start + len(X)] = X, y
        del mapped, X
        stored = np.load(file, mmap_mode="r")

        def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for start in range(0, count - BATCH + 1, BATCH):
                yield np.array(stored[start : start + BATCH]), labels[start : start + BATCH]

        data: tuple = (batches,) if part == "source" else (stored, labels)
        classifier().fit(*rows(BATCH))  # loads the backend, and compiles
        before = private_mb()
        if part == "array":
            data = (np.array(stored), labels)
        extra = {"classes": [0, 1]} if part == "source" else {}
        started, cpu = time.perf_counter(), time.process_time()
        with peak() as memory:
            classifier().fit(*data, **extra)
        cpu, seconds = time.process_time() - cpu, time.perf_counter() - started
    report(part, EPOCHS * count, seconds, cpu, memory[-1] - before)


def cluster(count: int) -> None:
    """Cross-validate the head of a large network here, and on two processes."""
    from dask.distributed import Client, LocalCluster

    dense = keras.layers.Dense
    inputs = keras.Input((FEATURES,))
    hidden = dense(900, activation="relu")(dense(10_000, activation="relu")(inputs))
    model = keras.Model(inputs, dense(2)(hidden))
    estimator, (X, y) = classifier(model, trainable="head()"), rows(count)
    megabytes = sum(weight.nbytes for weight in model.get_weights()) / 1e6
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**options) as local, Client(local) as client:
        for number, name in enumerate(("first", "second")):
            sent, started = client.scheduler_comm.byte_count, time.perf_counter()
            with joblib.parallel_config("dask"):
                scores = cross_val_score(estimator, X, y, cv=6)
            seconds = time.perf_counter() - started
            sent = (client.scheduler_comm.byte_count - sent) / 1e6
            print(
                f"| {name} cross-validation of 6 folds, {count} rows | {keras.config.backend()} "
                f"| {seconds:.1f} s | tasks {sent:.2f} MB, network {megabytes * (not number):.0f} "
                f"MB to each worker | {scores.mean():.3f} |",
                flush=True,
            )


def devices(count: int) -> None:
    """Train on one and on four simulated devices."""
    X, y = rows(count)
    found = keras.distribution.list_devices("cpu")
    for number in (1, len(found)):
        if number > 1:
            keras.distribution.set_distribution(keras.distribution.DataParallel(devices=found))
        classifier().fit(X[:BATCH], y[:BATCH])
        started, cpu = time.perf_counter(), time.process_time()
        estimator = classifier().fit(X, y)
        cpu, seconds = time.process_time() - cpu, time.perf_counter() - started
        loss = estimator.history_["loss"][-1]
        report(f"{number} device, loss {loss:.6f}", EPOCHS * count, seconds, cpu, 0)


PARTS = {
    "array": lambda count: fit("array", count),
    "map": lambda count: fit("map", count),
    "source": lambda count: fit("source", count),
    "cluster": lambda count: cluster(max(600, count // 500)),
    "devices": lambda count: devices(count // 10),
}


def main() -> None:
    """Run one part, or each of them in a separate process."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--rows", type=int, default=1_000_000)
    args = parser.parse_args()
    if args.part:
        PARTS[args.part](args.rows)
        return
    print("| data | backend | rows/s | rows per CPU s | memory, MB |")
    print("|---|---|---|---|---|")
    for part in PARTS:
        if part == "devices" and keras.config.backend() != "jax":
            continue
        flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
        environment = os.environ | (flags if part == "devices" else {})
        words = [sys.executable, __file__, "--part", part, "--rows", str(args.rows)]
        subprocess.run(words, env=environment, check=True)


if __name__ == "__main__":
    main()
