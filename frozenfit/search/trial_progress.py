"""The progress bar of a search, as an Optuna callback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from frozenfit.search.results import FIGURES, count_done
from frozenfit.utils.progress import ProgressBar

if TYPE_CHECKING:
    import optuna


class TrialProgress:
    """Shows the finished trials of all processes; an Optuna callback.

    Parameters
    ----------
    n_trials : int
        Length of the bar.
    verbose : int
        0 shows nothing, 1 shows a bar, 2 also prints one line per trial.
    """

    def __init__(self, n_trials: int, verbose: int):
        self.verbose = verbose
        self._bar = ProgressBar("trials", n_trials, enabled=verbose > 0)

    def __enter__(self) -> TrialProgress:
        """Show the bar."""
        self._bar.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        """Leave the bar on the terminal as it is."""
        self._bar.__exit__(*exception)

    def __call__(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        """Advance the bar after a trial of this process."""
        figures = trial.user_attrs.get(FIGURES, {})
        means = {name: np.mean(figures[name]) for name in ("score", "trainable") if name in figures}
        text = "  ".join(f"{name} {value:.4g}" for name, value in means.items())
        text = text or trial.state.name.lower()
        # Reading the study costs a query, so a disabled bar does not ask for the count.
        if self.verbose:
            self._bar.update(count_done(study), text)
        if self.verbose > 1:
            self._bar.print(f"trial {trial.number}  {text}  {trial.params}")

    def refresh(self, study: optuna.Study) -> None:
        """Advance the bar to the number of trials that all processes have finished."""
        if self.verbose:
            self._bar.update(count_done(study))
