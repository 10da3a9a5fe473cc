"""Importing Optuna on first use, and silencing its log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from frozenfit.utils.optional import require


def load_optuna() -> Any:
    """Import Optuna.

    Returns
    -------
    module
        The module ``optuna``.

    Raises
    ------
    ImportError
        If Optuna is not installed.
    """
    return require("optuna", "search", "Searching")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Optuna's log; the progress bar shows the trials, and errors are raised."""
    logging = load_optuna().logging
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)
