"""Storage of fitted estimators in files; no other subpackage depends on the format.

files.py saves and loads; codec.py and keras_config.py say values in JSON, mapping.py puts several
estimators that share a base into one file, and pipelines.py an estimator with its encoder, whose
state is in encoders.py. frozenfit/utils/container.py is the file as bytes, which checkpoints of
training share.
"""

from __future__ import annotations

from frozenfit.storage.files import check_writable, load, save
from frozenfit.utils.container import StorageError

__all__ = ["StorageError", "check_writable", "load", "save"]
