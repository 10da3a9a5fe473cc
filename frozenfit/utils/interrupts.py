"""Signals that end a process in an orderly way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

__all__ = ["sigterm_interrupts"]


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGTERM in a block, as Python does on SIGINT.

    The default action of SIGTERM ends the process without running any ``finally``. A handler that
    the program has set stays in effect, and so does the default outside of the main thread, where
    Python allows no handler to be set.

    Examples
    --------
    >>> import signal
    >>> from frozenfit.utils.interrupts import sigterm_interrupts
    >>> try:
    ...     with sigterm_interrupts():
    ...         signal.raise_signal(signal.SIGTERM)
    ... except KeyboardInterrupt:
    ...     print("interrupted")
    interrupted
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt
