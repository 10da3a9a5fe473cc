"""A progress bar for trials."""

from __future__ import annotations

from typing import Any

from frozenfit.search.results import FIGURES, done


class TrialBar:
    """Shows a search on the terminal; an Optuna callback.

    Parameters
    ----------
    n_trials : int
        Length of the bar.
    verbose : int
        0 shows nothing, 1 a bar, 2 a line per trial besides.
    """

    def __init__(self, n_trials: int, verbose: int):
        self.n_trials, self.verbose = n_trials, verbose
        self._bar: Any = None

    def __enter__(self) -> TrialBar:
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
            self._task = self._bar.add_task("trials", total=self.n_trials, figures="")
        return self

    def __exit__(self, *exception: object) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, study: Any, trial: Any) -> None:
        """Move the bar on after a trial."""
        if self._bar is None:
            return
        figures = trial.user_attrs.get(FIGURES, {})
        means = {
            n: sum(figures[n]) / len(figures[n]) for n in ("score", "trainable") if n in figures
        }
        told = "  ".join(f"{name} {value:.4g}" for name, value in means.items())
        told = told or trial.state.name.lower()
        self._bar.update(self._task, completed=done(study), figures=told)
        if self.verbose > 1:
            self._bar.console.print(f"trial {trial.number}  {told}  {trial.params}")

    def show(self, study: Any) -> None:
        """Move the bar on to what all processes have done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done(study))
