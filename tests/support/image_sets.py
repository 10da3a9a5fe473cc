"""Small sets of images on disk: files in folders, and sets that tensorflow-datasets prepares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


def write_image(path: Path, pixels: np.ndarray) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def prepare(root, counts=None, file_format="array_record", hidden=()):
    """Write a set of 4x3 color images; image i of a split holds the value i, its label i % 3."""
    tfds = pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("array_record")
    counts = {"train": 12, "test": 6} if counts is None else counts

    labels = tfds.features.ClassLabel(names=["red", "green", "blue"])

    class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")
        pkg_dir_path = root

        def _info(self):
            features = {"image": tfds.features.Image(shape=(4, 3, 3)), "label": labels}
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(split) for split in counts}

        def _generate_examples(self, split):
            for index in range(counts[split]):
                image = np.full((4, 3, 3), index, dtype=np.uint8)
                yield index, {"image": image, "label": -1 if split in hidden else index % 3}

    builder = Tiny(data_dir=str(root), file_format=file_format)
    offline = tfds.download.DownloadConfig(try_download_gcs=False)
    builder.download_and_prepare(download_config=offline)
