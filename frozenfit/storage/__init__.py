"""Storage of fitted estimators in files; no other subpackage depends on the format.

files.py saves and loads; container.py is the file as bytes, codec.py and keras_config.py say values
in JSON, and mapping.py puts several estimators that share a base into one file.
"""

from __future__ import annotations

from frozenfit.storage.container import StorageError
from frozenfit.storage.files import check_writable, load, save

__all__ = ["StorageError", "check_writable", "load", "save"]
