"""The optional package that searching needs, imported at use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def load_optuna() -> Any:
    """Import Optuna, or say how to install it.

    Returns
    -------
    module
        Optuna.

    Raises
    ------
    ImportError
        Where it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise ImportError(
            'searching needs Optuna, which is not installed; run: pip install "frozenfit[search]"'
        ) from error
    return optuna


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna from logging each study and trial: the bar tells them, and errors are raised."""
    logging = load_optuna().logging
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)
