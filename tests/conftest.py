"""What all tests share: one thread, the backend's name in the header, real data where it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before any backend is loaded: idle threads of small products cost more than they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Say the backend first; pytest's own header is not shown under -q."""
    backend = os.environ.get("KERAS_BACKEND")
    if not backend:
        import keras

        backend = keras.config.backend()
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        threads = os.environ["OMP_NUM_THREADS"]
        reporter.write_line(f"keras backend: {backend}, OMP_NUM_THREADS: {threads}")


@pytest.fixture
def data_dir(request: pytest.FixtureRequest) -> Path:
    """The folder with the data sets that the test's mark names, as in ``@mark.data("mnist")``."""
    folder = Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    marker = request.node.get_closest_marker("data")
    for name in marker.args if marker else ():
        if not (folder / name).is_dir():
            pytest.skip(f"the data set {name} is not in {folder} (TFDS_DATA_DIR names the folder)")
    return folder
