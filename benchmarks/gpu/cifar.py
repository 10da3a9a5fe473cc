"""CIFAR-10 as files of a few thousand images, which can be brought to a machine in parts."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pixels

Images = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

# Images in a file: enough to compress well, few enough to fill the parts evenly.
BLOCK = 2500
COUNTS = {"train": 50_000, "test": 10_000}


def write(images: Images, folder: Path) -> list[Path]:
    """Write training and test images and their labels as files ``train-00000.block``, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for split, X, y in (("train", *images[:2]), ("test", *images[2:])):
        for start in range(0, len(X), BLOCK):
            paths.append(folder / f"{split}-{start:05d}.block")
            block, packed = slice(start, start + BLOCK), io.BytesIO()
            compressed = np.frombuffer(pixels.compress(X[block]), np.uint8)
            np.savez(packed, pixels=compressed, labels=y[block].astype(np.uint8))
            paths[-1].write_bytes(packed.getvalue())
    return paths


def load(folders: Sequence[Path], counts: dict[str, int] = COUNTS) -> Images:
    """Return training images, labels, test images and labels from the files in some folders.

    Raises
    ------
    FileNotFoundError
        If the files have fewer images than there are, as when a part is missing.
    """
    arrays = []
    for split, count in counts.items():
        named = {path.name: path for folder in folders for path in folder.rglob(f"{split}-*.block")}
        blocks = [_read(named[name]) for name in sorted(named)]
        found = sum(len(labels) for _, labels in blocks)
        if found != count:
            raise FileNotFoundError(
                f"The folders must contain {count} {split} images, got {found} in "
                f"{', '.join(map(str, folders))}. Pass the folder of each part."
            )
        arrays += [np.concatenate(each) for each in zip(*blocks, strict=True)]
    return arrays[0], arrays[1], arrays[2], arrays[3]


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(path) as packed:
        return pixels.restore(packed["pixels"].tobytes()), packed["labels"].astype(np.int64)


def random_images(count: int) -> Images:
    """Return images of noise, which test that a plan runs."""
    X = np.random.default_rng(0).integers(0, 256, (2 * count, 8, 8, 3)).astype(np.uint8)
    y = np.arange(2 * count) % 10
    return X[:count], y[:count], X[count:], y[count:]
