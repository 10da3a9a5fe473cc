"""A progress bar over rows, for fits of more than a few seconds."""

from __future__ import annotations

import time
from typing import Any

_QUIET_SECONDS = 3.0


class RowBar:
    """Shows rows as they are dealt with, once that has taken three seconds.

    Parameters
    ----------
    rows : int or None
        How many there are; None where nobody knows.
    verbose : int
        0 shows nothing.
    title : str
        Words before the bar.
    """

    def __init__(self, rows: int | None, verbose: int, title: str):
        self.rows, self.verbose, self.title = rows, verbose, title
        self.done = 0
        self._bar: Any = None

    def __enter__(self) -> RowBar:
        """Start the clock."""
        self.start = time.monotonic()
        return self

    def __exit__(self, *exception: object) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, rows: int) -> None:
        """Move on by some rows."""
        self.done += rows
        if not self.verbose:
            return
        if self._bar is None and time.monotonic() - self.start > _QUIET_SECONDS:
            # rich comes with Keras.
            from rich import progress

            self._bar = progress.Progress(
                "[progress.description]{task.description}",
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TimeElapsedColumn(),
            )
            self._bar.start()
            self._task = self._bar.add_task(self.title, total=self.rows)
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done)
