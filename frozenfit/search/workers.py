"""Several processes on one study."""

from __future__ import annotations

import multiprocessing
import warnings
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np
from sklearn import config_context, get_config
from sklearn.base import clone
from sklearn.utils import check_random_state

from frozenfit.search._optional import load_optuna, quiet
from frozenfit.search.objectives import read_directions
from frozenfit.search.progress import TrialBar
from frozenfit.search.results import ERROR, done
from frozenfit.search.running import Run, nsga2

_SEED_LIMIT = 2**31 - 1


def run_workers(
    search: Any,
    X: Any,
    y: Any = None,
    *,
    n_workers: int = 2,
    trials_per_worker: int | None = None,
    **fit_params: Any,
) -> Any:
    """Search in several processes, and fit the best in this one.

    Parameters
    ----------
    search : FreezeSearchCV
        With a `storage` that processes can share: a path or an URL. All of it, and the data, must
        be picklable.
    X, y : array-like
        As in its ``fit``.
    n_workers : int, default=2
        How many processes.
    trials_per_worker : int or None, default=None
        After so many trials a fresh process takes a worker's place. Every new shape of a network
        takes memory that a backend never gives back; this bounds it in a long search.
    **fit_params : object
        As in its ``fit``.

    Returns
    -------
    FreezeSearchCV
        `search`, fitted. The study has `n_trials` trials, or up to ``n_workers - 1`` more, as
        each worker finishes what it began.

    Raises
    ------
    ValueError
        If processes cannot share the storage, or the settings make no sense.
    RuntimeError
        If a trial failed in a worker (with ``error_score="raise"``), or every worker died before
        there were enough trials.

    Notes
    -----
    A worker that dies takes its trial alone with it: the others go on until there are enough.
    On SQL storages the trial is found by its missing signs of life, and given to another worker;
    in a journal it stays "running" and is left alone. Processes are started afresh (``spawn``),
    so a script needs ``if __name__ == "__main__":`` around this call. Which trial meets which
    suggestion depends on who is faster, so the same seed need not find the same twice.

    Examples
    --------
    In a script::

        net = frozenfit.PartialNetClassifier()
        found = search.FreezeSearchCV(net, n_trials=100, storage="journal.log", random_state=0)
        if __name__ == "__main__":
            search.run_workers(found, X, y, n_workers=2)
    """
    optuna = load_optuna()
    for name, count in (("n_workers", n_workers), ("trials_per_worker", trials_per_worker)):
        if (count is not None or name == "n_workers") and (not isinstance(count, int) or count < 1):
            raise ValueError(f"{name} is a count of at least 1, found {count!r}")
    if search.storage is None or isinstance(search.storage, optuna.storages.BaseStorage):
        raise ValueError(
            f"processes cannot share the storage {search.storage!r}; give the path of a journal "
            "file, such as storage='journal.log', or the URL of a database"
        )
    # The study, its first trials and all errors in the settings belong to this process.
    with quiet():
        study = Run(search, optuna, X, y, fit_params).study
    hire = _Hiring(search, optuna, (X, y, fit_params), trials_per_worker)
    _wait([hire() for _ in range(n_workers)], hire, search, study)
    return search.fit(X, y, **fit_params)


class _Hiring:
    """Starts workers, each with a seed of its own: with one for all they would try the same."""

    def __init__(self, search: Any, optuna: Any, data: tuple, limit: int | None):
        self.search, self.optuna, self.data, self.limit = search, optuna, data, limit
        state = search.random_state
        first = None if state is None else int(check_random_state(state).randint(_SEED_LIMIT))
        self._seeds = None if first is None else np.random.SeedSequence(first)

    def __call__(self) -> BaseProcess:
        mine = clone(self.search).set_params(refit=False, verbose=0)
        if mine.sampler is None:
            seed = self._seeds and int(self._seeds.spawn(1)[0].generate_state(1)[0])
            mine.set_params(sampler=_sampler(mine, self.optuna, seed))
        arguments = (mine, *self.data, self.limit, get_config())
        process = multiprocessing.get_context("spawn").Process(target=_work, args=arguments)
        process.start()
        return process


def _sampler(search: Any, optuna: Any, seed: int | None) -> Any:
    if len(read_directions(search.directions)) == 1:
        return optuna.samplers.TPESampler(seed=seed)
    return nsga2(optuna, search.n_trials, seed)


class _Leave:
    """An Optuna callback that ends a worker's search after so many trials."""

    def __init__(self, trials: int):
        self.trials = trials

    def __call__(self, study: Any, trial: Any) -> None:
        self.trials -= 1
        if self.trials == 0:
            study.stop()


def _work(
    search: Any,
    X: Any,
    y: Any,
    fit_params: dict[str, Any],
    limit: int | None,
    config: dict[str, Any],
) -> None:
    if limit is not None:
        given = search.callbacks or ()
        given = [given] if callable(given) else given
        search.set_params(callbacks=[*given, _Leave(limit)])
    with config_context(**config):
        search.fit(X, y, **fit_params)


def _wait(processes: list[BaseProcess], hire: _Hiring, search: Any, study: Any) -> None:
    """Wait for all, show how far they are, and leave none behind."""
    try:
        with TrialBar(search.n_trials, int(search.verbose)) as bar:
            while any(process.is_alive() for process in processes):
                for process in processes:
                    process.join(0.5 / len(processes))
                if any((process.exitcode or 0) > 0 for process in processes):
                    break
                for number, process in enumerate(processes):
                    left = process.exitcode == 0 and done(study) < search.n_trials
                    if left and hire.limit is not None:
                        processes[number] = hire()
                bar.show(study)
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
                process.join()
    _tell_of_dead(processes, search, study)


def _tell_of_dead(processes: list[BaseProcess], search: Any, study: Any) -> None:
    codes = [process.exitcode for process in processes]
    if any(code and code > 0 for code in codes):
        trials = study.get_trials(deepcopy=False)
        errors = [t.user_attrs[ERROR] for t in trials if ERROR in t.user_attrs]
        told = errors[-1] if errors else "what it printed says why"
        raise RuntimeError(f"a worker failed: {told}")
    died = [number for number, code in enumerate(codes) if code]
    if len(died) == len(processes) and done(study) < search.n_trials:
        raise RuntimeError(
            f"all {len(processes)} workers were killed (exit codes {codes}) with {done(study)} of "
            f"{search.n_trials} trials done; the same call goes on from there"
        )
    if died:
        warnings.warn(
            f"worker {died[0]} was killed (exit code {codes[died[0]]}); its trial is lost, the "
            "others went on",
            RuntimeWarning,
            stacklevel=3,
        )
