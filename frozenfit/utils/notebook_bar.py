"""The progress bar of a notebook."""

from __future__ import annotations

import html
import importlib
import time
from typing import Any

_SECONDS = 0.1  # between two updates, each of which is a message to the browser


class NotebookBar:
    """A bar that a notebook shows as HTML and replaces in place, which needs no ipywidgets.

    Parameters
    ----------
    title : str
        Text before the bar.
    total : int or None
        Number of units of work; None where it is not known.
    """

    def __init__(self, title: str, total: int | None):
        ipython: Any = importlib.import_module("IPython.display")  # the notebook has it
        self.title, self.total = title, total
        self._html = ipython.HTML
        self._start, self._completed, self._text = time.monotonic(), 0, ""
        self._handle = ipython.display(self._html(self.page()), display_id=True)
        self._shown = time.monotonic()

    def update(self, completed: int, text: str) -> None:
        """Set how many units are completed; the notebook follows at most ten times a second.

        Parameters
        ----------
        completed : int
            Units of work completed so far.
        text : str
            Text after the bar.
        """
        self._completed, self._text = completed, text
        if time.monotonic() - self._shown >= _SECONDS:
            self._show()

    def print(self, line: str) -> None:
        """Print a line below the bar.

        Parameters
        ----------
        line : str
            The line.
        """
        print(line)

    def stop(self) -> None:
        """Show the last values."""
        self._show()

    def page(self) -> str:
        """Return the bar as HTML.

        Returns
        -------
        str
            An HTML element.
        """
        seconds = int(time.monotonic() - self._start)
        clock = f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        bar, count = "<progress></progress>", f"{self._completed:,}"
        if self.total is not None:
            bar = f'<progress value="{self._completed}" max="{self.total}"></progress>'
            count = f"{self._completed:,}/{self.total:,}"
        words = (html.escape(self.title), bar, count, clock, html.escape(self._text))
        return f"<div>{' '.join(word for word in words if word)}</div>"

    def _show(self) -> None:
        self._handle.update(self._html(self.page()))
        self._shown = time.monotonic()
