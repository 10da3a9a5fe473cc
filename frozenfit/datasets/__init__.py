"""Image classification sets as arrays: digits, TensorFlow Datasets, and folders of images.

loading.py finds a set and reads it; images.py lists folders of images and decodes them.
Nothing here loads Keras or a backend, and nothing is ever downloaded.
"""

from __future__ import annotations

from frozenfit.datasets.loading import Dataset, DatasetNotFoundError, load

__all__ = ["Dataset", "DatasetNotFoundError", "load"]
