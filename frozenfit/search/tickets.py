"""Permissions to start a trial, so that a study gets exactly as many trials as were requested.

Counting finished trials alone is not enough: two threads or processes that both see one trial
missing would both run one.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Hashable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

from frozenfit.search.results import count_done

if TYPE_CHECKING:
    import optuna

# Other processes may finish trials too; their number is read this often, in seconds.
_POLL = 0.5
# Number of tickets in use by study, for all threads of this process.
_in_use: Counter[Hashable] = Counter()
_changed = threading.Condition()


class TicketSource(Protocol):
    """What the loop over trials asks before each of them."""

    def take(self, deadline: float) -> bool:
        """Wait until a trial may start; False where the study is complete or time is over."""
        ...

    def trial(self, number: int) -> AbstractContextManager[object]:
        """Return a context manager that is active while the objective of a trial runs."""
        ...

    def give_back(self) -> None:
        """Give the ticket back, after the result of the trial has been stored."""


class Tickets:
    """The tickets of a study for the threads of this process.

    A ticket is taken before a trial starts and given back after its result was stored. As many
    exist as the study lacks trials, so threads that share a study do not exceed `n_trials`.

    Parameters
    ----------
    study : optuna.Study
        The study.
    n_trials : int
        Number of trials that the study shall have.
    storage : str, path-like, optuna storage or None
        Where the study is stored; searches with equal storages and study names share tickets.
    """

    def __init__(self, study: optuna.Study, n_trials: int, storage: Any):
        self.study, self.n_trials = study, n_trials
        self._key: Hashable = (_place(study if storage is None else storage), study.study_name)

    @property
    def complete(self) -> bool:
        """Whether the study has all its trials."""
        return count_done(self.study) >= self.n_trials

    def try_take(self) -> bool:
        """Take a ticket if there is one.

        Returns
        -------
        bool
            Whether a ticket was taken.
        """
        with _changed:
            if count_done(self.study) + _in_use[self._key] >= self.n_trials:
                return False
            _in_use[self._key] += 1
            return True

    def take(self, deadline: float = float("inf")) -> bool:
        """Wait for a ticket: the trial of another thread may still fail.

        Parameters
        ----------
        deadline : float, default=inf
            The value of `time.monotonic` from which on no ticket is taken.

        Returns
        -------
        bool
            Whether a ticket was taken; False where the study is complete or the time is over.
        """
        while time.monotonic() < deadline and not self.complete:
            if self.try_take():
                return True
            with _changed:
                _changed.wait(_POLL)
        return False

    def trial(self, number: int) -> AbstractContextManager[object]:
        """Return a context manager that does nothing."""
        return nullcontext()

    def give_back(self) -> None:
        """Give a ticket back."""
        with _changed:
            _in_use[self._key] -= 1
            if not _in_use[self._key]:
                del _in_use[self._key]
            _changed.notify_all()


def _place(storage: Any) -> Hashable:
    if not isinstance(storage, str | os.PathLike):
        return id(storage)
    text = os.fspath(storage)
    return text if "://" in str(text) else os.path.realpath(text)
