"""Image classification sets: digits, TensorFlow Datasets, and folders of images.

loading.py finds a set, readers.py reads rows of it, images.py lists folders of images and decodes
them, and streams.py gives Keras one batch after another. Only the last one loads Keras, on first
use, and nothing is ever downloaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from frozenfit.datasets.loading import Dataset, DatasetNotFoundError, load
from frozenfit.utils.optional import import_with_backend

if TYPE_CHECKING:
    from frozenfit.datasets.streams import ImageStream, StreamedDataset

_STREAMS = ("ImageStream", "StreamedDataset")

__all__ = ["Dataset", "DatasetNotFoundError", "ImageStream", "StreamedDataset", "load"]


def __getattr__(name: str) -> Any:
    """Import what needs Keras on first use (PEP 562)."""
    if name in _STREAMS:
        return getattr(import_with_backend("frozenfit.datasets.streams"), name)
    raise AttributeError(f"module 'frozenfit.datasets' has no attribute {name!r}")
