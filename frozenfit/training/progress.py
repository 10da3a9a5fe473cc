"""The progress bar of a fit, one unit per epoch."""

from __future__ import annotations

from frozenfit.utils.progress import ProgressBar


class EpochProgress:
    """An epoch callback that shows the metrics of each epoch on the terminal.

    Parameters
    ----------
    epochs : int
        Number of epochs.
    verbose : int
        0 shows nothing, 1 shows a bar, 2 also prints a line per epoch.
    title : str
        Text before the bar.
    summary : str
        Line that is printed when training ends.
    """

    def __init__(self, epochs: int, verbose: int, title: str, summary: str):
        self.epochs, self.verbose, self.summary = epochs, verbose, summary
        self._bar = ProgressBar(title, epochs, enabled=bool(verbose))

    def __enter__(self) -> EpochProgress:
        """Show the bar."""
        self._bar.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        """Print the summary, unless training failed, and leave the bar on the terminal."""
        if exception[0] is None:
            self._bar.print(self.summary)
        self._bar.__exit__(*exception)

    def epoch_begin(self, epoch: int) -> None:
        """Do nothing: there are no metrics yet."""

    def epoch_end(self, epoch: int, logs: dict[str, float]) -> bool:
        """Show the metrics of an epoch; never stops training."""
        text = "  ".join(f"{name} {value:.4f}" for name, value in logs.items())
        self._bar.update(epoch + 1, text)
        if self.verbose > 1:
            self._bar.print(f"epoch {epoch + 1}/{self.epochs}  {text}")
        return False
