"""Shared by all tests: one thread, the backend in the header, markers, and real data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

# Before any backend is loaded: on small networks further threads only spin.
os.environ.setdefault("OMP_NUM_THREADS", "1")

TESTS = Path(__file__).parent

# Tests whose result does not depend on the backend; the full set runs them once, on the first.
ANY_BACKEND = (
    "selectors/",
    "datasets/",
    "architectures/test_published_counts.py",
    "elm/test_calibration.py",
    "elm/test_leave_one_out.py",
    "elm/test_ridge.py",
    "estimators/test_column_scales.py",
    "estimators/test_ensemble_counts.py",
    "search/test_storage.py",
    "search/test_spaces.py",
    "search/test_sklearn_checks.py",
    "search/test_workers.py",
    "storage/test_across.py",
    "storage/test_attacks.py",
    "storage/test_fuzz.py",
    "test_cli.py",
    "test_cli_tables.py",
    "test_docs.py",
    "test_draws.py",
    "test_examples.py",
    "test_imports.py",
    "test_lab.py",
    "test_numpydoc.py",
    "test_plots.py",
    "test_table_encoder.py",
    "training/test_schedules.py",
)
# One test file per part of the package, for the working loop: see CONTRIBUTING.md.
QUICK = (
    "selectors/",
    "training/",
    "contract/test_frozen_values.py",
    "contract/test_training.py",
    "elm/test_ridge.py",
    "estimators/test_params.py",
    "estimators/test_training.py",
    "estimators/test_freezing.py",
    "estimators/test_ensemble_members.py",
    "search/test_spaces.py",
    "storage/test_values.py",
    "test_draws.py",
    "test_imports.py",
    "test_isolation.py",
    "test_layout.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the file they are in."""
    for item in items:
        if TESTS not in item.path.parents:
            item.add_marker(pytest.mark.any_backend)  # examples in docstrings
            continue
        path = item.path.relative_to(TESTS).as_posix()
        if path.startswith(ANY_BACKEND):
            item.add_marker(pytest.mark.any_backend)
        if path.startswith(QUICK):
            item.add_marker(pytest.mark.quick)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Print the backend first; pytest's own header is not shown under -q."""
    backend = os.environ.get("KERAS_BACKEND")
    if not backend:
        import keras

        backend = keras.config.backend()
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        threads = os.environ["OMP_NUM_THREADS"]
        reporter.write_line(f"keras backend: {backend}, OMP_NUM_THREADS: {threads}")


@pytest.fixture(autouse=True)
def registries() -> Iterator[None]:
    """What a test registers is forgotten after it, so that tests can run in any order."""
    import frozenfit.architectures.registry as architectures
    import frozenfit.elm.stages.base as stages
    import frozenfit.selectors.registry as selectors

    with (
        patch.dict(architectures._BUILDERS),
        patch.dict(selectors._SELECTORS),
        patch.dict(stages._named),
    ):
        yield


@pytest.fixture
def data_dir(request: pytest.FixtureRequest) -> Path:
    """The folder with the data sets that the test's mark names, as in ``@mark.data("mnist")``."""
    folder = Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    marker = request.node.get_closest_marker("data")
    for name in marker.args if marker else ():
        if not (folder / name).is_dir():
            pytest.skip(f"the data set {name} is not in {folder} (TFDS_DATA_DIR names the folder)")
    return folder
