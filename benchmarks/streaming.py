"""Time and memory of training on a source that does not fit into memory.

    KERAS_BACKEND=jax python benchmarks/streaming.py --gigabytes 10

An MLP is trained for one epoch on generated rows of 2,560 float32 features in batches of 512, which
no file and no array holds as a whole. Memory is compared with that after a first tiny fit on the
same network, which has loaded the backend and compiled its code. Linux only.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras
import numpy as np

from frozenfit import PartialNetClassifier

FEATURES, ROWS, CLASSES = 2560, 512, 10
LIMIT = 500


def resident_mb() -> float:
    """Return the memory that the process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Peak:
    """The most memory that the process holds inside the block, looked at every 5 ms."""

    def __enter__(self) -> Peak:
        """Begin to look."""
        self.megabytes, self._end = resident_mb(), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop looking."""
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(0.005):
            self.megabytes = max(self.megabytes, resident_mb())


class Generated(keras.utils.PyDataset):
    """Batches of noise around one center per class, drawn from the number of the batch."""

    def __init__(self, count: int):
        super().__init__()
        self.count = count
        self.centers = np.random.default_rng(0).normal(size=(CLASSES, FEATURES)).astype("float32")

    def __len__(self) -> int:
        """Return the number of batches."""
        return self.count

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw a batch."""
        rng = np.random.default_rng(i)
        y = rng.integers(0, CLASSES, ROWS)
        x = rng.random((ROWS, FEATURES), np.float32)
        x += 0.02 * self.centers[y] - 0.5
        return x, y


def passed(data: Generated) -> Iterator[float]:
    """Read every batch, as training does."""
    for i in range(len(data)):
        yield float(data[i][0][0, 0])


def main() -> None:
    """Print one row of figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=10.0)
    gigabytes = parser.parse_args().gigabytes
    count = max(1, round(gigabytes * 1e9 / (4 * FEATURES * ROWS)))
    settings = {"model_params": {"hidden_layer_sizes": (64,)}, "trainable": 1.0, "epochs": 1}
    clf = PartialNetClassifier(**settings, random_state=0)
    clf.fit(Generated(1), classes=range(CLASSES))
    before, data = resident_mb(), Generated(count)
    started, cpu = time.perf_counter(), time.process_time()
    with Peak() as peak:
        clf.fit(data, classes=range(CLASSES))
    cpu, seconds = time.process_time() - cpu, time.perf_counter() - started
    accuracy = clf.history_["accuracy"][-1]
    cpu_of_source = time.process_time()
    sum(passed(data))
    cpu_of_source = time.process_time() - cpu_of_source
    growth = peak.megabytes - before
    print("| backend | GB | rows | CPU s | of it the source | rows/s | accuracy | RSS before, MB |")
    print(
        f"| {keras.config.backend()} | {count * ROWS * FEATURES * 4 / 1e9:.1f} | {count * ROWS} "
        f"| {cpu:.1f} | {cpu_of_source:.1f} | {count * ROWS / seconds:.0f} | {accuracy:.3f} "
        f"| {before:.0f} |"
    )
    verdict = "below" if growth < LIMIT else "above"
    print(f"peak {peak.megabytes:.0f} MB, {growth:+.0f} MB: {verdict} {LIMIT}")


if __name__ == "__main__":
    main()
