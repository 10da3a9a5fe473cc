"""Small sets of images on disk."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from image_sets import prepare, write_image


@pytest.fixture
def folder(tmp_path):
    """Two classes of ten gray images; image i of class c has the value 100 c + i."""
    pytest.importorskip("PIL")
    for label, name in enumerate(("cat", "dog")):
        for index in range(10):
            pixels = np.full((6, 5), 100 * label + index, dtype=np.uint8)
            write_image(tmp_path / "photos" / name / f"{index}.png", pixels)
    return tmp_path / "photos"


@pytest.fixture
def split_folder(folder, tmp_path):
    """The same, cut into train and test by its owner."""
    for name in ("cat", "dog"):
        for part, indices in (("train", range(8)), ("test", range(8, 10))):
            (tmp_path / "cut" / part / name).mkdir(parents=True)
            for index in indices:
                shutil.copy(folder / name / f"{index}.png", tmp_path / "cut" / part / name)
    return tmp_path / "cut"


@pytest.fixture(scope="module")
def prepared_once(tmp_path_factory):
    root = tmp_path_factory.mktemp("tfds")
    prepare(root)
    return root


@pytest.fixture
def root(prepared_once, tmp_path):
    shutil.copytree(prepared_once, tmp_path / "tfds")
    return tmp_path / "tfds"
