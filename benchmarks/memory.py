"""Resident memory over many fits of a small network, as in a long search.

Run once per backend, for instance ``KERAS_BACKEND=jax python benchmarks/memory.py``. Each line is
the growth in MB from fit 20 to the last: the first fits compile and fill the pools. Linux only.
"""

from __future__ import annotations

import argparse
import gc
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras
import numpy as np

from frozenfit import PartialNetClassifier
from frozenfit.selectors import random

WARM = 20


def resident_mb() -> float:
    """Memory the process holds now, not the most it ever held."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def growth(fits: int, settings) -> float:
    """MB gained between fit 20 and the last one."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 17, (360, 64)).astype("float32")
    y = rng.integers(0, 10, 360)
    start = 0.0
    for i in range(fits):
        net = PartialNetClassifier("mlp", epochs=2, **settings(i))
        net.fit(X, y).predict(X)
        if i + 1 == WARM:
            gc.collect()
            start = resident_mb()
    gc.collect()
    return resident_mb() - start


KINDS = {
    "same settings": lambda i: {"random_state": 0},
    "differing random_state": lambda i: {"random_state": i},
    "differing masks of random(0.1)": lambda i: {
        "trainable": random(0.1, seed=i),
        "random_state": 0,
    },
    "both": lambda i: {"trainable": "random(0.1)", "random_state": i},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fits", type=int, default=200)
    fits = parser.parse_args().fits
    for name, settings in KINDS.items():
        begin = time.process_time()
        grown = growth(fits, settings)
        seconds = time.process_time() - begin
        print(f"{keras.config.backend():10}  {name:32}  {grown:+7.1f} MB  {seconds:6.1f} CPU s")


if __name__ == "__main__":
    main()
