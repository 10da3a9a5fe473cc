"""The progress bar of fits, epochs and searches."""

from __future__ import annotations

import time
from typing import Any


class ProgressBar:
    """A bar on the terminal, drawn by rich.

    Parameters
    ----------
    title : str
        Text before the bar.
    total : int or None
        Number of units of work; None where it is not known.
    enabled : bool, default=True
        A disabled bar shows nothing.
    delay : float, default=0.0
        Seconds of work before the bar appears, so that short work shows nothing.

    Examples
    --------
    >>> from frozenfit.utils.progress import ProgressBar
    >>> with ProgressBar("rows", 10, enabled=False) as bar:
    ...     bar.update(10)
    """

    def __init__(self, title: str, total: int | None, enabled: bool = True, delay: float = 0.0):
        self.title, self.total, self.enabled, self.delay = title, total, enabled, delay
        self._bar: Any = None

    def __enter__(self) -> ProgressBar:
        """Start the clock, and show the bar where there is no delay."""
        self._start = time.monotonic()
        if self.delay == 0:
            self._show()
        return self

    def __exit__(self, *exception: object) -> None:
        """Leave the bar on the terminal as it is."""
        if self._bar is not None:
            self._bar.stop()

    def update(self, completed: int, text: str = "") -> None:
        """Set how many units are completed.

        Parameters
        ----------
        completed : int
            Units of work completed so far.
        text : str, default=""
            Text after the bar, such as the metrics of an epoch.
        """
        if self._bar is None and time.monotonic() - self._start > self.delay:
            self._show()
        if self._bar is not None:
            self._bar.update(self._task, completed=completed, text=text)

    def print(self, line: str) -> None:
        """Print a line above the bar.

        Parameters
        ----------
        line : str
            The line.
        """
        if self._bar is not None:
            self._bar.console.print(line)

    def _show(self) -> None:
        if not self.enabled:
            return
        from rich import progress

        self._bar = progress.Progress(
            "[progress.description]{task.description}",
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("{task.fields[text]}"),
        )
        self._bar.start()
        self._task = self._bar.add_task(self.title, total=self.total, text="")
