"""The plugin of dask's workers that receives an object; a module that requires dask."""

from __future__ import annotations

from typing import Any

import cloudpickle
from dask.distributed import WorkerPlugin

from frozenfit.utils import sent_once


class Delivery(WorkerPlugin):
    """Keeps the pickle of an object on a worker.

    Parameters
    ----------
    key : str
        The key of the object.
    value : object
        The object.
    """

    def __init__(self, key: str, value: Any):
        # Not by dask's own pickler, so that nothing in the pickle is a reference.
        self.key, self.payload = key, cloudpickle.dumps(value)

    def setup(self, worker: Any) -> None:
        """Keep the pickle."""
        sent_once.receive(self.key, self.payload)
        self.payload = b""

    def teardown(self, worker: Any) -> None:
        """Forget it."""
        sent_once.forget(self.key)
