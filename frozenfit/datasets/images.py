"""Discovery of image folders, and decoding of images with Pillow."""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}
_THREADS_FROM = 10_000  # bytes of an image; below it, threads cost more than they save
_CHUNK = 100  # images a thread decodes at a time


def optional(module: str, purpose: str) -> ModuleType:
    """Import an optional package, or name the extra that brings it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{purpose} needs the package {error.name or module}, which is not installed; "
            'run: pip install "frozenfit[data]"'
        ) from error


def children(folder: Path) -> list[Path]:
    """Return the subfolders of a folder, sorted by name; an empty list if it does not exist."""
    if not folder.is_dir():
        return []
    return sorted(
        child for child in folder.iterdir() if child.is_dir() and not child.name.startswith(".")
    )


def class_folders(folder: Path) -> tuple[str, ...]:
    """Return the names of the classes, which are the folders in a folder."""
    names = tuple(child.name for child in children(folder))
    if len(names) < 2:
        raise ValueError(
            f"{folder} must hold one folder of images per class, two at least, found {len(names)}."
        )
    return names


def list_images(
    folder: Path, classes: Sequence[str], every_class: bool
) -> tuple[list[Path], list[int]]:
    """Return the image files of each class and their labels, in the order of `classes`."""
    unknown = [child.name for child in children(folder) if child.name not in classes]
    if unknown:
        raise ValueError(
            f"The folder {folder / unknown[0]} is no class of train: {', '.join(classes)}."
        )
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        files = sorted((folder / name).iterdir()) if (folder / name).is_dir() else []
        found = [
            path
            for path in files
            if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")
        ]
        if every_class and not found:
            raise ValueError(
                f"The folder {folder / name} holds no image ({', '.join(sorted(_SUFFIXES))})."
            )
        paths += found
        labels += [label] * len(found)
    if not paths:
        raise ValueError(f"The folder {folder} holds no image in its folders of classes.")
    return paths, labels


def common_mode(paths: Sequence[Path]) -> str:
    """Return "L" if every image is gray, otherwise "RGB"; read only the file headers."""
    pillow = optional("PIL.Image", "Reading images")
    modes = set()
    for path in paths:
        try:
            with pillow.open(path) as image:
                modes.add(image.mode)
        except Exception as error:
            raise ValueError(f"The image {path} can't be read: {error}.") from error
    return "L" if modes <= {"1", "L", "LA"} else "RGB"


def pixels(
    sources: Sequence[bytes | Path], mode: str, size: tuple[int, int] | None, where: str
) -> np.ndarray:
    """Decode images into one uint8 array of shape (n, height, width, channels)."""
    pillow = optional("PIL.Image", "Reading images")
    upright = optional("PIL.ImageOps", "Reading images").exif_transpose

    def decode(index: int) -> np.ndarray:
        source = sources[index]
        try:
            with pillow.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
                if image.mode.startswith(("I", "F")):
                    raise ValueError(f"its pixels have more than 8 bits (mode {image.mode})")
                if isinstance(source, Path):
                    image = upright(image)
                if image.mode != mode:
                    image = image.convert(mode)
                if size is not None:
                    image = image.resize((size[1], size[0]), pillow.Resampling.BILINEAR)
                return np.asarray(image)
        except Exception as error:  # Pillow's readers raise many types on damaged files
            words = source if isinstance(source, Path) else f"{index} {where}"
            raise ValueError(f"The image {words} can't be read: {error}.") from error

    first = decode(0)
    images = np.empty((len(sources), *first.shape[:2], len(mode)), dtype=np.uint8)

    def fill(start: int) -> None:
        for index in range(start, min(start + _CHUNK, len(sources))):
            image = decode(index)
            if image.shape != first.shape:
                words = sources[index] if isinstance(sources[index], Path) else f"{index} {where}"
                raise ValueError(
                    f"The image {words} has the shape {image.shape[:2]}, the first one "
                    f"{first.shape[:2]}; give image_size=(height, width) to resize them all."
                )
            images[index] = image.reshape(images.shape[1:])

    with ThreadPoolExecutor(_n_threads(sources[0])) as pool:
        list(pool.map(fill, range(0, len(sources), _CHUNK)))
    return images


def _n_threads(source: bytes | Path) -> int:
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    return min(8, os.cpu_count() or 1) if size >= _THREADS_FROM else 1
