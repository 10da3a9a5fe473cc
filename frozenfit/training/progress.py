"""A progress bar for epochs."""

from __future__ import annotations

from typing import Any


class EpochBar:
    """Shows training on the terminal.

    Parameters
    ----------
    epochs : int
        Length of the bar.
    verbose : int
        0 shows nothing, 1 a bar, 2 a line per epoch besides.
    title : str
        Words before the bar.
    """

    def __init__(self, epochs: int, verbose: int, title: str):
        self.epochs, self.verbose, self.title = epochs, verbose, title
        self._bar: Any = None

    def __enter__(self) -> EpochBar:
        """Show the bar."""
        if self.verbose:
            # rich comes with Keras, which prints its own tables by it.
            from rich import progress

            self._bar = progress.Progress(
                "[progress.description]{task.description}",
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TimeElapsedColumn(),
                progress.TextColumn("{task.fields[figures]}"),
            )
            self._bar.start()
            self._task = self._bar.add_task(self.title, total=self.epochs, figures="")
        return self

    def __exit__(self, *exception: object) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.stop()

    def epoch_begin(self, epoch: int) -> None:
        """Nothing to show yet."""

    def epoch_end(self, epoch: int, logs: dict[str, float]) -> bool:
        """Move the bar on; never stops training."""
        if self._bar is not None:
            figures = "  ".join(f"{name} {value:.4f}" for name, value in logs.items())
            self._bar.update(self._task, completed=epoch + 1, figures=figures)
            if self.verbose > 1:
                self._bar.console.print(f"epoch {epoch + 1}/{self.epochs}  {figures}")
        return False
