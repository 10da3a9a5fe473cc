"""One search in several processes."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy as np
from sklearn import config_context, get_config
from sklearn.base import clone
from sklearn.utils import check_random_state

from frozenfit.isolation import SEED_LIMIT
from frozenfit.search._optuna import default_sampler, load_optuna, quiet, repeat_trial
from frozenfit.search.results import count_done
from frozenfit.search.running import Run
from frozenfit.search.storages import RETRIES
from frozenfit.search.tickets import Tickets
from frozenfit.search.trial_progress import TrialProgress
from frozenfit.utils.interrupts import sigterm_interrupts

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from frozenfit.search.freeze_search import FreezeSearchCV

# Seconds between two looks at the signals and the study.
_POLL = 0.5
# Seconds that a worker has to leave its trial; a computation may not notice a signal earlier.
_GRACE = 10


def run_workers(
    search: FreezeSearchCV,
    X: ArrayLike,
    y: ArrayLike | None = None,
    *,
    n_workers: int = 2,
    trials_per_worker: int | None = None,
    **fit_params: Any,
) -> FreezeSearchCV:
    """Run the trials of a search in several processes, and refit the best one in this process.

    Parameters
    ----------
    search : FreezeSearchCV
        A search with a `storage` that processes can share: a path or a URL. The search and the
        data must be picklable.
    X : array-like of shape (n_samples, ...)
        Training samples.
    y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
        Class labels or targets.
    n_workers : int, default=2
        Number of worker processes.
    trials_per_worker : int or None, default=None
        Number of trials after which a new process replaces a worker. A backend keeps memory for
        every network shape that it compiles; this bounds it in a long search. None replaces no
        worker.
    **fit_params : object
        Further arguments of `FreezeSearchCV.fit`.

    Returns
    -------
    FreezeSearchCV
        The given search, fitted.

    Raises
    ------
    ValueError
        If processes cannot share the storage, or a parameter is invalid.
    RuntimeError
        If a trial fails in a worker (with ``error_score="raise"``), or all workers are killed
        before the study has enough trials.
    KeyboardInterrupt
        After SIGINT, and SIGTERM in the main thread, where the program handles neither.

    Warns
    -----
    RuntimeWarning
        If a worker was killed. The other workers repeat its trial, at most three times.

    See Also
    --------
    open_storage : What happens to the trial of a worker that died.

    Notes
    -----
    Processes are spawned, so a script needs ``if __name__ == "__main__":`` around this call. The
    sampler learns from the trials that are finished when it suggests the next one, so the result
    depends on the speed of the workers: the same seed need not give the same result twice.

    The workers run exactly `n_trials` trials together, without those that died with a worker.
    Searches in other processes that share the study may each add the trial that they have begun.
    `timeout` counts from the first trial of a worker on.

    No worker outlives this process: when it is interrupted, terminated or killed, the workers stop
    at the latest after the current epoch, and record their trials as failed. The next search on the
    study runs other trials instead.

    Examples
    --------
    In a script::

        from sklearn.datasets import load_digits

        from frozenfit import PartialNetClassifier
        from frozenfit.search import FreezeSearchCV, run_workers

        if __name__ == "__main__":
            X, y = load_digits(return_X_y=True)
            search = FreezeSearchCV(PartialNetClassifier(), storage="journal.log", random_state=0)
            run_workers(search, X / 16, y, n_workers=2)
    """
    optuna = load_optuna()
    for name, count in (("n_workers", n_workers), ("trials_per_worker", trials_per_worker)):
        if (count is not None or name == "n_workers") and (not isinstance(count, int) or count < 1):
            raise ValueError(f"`{name}` must be an int >= 1, got {count!r}.")
    if search.storage is None or isinstance(search.storage, optuna.storages.BaseStorage):
        raise ValueError(
            f"Processes cannot share the storage {search.storage!r}. Give the path of a journal "
            "file, such as storage='journal.log', or the URL of a database."
        )
    search._validate_params()
    given = {"sample_weight": None, "groups": None, **fit_params}
    # Creating the study here enqueues its first trials once, and raises all errors in the settings
    # before a process starts.
    with quiet(), sigterm_interrupts():
        run = Run(search, optuna, X, y, given)
        search.study_ = run.study
        _Workers(run, (X, y, given), n_workers, trials_per_worker).run()
    return search._finish(run)


@dataclass(eq=False)
class _Worker:
    """A worker process, as its parent sees it.

    Attributes
    ----------
    number : int
        Its number, for messages.
    process : SpawnProcess
        The process.
    channel : Connection
        The worker sends None to ask for a ticket, the number of a trial when it begins, and the
        text of an error. The parent answers whether a trial may start.
    asks : bool, default=False
        Whether the worker waits for an answer.
    has_ticket : bool, default=False
        Whether the worker runs a trial.
    trial : int or None, default=None
        Number of the running trial.
    n_trials : int, default=0
        How many trials it was allowed to start.
    error : str or None, default=None
        The error that ended it.
    """

    number: int
    process: SpawnProcess
    channel: Connection
    asks: bool = False
    has_ticket: bool = False
    trial: int | None = None
    n_trials: int = 0
    error: str | None = None


class _Workers:
    """The workers of one search.

    Every trial starts with a question to this process. It therefore knows which trial was lost with
    a process, and no lock that a killed process could hold is shared.
    """

    def __init__(self, run: Run, data: tuple, n_workers: int, limit: int | None):
        self.search, self.study, self.data = run.settings, run.study, data
        self.n_workers, self.limit = n_workers, limit or math.inf
        self.tickets = Tickets(run.study, run.settings.n_trials, run.settings.storage)
        self.deadline = math.inf
        self.workers: list[_Worker] = []
        self.killed: list[_Worker] = []
        state = self.search.random_state
        first = None if state is None else int(check_random_state(state).randint(SEED_LIMIT))
        self._seeds = None if first is None else np.random.SeedSequence(first)

    def run(self) -> None:
        """Start the workers, answer them until all have ended, and leave no process behind."""
        if self.tickets.complete:
            return
        try:
            for number in range(self.n_workers):
                self._start(number)
            with TrialProgress(self.search.n_trials, int(self.search.verbose)) as bar:
                while self.workers:
                    self._serve()
                    bar.refresh(self.study)
        finally:
            self._stop()
        self._report_killed()

    def _start(self, number: int) -> None:
        # A worker refits nothing and draws no bar, and a callable `refit` need not be picklable.
        # The time is measured here, so that a worker that replaces another has what is left of it.
        search = cast("FreezeSearchCV", clone(self.search))
        search.set_params(refit=False, verbose=0, timeout=None)
        if search.sampler is None:  # equal samplers would suggest equal trials
            seed = self._seeds and int(self._seeds.spawn(1)[0].generate_state(1)[0])
            search.set_params(sampler=default_sampler(search, seed))
        context = multiprocessing.get_context("spawn")  # TensorFlow and JAX hang in a forked child
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(search, *self.data, get_config(), theirs))
        worker = _Worker(number, process, ours)
        # Before the start, so that an interrupt cannot leave a process that nobody waits for.
        self.workers.append(worker)
        with _sigint_blocked():
            process.start()
        theirs.close()  # so that reading from a dead worker ends

    def _serve(self) -> None:
        """Wait for something to happen, and react to it."""
        sources = [source for w in self.workers for source in (w.channel, w.process.sentinel)]
        connection.wait(sources, _POLL)
        for worker in list(self.workers):
            ended = worker.process.exitcode is not None
            self._receive(worker)
            if ended:
                self._remove(worker)
                if worker.error is not None:
                    raise RuntimeError(f"A worker failed: {worker.error}")
                if worker.n_trials >= self.limit and not self.tickets.complete:
                    self._start(worker.number)
        for worker in self.workers:
            if worker.asks:
                self._answer(worker)

    def _receive(self, worker: _Worker) -> None:
        with suppress(EOFError, OSError):  # the end of a dead process
            while worker.channel.poll():
                message = worker.channel.recv()
                if message is None:
                    worker.asks = True
                    self._give_back(worker)
                elif isinstance(message, int):
                    worker.trial = message
                else:
                    worker.error = message

    def _answer(self, worker: _Worker) -> None:
        if math.isinf(self.deadline):
            self.deadline = time.monotonic() + (self.search.timeout or math.inf)
        if worker.n_trials >= self.limit or time.monotonic() >= self.deadline:
            answer = False
        elif self.tickets.try_take():
            worker.has_ticket, answer = True, True
            worker.n_trials += 1
        elif self.tickets.complete:
            answer = False
        else:
            return  # a running trial may still fail
        worker.asks = False
        with suppress(OSError):  # it has died; the next look at its process shows that
            worker.channel.send(answer)

    def _give_back(self, worker: _Worker) -> None:
        worker.trial = None
        if worker.has_ticket:
            worker.has_ticket = False
            self.tickets.give_back()

    def _remove(self, worker: _Worker) -> None:
        """Forget a process that has ended, and record its trial as failed."""
        self.workers.remove(worker)
        code = worker.process.exitcode or 0
        if code > 0 and worker.error is None:
            worker.error = "its output shows the reason"
        if code < 0:
            self.killed.append(worker)
            self._fail_trial(worker.trial, repeat=code not in (-signal.SIGINT, -signal.SIGTERM))
        self._give_back(worker)
        worker.channel.close()

    def _fail_trial(self, number: int | None, repeat: bool) -> None:
        """Record a trial as failed, unless that or its result is recorded already."""
        if number is None:
            return
        optuna = load_optuna()
        try:
            trial = self.study.tell(number, state=optuna.trial.TrialState.FAIL)
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
            return
        if repeat:
            repeat_trial(self.study, trial, RETRIES)

    def _stop(self) -> None:
        """End all processes; they have a few seconds to record their trials as failed."""
        started = [worker for worker in self.workers if worker.process.pid is not None]
        for worker in started:
            worker.process.terminate()
        try:
            end = time.monotonic() + _GRACE
            for worker in started:
                worker.process.join(max(0.0, end - time.monotonic()))
        finally:
            for worker in started:
                worker.process.kill()
                worker.process.join()
                self._receive(worker)
                self._fail_trial(worker.trial, repeat=False)
                self._give_back(worker)

    def _report_killed(self) -> None:
        codes = [worker.process.exitcode for worker in self.killed]
        if len(codes) >= self.n_workers and not self.tickets.complete:
            raise RuntimeError(
                f"All {self.n_workers} workers were killed (exit codes {codes}) after "
                f"{count_done(self.study)} of {self.search.n_trials} trials. Repeat the call to "
                "continue the study."
            )
        if codes:
            warnings.warn(
                f"Worker {self.killed[0].number} was killed (exit code {codes[0]}). Its trial was "
                "recorded as failed; the other workers continued.",
                RuntimeWarning,
                stacklevel=4,
            )


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Let a process start with SIGINT blocked, until it handles the signal.

    Ctrl+C reaches all processes of a terminal, and would print a traceback of each that is still
    importing packages. It stays pending for this process until the block ends.
    """
    mask = getattr(signal, "pthread_sigmask", None)  # not available on Windows
    if mask is None:
        yield
        return
    resource_tracker.ensure_running()  # its start unblocks SIGINT
    before = mask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        mask(signal.SIG_SETMASK, before)


class _StopSignals:
    """Ends the trials of a worker on SIGINT, on SIGTERM, and when its parent is dead.

    The signals interrupt nothing but the objective of a trial. What writes to the storage is left
    in peace, so that the trial is recorded as failed.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.in_trial = False
        signal.signal(signal.SIGTERM, self._handle)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as for a background job
            signal.signal(signal.SIGINT, self._handle)
        if hasattr(signal, "pthread_sigmask"):  # the parent has blocked it
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        threading.Thread(target=self._watch_parent, daemon=True).start()

    def _handle(self, number: int, frame: object) -> None:
        self.received = number
        if self.in_trial:
            raise KeyboardInterrupt

    def _watch_parent(self) -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None  # this is a spawned process
        connection.wait([parent.sentinel])
        # Again and again, because an exception is lost where it meets the finalizer of an object.
        while True:
            _interrupt_main_thread()
            time.sleep(_GRACE)

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Let the signals interrupt a block."""
        self.in_trial = True
        try:
            if self.received is not None:
                raise KeyboardInterrupt
            yield
        finally:
            self.in_trial = False


def _interrupt_main_thread() -> None:
    if hasattr(signal, "pthread_kill"):  # also ends a system call that waits
        signal.pthread_kill(cast("int", threading.main_thread().ident), signal.SIGTERM)
    else:
        signal.raise_signal(signal.SIGTERM)


class _ParentTickets:
    """The tickets of the parent process; the methods are those of `Tickets`."""

    def __init__(self, channel: Connection, stop: _StopSignals):
        self.channel, self.stop = channel, stop

    def take(self, deadline: float) -> bool:
        try:
            self.channel.send(None)
            while not self.channel.poll(_POLL):
                if self.stop.received is not None:
                    return False
            return self.channel.recv()
        except (EOFError, OSError):  # the parent is dead
            return False

    @contextmanager
    def trial(self, number: int) -> Iterator[None]:
        with suppress(OSError):
            self.channel.send(number)
        with self.stop.interrupting():
            yield

    def give_back(self) -> None:
        """Do nothing; the next question gives the ticket back."""


def _work(
    search: FreezeSearchCV,
    X: Any,
    y: Any,
    given: dict[str, Any],
    config: dict[str, Any],
    channel: Connection,
) -> NoReturn:
    stop = _StopSignals()
    code = 0
    try:
        # A spawned process starts with scikit-learn's default configuration.
        with config_context(**config), quiet():
            Run(search, load_optuna(), X, y, given).search(_ParentTickets(channel, stop))
    except KeyboardInterrupt:
        stop.received = stop.received or signal.SIGINT
    except Exception as error:
        code = 1
        with suppress(OSError):
            channel.send(f"{type(error).__name__}: {error}")
    # The pool of joblib waits for further work for minutes, and this process would wait for it.
    for child in multiprocessing.active_children():
        child.terminate()
    if stop.received is not None:  # end by the signal, so that the parent sees why
        signal.signal(stop.received, signal.SIG_DFL)
        os.kill(os.getpid(), stop.received)
    sys.exit(code)
