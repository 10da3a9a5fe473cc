"""Discovery of image folders, and decoding of images with Pillow."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from frozenfit.utils.optional import require

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}
# The entry of EXIF data for the orientation of a photo, and those of its values that turn it by a
# quarter.
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)
# Size of an image in bytes from which threads save more time than they cost.
_MIN_BYTES_FOR_THREADS = 10_000
# Number of images that a thread decodes at a time.
_CHUNK = 100


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
            f"{folder} must contain one folder of images for each of at least two classes, got "
            f"{len(names)} folders."
        )
    return names


def list_images(
    folder: Path, classes: Sequence[str], every_class: bool
) -> tuple[list[Path], list[int]]:
    """Return the image files of each class and their labels, in the order of `classes`."""
    unknown = [child.name for child in children(folder) if child.name not in classes]
    if unknown:
        raise ValueError(
            f"The folders in {folder} must be classes of train, {', '.join(classes)}, got "
            f"{unknown[0]}."
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
                f"The folder {folder / name} contains no image ({', '.join(sorted(_SUFFIXES))})."
            )
        paths += found
        labels += [label] * len(found)
    if not paths:
        raise ValueError(f"The folder {folder} contains no image in the folders of its classes.")
    return paths, labels


def common_mode(paths: Sequence[Path], size: tuple[int, int] | None) -> str:
    """Return "L" if every image is gray, otherwise "RGB"; read only the file headers.

    Images that cannot be read into one array are an error here, before any of them is decoded.
    """
    pillow = require("PIL.Image", "data", "Reading images")
    modes = set()
    first = None
    for path in paths:
        try:
            with pillow.open(path) as image:
                _check_depth(image)
                shape = (image.height, image.width)
                if image.getexif().get(_ORIENTATION, 1) in _TURNED:
                    shape = shape[::-1]
                modes.add(image.mode)
        except Exception as error:
            raise ValueError(f"The image {path} cannot be read: {error}.") from error
        first = first or shape
        if size is None and shape != first:
            raise _differs(first, shape, path)
    return "L" if modes <= {"1", "L", "LA"} else "RGB"


def _check_depth(image: Any) -> None:
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"its pixels have more than 8 bits (mode {image.mode})")


def _differs(first: tuple[int, ...], shape: tuple[int, ...], label: Any) -> ValueError:
    return ValueError(
        f"All images must have the shape of the first, {first}, got {shape} for the image {label}. "
        "Set image_size=(height, width) to resize them."
    )


def pixels(
    sources: Sequence[bytes | Path], mode: str, size: tuple[int, int] | None, where: str
) -> np.ndarray:
    """Decode images into one uint8 array of shape (n, height, width, channels)."""
    pillow = require("PIL.Image", "data", "Reading images")
    upright = require("PIL.ImageOps", "data", "Reading images").exif_transpose

    def decode(index: int) -> np.ndarray:
        source = sources[index]
        try:
            with pillow.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
                _check_depth(image)
                # Photos may have their orientation in EXIF data; prepared data sets have none.
                if isinstance(source, Path):
                    image = upright(image)
                if image.mode != mode:
                    image = image.convert(mode)
                if size is not None:
                    image = image.resize((size[1], size[0]), pillow.Resampling.BILINEAR)
                return np.asarray(image)
        except Exception as error:  # Pillow's readers raise many types on damaged files
            label = source if isinstance(source, Path) else f"{index} {where}"
            raise ValueError(f"The image {label} cannot be read: {error}.") from error

    # Before any thread starts, so that a missing codec is one error.
    first = decode(0)
    images = np.empty((len(sources), *first.shape[:2], len(mode)), dtype=np.uint8)

    def decode_chunk(start: int) -> None:
        for index in range(start, min(start + _CHUNK, len(sources))):
            image = decode(index)
            if image.shape != first.shape:
                label = sources[index] if isinstance(sources[index], Path) else f"{index} {where}"
                raise _differs(first.shape[:2], image.shape[:2], label)
            images[index] = image.reshape(images.shape[1:])

    with ThreadPoolExecutor(_n_threads(sources[0])) as pool:
        list(pool.map(decode_chunk, range(0, len(sources), _CHUNK)))
    return images


def _n_threads(source: bytes | Path) -> int:
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    return min(8, os.cpu_count() or 1) if size >= _MIN_BYTES_FOR_THREADS else 1
