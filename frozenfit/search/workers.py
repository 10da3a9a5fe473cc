"""One search in several processes."""

from __future__ import annotations

import multiprocessing
import warnings
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from sklearn import config_context, get_config
from sklearn.base import clone
from sklearn.utils import check_random_state

from frozenfit.isolation import SEED_LIMIT
from frozenfit.search._optuna import default_sampler, load_optuna, quiet
from frozenfit.search.results import ERROR, count_done
from frozenfit.search.running import Run
from frozenfit.search.trial_progress import TrialProgress

if TYPE_CHECKING:
    import optuna
    from numpy.typing import ArrayLike

    from frozenfit.search.freeze_search import FreezeSearchCV


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
        The given search, fitted. Its study has `n_trials` trials, or up to ``n_workers - 1`` more,
        because each worker finishes the trial that it has begun.

    Raises
    ------
    ValueError
        If processes cannot share the storage, or a parameter is invalid.
    RuntimeError
        If a trial fails in a worker (with ``error_score="raise"``), or all workers are killed
        before the study has enough trials.

    Warns
    -----
    RuntimeWarning
        If a worker was killed. Only its current trial is lost, and the other workers continue.

    See Also
    --------
    open_storage : What happens to the trial of a worker that died.

    Notes
    -----
    Processes are spawned, so a script needs ``if __name__ == "__main__":`` around this call. The
    sampler learns from the trials that are finished when it suggests the next one, so the result
    depends on the speed of the workers: the same seed need not give the same result twice.

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
    # Creating the study here enqueues its first trials once, and raises all errors in the settings
    # before a process starts.
    with quiet():
        study = Run(search, optuna, X, y, fit_params).study
    start = _WorkerFactory(search, (X, y, fit_params), trials_per_worker)
    _wait([start() for _ in range(n_workers)], start, search, study)
    # The study is complete, so this runs no trial: it collects the results and refits.
    return search.fit(X, y, **fit_params)


class _WorkerFactory:
    """Starts workers, each with a different seed: equal samplers would suggest equal trials."""

    def __init__(self, search: FreezeSearchCV, data: tuple, limit: int | None):
        self.search, self.data, self.limit = search, data, limit
        state = search.random_state
        first = None if state is None else int(check_random_state(state).randint(SEED_LIMIT))
        self._seeds = None if first is None else np.random.SeedSequence(first)

    def __call__(self) -> BaseProcess:
        # A worker refits nothing and draws no bar, and a callable `refit` need not be picklable.
        worker = cast("FreezeSearchCV", clone(self.search))
        worker.set_params(refit=False, verbose=0)
        if worker.sampler is None:
            seed = self._seeds and int(self._seeds.spawn(1)[0].generate_state(1)[0])
            worker.set_params(sampler=default_sampler(worker, seed))
        arguments = (worker, *self.data, self.limit, get_config())
        # TensorFlow and JAX hang in a forked child.
        process = multiprocessing.get_context("spawn").Process(target=_work, args=arguments)
        process.start()
        return process


class _StopAfter:
    """An Optuna callback that ends the search of one worker after a number of trials."""

    def __init__(self, trials: int):
        self.trials = trials

    def __call__(self, study: Any, trial: Any) -> None:
        self.trials -= 1
        if self.trials == 0:
            study.stop()


def _work(
    search: FreezeSearchCV,
    X: Any,
    y: Any,
    fit_params: dict[str, Any],
    limit: int | None,
    config: dict[str, Any],
) -> None:
    if limit is not None:
        given = search.callbacks or ()
        given = [given] if callable(given) else given
        search.set_params(callbacks=[*given, _StopAfter(limit)])
    # A spawned process starts with scikit-learn's default configuration.
    with config_context(**config):
        search.fit(X, y, **fit_params)


def _wait(
    processes: list[BaseProcess],
    start: _WorkerFactory,
    search: FreezeSearchCV,
    study: optuna.Study,
) -> None:
    """Wait for all workers, show the progress, and leave no process behind."""
    try:
        with TrialProgress(search.n_trials, int(search.verbose)) as bar:
            while any(process.is_alive() for process in processes):
                for process in processes:
                    process.join(0.5 / len(processes))
                if any((process.exitcode or 0) > 0 for process in processes):
                    break
                for number, process in enumerate(processes):
                    finished = process.exitcode == 0 and count_done(study) < search.n_trials
                    if finished and start.limit is not None:
                        processes[number] = start()
                bar.refresh(study)
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
                process.join()
    _report_failures(processes, search, study)


def _report_failures(
    processes: list[BaseProcess], search: FreezeSearchCV, study: optuna.Study
) -> None:
    # Positive exit codes are errors in Python; negative ones are signals.
    codes = [process.exitcode for process in processes]
    if any(code and code > 0 for code in codes):
        trials = study.get_trials(deepcopy=False)
        errors = [t.user_attrs[ERROR] for t in trials if ERROR in t.user_attrs]
        reason = errors[-1] if errors else "its output shows the reason"
        raise RuntimeError(f"A worker failed: {reason}")
    died = [number for number, code in enumerate(codes) if code]
    if len(died) == len(processes) and count_done(study) < search.n_trials:
        raise RuntimeError(
            f"All {len(processes)} workers were killed (exit codes {codes}) after "
            f"{count_done(study)} of {search.n_trials} trials. Repeat the call to continue the "
            "study."
        )
    if died:
        warnings.warn(
            f"Worker {died[0]} was killed (exit code {codes[died[0]]}). Its current trial is lost; "
            "the other workers continued.",
            RuntimeWarning,
            stacklevel=3,
        )
