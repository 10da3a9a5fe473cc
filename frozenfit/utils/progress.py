"""The progress bar of fits, epochs and searches."""

from __future__ import annotations

import time
from typing import Any

from frozenfit.utils.notebook_bar import NotebookBar


class ProgressBar:
    """A bar on the terminal, drawn by rich, or in a notebook.

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
            self._update(completed, text)

    def print(self, line: str) -> None:
        """Print a line above the bar.

        Parameters
        ----------
        line : str
            The line.
        """
        if self._bar is not None:
            self._print(line)

    def _show(self) -> None:
        if not self.enabled:
            return
        from rich import console, progress

        if console.Console().is_jupyter:  # where rich shows nothing without ipywidgets
            self._bar = NotebookBar(self.title, self.total)
            self._update, self._print = self._bar.update, self._bar.print
            return
        self._bar = progress.Progress(
            "[progress.description]{task.description}",
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("{task.fields[text]}"),
        )
        self._bar.start()
        task = self._bar.add_task(self.title, total=self.total, text="")

        def update(completed: int, text: str) -> None:
            self._bar.update(task, completed=completed, text=text)

        self._update, self._print = update, self._bar.console.print
